"""Brings the library in line with the book: every live PDQ hash stands in a part, which is one item of the library.

A hash of a list is a picture of its own, so its part is of kind image, and each hash has a place of its own in it, far
from all others: keyframes agree where they show the same hash, and never by showing two of one list. While a source
only earns reviews, its hashes are written as if another moment of the footage looked the same: such matches do not
tell when, and what does not tell when is never killed for.

Parts never change. One whose hashes change is written anew and the old one removed, the new one first. What is to be
done stands in the book before it is done, so that a killed import is finished by the next.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from streamguard.library.catalogue import NewItem
from streamguard.library.exchange.book import ORIGIN, Book, Source
from streamguard.library.exchange.films import film_reference, unpacked
from streamguard.library.exchange.hashes import UNKNOWN_QUALITY, HashKind
from streamguard.library.exchange.schema import HashState, PartState
from streamguard.library.store import Library
from streamguard.types import PDQ_BITS, AssetId, MediaKind, Place, Reference, ReferencePrint

PART_HASHES = 8192
"""What one deletion writes anew: half a megabyte."""

APART_S = 1000
"""Between the places of two hashes of a part: more than footage can go in what a decision remembers."""

_BATCH_HASHES = 1 << 18
"""What is in memory at once, and one segment."""

_BEST_QUALITY = 100
_OF_PART = """SELECT hashes.code, hashes.quality, hashes.source FROM parts CROSS JOIN hashes ON hashes.kind = ?
    AND hashes.code BETWEEN parts.first AND parts.last AND hashes.part = parts.number
    WHERE parts.number = ? AND hashes.state = ? ORDER BY hashes.code"""

_WRITTEN = """SELECT hashes.code, hashes.source FROM parts CROSS JOIN hashes ON hashes.kind = ?
    AND hashes.code BETWEEN parts.first AND parts.last AND hashes.part = parts.number
    WHERE parts.number = ? ORDER BY hashes.code"""
"""Also what went into quarantine since: it stands in the part until that is written anew."""

_NUMBER = re.compile(r"[.-]([0-9]+)$")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Hash:
    """One hash of a part."""

    code: bytes
    quality: int


def part_id(source: Source, number: int, film: str = "") -> AssetId:
    """What decisions name. Of a film it has the film's name."""
    return AssetId(f"{source.name}.{film}-{number}" if film else f"{source.name}.{number:06d}")


def hash_at(book: Book, part: str, *, reference_us: int, written: int | None = None) -> tuple[Source, bytes] | None:
    """The hash that a decision on a part was made by: it names the part, and a time in it. `written`: so many hashes
    the part has in the library. Where the book has not as many any more (a fetch takes some back before it writes the
    part anew) nobody can say which it was: to blame another would leave the wrong one to kill.
    """
    found = re.fullmatch(r"(.+)\.([0-9]{6,})", part)
    if found is None:
        return None
    number, at = int(found[2]), reference_us // (APART_S * 1_000_000)
    rows = book.rows(_WRITTEN, HashKind.PDQ, number)
    if written is not None and len(rows) != written:
        return None
    sources = {source.number: source for source in book.sources()}
    for row in rows[at : at + 1]:
        source = sources[row["source"]]
        if source.name == found[1]:
            return source, bytes(row["code"])
    return None


def plan(book: Book) -> None:
    """Within `change`: gives hashes that have no part one, and those of stale parts new ones."""
    run = book.connection.execute
    run("UPDATE hashes SET part = NULL WHERE part IN (SELECT number FROM parts WHERE state = ?)", (PartState.STALE,))
    run("UPDATE films SET part = NULL WHERE part IN (SELECT number FROM parts WHERE state = ?)", (PartState.STALE,))
    run("UPDATE parts SET state = ? WHERE state = ?", (PartState.DROPPING, PartState.STALE))
    for source, first, last in _stretches(book):
        run(
            """UPDATE hashes SET part = ? WHERE kind = ? AND code BETWEEN ? AND ? AND source = ? AND part IS NULL
               AND state = ?""",
            (_new_part(book, source, between=(first, last)), HashKind.PDQ, first, last, source, HashState.LIVE),
        )
    for row in run("SELECT source, name FROM films WHERE part IS NULL AND state = ?", (HashState.LIVE,)).fetchall():
        number = _new_part(book, row["source"])
        run("UPDATE films SET part = ? WHERE source = ? AND name = ?", (number, row["source"], row["name"]))


def sync(book: Book, library: Library, *, progress: Progress = lambda _done, _of: None) -> None:
    """Writes what the plan says into the library, and removes what it says; may be killed at any moment, and run again.

    `progress` is told of parts. Raises LibraryError.
    """
    sources = {source.number: source for source in book.sources()}
    writing = book.rows("SELECT number, source FROM parts WHERE state = ? ORDER BY number", PartState.WRITING)
    done = 0
    for batch in _batches([(row["number"], sources[row["source"]]) for row in writing]):
        made = [(number, one) for number, source in batch for one in _made(book, source, number)]
        library.add_all([one for _, one in made if not library.has(one[0].id)])
        with book.change():
            _set_states(book, [number for number, _ in made], PartState.LIVE)
            # A part whose hashes have all gone before it was written.
            _forget(book, [number for number, _ in batch if number not in {live for live, _ in made}])
        done += len(batch)
        progress(done, len(writing))
    _drop(book, library)


def _stretches(book: Book) -> list[tuple[int, bytes, bytes]]:
    """(source, first, last) of each part to be: live hashes that have none, a source's in their order."""
    found: list[tuple[int, bytes, bytes]] = []
    growing: dict[int, tuple[bytes, bytes, int]] = {}
    rows = book.connection.execute(
        "SELECT source, code FROM hashes WHERE kind = ? AND part IS NULL AND state = ? ORDER BY code",
        (HashKind.PDQ, HashState.LIVE),
    )
    for source, code in rows:
        first, _, count = growing.get(source, (code, code, 0))
        growing[source] = (first, code, count + 1)
        if count + 1 == PART_HASHES:
            found.append((source, first, code))
            del growing[source]
    return found + [(source, first, last) for source, (first, last, _) in growing.items()]


def _batches(parts: Sequence[tuple[int, Source]]) -> Iterator[Sequence[tuple[int, Source]]]:
    at_once = _BATCH_HASHES // PART_HASHES
    for start in range(0, len(parts), at_once):
        yield parts[start : start + at_once]


def _made(book: Book, source: Source, number: int) -> Iterator[tuple[NewItem, Reference]]:
    """The part as an item, or nothing where none of its hashes is left."""
    for row in book.rows("SELECT name, frames FROM films WHERE part = ?", number):
        reference = film_reference(unpacked(row["frames"]), tells_when=source.may_kill)
        if reference.prints:
            yield _item(source, number, reference, film=row["name"]), reference
        return
    rows = book.rows(_OF_PART, HashKind.PDQ, number, HashState.LIVE)
    if rows:
        reference = list_reference([Hash(row["code"], row["quality"]) for row in rows], tells_when=source.may_kill)
        yield _item(source, number, reference), reference


def list_reference(hashes: Sequence[Hash], *, tells_when: bool) -> Reference:
    """What the library searches of a part."""
    nearest_elsewhere_bits = PDQ_BITS if tells_when else 0
    prints = []
    for number, one in enumerate(hashes):
        at_us = number * APART_S * 1_000_000
        quality = _BEST_QUALITY if one.quality == UNKNOWN_QUALITY else one.quality
        prints.append(ReferencePrint(Place(at_us, at_us), one.code, quality, nearest_elsewhere_bits))
    return Reference(MediaKind.IMAGE, 0, len(prints), 0.0, tuple(prints))


def _item(source: Source, number: int, reference: Reference, *, film: str = "") -> NewItem:
    id_ = part_id(source, number, film)
    # Its number makes it another content than the part that it stands in for.
    digest = hashlib.sha256(f"{id_}\n".encode() + b"".join(look.code for look in reference.prints))
    size_bytes = sum(len(look.code) for look in reference.prints)
    return NewItem(id_, source.label, f"{ORIGIN}{source.name}", size_bytes, digest.hexdigest())


def heal(book: Book, library: Library) -> None:
    """Within `change`, before the plan: parts that the library has lost, by a rollback or by hand, are written anew.
    What it has of a source and the book does not know goes with the next `sync`.
    """
    there = {number for _, number in _parts_in(library, book.sources())}
    for row in book.connection.execute("SELECT number FROM parts WHERE state = ?", (PartState.LIVE,)).fetchall():
        if row["number"] not in there:
            _set_states(book, [row["number"]], PartState.STALE)


def _drop(book: Book, library: Library) -> None:
    states = {row["number"]: row["state"] for row in book.rows("SELECT number, state FROM parts")}
    there = _parts_in(library, book.sources())
    gone = [id_ for id_, number in there if states.get(number, PartState.DROPPING) == PartState.DROPPING]
    if gone:
        library.remove_all(gone)
    with book.change():
        _forget(book, [number for number, state in states.items() if state == PartState.DROPPING])


def _parts_in(library: Library, sources: Sequence[Source]) -> Iterator[tuple[str, int]]:
    """(id, number) of each item of the library that is a part of one of these; of others a lost book had."""
    origins = {f"{ORIGIN}{source.name}" for source in sources}
    for item in library.items():
        number = _NUMBER.search(item.id)
        if item.source in origins and number is not None:
            yield item.id, int(number[1])


def _new_part(book: Book, source: int, *, between: tuple[bytes | None, bytes | None] = (None, None)) -> int:
    made = book.connection.execute(
        "INSERT INTO parts (source, state, first, last) VALUES (?, ?, ?, ?)", (source, PartState.WRITING, *between)
    )
    return int(made.lastrowid or 0)


def _set_states(book: Book, numbers: Sequence[int], state: PartState) -> None:
    book.connection.executemany("UPDATE parts SET state = ? WHERE number = ?", [(state, one) for one in numbers])


def _forget(book: Book, numbers: Sequence[int]) -> None:
    book.connection.executemany("DELETE FROM parts WHERE number = ?", [(one,) for one in numbers])
