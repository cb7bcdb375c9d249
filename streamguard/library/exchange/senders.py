"""Whoever hands on incidents is a source as whoever shares a list is: a new one earns reviews, and kills by what it was
right about, or by your word. A sender is known by the key that signs its bundles; one that signs nothing is nobody.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from streamguard.errors import LibraryMissing, UsageError
from streamguard.library.exchange.book import Book, Source, book_for_change
from streamguard.library.exchange.hashes import UNKNOWN_QUALITY, HashKind, as_codes
from streamguard.library.exchange.schema import HashState
from streamguard.library.exchange.taking import known_of, known_to_ourselves
from streamguard.library.handed_on import HandedOn
from streamguard.library.poison import Known, Reason
from streamguard.library.trial import Tried, tried
from streamguard.types import Reference

OURS = "own-incidents"
"""The source of what our own incidents got from files and streams, as far as it is kept apart."""

SHARDS = "shards"
"""The source of what shards brought, as far as it is kept apart."""

UNSIGNED = "unsigned"
_WHOSE = "bundles, unsigned"
_OWN = {OURS: "own incidents", SHARDS: "merged shards"}


@dataclass(frozen=True, slots=True)
class Guard:
    """What is tried, and as whose. `believe`: somebody has looked, so that what is found is told of and counts."""

    source: str
    may_kill: bool
    known: Known
    of_others: bool = True
    believe: bool = False

    def tried(self, references: Sequence[Reference]) -> tuple[tuple[Tried, HandedOn | None], ...]:
        """Each with what the library is to keep of it: nothing of our own footage that nothing is found against. What
        is believed comes in as it is.
        """
        found = tried(references, self.known, of_others=self.of_others)
        if self.believe:
            found = tuple(Tried(as_it_came, one.reason) for as_it_came, one in zip(references, found, strict=True))
        return tuple((one, self._handed_on(one.reason)) for one in found)

    def _handed_on(self, reason: Reason) -> HandedOn | None:
        if not self.of_others and reason is Reason.NONE:
            return None
        return HandedOn(self.source, self.may_kill, reason, believed=self.believe)


def guard_of_sender(library: Path, name: str | None, *, key: str | None, label: str, believe: bool) -> Guard:
    """For a bundle that this key signed, None: nobody's; the sender is made where it is new. Raises UsageError where
    another key signed what is known by that name, LibraryError, LibraryLocked.
    """
    called = name or (UNSIGNED if key is None else f"sender-{key}")
    settings = _WHOSE if key is None else f"bundles of key {key}"
    source = _there(library, called)
    if source is None:
        with book_for_change(library) as book:
            source = book.make_source(called, label=label, settings=settings)
    if source.settings != settings:
        problem = f"it is known by {source.settings or 'its lists'}"
        raise UsageError("import incident", called, problem, hint="call this sender otherwise: --source NAME")
    with Book.open(library, read_only=True) as book:
        known = known_of(book, replace(source, label=label))
    return Guard(called, source.may_kill, known, believe=believe)


def guard_of_ours(library: Path, *, believe: bool) -> Guard:
    """For what is added to an incident of our own. Raises LibraryError."""
    with Book.open(library, read_only=True) as book:
        return Guard(OURS, may_kill=True, known=known_to_ourselves(book), of_others=False, believe=believe)


def guard_of_shards(library: Path, *, believe: bool) -> Guard:
    """For what shards bring, whoever made them: what is mostly harmless, or was dropped, is no footage of anybody's.
    Where there is no library yet nobody has said what is harmless, but for what all know. Raises LibraryError.
    """
    known = Known(as_codes([]), as_codes([]))
    with suppress(LibraryMissing), Book.open(library, read_only=True) as book:
        known = known_to_ourselves(book)
    return Guard(SHARDS, may_kill=True, known=known, of_others=False, believe=believe)


def source_named(book: Book, name: str) -> Source:
    """As `Book.source`; our own ones are made when they are first asked for. Raises UsageError."""
    if name in _OWN:
        return book.make_source(name, label="unlabelled", settings=_OWN[name])
    return book.source(name)


def check_may_be_trusted(source: Source) -> None:
    """Raises UsageError: what nobody has signed comes from anybody."""
    if source.settings == _WHOSE:
        hint = "have them sign, or look at each bundle: streamguard incident import --believe --reason TEXT"
        raise UsageError("trust source", source.name, "its bundles are unsigned: they may be anybody's", hint=hint)


def remember_dropped(book: Book, source: Source, codes: Sequence[bytes]) -> None:
    """Within `change`: what looks like them goes into quarantine from now on, in whosever list or bundle it comes."""
    book.connection.executemany(
        "INSERT OR IGNORE INTO hashes VALUES (?, ?, ?, NULL, ?, 0, ?, ?)",
        [
            (int(HashKind.PDQ), code, source.number, UNKNOWN_QUALITY, int(HashState.DROPPED), int(Reason.BY_HAND))
            for code in codes
        ],
    )


def _there(library: Path, name: str) -> Source | None:
    with Book.open(library, read_only=True) as book, suppress(UsageError):
        return book.source(name)
    return None
