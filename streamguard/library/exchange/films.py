"""vPDQ: the hashes of a video's frames with their times, as files of `vpdq` and of `threatexchange` have them."""

import re
from collections.abc import Iterable, Iterator

from streamguard.core.references import condense
from streamguard.library.exchange.hashes import BadRow, FilmFrame
from streamguard.library.exchange.lists import json_of
from streamguard.library.exchange.words import shown
from streamguard.types import (
    DIHEDRAL_VIEWS,
    PDQ_BYTES,
    WHOLE_PICTURE,
    Fingerprint,
    Fingerprints,
    MediaKind,
    MediaTime,
    Reference,
)

MOST_FRAMES = 1_000_000
"""Of one film: eleven days of it at a hash a second."""

MOST_TRACKS = 64
"""In one film: each costs as much as a film, and those of `vpdq` have two."""

_LINE = re.compile(r"(\d{1,12}),(\d{1,3}),([0-9a-fA-F]{64}),(\d{1,9}(?:\.\d{1,9})?)")
_COMPACT = re.compile(r"([0-9a-fA-F]{64}),(\d{1,3}),(\d{1,9}(?:\.\d{1,9})?)")
_BEST_QUALITY = 100
_KEEPS_A_SECOND_US = 1_000_000
_SIDE_PX = 64


def film_frames(lines: Iterable[bytes]) -> Iterator[FilmFrame | BadRow]:
    """`frame number, quality, hash, seconds` a line, as vPDQ's tools write it; or JSON, as `threatexchange` does."""
    iterator = enumerate(lines, 1)
    for number, line in iterator:
        if line.lstrip().startswith((b"[", b"{")):
            yield from _of_json(line, (rest for _, rest in iterator))
            return
        text = line.decode("utf-8", "replace").strip()
        if not text or text.startswith("#"):
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            yield BadRow(number, f"not frame,quality,hash,seconds: {shown(text)}")
        else:
            yield _frame(number, hash_=found[3], quality=found[2], seconds=found[4])


def tracks(frames: Iterable[FilmFrame]) -> list[list[FilmFrame]]:
    """Where times go back another track begins, as the same footage with and without its black bars has two."""
    found: list[list[FilmFrame]] = []
    for frame in frames:
        if not found or frame.at_us < found[-1][-1].at_us:
            found.append([])
        found[-1].append(frame)
    return found


def film_line(number: int, frame: FilmFrame) -> str:
    """As vPDQ's tools write it."""
    return f"{number},{frame.quality},{frame.code.hex()},{frame.at_us / 1e6:.3f}"


def film_reference(frames: Iterable[FilmFrame], *, tells_when: bool) -> Reference:
    """What the library searches of a film. Not `tells_when`: every match earns a review at most."""
    made = [condense(_fingerprints(track), kind=MediaKind.VIDEO) for track in tracks(frames)]
    prints = tuple(look for one in made for look in one.prints)
    seen = sum(one.frames_seen for one in made)
    blank = sum(one.blank_share * one.frames_seen for one in made)
    if not tells_when:
        prints = tuple(type(look)(look.place, look.code, look.quality, 0) for look in prints)
    duration_us = max((one.duration_us for one in made), default=0)
    return Reference(MediaKind.VIDEO, duration_us, seen, blank / seen if seen else 0.0, prints)


def spread_out(look_from_us: int, look_to_us: int) -> Iterator[int]:
    """The times at which a look that is held is written, so that it is read as held: a second apart, and its ends."""
    yield from range(look_from_us, look_to_us, _KEEPS_A_SECOND_US)
    yield look_to_us


def packed(frames: Iterable[FilmFrame]) -> bytes:
    """For the book: 8 bytes of time, one of quality, 32 of hash each."""
    return b"".join(frame.at_us.to_bytes(8, "big") + bytes([frame.quality]) + frame.code for frame in frames)


def unpacked(data: bytes) -> Iterator[FilmFrame]:
    for start in range(0, len(data) - PDQ_BYTES - 8, PDQ_BYTES + 9):
        at_us = int.from_bytes(data[start : start + 8], "big")
        yield FilmFrame(at_us, data[start + 8], data[start + 9 : start + 9 + PDQ_BYTES])


def _fingerprints(track: list[FilmFrame]) -> Iterator[Fingerprints]:
    for frame in track:
        look = Fingerprint(WHOLE_PICTURE, frame.quality, (frame.code,) * len(DIHEDRAL_VIEWS))
        yield Fingerprints(MediaTime(0, frame.at_us), 0.0, _SIDE_PX, _SIDE_PX, (look,))


def _frame(number: int, *, hash_: str, quality: str, seconds: str) -> FilmFrame | BadRow:
    if int(quality) > _BEST_QUALITY:
        return BadRow(number, f"no quality (0 to {_BEST_QUALITY}): {shown(quality)}")
    return FilmFrame(round(float(seconds) * 1e6), int(quality), bytes.fromhex(hash_))


def _of_json(first: bytes, rest: Iterator[bytes]) -> Iterator[FilmFrame | BadRow]:
    """`["hash,quality,seconds", ...]`; or, of old, `{"0": {"quality": ..., "hash": ..., "timestamp": ...}, ...}`."""
    tree = json_of(first, rest)
    if isinstance(tree, BadRow):
        yield tree
        return
    values = list(tree.values()) if isinstance(tree, dict) else tree
    for number, value in enumerate(values if isinstance(values, list) else [values], 1):
        match value:
            case {"quality": quality, "hash": hash_, "timestamp": seconds}:
                text = f"{hash_},{quality},{seconds}"
            case _:
                text = str(value)
        found = _COMPACT.fullmatch(text)
        if found is None:
            yield BadRow(number, f"not hash,quality,seconds: {shown(text)}")
        else:
            yield _frame(number, hash_=found[1], quality=found[2], seconds=found[3])
