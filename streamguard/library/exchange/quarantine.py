"""Hashes that were found to be poison, or to look like it: kept apart, released or dropped by an operator; and what
takes two of them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from streamguard.errors import UsageError
from streamguard.library.exchange.book import Book, Source
from streamguard.library.exchange.hashes import HashKind
from streamguard.library.exchange.opinions import MAY_KILL, REVIEWS_ONLY, note
from streamguard.library.exchange.parts import plan
from streamguard.library.exchange.schema import HashState
from streamguard.library.poison import Reason

TWO_PERSONS = "two_persons"
_REQUEST = "asked to release"
_MOST_WORDS = 2000


@dataclass(frozen=True, slots=True)
class Kept:
    """One that is in quarantine: a hash, or a film by its name."""

    source: str
    label: str
    reason: Reason
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Which:
    """What a decision is about: all of a source's, or those of a reason, or these values (hashes, names of films)."""

    source: Source
    reason: Reason | None = None
    values: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For the history; two persons must say the same."""
        of = "all" if self.reason is None else self.reason.name.lower()
        words = f"{of} {' '.join(sorted(self.values))}".strip()
        if len(words) <= _MOST_WORDS:
            return words
        digest = hashlib.sha256(words.encode(errors="replace")).hexdigest()
        return f"{of} {len(self.values)} values with the SHA-256 {digest}"


def kept(book: Book, *, source: Source | None = None) -> tuple[Kept, ...]:
    """All that is in quarantine, by source and reason."""
    sources = {one.number: one for one in book.sources()}
    hashes = book.rows(
        "SELECT source, reason, kind, code FROM hashes WHERE state = ? ORDER BY source, reason, kind, code",
        HashState.QUARANTINED,
    )
    films = book.rows("SELECT source, reason, name FROM films WHERE state = ?", HashState.QUARANTINED)
    found = [(row["source"], row["reason"], HashKind(row["kind"]).word, bytes(row["code"]).hex()) for row in hashes]
    found += [(row["source"], row["reason"], "film", row["name"]) for row in films]
    return tuple(
        Kept(sources[number].name, sources[number].label, Reason(reason), kind, value)
        for number, reason, kind, value in found
        if source is None or number == source.number
    )


def counts(book: Book) -> dict[tuple[str, Reason], int]:
    """How much is in quarantine, by source and reason, films with the hashes."""
    sources = {one.number: one.name for one in book.sources()}
    rows = book.rows(
        """SELECT source, reason, count(*) AS n FROM (SELECT source, reason FROM hashes WHERE state = ?
           UNION ALL SELECT source, reason FROM films WHERE state = ?) GROUP BY source, reason""",
        *(HashState.QUARANTINED, HashState.QUARANTINED),
    )
    return {(sources[row["source"]], Reason(row["reason"])): row["n"] for row in rows}


def two_persons(book: Book) -> bool:
    """Whether it takes two to release, or to let a source kill."""
    return bool(book.rows("SELECT 1 FROM settings WHERE name = ? AND value = '1'", TWO_PERSONS))


def set_two_persons(book: Book, *, wanted: bool, who: str) -> None:
    """Within `change`. To switch it off takes two: whoever does it alone would be the one it is against."""
    if not wanted and not is_second(book, None, action="asked for two persons off", who=who, why=""):
        return
    book.connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (TWO_PERSONS, "1" if wanted else "0"))
    note(book, None, "two persons on" if wanted else "done two persons off", who=who, why="")


def release(book: Book, which: Which, *, who: str, why: str, footage: int = 0) -> int | None:
    """Within `change`: back into use, and never judged again. How many; None: a second person must say the same first.
    With so much `footage`, which whoever asks lets out of the library's own (brought.py).

    Raises UsageError where nothing of it is in quarantine.
    """
    moved = _count(book, which, footage=footage)
    if not is_second(book, which.source, action=f"{_REQUEST} {which.words}", who=who, why=why):
        return None
    _move(book, which, to=HashState.LIVE, action="release", who=who, why=why)
    return moved


def drop(book: Book, which: Which, *, who: str, why: str, footage: int = 0) -> int:
    """Within `change`: out for good, however often a list names it. How many. Raises UsageError."""
    moved = _count(book, which, footage=footage)
    _move(book, which, to=HashState.DROPPED, action="drop", who=who, why=why)
    return moved


def is_second(book: Book, source: Source | None, *, action: str, who: str, why: str) -> bool:
    """Within `change`: whether it may be done now. Where it takes two persons, and nobody else asked for just this
    before, it is noted that this one does.
    """
    if not two_persons(book) or _asked_by_another(book, source, action=action, who=who):
        return True
    note(book, source, action, who=who, why=why)
    return False


def _asked_by_another(book: Book, source: Source | None, *, action: str, who: str) -> bool:
    """Whether somebody else asked for the same, later than it was last done."""
    number = None if source is None else source.number
    rows = book.connection.execute(
        """SELECT who FROM history WHERE source IS ? AND action = ? AND number >
           (SELECT coalesce(max(number), 0) FROM history WHERE source IS ?
            AND (action LIKE 'done %' OR action IN (?, ?)))""",
        (number, action, number, MAY_KILL, REVIEWS_ONLY),
    ).fetchall()
    return any(row["who"] != who for row in rows)


def _move(book: Book, which: Which, *, to: HashState, action: str, who: str, why: str) -> None:
    for table, column in (("hashes", "code"), ("films", "name")):
        where, values = _where(which, column)
        book.connection.execute(
            f"UPDATE {table} SET state = ? WHERE {where}",  # noqa: S608 - ours
            (to, *values),
        )
    note(book, which.source, f"done {action} {which.words}", who=who, why=why)
    plan(book)


def _count(book: Book, which: Which, *, footage: int) -> int:
    found = footage
    for table, column in (("hashes", "code"), ("films", "name")):
        where, values = _where(which, column)
        row = book.connection.execute(f"SELECT count(*) FROM {table} WHERE {where}", values).fetchone()  # noqa: S608 - ours
        found += int(row[0])
    if not found:
        hint = "see `streamguard library quarantine list`"
        raise UsageError("find in quarantine", which.words, f"nothing of {which.source.name}", hint=hint)
    return found


def _where(which: Which, column: str) -> tuple[str, Sequence[object]]:
    values: list[object] = [HashState.QUARANTINED, which.source.number]
    where = "state = ? AND source = ?"
    if which.reason is not None:
        where += " AND reason = ?"
        values.append(which.reason)
    if which.values:
        where += f" AND {column} IN ({', '.join('?' * len(which.values))})"
        values += [_value(one, column) for one in which.values]
    return where, values


def _value(text: str, column: str) -> object:
    """A hash as the book has it; a film's name, and what is no hash, as it is."""
    try:
        return bytes.fromhex(text) if column == "code" else text
    except ValueError:
        return text
