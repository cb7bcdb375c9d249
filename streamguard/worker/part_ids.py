"""Names of parts of what a stream has shown: those of their first and last keyframes, `3f0a1c-99be02`.

A keyframe's name comes of its content, so that nobody keeps a list: an id holds for as long as these keyframes are
remembered, whoever asks, and whatever the stream shows meanwhile.
"""

import hashlib
import re
from collections.abc import Sequence

from streamguard.errors import counted
from streamguard.library.catalogue import FROM_STREAM

_DIGITS, _DIGITS_OF_A_PART = 16, 6
MARK_PATTERN = rf"[0-9a-f]{{{_DIGITS}}}"
_SHORT = rf"[0-9a-f]{{{_DIGITS_OF_A_PART}}}"
PART_PATTERN = rf"{_SHORT}-{_SHORT}"


def mark_of(packed: bytes) -> str:
    """The name of a keyframe as worker.messages packs it, without its thumbnail."""
    return hashlib.sha256(packed).hexdigest()[:_DIGITS]


def part_id(marks: Sequence[str]) -> str:
    """Of keyframes in order of time: of two names the beginnings, so that a person can type it."""
    return f"{marks[0][:_DIGITS_OF_A_PART]}-{marks[-1][:_DIGITS_OF_A_PART]}"


def rows_of(part: str, marks: Sequence[str]) -> range:
    """Where that part is among the keyframes of one session, in order of time; empty where it is not there as a whole:
    of what is forgotten the oldest goes first.
    """
    first, last = part.split("-")
    begins = _first_row(first, marks)
    ends = next((row for row in range(begins, len(marks)) if marks[row].startswith(last)), -1)
    return range(begins, ends + 1)


def rows_left_of(part: str, marks: Sequence[str]) -> range:
    """The same, of a part of which some may be forgotten by now."""
    first, last = part.split("-")
    ends = _first_row(last, marks)
    if ends == len(marks):
        return range(0)
    begins = _first_row(first, marks)
    return range(begins if begins <= ends else 0, ends + 1)


def _first_row(short: str, marks: Sequence[str]) -> int:
    return next((row for row, mark in enumerate(marks) if mark.startswith(short)), len(marks))


def source_of(stream: str, *, worker: str, count: int, part: str, until: str) -> str:
    """What the library says of an item that a stream has shown: `part` tells later that it has been added."""
    return f"{FROM_STREAM}{stream} of {worker}, {counted(count, 'keyframe')} until {until}, {part}"


def names_in(source: str) -> tuple[str, ...]:
    """Of an item that was made of what a stream has shown: the stream's name and that of its worker, which are nobody
    else's business.
    """
    found = re.search(rf"\A{FROM_STREAM}(.*) of (\S+), \d+ keyframes? until [^,]*, {PART_PATTERN}\Z", source, re.DOTALL)
    return () if found is None else found.groups()


def part_in(source: str) -> str | None:
    """The part that an item of this source was made of, if it was."""
    found = re.search(rf"\A{FROM_STREAM}.*, ({PART_PATTERN})\Z", source, re.DOTALL)
    return None if found is None else found[1]
