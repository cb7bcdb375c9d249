"""Lists of hashes as files have them: a hash a line, CSV with a header, JSON. Read row by row, hostile rows and all.

A row that is none costs that row: it comes as a BadRow with its line. Lines and rows are bounded, nothing is kept.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum

from streamguard.library.exchange.hashes import UNKNOWN_QUALITY, BadRow, HashKind, ListedHash
from streamguard.library.exchange.words import (
    HASH_COLUMNS,
    KINDS,
    QUALITY_COLUMNS,
    code_of,
    quality_of,
    row_of,
    shown,
    tags_of,
)

MOST_LINE_BYTES = 1 << 20
"""A longer line is no row, and is not kept whole."""

MOST_JSON_BYTES = 64 << 20
"""A JSON array is read whole; longer ones are better written a row a line."""

MOST_JSON_PARTS = 4_000_000
"""Objects, lists and what stands in them: 64 MiB of rows have fewer. In 64 MiB of `{},` there are 44 million of them,
which would take 1.6 GB.
"""

Rows = Iterator[ListedHash | BadRow]


class ListFormat(Enum):
    """How a list is written. `vpdq` is a film's: see exchange.films."""

    PDQ = "pdq"
    MD5 = "md5"
    SHA256 = "sha256"
    CSV = "csv"
    JSON = "json"
    VPDQ = "vpdq"


_PLAIN = re.compile(rb"[0-9a-f]{64}\n")
_PAIR = re.compile(r"([a-z0-9_]+)=(.*)", re.IGNORECASE)
_VPDQ = re.compile(r"\d+,\d{1,3},[0-9a-fA-F]{64},\d+(\.\d+)?")
_VPDQ_IN_JSON = re.compile(r'\[\s*"[0-9a-fA-F]{64},\d{1,3},|\{\s*"\d+"\s*:\s*\{')
_MD5 = re.compile(r"(hash=)?[0-9a-fA-F]{32}([\s,]|$)")
_TIME = re.compile(r"\d+\.\d+")
_MOST_WORDS = 64
_MOST_RECORD_LINES = 10


def detected(head: bytes) -> ListFormat:
    """How a list that begins so is written; hashes of 64 digits are taken for PDQ's: of SHA-256 it must be said."""
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    if _VPDQ_IN_JSON.match(text):
        return ListFormat.VPDQ
    if text.startswith(("{", "[")):
        return ListFormat.JSON
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    if _VPDQ.fullmatch(first):
        return ListFormat.VPDQ
    if "," in first and any(_column(word) in HASH_COLUMNS for word in first.split(",")):
        return ListFormat.CSV
    return ListFormat.MD5 if _MD5.match(first) else ListFormat.PDQ


def rows(lines: Iterable[bytes], form: ListFormat) -> Rows:
    """Every row of a list, in order. `lines` as `bounded_lines` makes them."""
    match form:
        case ListFormat.CSV:
            return _csv_rows(lines)
        case ListFormat.JSON:
            return _json_rows(lines)
        case ListFormat.MD5:
            return _text_rows(lines, HashKind.MD5)
        case ListFormat.SHA256:
            return _text_rows(lines, HashKind.SHA256)
        case _:
            return _text_rows(lines, HashKind.PDQ)


def bounded_lines(read_line: Callable[[int], bytes]) -> Iterator[bytes]:
    """Lines of a file by its `readline`; of a longer one than is read its first part, without an end of line."""
    while line := read_line(MOST_LINE_BYTES):
        yield line
        while line and not line.endswith(b"\n") and len(line) == MOST_LINE_BYTES:
            line = read_line(MOST_LINE_BYTES)


def _text_rows(lines: Iterable[bytes], kind: HashKind) -> Rows:
    is_plain = _PLAIN.fullmatch
    from_hex, decode = bytes.fromhex, bytes.decode
    for number, line in enumerate(lines, 1):
        if kind is not HashKind.MD5 and is_plain(line):  # as in most lists, and ten times as quick
            yield ListedHash(kind, from_hex(decode(line)))
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if text and not text.startswith("#"):
                yield _text_row(text, kind)
        except UnicodeDecodeError:
            yield BadRow(number, "it is not text")
        except ValueError as error:
            yield BadRow(number, str(error))


def _text_row(text: str, kind: HashKind) -> ListedHash:
    """`HASH`, `HASH,quality,file`, `hash=HASH,norm=...,quality=...,filename=...` (the `pdq` tools); `pdq HASH ...`
    (`threatexchange`); `HASH  file` (md5sum, sha256sum); `time  HASH  quality` (`streamguard hash`).
    """
    named = text.split(None, 2)
    if len(named) > 1 and named[0].lower() in KINDS:
        kind, text = KINDS[named[0].lower()], named[1]  # what follows is a name and opinions, for people
    words = text.split(",", _MOST_WORDS) if "," in text else text.split(None, _MOST_WORDS)
    first, rest = words[0].strip(), [word.strip() for word in words[1:]]
    if rest and "," not in text and _TIME.fullmatch(first):
        first, rest = rest[0], rest[1:]
    code = code_of(first.removeprefix("hash="), kind)
    if kind is not HashKind.PDQ or not rest:
        return ListedHash(kind, code)
    pairs = {pair[1].lower(): pair[2] for word in rest if (pair := _PAIR.fullmatch(word))}
    if pairs:
        return ListedHash(kind, code, quality_of(pairs.get("quality", "")))
    # What follows a comma is anything: only a whole number is a quality.
    quality = int(rest[0]) if rest[0].isascii() and rest[0].isdigit() and len(rest[0]) <= 3 else UNKNOWN_QUALITY  # noqa: PLR2004 - digits
    return ListedHash(kind, code, min(quality, UNKNOWN_QUALITY))


def _csv_rows(lines: Iterable[bytes]) -> Rows:
    """Each record with a reader of its own: a quote that nobody closes would take all rows behind it along. Where a
    record of several lines is none, only its first line is malformed, and the others are read again.
    """
    numbered = ((number, line.decode("utf-8-sig" if number == 1 else "utf-8", "replace"))
                for number, line in enumerate(lines, 1))  # fmt: skip
    again: deque[tuple[int, str]] = deque()
    names: list[str] = []
    while True:
        record: list[tuple[int, str]] = []
        try:
            cells = next(csv.reader(_lines_of_record(again, numbered, record), strict=True), None)
            if cells is None:
                return
            if not names:
                names = [_column(cell) for cell in cells[:_MOST_WORDS]]
            elif any(cells):
                yield _csv_row(names, cells)
        except (ValueError, csv.Error) as error:
            yield BadRow(record[0][0], str(error))
            again.extendleft(reversed(record[1:]))


def _lines_of_record(
    again: deque[tuple[int, str]], rest: Iterator[tuple[int, str]], record: list[tuple[int, str]]
) -> Iterator[str]:
    """As many as one may have; each that is taken is noted in `record`."""
    while len(record) < _MOST_RECORD_LINES:
        found = again.popleft() if again else next(rest, None)
        if found is None:
            return
        record.append(found)
        yield found[1]


def _csv_row(names: Sequence[str], cells: Sequence[str]) -> ListedHash:
    """Raises ValueError."""
    if len(cells) > len(names):
        raise ValueError(f"{len(cells)} columns, where the header has {len(names)}")
    return row_of(dict(zip(names, cells, strict=False)), kind=None)


def json_of(first: bytes, rest: Iterator[bytes]) -> object:
    """What the lines are as one document; a BadRow where they are none, or too long for one."""
    document = bytearray(first)
    for line in rest:
        document += line
        if len(document) > MOST_JSON_BYTES:
            return BadRow(1, f"over {MOST_JSON_BYTES >> 20} MiB of JSON in one piece: write a row a line")
    if sum(document.count(sign) for sign in (b"{", b"[", b",")) > MOST_JSON_PARTS:
        return BadRow(1, f"over {MOST_JSON_PARTS} parts of JSON in one piece: write a row a line")
    try:
        return json.loads(document)
    except (ValueError, RecursionError):
        return BadRow(1, "it is no JSON: cut short?")


def _json_rows(lines: Iterable[bytes]) -> Rows:
    """An object or a hash a line; or one array of them, or an object that holds one."""
    iterator = iter(lines)
    first = next(iterator, b"")
    if _is_whole(first):
        yield from _json_lines(_again(first, iterator))
        return
    tree = json_of(first, iterator)
    if isinstance(tree, BadRow):
        yield tree
        return
    if isinstance(tree, dict):
        inside = [value for value in tree.values() if isinstance(value, list)]
        tree = inside[0] if len(inside) == 1 else [tree]
    for number, value in enumerate(tree if isinstance(tree, list) else [tree], 1):
        yield _json_row(value, number)


def _json_lines(lines: Iterator[bytes]) -> Rows:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield BadRow(number, "no JSON")
            continue
        yield _json_row(value, number)


def _json_row(value: object, number: int) -> ListedHash | BadRow:
    try:
        if isinstance(value, dict):
            return row_of({_column(str(key)): _plain(one) for key, one in value.items()}, kind=None)
        if isinstance(value, str):
            return row_of({"hash": value}, kind=None)
    except ValueError as error:
        return BadRow(number, str(error))
    return BadRow(number, f"neither an object nor a hash: {shown(str(value))}")


def _plain(value: object) -> object:
    """Lists are tags; of other structure nothing is taken."""
    if isinstance(value, list):
        return tags_of([one for one in value if isinstance(one, str)])
    return value if isinstance(value, str | int | float | bool) else None


def _column(word: str) -> str:
    return word.strip().strip('"').lower()


def _is_whole(line: bytes) -> bool:
    """Whether a first line is a row of its own: then a row a line follows."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, str) or (
        isinstance(value, dict) and any(_column(str(key)) in {*HASH_COLUMNS, *QUALITY_COLUMNS} for key in value)
    )


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
