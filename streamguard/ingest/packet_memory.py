"""Packets that wait for a look which may never come, in memory of their own.

They come in all sizes and go again in seconds. On the heap they would lie among what is there to stay, so that little
of what they took could be given back, and whatever else they bring with them (a codec's header before each picture)
would be nobody's to count.
"""

import mmap
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple, cast

from av.packet import Packet, PacketSideData
from av.video.stream import VideoStream

from streamguard.ingest.keyframes import header_in

PADDING_BYTES = 64
"""Of zeros, behind each packet: decoders read a little beyond its end (AV_INPUT_BUFFER_PADDING_SIZE)."""

_PADDING = bytes(PADDING_BYTES)


class _Held(NamedTuple):
    """Where it begins, and what else a decoder must know of it; `counted_bytes`: with its header."""

    begin: int
    size: int
    counted_bytes: int
    header: PacketSideData | None
    pts: int | None
    dts: int | None
    is_keyframe: bool


class PacketMemory:
    """Copies of packets, up to `most_packets` of them and `most_bytes`, in a ring that takes no memory before it is
    used. Its pages stay for what comes next, until it is cleared.
    """

    def __init__(self, most_bytes: int, *, most_packets: int) -> None:
        self._most_bytes = most_bytes
        self._most_packets = most_packets
        self._room_bytes = most_bytes + most_packets * PADDING_BYTES
        self._ring: mmap.mmap | None = None
        self._held: deque[_Held] = deque()
        self._next = 0
        self._header: PacketSideData | None = None
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size_bytes(self) -> int:
        """Of the packets, each with what it brought of a header, though one that is repeated is there but once."""
        return self._size_bytes

    def put(self, packet: "Packet[VideoStream]") -> bool:
        """Its bytes, its times in its track's units, and what it brings of a header. False: there is no room."""
        header, size = self._header_of(packet), packet.size
        counted_bytes = size if header is None else size + header.data_size
        if len(self._held) >= self._most_packets or self._size_bytes + counted_bytes > self._most_bytes:
            return False
        if self._ring is None:
            try:
                self._ring = _mapped(self._room_bytes)
            except OSError:  # out of memory: what waits here is of use, but not worth the stream
                return False
        held = _Held(self._next, size, counted_bytes, header, packet.pts, packet.dts, packet.is_keyframe)
        self._write(self._ring, memoryview(packet))
        self._write(self._ring, memoryview(_PADDING))
        self._held.append(held)
        self._header = header or self._header
        self._size_bytes += counted_bytes
        return True

    def packets(self) -> "Iterator[Packet[VideoStream]]":
        """All of them, the oldest first. They stand in the ring: not to be used any more once one is put or goes."""
        return map(self._packet, self._held)

    def newest(self) -> "Packet[VideoStream]":
        """As `packets`. Raises IndexError where there is none."""
        return self._packet(self._held[-1])

    def drop_oldest(self) -> None:
        """Raises IndexError where there is none."""
        self._size_bytes -= self._held.popleft().counted_bytes

    def drop_newest(self) -> None:
        """Raises IndexError where there is none."""
        newest = self._held.pop()
        self._size_bytes -= newest.counted_bytes
        self._next = newest.begin

    def drop_all(self) -> None:
        """Others come next."""
        self._held.clear()
        self._next = 0
        self._header = None
        self._size_bytes = 0

    def clear(self) -> None:
        """None comes soon: the system has its memory again."""
        if self._ring is not None:
            self._ring.madvise(mmap.MADV_DONTNEED)
        self.drop_all()

    def _header_of(self, packet: "Packet[VideoStream]") -> PacketSideData | None:
        """The newest that is kept, where it is the same."""
        header = header_in(packet)
        is_known = header is not None and self._header is not None and bytes(header) == bytes(self._header)
        return self._header if is_known else header

    def _write(self, ring: mmap.mmap, data: memoryview) -> None:
        end = self._next + len(data)
        if end <= self._room_bytes:
            ring[self._next : end] = data
        else:
            end -= self._room_bytes
            ring[self._next :] = data[:-end]
            ring[:end] = data[-end:]
        self._next = end % self._room_bytes

    def _packet(self, held: _Held) -> "Packet[VideoStream]":
        packet = cast("Packet[VideoStream]", Packet(cast("bytes", self._read(held))))
        packet.pts, packet.dts, packet.is_keyframe = held.pts, held.dts, held.is_keyframe
        if held.header is not None:
            packet.set_sidedata(held.header)
        return packet

    def _read(self, held: _Held) -> memoryview:
        """The ring's own where it is in one piece there, padding and all."""
        ring = memoryview(self._ring or b"")
        end = held.begin + held.size
        if end + PADDING_BYTES <= self._room_bytes:
            return ring[held.begin : end]
        pieces = bytes(ring[held.begin :]) + bytes(ring[: max(0, end - self._room_bytes)]) + _PADDING
        return memoryview(pieces)[: held.size]


def _mapped(size: int) -> mmap.mmap:
    """Raises OSError."""
    ring = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    no_large_pages = getattr(mmap, "MADV_NOHUGEPAGE", None)  # there are systems that know no large ones
    if no_large_pages is not None:
        with suppress(OSError):  # of a kernel that has none
            ring.madvise(no_large_pages)  # a large page would take 2 MiB for a packet of 4 kB
    return ring
