"""`streamguard library quarantine list|release|drop|rule`: what was found to be poison, or to look like it."""

import functools
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from streamguard.cli.exits import EXIT_OK
from streamguard.cli.library_history import origin_of
from streamguard.cli.library_items import library_option, printable
from streamguard.cli.library_signing import sign_option
from streamguard.cli.library_words import by_option, json_lines_option, json_option, why_option
from streamguard.cli.redis_options import operator
from streamguard.errors import UsageError, counted
from streamguard.library import brought, changes
from streamguard.library.brought import Brought
from streamguard.library.catalogue import Catalogue
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange import quarantine as kept_apart
from streamguard.library.exchange.book import Book, book_for_change
from streamguard.library.exchange.parts import sync
from streamguard.library.exchange.quarantine import Which
from streamguard.library.exchange.senders import remember_dropped, source_named
from streamguard.library.poison import Reason
from streamguard.library.store import Library

_REASONS = [reason.name.lower() for reason in Reason if reason is not Reason.NONE]
SECOND = "somebody else must give the same command (--by another name)"
_Count = TypeVar("_Count", int, int | None)


class _OfFootage(Protocol):
    """brought.release or drop."""

    def __call__(
        self, library: Library, these: Sequence[Brought], /, *, origin: changes.Origin, now_unix_s: float
    ) -> None: ...


@click.group()
def quarantine() -> None:
    """What `library import`, `library exchange fetch` and incidents keep apart: it is not searched, and not passed on.

    \b
    Examples:
      streamguard library quarantine list --library known
      streamguard library quarantine release --library known --source partner --because flood --reason "one film"
      streamguard library quarantine drop --library known --source partner --because flat
    """


@quarantine.command("list")
@library_option
@click.option("--source", metavar="NAME", help="Only of that source.")
@click.option("--all", "each", is_flag=True, help="Each hash, and not only how many.")
@json_lines_option
def list_(*, path: Path, source: str | None, each: bool, as_json: bool) -> int:
    """Say what is in quarantine, and why.

    \b
    Examples:
      streamguard library quarantine list --library known
      streamguard library quarantine list --library known --source partner --all --json | jq -r .value
    """
    kept = _footage(path)
    with Book.open(path, read_only=True) as book:
        of = None if source in (None, *(one.source for one in kept)) else book.source(str(source))
        if each:
            found = [(one.source, one.reason, one.kind, one.value) for one in kept_apart.kept(book, source=of)]
            found += [(one.source, one.reason, "footage", one.item.id) for one in kept]
            for name, reason, kind, value in found:
                if source in (None, name):
                    tree = {"source": name, "reason": reason.name.lower(), "kind": kind, "value": value}
                    click.echo(json.dumps(tree) if as_json else "\t".join(map(printable, tree.values())))
            return EXIT_OK
        counts = Counter(kept_apart.counts(book)) + Counter((one.source, one.reason) for one in kept)
    for (name, reason), count in sorted(counts.items()):
        if source in (None, name):
            line = {"source": name, "reason": reason.name.lower(), "count": count}
            words = (name, reason.name.lower(), str(count), reason.words)
            click.echo(json.dumps(line) if as_json else "\t".join(map(printable, words)))
    return EXIT_OK


def _footage(path: Path) -> tuple[Brought, ...]:
    """Of incidents. Raises LibraryError."""
    with closing(Catalogue.open(path, create=False)) as catalogue:
        return brought.kept_apart(catalogue)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `release` and `drop` are told, by the names of their options."""

    path: Path
    source: str
    because: str | None
    each: bool
    why: str
    who: str | None
    signer: Signer | None
    as_json: bool
    values: tuple[str, ...]


def _choice(command: Callable[[_Asked], int]) -> Callable[..., int]:
    @functools.wraps(command)
    def called(**given: Any) -> int:  # noqa: ANN401 - what click has read
        return command(_Asked(**given))

    options = (
        library_option,
        click.option("--source", metavar="NAME", required=True, help="Whose."),
        click.option("--because", type=click.Choice(_REASONS), help="Only what is there for that reason."),
        click.option("--all", "each", is_flag=True, help="All of it."),
        why_option,
        by_option,
        sign_option(),
        json_option,
        click.argument("values", nargs=-1, metavar="[HASH|ID]..."),
    )
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), called)


@quarantine.command()
@_choice
def release(asked: _Asked) -> int:
    """Put hashes, films by their names, or footage of incidents by its ids, back into use; they are not judged again.

    What it may do is what its source may: `library exchange trust`, or `incident import --believe`.

    Where the library takes two persons for it (`library quarantine rule`), nothing is released until somebody else
    has given the same command.

    \b
    Examples:
      streamguard library quarantine release --library known --source partner --because flood --reason "one film"
      streamguard library quarantine release --library known --source partner 58f0...e1
    """
    done = _done(asked, kept_apart.release, footage=brought.release)
    if done is None:
        _tell(asked.as_json, "released", 0, note=SECOND)
    else:
        _tell(asked.as_json, "released", done)
    return EXIT_OK


@quarantine.command()
@_choice
def drop(asked: _Asked) -> int:
    """Throw hashes, films or footage out for good: they stay out however often they come, and what looks like them goes
    into quarantine.

    \b
    Example:
      streamguard library quarantine drop --library known --source partner --because flat
    """
    _tell(asked.as_json, "dropped", _done(asked, kept_apart.drop, footage=brought.drop))
    return EXIT_OK


def _done(asked: _Asked, what: Callable[..., _Count], *, footage: _OfFootage) -> _Count:
    """`what`: kept_apart.release or drop; `footage`: the same of what incidents brought."""
    who = asked.who or operator()
    origin = origin_of(who, asked.why)
    with book_for_change(asked.path) as book, Library.open(asked.path, origin=origin, signer=asked.signer) as opened:
        which = _which(book, asked.source, because=asked.because, each=asked.each, values=asked.values)
        these = _of(which, _footage(asked.path))
        codes = brought.codes_of(opened, these)
        with book.change():
            done = what(book, which, who=who, why=asked.why, footage=len(these))
            if footage is brought.drop:
                remember_dropped(book, which.source, codes)
        sync(book, opened)
        if done is not None:
            footage(opened, these, origin=origin, now_unix_s=time.time())
    return done


def _of(which: Which, kept: Sequence[Brought]) -> list[Brought]:
    return [
        one
        for one in kept
        if one.source == which.source.name
        and which.reason in (None, one.reason)
        and (not which.values or one.item.id in which.values)
    ]


@quarantine.command()
@library_option
@click.option("--two-persons", type=click.Choice(["on", "off"]), help="Whether a release, and trust, take two.")
@by_option
@json_option
def rule(*, path: Path, two_persons: str | None, who: str | None, as_json: bool) -> int:
    """Say or change how many persons it takes to release, or to let a source kill (`library exchange trust`). To switch
    it off takes two.

    Names are taken as they are given (--by): it guards against haste, not against whoever may write to the library.

    \b
    Example:
      streamguard library quarantine rule --library known --two-persons on
    """
    with book_for_change(path) as book:
        if two_persons is not None:
            with book.change():
                kept_apart.set_two_persons(book, wanted=two_persons == "on", who=who or operator())
        now = kept_apart.two_persons(book)
    words = f"a release, and trust in a source, take {'two persons' if now else 'one'}"
    if now and two_persons == "off":
        words += f"; {SECOND}"
    click.echo(json.dumps({"two_persons": now}) if as_json else words)
    return EXIT_OK


def _which(book: Book, source: str, *, because: str | None, each: bool, values: tuple[str, ...]) -> Which:
    if sum((because is not None, each, bool(values))) != 1:
        raise UsageError("library quarantine", source, "say which", hint="--because REASON, --all, or hashes")
    return Which(source_named(book, source), None if because is None else Reason[because.upper()], values)


def _tell(as_json: bool, what: str, count: int, *, note: str = "") -> None:
    if as_json:
        click.echo(json.dumps({what: count} | ({"note": note} if note else {})))
    else:
        click.echo(f"{what} {counted(count, 'entry')}".replace("entrys", "entries") + (f"; {note}" if note else ""))
