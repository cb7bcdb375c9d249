"""What people say of kill-signals, taken into the library: how often a reference was right, and how often it was not.

An opinion is believed only of a signal that was seen before and that names the same reference. There is one a signal,
and a mistake is the last word on it. Taking the same in again, by several workers, in any order, changes nothing.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum

from streamguard.core.falls import Fall, Said
from streamguard.library.catalogue import Catalogue
from streamguard.library.catalogue_values import moment, ours, possible, whole
from streamguard.library.exchange.book import ORIGIN, Book
from streamguard.library.exchange.former import FormerParts
from streamguard.library.exchange.hashes import Opinion
from streamguard.library.exchange.parts import hash_at
from streamguard.library.fallen import TABLES, has_tables
from streamguard.types import Verdict

MOST_DECIDED = 100_000
"""So many of the newest kill-signals can be spoken of: some 15 MB."""

_TALLIES = {Verdict.KILL: "kills", Verdict.LIMIT: "limits", Verdict.REVIEW: "reviews"}
_PLACE = "place of "

HashAt = Callable[[int, "Signalled", int], bytes | None]
"""The hash of a list that a kill-signal names: the part's number, the signal, and how many hashes the part has."""


@dataclass(frozen=True, slots=True)
class Signalled:
    """A kill-signal, as far as it is kept: by which reference, and where in it."""

    signal: str
    reference: str
    reference_us: int
    verdict: Verdict
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class Voiced:
    """What somebody said of a kill-signal. `reference`: the one that it is said to name."""

    signal: str
    reference: str
    opinion: Opinion
    who: str
    why: str
    at_unix_s: float


class NotTaken(Enum):
    """Why an opinion does not count."""

    UNKNOWN_SIGNAL = "unknown_signal"
    OTHER_REFERENCE = "other_reference"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was new in what was told."""

    signals: int = 0
    opinions: Mapping[Opinion, int] = field(default_factory=dict)
    refused: Mapping[NotTaken, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reference:
    """What was said of one item. `forgiven` mistakes were settled by an operator."""

    id: str
    label: str
    state: str
    fall: Fall
    said: Said
    forgiven: int
    is_due: bool
    why: str


def take_in(catalogue: Catalogue, told: Sequence[Signalled | Voiced], *, place: tuple[str, str] | None = None) -> Taken:
    """One transaction. `place`: the name of where it was read, and how far, see `place_in`. Changes no version: what is
    to fall by it waits, see falling.py. Which hash of a list it was is looked up now: what a part was before it was
    written anew is not kept for ever.
    Raises LibraryError.
    """
    opinions: Counter[Opinion] = Counter()
    refused: Counter[NotTaken] = Counter()
    signals = 0
    with _hashes_of(catalogue) as hash_of, transaction(catalogue) as connection:
        for one in told:
            if isinstance(one, Signalled):
                signals += _note(connection, one, hash_of)
            elif (problem := _problem(connection, one)) is not None:
                refused[problem] += 1
            elif _voice(connection, one):
                opinions[one.opinion] += 1
        connection.execute("DELETE FROM decided WHERE number <= (SELECT max(number) FROM decided) - ?", (MOST_DECIDED,))
        if place is not None:
            set_(connection, f"{_PLACE}{place[0]}", place[1])
    return Taken(signals, opinions, refused)


def is_known(catalogue: Catalogue, told: Sequence[Signalled | Voiced]) -> bool:
    """Whether all of it is there already, or about footage that the library does not have: nothing is to be written."""
    with ours(catalogue.path):
        connection = catalogue.connection
        if not has_tables(connection):
            return not any(_item(connection, one.reference) for one in told)
        return all(_is_known(connection, one) for one in told)


def place_in(catalogue: Catalogue, name: str) -> str:
    """How far this stream of kill-signals was read; empty: not at all."""
    return setting(catalogue, f"{_PLACE}{name}")


def references(catalogue: Catalogue) -> tuple[Reference, ...]:
    """All items that somebody said something of, by id; those that were removed as well."""
    if not has_tables(catalogue.connection):
        return ()
    with ours(catalogue.path), possible(catalogue.path):
        rows = catalogue.connection.execute(
            """SELECT items.id, labels.name AS label, items.state, fallen.why, due.item IS NOT NULL AS is_due,
               sum(opinion = 'agree' AND NOT settled) AS agreed, sum(opinion = 'disagree' AND NOT settled) AS mistaken,
               sum(opinion = 'disagree' AND settled) AS forgiven
               FROM opinions JOIN items ON items.number = opinions.item JOIN labels ON labels.number = label_number
               LEFT JOIN fallen ON fallen.item = items.number LEFT JOIN due ON due.item = items.number
               GROUP BY items.number ORDER BY items.id, items.number"""
        ).fetchall()
        return tuple(
            Reference(
                id=str(row["id"]), label=str(row["label"]), state=str(row["state"]), fall=_fall(row),
                said=Said(whole(row["agreed"]), whole(row["mistaken"])), forgiven=whole(row["forgiven"]),
                is_due=bool(row["is_due"]), why=row["why"] or "",
            )
            for row in rows
        )  # fmt: skip


def voiced(catalogue: Catalogue, *, item: int | None = None, most: int) -> tuple[Voiced, ...]:
    """The newest opinions, of one item or of all, the oldest of them first."""
    if not has_tables(catalogue.connection):
        return ()
    with ours(catalogue.path), possible(catalogue.path):
        rows = catalogue.connection.execute(
            """SELECT signal, id, opinion, who, why, at_unix_s FROM opinions JOIN items ON items.number = item
               WHERE :item IS NULL OR item = :item ORDER BY at_unix_s DESC, signal LIMIT :most""",
            {"item": item, "most": most},
        ).fetchall()
        return tuple(
            Voiced(str(signal), str(id_), Opinion(opinion), str(who), str(why), moment(at))
            for signal, id_, opinion, who, why, at in reversed(rows)
        )


def mistaken(catalogue: Catalogue) -> frozenset[str]:
    """The ids of the kill-signals that were mistakes."""
    if not has_tables(catalogue.connection):
        return frozenset()
    with ours(catalogue.path):
        asked = "SELECT signal FROM opinions WHERE opinion = ?"
        rows = catalogue.connection.execute(asked, (Opinion.DISAGREE.value,)).fetchall()
    return frozenset(str(signal) for (signal,) in rows)


@contextmanager
def transaction(catalogue: Catalogue) -> Iterator[sqlite3.Connection]:
    """All of it or nothing, beside the library's versions. Makes the tables where there are none."""
    connection = catalogue.connection
    with ours(catalogue.path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in TABLES:
                connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk may have rolled it back already
                connection.execute("ROLLBACK")
            raise


def setting(catalogue: Catalogue, name: str) -> str:
    """Empty where there is none."""
    with ours(catalogue.path):
        if not has_tables(catalogue.connection):
            return ""
        row = catalogue.connection.execute("SELECT value FROM opinion_settings WHERE name = ?", (name,)).fetchone()
    return "" if row is None else str(row[0])


def set_(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Within a transaction; empty: there is none."""
    connection.execute("DELETE FROM opinion_settings WHERE name = ?", (name,))
    if value:
        connection.execute("INSERT INTO opinion_settings VALUES (?, ?)", (name, value))


@contextmanager
def _hashes_of(catalogue: Catalogue) -> Iterator[HashAt]:
    """Opens the exchange's book when it is first asked."""
    with ExitStack() as stack:
        opened: list[Book] = []
        former = FormerParts(catalogue)

        def hash_of(item: int, one: Signalled, written: int) -> bytes | None:
            if not opened:
                opened.append(stack.enter_context(Book.open(catalogue.path.parent, read_only=True)))
            found = hash_at(opened[0], one.reference, reference_us=one.reference_us, written=written)
            return former.hash_at(item, reference_us=one.reference_us) if found is None else found[1]

        yield hash_of


def _note(connection: sqlite3.Connection, one: Signalled, hash_of: HashAt) -> int:
    """1 where the signal is a new one by a reference of this library."""
    run = connection.execute
    item = _item(connection, one.reference)
    if item is None or run("SELECT 1 FROM decided WHERE signal = ?", (one.signal,)).fetchone():
        return 0
    code = None
    if _is_of_a_list(connection, item):
        (written,) = run("SELECT looks FROM items WHERE number = ?", (item,)).fetchone()
        code = hash_of(item, one, written)
    values = (one.signal, one.reference, item, code)
    run("INSERT INTO decided (signal, reference, item, code) VALUES (?, ?, ?, ?)", values)
    run("INSERT OR IGNORE INTO tallies VALUES (?, 0, 0, 0, 0)", (item,))
    column = _TALLIES[one.verdict]
    more = f"{column} = {column} + 1, last_unix_s = max(last_unix_s, ?)"
    run(f"UPDATE tallies SET {more} WHERE item = ?", (one.at_unix_s, item))  # noqa: S608 - ours
    return 1


def _problem(connection: sqlite3.Connection, one: Voiced) -> NotTaken | None:
    row = connection.execute("SELECT reference FROM decided WHERE signal = ?", (one.signal,)).fetchone()
    if row is None:
        return NotTaken.UNKNOWN_SIGNAL
    return None if row[0] == one.reference else NotTaken.OTHER_REFERENCE


def _voice(connection: sqlite3.Connection, one: Voiced) -> bool:
    """False: nothing new. A mistake stands, whatever is said after it."""
    run = connection.execute
    before = run("SELECT opinion FROM opinions WHERE signal = ?", (one.signal,)).fetchone()
    if before is not None and before[0] in (one.opinion.value, Opinion.DISAGREE.value):
        return False
    item, code = run("SELECT item, code FROM decided WHERE signal = ?", (one.signal,)).fetchone()
    of_a_list = _is_of_a_list(connection, item)
    words = (one.opinion.value, one.who, one.why, one.at_unix_s)
    run("INSERT OR REPLACE INTO opinions VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (one.signal, item, code, *words, of_a_list))  # fmt: skip
    if one.opinion is Opinion.DISAGREE and not of_a_list:
        run("INSERT OR IGNORE INTO due VALUES (?)", (item,))
    return True


def _is_known(connection: sqlite3.Connection, one: Signalled | Voiced) -> bool:
    decided = connection.execute("SELECT 1 FROM decided WHERE signal = ?", (one.signal,)).fetchone()
    if isinstance(one, Signalled):
        return decided is not None or _item(connection, one.reference) is None
    said = connection.execute("SELECT opinion FROM opinions WHERE signal = ?", (one.signal,)).fetchone()
    return said is not None and said[0] in (one.opinion.value, Opinion.DISAGREE.value)


def _item(connection: sqlite3.Connection, reference: str) -> int | None:
    """The newest item of that id; one that was removed, where there is no other."""
    for state in ("!=", "="):  # one index each
        asked = f"SELECT max(number) FROM items WHERE id = ? AND state {state} 'removed'"  # noqa: S608 - one of two
        (number,) = connection.execute(asked, (reference,)).fetchone()
        if number is not None:
            return int(number)
    return None


def _is_of_a_list(connection: sqlite3.Connection, item: int) -> bool:
    asked = "SELECT path FROM items JOIN sources ON sources.number = source_number WHERE items.number = ?"
    return str(connection.execute(asked, (item,)).fetchone()[0]).startswith(ORIGIN)


def _fall(row: sqlite3.Row) -> Fall:
    if row["state"] != "live":
        return Fall.DISABLED
    return Fall.NONE if row["why"] is None else Fall.REVIEW
