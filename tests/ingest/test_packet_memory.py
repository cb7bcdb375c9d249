"""streamguard.ingest.packet_memory: packets come out as they were put in, within bounds, and leave nothing behind."""

import ctypes
import mmap
import re
from fractions import Fraction
from pathlib import Path
from typing import cast

import pytest
from av.packet import Packet, PacketSideData
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st

from streamguard.ingest import packet_memory
from streamguard.ingest.keyframes import header_of
from streamguard.ingest.packet_memory import PADDING_BYTES, PacketMemory

MIB = 1 << 20
MILLISECONDS = Fraction(1, 1000)


def packet_of(data: bytes, *, pts: int | None = None, header: bytes | None = None) -> "Packet[VideoStream]":
    packet = cast("Packet[VideoStream]", Packet(data))
    packet.pts = packet.dts = pts
    packet.time_base = MILLISECONDS
    packet.is_keyframe = pts == 0
    if header is not None:
        # As FLV's reader makes it; PyAV's stubs know no way to.
        side = PacketSideData(1, len(header))  # type: ignore[call-arg]
        memoryview(side)[:] = header
        packet.set_sidedata(side)
    return packet


def private_mib() -> float:
    rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return sum(map(int, re.findall(r"^Private_\w+:\s+(\d+)", rollup, re.MULTILINE))) / 1024


def test_packets_come_out_as_they_were_put_in() -> None:
    """With their times and headers, the oldest first; though what they came from has gone."""
    memory = PacketMemory(MIB, most_packets=9)
    for number in range(3):
        packet = packet_of(bytes([number]) * 1000, pts=number * 40, header=b"header" if number else None)
        assert memory.put(packet)
    del packet
    found = list(memory.packets())
    assert [bytes(one) for one in found] == [bytes([number]) * 1000 for number in range(3)]
    assert [(one.pts, one.dts) for one in found] == [(at, at) for at in (0, 40, 80)]
    assert [one.is_keyframe for one in found] == [True, False, False]
    assert [header_of(one) for one in found] == [None, b"header", b"header"]
    assert bytes(memory.newest()) == b"\2" * 1000


@given(steps=st.lists(st.tuples(st.sampled_from(["put", "put", "oldest", "newest", "all"]), st.integers(1, 700))))
def test_it_is_a_queue_of_bytes(steps: list[tuple[str, int]]) -> None:
    """Whatever comes and goes in whatever order, at either end, as long as there is room; and behind each packet a
    decoder that reads a little too far finds nothing of another.
    """
    memory, wanted = PacketMemory(3000, most_packets=20), list[bytes]()
    for number, (step, size) in enumerate(steps):
        if step == "put":
            data = bytes([number % 255 + 1]) * size
            has_room = sum(map(len, wanted)) + size <= 3000 and len(wanted) < 20
            assert memory.put(packet_of(data)) == has_room
            wanted += [data] if has_room else []
        elif step == "all":
            memory.drop_all()
            wanted.clear()
        elif wanted:
            wanted.pop(0 if step == "oldest" else -1)
            (memory.drop_oldest if step == "oldest" else memory.drop_newest)()
        found = list(memory.packets())
        assert [bytes(one) for one in found] == wanted
        assert (len(memory), memory.size_bytes) == (len(wanted), sum(map(len, wanted)))
        assert all(_beyond(one) == bytes(PADDING_BYTES) for one in found)


def _beyond(packet: "Packet[VideoStream]") -> bytes:
    return ctypes.string_at(packet.buffer_ptr + packet.size, PADDING_BYTES)


def test_what_has_no_room_is_not_taken() -> None:
    """Nothing that is there goes for it."""
    memory = PacketMemory(1000, most_packets=2)
    assert not memory.put(packet_of(b"a" * 1001))
    assert not memory.put(packet_of(b"a" * 900, header=b"h" * 101))
    assert memory.put(packet_of(b"a" * 500, header=b"h" * 100))
    assert not memory.put(packet_of(b"b" * 401))
    assert memory.put(packet_of(b"b" * 300))
    assert not memory.put(packet_of(b"c"))
    assert [len(bytes(one)) for one in memory.packets()] == [500, 300]


def test_nor_where_the_system_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of use, but not worth the stream."""

    def none(_size: int) -> mmap.mmap:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(packet_memory, "_mapped", none)
    memory = PacketMemory(MIB, most_packets=9)
    assert not memory.put(packet_of(b"a"))
    assert (len(memory), memory.size_bytes) == (0, 0)
    memory.clear()


def test_a_system_that_knows_no_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to be said to it; packets wait there as anywhere."""
    monkeypatch.delattr(mmap, "MADV_NOHUGEPAGE", raising=False)
    memory = PacketMemory(100, most_packets=3)
    assert memory.put(packet_of(b"one"))
    assert [bytes(packet) for packet in memory.packets()] == [b"one"]


def test_a_header_counts_each_time_and_is_kept_once() -> None:
    """Repeated before each picture it took 85 MiB of a decoder that was to keep 8."""
    memory, header = PacketMemory(100 * MIB, most_packets=99), b"h" * MIB
    before_mib = private_mib()
    for number in range(64):
        assert memory.put(packet_of(b"a" * 10, pts=number, header=header))
    assert private_mib() - before_mib < 8
    assert memory.size_bytes == 64 * (MIB + 10)
    memory.drop_newest()
    assert memory.size_bytes == 63 * (MIB + 10)


def test_what_is_cleared_leaves_no_memory_behind() -> None:
    """It is the system's again, not a hole in a heap."""
    memory = PacketMemory(64 * MIB, most_packets=64)
    before_mib = private_mib()
    for number in range(32):
        assert memory.put(packet_of(b"a" * MIB, pts=number))
    full_mib = private_mib()
    assert full_mib - before_mib > 24
    memory.clear()
    assert full_mib - private_mib() > 24
    assert (len(memory), memory.size_bytes) == (0, 0)
