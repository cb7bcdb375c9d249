"""`streamguard library exchange ...`: whose lists there are, what each may do, what we say of their hashes; and the
exchanges that have an API.
"""

import datetime as dt
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from streamguard.cli.exits import EXIT_OK
from streamguard.cli.library_fetch import fetch, push
from streamguard.cli.library_history import origin_of
from streamguard.cli.library_items import library_option, printable
from streamguard.cli.library_quarantine import SECOND
from streamguard.cli.library_signing import sign_option
from streamguard.cli.library_words import by_option, json_lines_option, why_option
from streamguard.cli.redis_options import operator
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.errors import UsageError
from streamguard.library import brought, changes
from streamguard.library.catalogue import Catalogue
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange import opinions
from streamguard.library.exchange.book import Book, Source, book_for_change
from streamguard.library.exchange.hashes import HashKind, Opinion
from streamguard.library.exchange.parts import hash_at, plan, sync
from streamguard.library.exchange.quarantine import is_second
from streamguard.library.exchange.schema import HashState
from streamguard.library.exchange.senders import check_may_be_trusted
from streamguard.library.exchange.words import code_of
from streamguard.library.live_set import read_live_set
from streamguard.library.store import Library
from streamguard.worker.calibration import MEASURE
from streamguard.worker.calibration_state import STATE, read_state


@click.group()
def exchange() -> None:
    """Sources of shared hashes, and senders of incidents: fetch from them, say what you think of their hashes, and what
    each may do.

    \b
    Examples:
      streamguard library exchange list --library known
      streamguard library exchange fetch --library known --kind ncmec --set environment=Industry --label csam ncmec
      streamguard library exchange trust --library known partner
    """


for command in (fetch, push):
    exchange.add_command(command)


@exchange.command("list")
@library_option
@json_lines_option
def list_(*, path: Path, as_json: bool) -> int:
    """List the sources: how much each has, what it may do, and how often it was right.

    \b
    Example:
      streamguard library exchange list --library known
    """
    with Book.open(path, read_only=True) as book, closing(Catalogue.open(path, create=False)) as catalogue:
        counts = book.counts()
        for source in book.sources():
            tree = _source_json(book, source, counts, catalogue=catalogue)
            if as_json:
                click.echo(json.dumps(tree))
                continue
            words = f"{source.name} [{source.label}]: {'may kill' if source.may_kill else 'reviews only'}"
            words += f"; {tree['live']} hashes, {tree['quarantined']} in quarantine"
            if tree["footage"] or tree["footage_quarantined"]:
                words += f"; footage of incidents: {tree['footage']} live, {tree['footage_quarantined']} in quarantine"
            words += f"; {tree['agreed']} confirmed, {tree['disagreed']} wrong"
            if source.exchange:
                words += f"; {source.exchange}, fetched {tree['fetched'] or 'never'}"
            click.echo(printable(words))
    return EXIT_OK


@exchange.command()
@library_option
@click.option("--anyway", is_flag=True, help=f"Before it has {opinions.EARNED_BY} confirmed hashes and none wrong.")
@why_option
@by_option
@sign_option()
@click.argument("name")
def trust(*, path: Path, anyway: bool, why: str, who: str | None, signer: Signer | None, name: str) -> int:
    """Let what comes from a source kill, as far as the policy of its label allows; until then it earns reviews.

    A source earns that by hashes that you confirmed, and by none that was wrong: `library exchange opinion`; and by
    none that harmless footage came near to, where `streamguard calibrate` was run on the library as it is. Where the
    library takes two persons for it (`library quarantine rule`), nothing changes until somebody else says the same.

    \b
    Examples:
      streamguard library exchange trust --library known partner
      streamguard library exchange trust --library known --anyway --reason "our own list" ours
    """
    if anyway and not why:
        raise UsageError("library exchange trust", "--anyway", "needs a reason", hint="--reason TEXT")
    with _changed(path, who=who, why=why, signer=signer) as (book, opened):
        source = book.source(name)
        check_may_be_trusted(source)
        shown = _standing(book, source)
        if harmless := _near_harmless(path, name):
            problem = f"{harmless} came within a review of one of its hashes, and is harmless by `calibrate`"
            if not anyway:
                hint = "see `library quarantine`, and `library import --benign`; or --anyway --reason TEXT"
                raise UsageError("trust source", name, problem, hint=hint)
            click.echo(printable(f"warning: {problem}"), err=True)
        if not (shown.has_earned_kills or anyway):
            problem = f"{shown.agreed} of its hashes are confirmed and {shown.disagreed} were wrong"
            hint = f"it takes {opinions.EARNED_BY} and none; or --anyway --reason TEXT"
            raise UsageError("trust source", name, problem, hint=hint)
        with book.change():
            is_settled = is_second(book, source, action="asked to trust", who=who or operator(), why=why)
        if is_settled:
            _set(book, opened, source, allowed=True, who=who, why=why)
    click.echo(f"{name} may kill" if is_settled else f"{name} earns reviews still; {SECOND}")
    return EXIT_OK


@exchange.command()
@library_option
@why_option
@by_option
@sign_option()
@click.argument("name")
def distrust(*, path: Path, why: str, who: str | None, signer: Signer | None, name: str) -> int:
    """Let what comes from a source earn reviews only.

    \b
    Example:
      streamguard library exchange distrust --library known --reason "a news studio in it" partner
    """
    with _changed(path, who=who, why=why, signer=signer) as (book, opened):
        _set(book, opened, book.source(name), allowed=False, who=who, why=why)
    click.echo(f"{name} earns reviews only")
    return EXIT_OK


@exchange.command()
@library_option
@why_option
@by_option
@sign_option()
@click.argument("name")
def remove(*, path: Path, why: str, who: str | None, signer: Signer | None, name: str) -> int:
    """Take away all that a source has brought, and what it has earned; what was dropped from it stays out.

    \b
    Example:
      streamguard library exchange remove --library known --reason "the contract has ended" partner
    """
    origin = origin_of(who, why)
    with _changed(path, who=who, why=why, signer=signer) as (book, opened):
        with book.change():
            opinions.forget(book, book.source(name), who=who or operator(), why=why)
            plan(book)
        sync(book, opened)
        brought.let_kill(opened, name, allowed=False, origin=origin, now_unix_s=time.time())
        with closing(Catalogue.open(path, create=False)) as catalogue:
            opened.remove_all([one.item.id for one in brought.brought(catalogue, source=name) if one.is_there])
    click.echo(f"{name} removed")
    return EXIT_OK


@exchange.command()
@library_option
@click.option("--source", "name", metavar="NAME", help="Whose hash; not needed with --at.")
@click.option(
    "--at", "at_s", type=click.FloatRange(min=0), metavar="SECONDS",
    help="HASH is a decision's reference, and this its reference_at_s.",
)  # fmt: skip
@why_option
@by_option
@sign_option()
@click.argument("hash_", metavar="HASH")
@click.argument("opinion", type=click.Choice([one.value for one in Opinion]))
def opinion(
    *,
    path: Path,
    name: str | None,
    at_s: float | None,
    why: str,
    who: str | None,
    signer: Signer | None,
    hash_: str,
    opinion: str,
) -> int:
    """Say of a hash that it is what its source says (agree), that it is not (disagree), or that you have seen it.

    A hash that you disagree with goes into quarantine. Exchanges are told by `library exchange push`.

    \b
    Examples:
      streamguard library exchange opinion --library known --at 37000 partner.000003 agree
      streamguard library exchange opinion --library known --source partner 58f0...e1 disagree --reason "a title card"
    """
    if (name is None) == (at_s is None):
        raise UsageError("library exchange opinion", hash_, "whose hash?", hint="--source NAME, or --at SECONDS")
    with _changed(path, who=who, why=why, signer=signer) as (book, opened):
        if at_s is not None:
            found = hash_at(book, hash_, reference_us=round(at_s * 1e6))
            if found is None:
                hint = "of a decision: reference, and reference_at_s"
                raise UsageError("find hash", hash_, "no hash of a list", hint=hint)
            named = opinions.NamedHash(found[0], HashKind.PDQ, found[1])
        else:
            named = _named(book, book.source(str(name)), hash_)
        with book.change():
            opinions.give(book, named, Opinion(opinion), who=who or operator(), why=why)
            plan(book)
        sync(book, opened)
    click.echo(f"{named.source.name} {named.code.hex()}: {opinion}")
    return EXIT_OK


@contextmanager
def _changed(path: Path, *, who: str | None, why: str, signer: Signer | None) -> Iterator[tuple[Book, Library]]:
    """The book, and the library that follows it; both histories say who and why."""
    origin = origin_of(who, why)
    with book_for_change(path) as book, Library.open(path, origin=origin, signer=signer) as opened:
        yield book, opened


def _near_harmless(library: Path, name: str) -> str:
    """Harmless footage that came to a review by something of the source, as far as calibrate has seen; else nothing."""
    version = read_live_set(library).version
    state, _ = read_state(library / STATE, library_version=version, measure=MEASURE)
    for watched in state.watched:
        nears = [(one.asset, one.nats) for one in watched.kills]
        nears += [(one.asset, one.nats) for one in watched.near_reviews]
        if any(asset.startswith(f"{name}.") and nats >= BUILT_IN_RULE.review_nats for asset, nats in nears):
            return watched.input
    return ""


def _set(book: Book, opened: Library, source: Source, *, allowed: bool, who: str | None, why: str) -> None:
    with book.change():
        opinions.may_kill(book, source, allowed=allowed, who=who or operator(), why=why)
        plan(book)
    sync(book, opened)
    origin = changes.origin(by=who or operator(), reason=why)
    brought.let_kill(opened, source.name, allowed=allowed, origin=origin, now_unix_s=time.time())


def _standing(book: Book, source: Source) -> opinions.Standing:
    """By its hashes, and by what it brought in incidents."""
    with closing(Catalogue.open(book.library, create=False)) as catalogue:
        agreed, mistaken = brought.standing(catalogue, source.name)
    of_hashes = opinions.standing(book, source)
    return opinions.Standing(of_hashes.agreed + agreed, of_hashes.disagreed + mistaken)


def _named(book: Book, source: Source, text: str) -> opinions.NamedHash:
    """The kind of which the source has such a hash."""
    kinds = (HashKind.MD5,) if len(text) == 2 * HashKind.MD5.bytes else (HashKind.PDQ, HashKind.SHA256)
    try:
        code = code_of(text, kinds[0])
    except ValueError as error:
        raise UsageError("find hash", text[:80], str(error), hint="64 or 32 hexadecimal digits") from error
    held = (
        kind
        for kind in kinds
        if book.rows("SELECT 1 FROM hashes WHERE kind = ? AND code = ? AND source = ?", kind, code, source.number)
    )
    return opinions.NamedHash(source, next(held, kinds[0]), code)


def _source_json(
    book: Book, source: Source, counts: dict[tuple[int, HashKind, HashState], int], *, catalogue: Catalogue
) -> dict[str, object]:
    shown = _standing(book, source)
    footage = [one.state for one in brought.brought(catalogue, source=source.name) if one.is_there]
    fetched = source.fetched_unix_s
    return {
        "source": source.name,
        "label": source.label,
        "may_kill": source.may_kill,
        "exchange": source.exchange,
        "fetched": None
        if fetched is None
        else dt.datetime.fromtimestamp(fetched, dt.UTC).isoformat(timespec="seconds"),
        **{
            state.name.lower(): sum(n for (of, _, at), n in counts.items() if of == source.number and at is state)
            for state in HashState
        },
        "footage": footage.count(HashState.LIVE),
        "footage_quarantined": footage.count(HashState.QUARANTINED),
        "agreed": shown.agreed,
        "disagreed": shown.disagreed,
    }
