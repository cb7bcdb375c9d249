"""What we say of others' hashes, and who decided what about a source: kept here, and sent back by exchange.fetching."""

from dataclasses import dataclass

from streamguard.errors import UsageError
from streamguard.library.exchange.book import Book, Source
from streamguard.library.exchange.hashes import HashKind, Opinion
from streamguard.library.exchange.schema import HashState, PartState
from streamguard.library.poison import Reason

EARNED_BY = 20
"""So many confirmed hashes, and none that was wrong, earn a source the right to kill."""

MAY_KILL, REVIEWS_ONLY = "may kill", "reviews only"
"""What the history says of a source that is trusted, and of one that is not any more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a source has shown: hashes of it that we agreed and disagreed with."""

    agreed: int
    disagreed: int

    @property
    def has_earned_kills(self) -> bool:
        return self.agreed >= EARNED_BY and not self.disagreed


@dataclass(frozen=True, slots=True)
class NamedHash:
    """A hash as one source has it."""

    source: Source
    kind: HashKind
    code: bytes


@dataclass(frozen=True, slots=True)
class Given:
    """An opinion of ours; `sent_unix_s` None: the exchange was not told yet."""

    source: Source
    kind: HashKind
    code: bytes
    opinion: Opinion
    who: str
    why: str
    at_unix_s: float
    sent_unix_s: float | None


def note(book: Book, source: Source | None, action: str, *, who: str, why: str) -> None:
    """Within `change`: into the history."""
    book.connection.execute(
        "INSERT INTO history (at_unix_s, source, action, who, why) VALUES (?, ?, ?, ?, ?)",
        (book.now_unix_s(), None if source is None else source.number, action, who, why),
    )


def give(book: Book, named: NamedHash, opinion: Opinion, *, who: str, why: str) -> None:
    """Within `change`: the last opinion counts. A hash that we disagree with goes into quarantine at once.

    Raises UsageError where the source has no such hash.
    """
    run = book.connection.execute
    key = (named.kind, named.code, named.source.number)
    if not run("SELECT 1 FROM hashes WHERE kind = ? AND code = ? AND source = ?", key).fetchone():
        hint = "see `streamguard library quarantine list`, or the source's own list"
        raise UsageError("give opinion", named.code.hex(), f"{named.source.name} has no such hash", hint=hint)
    run(
        "INSERT OR REPLACE INTO opinions VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        (*key, opinion.value, who, why, book.now_unix_s()),
    )
    if opinion is Opinion.DISAGREE:
        book.mark_stale(named.source, named.kind, [named.code])
        run(
            "UPDATE hashes SET state = ?, reason = ? WHERE kind = ? AND code = ? AND source = ? AND state = ?",
            (HashState.QUARANTINED, Reason.BY_HAND, *key, HashState.LIVE),
        )
    note(book, named.source, f"opinion {opinion.value} {named.code.hex()}", who=who, why=why)


def doubt_film(book: Book, source: Source, name: str, *, who: str, why: str) -> None:
    """Within `change`: the film goes into quarantine; exchanges are not told of films."""
    run = book.connection.execute
    key = (source.number, name)
    run("UPDATE parts SET state = ? WHERE number = (SELECT part FROM films WHERE source = ? AND name = ?)",
        (PartState.STALE, *key))  # fmt: skip
    run(
        "UPDATE films SET state = ?, reason = ? WHERE source = ? AND name = ? AND state = ?",
        (HashState.QUARANTINED, Reason.BY_HAND, *key, HashState.LIVE),
    )
    note(book, source, f"opinion disagree {name}", who=who, why=why)


def given(book: Book, *, source: Source | None = None, unsent: bool = False) -> tuple[Given, ...]:
    """Our opinions, oldest first."""
    sources = {one.number: one for one in book.sources()}
    rows = book.rows("SELECT * FROM opinions ORDER BY at_unix_s, code")
    return tuple(
        Given(
            source=sources[row["source"]],
            kind=HashKind(row["kind"]),
            code=bytes(row["code"]),
            opinion=Opinion(row["opinion"]),
            who=row["who"],
            why=row["why"],
            at_unix_s=row["at_unix_s"],
            sent_unix_s=row["sent_unix_s"],
        )
        for row in rows
        if (source is None or row["source"] == source.number) and not (unsent and row["sent_unix_s"])
    )


def standing(book: Book, source: Source) -> Standing:
    """What a source has earned so far."""
    counted = {
        row["opinion"]: row["n"]
        for row in book.rows(
            "SELECT opinion, count(*) AS n FROM opinions WHERE source = ? GROUP BY opinion", source.number
        )
    }
    return Standing(counted.get(Opinion.AGREE.value, 0), counted.get(Opinion.DISAGREE.value, 0))


def forget(book: Book, source: Source, *, who: str, why: str) -> None:
    """Within `change`: all that a source has brought goes, but for what was dropped, which stays out. What it earned
    goes with it, and its exchange is fetched from the beginning the next time.
    """
    run = book.connection.execute
    run("UPDATE parts SET state = ? WHERE source = ?", (PartState.STALE, source.number))
    run("DELETE FROM hashes WHERE source = ? AND state != ?", (source.number, HashState.DROPPED))
    for table in ("films", "records", "opinions"):
        run(f"DELETE FROM {table} WHERE source = ?", (source.number,))  # noqa: S608 - one of three
    run("UPDATE sources SET may_kill = 0, checkpoint = '', fetched_unix_s = NULL WHERE number = ?", (source.number,))
    note(book, source, "remove", who=who, why=why)


def may_kill(book: Book, source: Source, *, allowed: bool, who: str, why: str) -> None:
    """Within `change`: from now on, and for all that it has brought. Its parts are to be written anew."""
    run = book.connection.execute
    run("UPDATE sources SET may_kill = ? WHERE number = ?", (allowed, source.number))
    run("UPDATE parts SET state = ? WHERE source = ? AND state != ?",
        (PartState.STALE, source.number, PartState.DROPPING))  # fmt: skip
    note(book, source, MAY_KILL if allowed else REVIEWS_ONLY, who=who, why=why)
