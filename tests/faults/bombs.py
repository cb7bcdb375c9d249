"""Small streams that are meant to become large in whoever reads them: pictures, tables and playlists.

Nothing here is large itself, but for what says so. All are made while testing, most from a real stream of one keyframe.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

HUGE_PX = (8192, 4320)
SMALL_PX = (320, 180)
_TS_BYTES = 188
_SIZE_AFTER_BITS = 8 + 96
_SIZE_NOBODY_HAS = 0x7FFF_FF00
HUGE_BOXES = (b"moov", b"mdat", b"udta", b"stsz", b"stts", b"stco", b"sgpd")
_STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


@lru_cache
def flat(size_px: tuple[int, int], *, codec: str = "libx264", form: str = "mpegts", pictures: int = 1) -> bytes:
    """A grey stream in which each picture is a keyframe, one a second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        track = container.add_stream(codec, rate=1)
        assert isinstance(track, VideoStream)
        track.width, track.height = size_px
        track.pix_fmt = "yuv420p"
        track.options = {"preset": "ultrafast", "g": "1", "x265-params": "log-level=none", "threads": "1"}
        for number in range(pictures):
            frame = VideoFrame(*size_px, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 1)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return buffer.getvalue()


@lru_cache
def huge_hevc(*, form: str = "mpegts", pictures: int = 1) -> bytes:
    """A small stream of HEVC that says it is huge: to encode one takes an encoder half a minute."""
    raw = claims_to_be(HUGE_PX, flat(SMALL_PX, codec="libx265", form="hevc", pictures=pictures))
    return _muxed([raw], form)


@lru_cache
def grows(*, codec: str = "libx264", form: str = "mpegts") -> bytes:
    """A stream of a small picture that is huge from the third one on, under the same heading."""
    kind = {"libx264": "h264", "libx265": "hevc"}[codec]
    small = flat(SMALL_PX, codec=codec, form=kind, pictures=2)
    huge = claims_to_be(HUGE_PX, small) if kind == "hevc" else flat(HUGE_PX, form=kind, pictures=2)
    return _muxed([small, huge], form)


def _muxed(raw: list[bytes], form: str) -> bytes:
    """Streams of one codec, one after the other, as one: with what the first says of itself in front."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        copy, number = None, 0
        for one in raw:
            kind = "hevc" if b"\0\0\1\x42\1" in one else "h264"
            with av.open(io.BytesIO(one), "r", format=kind, options={"codec_whitelist": "none"}) as source:
                track = source.streams.video[0]
                copy = copy or container.add_stream_from_template(track)
                for packet in source.demux(track):
                    if packet.size:
                        packet.time_base = Fraction(1, 1000)
                        packet.pts = packet.dts = number * 1000
                        packet.stream = copy
                        container.mux(packet)
                        number += 1
    return buffer.getvalue()


def box(kind: bytes, *parts: bytes, size: int | None = None) -> bytes:
    """A box of MP4. `size`: what it says of itself."""
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def full_box(kind: bytes, *fields: int) -> bytes:
    """One with version and flags 0, and 32-bit fields."""
    return box(kind, bytes(4), struct.pack(f">{len(fields)}I", *fields))


def edited(data: bytes, path: tuple[bytes, ...], edit: Callable[[bytes], bytes]) -> bytes:
    """The boxes in `data`, with the body of each one at `path` as `edit` makes it."""
    pieces, at = [], 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + max(size, 8)]
        if kind == path[0]:
            body = edit(body) if len(path) == 1 else edited(body, path[1:], edit)
        pieces.append(box(kind, body))
        at += max(size, 8)
    return b"".join(pieces)


def many_samples(count: int = 60_000_000) -> bytes:
    """An MP4 of a few hundred bytes whose tables name so many pictures of one byte each."""
    tables = full_box(b"stts", 1, count, 1) + full_box(b"stsc", 1, 1, count, 1)
    tables += full_box(b"stsz", 1, count) + full_box(b"stco", 1, 100)

    def only(body: bytes) -> bytes:
        return body[: int.from_bytes(body[:4])] + tables  # its first is stsd

    return edited(flat(SMALL_PX, form="mp4"), _STBL, only)


def many_in_a_run(count: int = 60_000_000) -> bytes:
    """The same in a fragment, of a run that says nothing of each."""
    extends = box(b"mvex", full_box(b"trex", 1, 1, 1, 1, 0))
    empty = edited(many_samples(0), (b"moov",), lambda body: body + extends)
    run = full_box(b"trun", count)
    return empty + box(b"moof", full_box(b"mfhd", 1), box(b"traf", full_box(b"tfhd", 1), run)) + box(b"mdat", bytes(64))


def many_tracks(count: int = 20_000, *, data: bytes = b"") -> bytes:
    """An MP4 with so many tracks, each like the one of `data`."""

    def multiply(body: bytes) -> bytes:
        at = body.index(b"trak") - 4
        track = body[at : at + int.from_bytes(body[at : at + 4])]
        return body[:at] + track * count

    return edited(data or flat(SMALL_PX, form="mp4"), (b"moov",), multiply)


def deep(levels: int = 200_000) -> bytes:
    """Boxes in boxes in boxes, that are read from the outside in."""
    kinds = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"meta")
    total = levels * 8
    nested = b"".join(struct.pack(">I", total - 8 * n) + kinds[n % len(kinds)] for n in range(levels))
    return box(b"ftyp", b"isom", bytes(4)) + nested


def says_it_is_huge(kind: bytes) -> bytes:
    """An MP4 in which a box claims 2 GiB; in the tables of its track, where such a box belongs."""
    huge = box(kind, bytes(4), struct.pack(">I", 0x0FFF_FFFF), size=_SIZE_NOBODY_HAS)
    small = flat(SMALL_PX, form="mp4")
    if kind in (b"moov", b"mdat", b"udta", b"uuid", b"free"):
        return box(b"ftyp", b"isom", bytes(4)) + huge + small
    return edited(small, _STBL, lambda body: body[: int.from_bytes(body[:4])] + huge)


def many_programs(programs: int = 200, streams: int = 40) -> bytes:
    """MPEG-TS that announces so many programs, each of so many streams, before a picture."""
    pids = range(32, 32 + programs)
    pat = b"".join(struct.pack(">HH", number, 0xE000 | pid) for number, pid in enumerate(pids, 1))
    tables = [_section(0, 0, chunk) for chunk in (pat[at : at + 1000] for at in range(0, len(pat), 1000))]
    packets = [_packet(0, table) for table in tables]
    for number, pid in enumerate(pids, 1):
        first = 32 + programs + (number * streams) % 7000
        each = b"".join(b"\x1b" + struct.pack(">HH", 0xE000 | first + n, 0xF000) for n in range(streams))
        packets.append(_packet(pid, _section(2, number, struct.pack(">HH", 0xE000 | first, 0xF000) + each)))
        picture = b"\0\0\1\xe0\0\0\x80\0\0" + bytes(100)
        packets += [_packet(first + n, picture, is_section=False) for n in range(streams)]
    return b"".join(packets) + flat(SMALL_PX)


def without_keyframes(pictures: int = 50) -> bytes:
    """MPEG-TS of a stream whose only keyframe was cut out: nothing can ever be seen of it."""
    data = flat(SMALL_PX, pictures=2)
    with av.open(io.BytesIO(data), "r") as source, av.open(buffer := io.BytesIO(), "w", format="mpegts") as container:
        track = source.streams.video[0]
        copy = container.add_stream_from_template(track)
        packet = next(one for one in source.demux(track) if one.size)
        body = bytes(packet).replace(b"\0\0\1\x65", b"\0\0\1\x41")
        for number in range(pictures):
            changed = av.Packet(body)
            changed.stream, changed.pts, changed.dts = copy, number * 3600, number * 3600
            changed.time_base = Fraction(1, 90_000)
            container.mux(changed)
    return buffer.getvalue()


def segments_in_gzip(count: int = 10_000_000) -> bytes:
    """A playlist of so many segments, compressed to some hundred kB."""
    packer = zlib.compressobj(1, wbits=31)
    lines = b"#EXTINF:1,\na\n" * 10_000
    head = packer.compress(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n")
    return head + b"".join(packer.compress(lines) for _ in range(count // 10_000)) + packer.flush()


def _packets_of(pid: int, body: bytes, *, is_section: bool) -> Iterator[bytes]:
    payload = (b"\0" + body) if is_section else body
    for number, at in enumerate(range(0, len(payload), _TS_BYTES - 4)):
        piece = payload[at : at + _TS_BYTES - 4]
        start = 0x4000 if at == 0 else 0
        yield struct.pack(">BHB", 0x47, start | pid, 0x10 | number % 16) + piece.ljust(_TS_BYTES - 4, b"\xff")


def _packet(pid: int, body: bytes, *, is_section: bool = True) -> bytes:
    return b"".join(_packets_of(pid, body, is_section=is_section))


def _section(table: int, number: int, body: bytes) -> bytes:
    """One of MPEG-TS's tables, with its checksum."""
    head = struct.pack(">BHHBBB", table, 0xB000 | len(body) + 9, number, 0xC1, 0, 0)
    return head + body + struct.pack(">I", _crc(head + body))


def _crc(data: bytes) -> int:
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C1_1DB7 if crc & 0x8000_0000 else crc << 1) & 0xFFFF_FFFF
    return crc


def claims_to_be(size_px: tuple[int, int], hevc: bytes) -> bytes:
    """A stream of HEVC, in bytes, whose headings say another size: all else stays as it is."""
    units = re.split(rb"(?=\x00\x00\x01)", hevc)
    return b"".join(_resized(unit, size_px) if unit[3:5] == b"\x42\1" else unit for unit in units)


def _resized(unit: bytes, size_px: tuple[int, int]) -> bytes:
    """Before the size stand sub-layers, profile, tier and level of the only one, its number and the chroma format."""
    head, body = unit[:5], unit[5:].replace(b"\0\0\3", b"\0\0")
    bits = "".join(f"{byte:08b}" for byte in body).rstrip("0")
    place = _SIZE_AFTER_BITS
    values = []
    for _ in range(4):
        zeros = bits.index("1", place) - place
        values.append(int(bits[place + zeros : place + 2 * zeros + 1], 2) - 1)
        place += 2 * zeros + 1
    told = [value + 1 for value in (*values[:2], *size_px)]
    written = "".join("0" * (value.bit_length() - 1) + f"{value:b}" for value in told)
    changed = bits[:_SIZE_AFTER_BITS] + written + bits[place:]
    changed += "0" * (-len(changed) % 8)
    return head + _escaped(bytes(int(changed[at : at + 8], 2) for at in range(0, len(changed), 8)))


def _escaped(body: bytes) -> bytes:
    """Without anything that looks like the start of another unit."""
    written, zeros = bytearray(), 0
    for byte in body:
        if zeros == 2 and byte <= 3:
            written.append(3)
            zeros = 0
        written.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(written)
