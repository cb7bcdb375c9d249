"""References that fall by what people said of them, and back again by an operator.

An item falls to a review at most, then out of use, and one that is out of use already to a review at most, for when it
is searched again; a hash of a list goes into quarantine, as by any other disagreement
(exchange.opinions). Each fall is a version of the library with its line in the history. Only so many fall in an hour:
then nothing falls any more until a person has looked, for opinions can be wrong, too, or somebody's who wants it all
out of the way. What is to be done stands in the catalogue before it is done.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamguard.core.falls import DEFAULT_RULE, Fall, FallRule, Said, fall_of
from streamguard.errors import LibraryError, UsageError, counted
from streamguard.library.catalogue import Catalogue, ItemRecord, ItemState
from streamguard.library.catalogue_values import ours
from streamguard.library.changes import MOST_WORDS, Origin
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange.book import ORIGIN, Book, Source, book_for_change
from streamguard.library.exchange.hashes import HashKind, Opinion
from streamguard.library.exchange.opinions import NamedHash, doubt_film, give
from streamguard.library.exchange.parts import plan, sync
from streamguard.library.exchange.schema import HashState
from streamguard.library.fallen import has_tables
from streamguard.library.handed_on import refuse_kept_apart
from streamguard.library.live_set import read_live_set
from streamguard.library.opinions import set_, setting, transaction
from streamguard.library.store import Library

BY = "opinions"
"""Who lets references fall, by the history."""

_HOUR_S = 3600.0
_STOPPED = "stopped_unix_s"
_COUNTED_FROM = "counted_from_unix_s"
_SIGNALS_NAMED = 3


@dataclass(frozen=True, slots=True)
class FallTerms:
    """How far references fall, and how many in an hour."""

    rule: FallRule = DEFAULT_RULE
    most_per_hour: int = 20


@dataclass(frozen=True, slots=True)
class Fell:
    """A reference that fell just now. Of a hash of a list it names the part and the hash."""

    reference: str
    to: Fall
    why: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is to be looked at. `stopped_unix_s`: since then nothing falls, and a person is asked for."""

    references: int = 0
    hashes: int = 0
    stopped_unix_s: float | None = None

    @property
    def any(self) -> bool:
        """Whether there is something to be done that may be done."""
        return bool(self.references or self.hashes) and self.stopped_unix_s is None


@dataclass(frozen=True, slots=True)
class _Open:
    """An opinion on a hash of a list that its book was not told yet."""

    signal: str
    reference: str
    source: str
    code: bytes | None
    opinion: Opinion
    who: str
    why: str


def waiting(catalogue: Catalogue) -> Waiting:
    """Raises LibraryError."""
    if not has_tables(catalogue.connection):
        return Waiting()
    stopped = setting(catalogue, _STOPPED)
    with ours(catalogue.path):
        due = catalogue.connection.execute("SELECT count(*) FROM due").fetchone()[0]
        hashes = catalogue.connection.execute("SELECT count(*) FROM opinions WHERE open = 1").fetchone()[0]
    return Waiting(int(due), int(hashes), float(stopped) if stopped else None)


def is_unpublished(catalogue: Catalogue) -> bool:
    """Whether the catalogue is ahead of what workers read: another process is about to publish that, or was killed on
    the way. Then a reference that fell goes on killing, until somebody opens the library for writing.
    """
    try:
        return read_live_set(catalogue.path.parent).generation < catalogue.generation()
    except LibraryError:  # whoever serves from it says what is wrong with it
        return False


def fall_due(library: Library, terms: FallTerms, *, now_unix_s: float) -> tuple[Fell, ...]:
    """Every item whose opinions say so falls, as long as the hour allows it. Each counts in every worker within a
    second, before the next one falls. Raises LibraryError, and then what fell before has fallen.
    """
    fell: list[Fell] = []
    while True:
        with library.writing() as catalogue:
            one = _fall_next(catalogue, terms, now_unix_s=now_unix_s)
        if one is None:
            return tuple(fell)
        fell.append(one)


def fall_hashes(
    path: Path, terms: FallTerms, *, now_unix_s: float, origin: Origin, signer: Signer | None = None
) -> tuple[Fell, ...]:
    """As `fall_due`, for hashes of lists; agreements go into the exchange's book as well, for it to be told of them."""
    fell: list[Fell] = []
    catalogue = Catalogue.open(path, create=False)
    try:
        with book_for_change(path) as book, Library.open(path, origin=origin, signer=signer) as library:
            settled: list[tuple[str]] = []
            for one in _open(catalogue):
                if not _is_mistake(book, one):
                    _agree(book, one)
                elif _may_fall(catalogue, terms, now_unix_s=now_unix_s):
                    fell.append(_doubt(book, one))
                    with transaction(catalogue) as connection:
                        _count(connection, fell[-1], now_unix_s=now_unix_s)
                else:
                    break
                settled.append((one.signal,))
            with book.change():
                plan(book)
            sync(book, library)
            # Last: killed before it, the next one finds them open, and brings the library in line.
            with transaction(catalogue) as connection:
                connection.executemany("UPDATE opinions SET open = 0 WHERE signal = ?", settled)
    finally:
        catalogue.close()
    return tuple(fell)


def resume(library: Library, *, drop: bool, origin: Origin, now_unix_s: float) -> Waiting:
    """A person has looked: what waits may fall again, so many an hour from now on; `drop`: none of it is to. What
    waited. Raises UsageError where nothing was stopped.
    """
    with library.writing() as catalogue:
        found = waiting(catalogue)
        if found.stopped_unix_s is None:
            hint = "see `streamguard library opinions list`"
            raise UsageError("library opinions resume", library.path, "nothing is stopped", hint=hint)
        detail = "what waited does not fall" if drop else "what waits may fall"
        with catalogue.change(now_unix_s=now_unix_s, action="resume", detail=detail, origin=origin):
            connection = catalogue.connection
            set_(connection, _STOPPED, "")
            set_(connection, _COUNTED_FROM, repr(now_unix_s))
            if drop:
                mistakes = "opinion = 'disagree' AND (open = 1 OR item IN (SELECT item FROM due))"
                connection.execute(f"UPDATE opinions SET settled = 1, open = 0 WHERE {mistakes}")  # noqa: S608 - ours
                connection.execute("DELETE FROM due")
    return found


def restore(library: Library, id_: str, *, origin: Origin, now_unix_s: float) -> ItemRecord:
    """The item may do again what its label may, and what was said against it counts no more; disabled, it is searched
    again. Raises UsageError where it has not fallen.
    """
    with library.writing() as catalogue:
        item = library.item(id_)
        refuse_kept_apart(catalogue.connection, item.number, operation="library restore", subject=id_)
        is_live = item.state is ItemState.LIVE
        if not has_tables(catalogue.connection) or (is_live and not _has_fallen(catalogue.connection, item)):
            hint = "see `streamguard library opinions list`"
            raise UsageError("library restore", id_, "it has not fallen", hint=hint)
        with catalogue.change(now_unix_s=now_unix_s, action="restore", origin=origin):
            catalogue.set_fallen(item, why="", now_unix_s=now_unix_s)
            if not is_live:
                catalogue.set_state(item, ItemState.LIVE, action="enable", now_unix_s=now_unix_s)
            connection = catalogue.connection
            number = (item.number,)
            connection.execute("UPDATE opinions SET settled = 1 WHERE item = ? AND opinion = 'disagree'", number)
            connection.execute("DELETE FROM due WHERE item = ?", number)
    return library.item(id_)


def _fall_next(catalogue: Catalogue, terms: FallTerms, *, now_unix_s: float) -> Fell | None:
    """The first that is to fall, and may."""
    for item in _due(catalogue):
        wanted, why = _wanted(catalogue.connection, item, terms.rule)
        now = Fall.REVIEW if _has_fallen(catalogue.connection, item) else Fall.NONE
        if wanted.depth <= now.depth:
            _done(catalogue, item)
        elif _may_fall(catalogue, terms, now_unix_s=now_unix_s):
            fell = Fell(item.id, wanted, why)
            _let_fall(catalogue, item, fell, now_unix_s=now_unix_s)
            return fell
        else:
            break
    return None


def _due(catalogue: Catalogue) -> Iterator[ItemRecord]:
    if not has_tables(catalogue.connection):
        return
    with ours(catalogue.path):
        rows = catalogue.connection.execute("SELECT item FROM due ORDER BY item").fetchall()
    for (number,) in rows:
        yield catalogue.with_number(int(number))


def _wanted(connection: sqlite3.Connection, item: ItemRecord, rule: FallRule) -> tuple[Fall, str]:
    """How far it is to fall, and why, in words. What is not searched falls no further than to a review: somebody may
    enable it, or roll back.
    """
    rows = connection.execute(
        "SELECT opinion, signal, who, why FROM opinions WHERE item = ? AND NOT settled ORDER BY at_unix_s, signal",
        (item.number,),
    ).fetchall()
    mistakes = [(signal, who, why) for opinion, signal, who, why in rows if opinion == Opinion.DISAGREE.value]
    named = [f"{signal} ({who}: {why})" for signal, who, why in mistakes[-_SIGNALS_NAMED:]]
    text = f"{counted(len(mistakes), 'mistake')}, {len(rows) - len(mistakes)} confirmed: {', '.join(named)}"
    wanted = fall_of(Said(len(rows) - len(mistakes), len(mistakes)), rule)
    if wanted is Fall.DISABLED and item.state is not ItemState.LIVE:
        wanted = Fall.REVIEW
    return wanted, text[:MOST_WORDS]


def _has_fallen(connection: sqlite3.Connection, item: ItemRecord) -> bool:
    return connection.execute("SELECT 1 FROM fallen WHERE item = ?", (item.number,)).fetchone() is not None


def _may_fall(catalogue: Catalogue, terms: FallTerms, *, now_unix_s: float) -> bool:
    """Whether the hour allows one more; once it does not, nothing falls until `resume`."""
    if setting(catalogue, _STOPPED):
        return False
    # What is of a time to come is of a clock that was wrong: it neither ends nor lifts the limit.
    resumed = float(setting(catalogue, _COUNTED_FROM) or 0.0)
    counted_from = max(now_unix_s - _HOUR_S, resumed if resumed <= now_unix_s else 0.0)
    with transaction(catalogue) as connection:
        asked = "SELECT count(*) FROM falls WHERE at_unix_s > ? AND at_unix_s <= ?"
        if connection.execute(asked, (counted_from, now_unix_s)).fetchone()[0] < terms.most_per_hour:
            return True
        set_(connection, _STOPPED, repr(now_unix_s))
    return False


def _let_fall(catalogue: Catalogue, item: ItemRecord, fell: Fell, *, now_unix_s: float) -> None:
    detail = "to a review at most" if fell.to is Fall.REVIEW else "out of use"
    if item.state is not ItemState.LIVE:
        detail += ", once it is searched again"
    with catalogue.change(now_unix_s=now_unix_s, action="fall", detail=detail, origin=Origin(BY, fell.why)):
        catalogue.set_fallen(item, why=fell.why, now_unix_s=now_unix_s)
        if fell.to is Fall.DISABLED:
            catalogue.set_state(item, ItemState.DISABLED, action="disable", now_unix_s=now_unix_s)
        catalogue.connection.execute("DELETE FROM due WHERE item = ?", (item.number,))
        _count(catalogue.connection, fell, now_unix_s=now_unix_s)


def _done(catalogue: Catalogue, item: ItemRecord) -> None:
    with transaction(catalogue) as connection:
        connection.execute("DELETE FROM due WHERE item = ?", (item.number,))


def _count(connection: sqlite3.Connection, fell: Fell, *, now_unix_s: float) -> None:
    values = (now_unix_s, fell.reference, fell.to.value)
    connection.execute("INSERT INTO falls (at_unix_s, reference, depth) VALUES (?, ?, ?)", values)


def _open(catalogue: Catalogue) -> Iterator[_Open]:
    with ours(catalogue.path):
        rows = catalogue.connection.execute(
            """SELECT signal, items.id, path, code, opinion, who, why FROM opinions
               JOIN items ON items.number = item JOIN sources ON sources.number = source_number
               WHERE open = 1 ORDER BY at_unix_s, signal"""
        ).fetchall()
    for signal, reference, path, code, opinion, who, why in rows:
        source = str(path).removeprefix(ORIGIN)
        yield _Open(str(signal), str(reference), source, code, Opinion(opinion), str(who), str(why))


def _named(book: Book, one: _Open) -> NamedHash | None:
    """The hash, where its source has it still, and in use."""
    if one.code is None:
        return None
    asked = """SELECT hashes.source FROM hashes JOIN sources ON sources.number = hashes.source
        WHERE kind = ? AND code = ? AND name = ? AND state = ?"""
    for _ in book.rows(asked, HashKind.PDQ, one.code, one.source, HashState.LIVE):
        return NamedHash(book.source(one.source), HashKind.PDQ, one.code)
    return None


def _film(book: Book, one: _Open) -> tuple[Source, str] | None:
    """The film, by the name that its part has of it."""
    found = re.fullmatch(rf"{re.escape(one.source)}\.(.+)-[0-9]+", one.reference)
    if one.code is not None or found is None:
        return None
    asked = """SELECT 1 FROM films JOIN sources ON number = source
        WHERE sources.name = ? AND films.name = ? AND state = ?"""
    for _ in book.rows(asked, one.source, found[1], HashState.LIVE):
        return book.source(one.source), found[1]
    return None


def _is_mistake(book: Book, one: _Open) -> bool:
    """Whether there is something that is to go by it."""
    return one.opinion is Opinion.DISAGREE and (_named(book, one) or _film(book, one)) is not None


def _agree(book: Book, one: _Open) -> None:
    """Of what is in use alone: nothing takes a disagreement back but its own command."""
    named = _named(book, one)
    if named is None or one.opinion is not Opinion.AGREE:
        return
    said = "SELECT 1 FROM opinions WHERE kind = ? AND code = ? AND source = ? AND why = ?"
    if not book.rows(said, named.kind, named.code, named.source.number, _why(one)):  # it was, before a kill -9
        with book.change():
            give(book, named, Opinion.AGREE, who=one.who, why=_why(one))


def _doubt(book: Book, one: _Open) -> Fell:
    named, film = _named(book, one), _film(book, one)
    with book.change():
        if named is not None:
            give(book, named, Opinion.DISAGREE, who=one.who, why=_why(one))
        if film is not None:
            doubt_film(book, *film, who=one.who, why=_why(one))
    what = one.reference if named is None else f"{one.reference} {named.code.hex()}"
    return Fell(what, Fall.DISABLED, _why(one))


def _why(one: _Open) -> str:
    return f"{one.signal}: {one.why}"[:MOST_WORDS]
