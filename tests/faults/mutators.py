"""Damage to streams, the same for the same seed: of bytes, and of packets, tags, boxes and lines.

mutated(Form.TS, data, other=another_stream, seed=7)
"""

import enum
import random
import re
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise

TS_PACKET_BYTES = 188
_SYNC = b"\x47"
_FLV_HEAD_BYTES = 13
_FLV_TAG_HEAD_BYTES = 11
_FLV_SIZE_BYTES = 4
_BOX_HEAD_BYTES = 8
_NESTED = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf", b"edts", b"dinf"})
_LENGTHS = (0, 1, 7, 8, 9, 0x7F, 0xFF, 0xFFFF, 0xFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_NUMBERS = ("0", "-1", "1e308", "NaN", "99999999999999999999", "0.000000001", "2147483648", "")
_MOST_DAMAGES = 4


class Form(enum.Enum):
    """What is damaged. FMP4 is fragmented MP4; a PLAYLIST is text."""

    TS = "ts"
    FLV = "flv"
    FMP4 = "fmp4"
    PLAYLIST = "playlist"


Damage = Callable[[bytes, bytes, random.Random], bytes]
"""Of a stream, another stream of its form, and where chance comes from."""


def mutated(form: Form, data: bytes, *, other: bytes, seed: int) -> bytes:
    """`data` damaged in one to four ways; parts of `other`, a stream of the same form, may come into it."""
    chance = random.Random(f"{form.value} {seed}")  # noqa: S311 - it must be foreseen
    for damage in chance.choices(DAMAGES[form], k=chance.randint(1, _MOST_DAMAGES)):
        data = damage(data, other, chance)
    return data


def units(form: Form, data: bytes) -> list[bytes]:
    """What it is made of, from its first byte to its last: joined, they are `data` again, whatever it is."""
    cuts = {0, len(data), *(at for at in _CUTS[form](data) if at < len(data))}
    return [data[start:end] for start, end in pairwise(sorted(cuts))]


def flip_bits(data: bytes, _other: bytes, chance: random.Random) -> bytes:
    """A few, anywhere; or many, close together."""
    damaged = bytearray(data)
    if not damaged:
        return data
    start, span = (0, len(damaged)) if chance.random() < 0.7 else (chance.randrange(len(damaged)), 200)
    for _ in range(chance.randint(1, 40)):
        damaged[min(start + chance.randrange(span), len(damaged) - 1)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def truncate(data: bytes, _other: bytes, chance: random.Random) -> bytes:
    """Its end is missing, or its beginning, or a piece of its middle."""
    first, last = sorted(chance.randint(0, len(data)) for _ in range(2))
    return chance.choice((data[:last], data[first:], data[:first] + data[last:]))


def splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """It goes on as another stream, from any byte of either."""
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def fill(data: bytes, _other: bytes, chance: random.Random) -> bytes:
    """A stretch of it is one byte over and over, or noise."""
    start, length = chance.randint(0, len(data)), chance.choice((1, 4, 188, 4000))
    stuff = chance.choice((b"\0", b"\xff", _SYNC)) * length if chance.random() < 0.7 else chance.randbytes(length)
    return data[:start] + stuff + data[start + length :]


def of_units(form: Form) -> tuple[Damage, ...]:
    """What befalls whole packets, tags, boxes or lines: they come twice, in another order, not at all, or from another
    stream.
    """

    def repeat(data: bytes, _other: bytes, chance: random.Random) -> bytes:
        parts = units(form, data)
        at = chance.randint(0, len(parts))
        run = parts[at : at + chance.randint(1, 8)]
        return b"".join(parts[:at] + run * chance.randint(2, 4) + parts[at + len(run) :])

    def reorder(data: bytes, _other: bytes, chance: random.Random) -> bytes:
        parts = units(form, data)
        at, length = chance.randint(0, len(parts)), chance.randint(2, 40)
        stretch = parts[at : at + length]
        chance.shuffle(stretch)
        return b"".join(parts[:at] + stretch + parts[at + length :])

    def leave_out(data: bytes, _other: bytes, chance: random.Random) -> bytes:
        share = chance.choice((0.01, 0.1, 0.5))
        return b"".join(part for part in units(form, data) if chance.random() >= share)

    def mix_in(data: bytes, other: bytes, chance: random.Random) -> bytes:
        parts, foreign = units(form, data), units(form, other)
        for _ in range(chance.randint(1, 10)):
            parts.insert(chance.randint(0, len(parts)), chance.choice(foreign) if foreign else b"")
        return b"".join(parts)

    return repeat, reorder, leave_out, mix_in


def lie_in_ts(data: bytes, _other: bytes, chance: random.Random) -> bytes:
    """Adaptation fields, sections and PES packets that are longer or shorter than they say."""

    def lie(packet: bytearray) -> None:
        field = chance.choice((3, 4, 5, 6, 7, 8, 9, 10, 11))
        packet[field] = chance.choice((0, 1, 0x7F, 0xB0, 0xB7, 0xFF, chance.randrange(256)))

    return _lied(units(Form.TS, data), lie, chance, least_bytes=TS_PACKET_BYTES)


def lie_in_flv(data: bytes, _other: bytes, chance: random.Random) -> bytes:
    """Tags with another size than they have, in front or behind, of another kind, or at another time."""

    def lie(tag: bytearray) -> None:
        match chance.randrange(4):
            case 0:
                tag[1:4] = chance.choice(_LENGTHS).to_bytes(4, "big")[1:]
            case 1:
                tag[-_FLV_SIZE_BYTES:] = chance.choice(_LENGTHS).to_bytes(4, "big")
            case 2:
                tag[0] = chance.randrange(256)
            case _:
                tag[4:8] = chance.randbytes(4)

    return _lied(units(Form.FLV, data), lie, chance, least_bytes=_FLV_TAG_HEAD_BYTES + _FLV_SIZE_BYTES)


def lie_in_fmp4(data: bytes, _other: bytes, chance: random.Random) -> bytes:
    """Boxes that say another length, another name, or another number of entries."""

    def lie(box: bytearray) -> None:
        match chance.randrange(3):
            case 0:
                box[:4] = struct.pack(">I", chance.choice((*_LENGTHS, len(box) - 1, len(box) + 1)) & 0xFFFFFFFF)
            case 1:
                box[4:8] = chance.choice((*sorted(_NESTED), b"mdat", b"free", chance.randbytes(4)))
            case _:
                at = chance.randrange(_BOX_HEAD_BYTES, max(_BOX_HEAD_BYTES + 1, min(len(box) - 3, 40)))
                box[at : at + 4] = struct.pack(">I", chance.choice(_LENGTHS))

    return _lied(units(Form.FMP4, data), lie, chance, least_bytes=_BOX_HEAD_BYTES + 4)


def lie_in_playlist(data: bytes, _other: bytes, chance: random.Random) -> bytes:
    """Numbers that are none, or such as nobody can count."""
    found = list(re.finditer(rb"\d+(\.\d+)?", data))
    for number in sorted(chance.sample(found, min(len(found), chance.randint(1, 5))), key=lambda one: -one.start()):
        data = data[: number.start()] + chance.choice(_NUMBERS).encode() + data[number.end() :]
    return data


def hostile_tags(data: bytes, _other: bytes, chance: random.Random) -> bytes:
    """Tags of HLS that say odd things, between any two lines."""
    tag = chance.choice(_TAGS)
    lines = data.splitlines(keepends=True)
    lines.insert(chance.randint(0, len(lines)), tag.encode() + b"\n")
    return b"".join(lines)


_TAGS = (
    '#EXT-X-MAP:URI="missing.mp4"', '#EXT-X-MAP:URI="",BYTERANGE="9999999999@0"', "#EXT-X-BYTERANGE:0@-1",
    '#EXT-X-KEY:METHOD=AES-128,URI="k"', "#EXT-X-KEY:METHOD=NONE", "#EXT-X-DISCONTINUITY", "#EXT-X-ENDLIST",
    "#EXT-X-TARGETDURATION:0", "#EXT-X-MEDIA-SEQUENCE:18446744073709551616", "#EXT-X-I-FRAMES-ONLY",
    "#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8", '#EXT-X-PART:DURATION=0.1,URI="p.ts"', "#EXTINF:", "#EXTM3U",
    "file:///etc/passwd", "../../../../etc/passwd", "http://[::1", "//", "\x00", "#" * 5000, "x" * 5000,
)  # fmt: skip

DAMAGES: dict[Form, Sequence[Damage]] = {
    Form.TS: (flip_bits, truncate, splice, fill, *of_units(Form.TS), lie_in_ts),
    Form.FLV: (flip_bits, truncate, splice, fill, *of_units(Form.FLV), lie_in_flv),
    Form.FMP4: (flip_bits, truncate, splice, fill, *of_units(Form.FMP4), lie_in_fmp4),
    Form.PLAYLIST: (flip_bits, truncate, splice, *of_units(Form.PLAYLIST), lie_in_playlist, hostile_tags),
}


def _lied(parts: list[bytes], lie: Callable[[bytearray], None], chance: random.Random, *, least_bytes: int) -> bytes:
    long_enough = [at for at, part in enumerate(parts) if len(part) >= least_bytes]
    for at in chance.sample(long_enough, min(len(long_enough), chance.randint(1, 6))):
        part = bytearray(parts[at])
        lie(part)
        parts[at] = bytes(part)
    return b"".join(parts)


def _cut_ts(data: bytes) -> Sequence[int]:
    return range(0, len(data), TS_PACKET_BYTES)


def _cut_flv(data: bytes) -> Sequence[int]:
    cuts, at = [], _FLV_HEAD_BYTES
    while at + _FLV_TAG_HEAD_BYTES <= len(data):
        cuts.append(at)
        at += _FLV_TAG_HEAD_BYTES + int.from_bytes(data[at + 1 : at + 4], "big") + _FLV_SIZE_BYTES
    return cuts


def _cut_fmp4(data: bytes) -> Sequence[int]:
    """At boxes, and at those within boxes that hold nothing else."""
    cuts, at = [], 0
    while at + _BOX_HEAD_BYTES <= len(data):
        cuts.append(at)
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += _BOX_HEAD_BYTES if name in _NESTED else max(size, _BOX_HEAD_BYTES)
    return cuts


def _cut_lines(data: bytes) -> Sequence[int]:
    return [found.end() for found in re.finditer(rb"\n", data)]


_CUTS: dict[Form, Callable[[bytes], Sequence[int]]] = {
    Form.TS: _cut_ts, Form.FLV: _cut_flv, Form.FMP4: _cut_fmp4, Form.PLAYLIST: _cut_lines,
}  # fmt: skip
