"""`streamguard library opinions ...` and `restore`: what was said of references, what fell by it, and back again."""

import json
import time
from contextlib import closing, suppress
from pathlib import Path

import click

from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import at_utc, item_json, library_in, library_option, place_options, printable
from streamguard.cli.library_signing import sign_option
from streamguard.cli.next_steps import library_command
from streamguard.cli.redis_options import PATH, config_of, reason_of
from streamguard.core.falls import Fall
from streamguard.errors import LibraryError, SignalsError, counted
from streamguard.library import falling, opinions
from streamguard.library.brought import brought
from streamguard.library.catalogue import Catalogue, ItemState
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange.schema import HashState
from streamguard.library.falling import Fell, Waiting
from streamguard.library.opinions import Reference, Taken
from streamguard.library.store import Library
from streamguard.worker.opinions import OpinionTaker, keeping_of, source_of

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
_SYNC_READ_S = 0.2
_HAD_MISTAKES = "had mistakes: reviews only"
_AGAIN_S = 2.0


@click.group("opinions")
def opinions_() -> None:
    """What was said of references: which were right, which were not, and what fell by it.

    Who says it: `streamguard signals undo` and `signals confirm`, and whoever approves a held kill.

    \b
    Examples:
      streamguard library opinions list --library known
      streamguard library opinions sync --library known --config streamguard.toml --follow
      streamguard library opinions resume --library known --reason "a bad list, they are all wrong"
    """


@opinions_.command("list")
@library_option
@_as_json
def list_(*, path: Path, as_json: bool) -> int:
    """List the references of which somebody said something, and what waits for a person.

    Exit status: 0, or 1 while something waits: so many had mistakes in an hour that none falls any more.

    \b
    Example:
      streamguard library opinions list --library known
      streamguard library opinions list --library known --json | jq 'select(.mistakes > 0) | .id'
    """
    with closing(Catalogue.open(path, create=False)) as catalogue:
        found, waiting = opinions.references(catalogue), falling.waiting(catalogue)
    for one in found:
        click.echo(json.dumps(reference_json(one)) if as_json else printable(_in_words(one)))
    if waiting.stopped_unix_s is None:
        return EXIT_OK
    click.echo(_stopped(path, waiting, waiting.stopped_unix_s), err=True)
    return EXIT_FOUND


@opinions_.command()
@place_options
@click.option("--redis", "redis_url", metavar="URL", help="Which Redis; else redis.url, SG__REDIS__URL.")
@click.option("--prefix", help="What all keys begin with; else redis.prefix.  [default: {streamguard}:]")
@click.option("--key-file", type=PATH, help="Signing key of signals; else signals.hmac_key_file.")
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@sign_option()
@_as_json
def sync(
    *,
    library_path: str | None,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    key_file: Path | None,
    follow: bool,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Take what was said in Redis into the library, and let references fall by it.

    A worker that may write to the library does so by itself. This is for a library that workers only read, or that is
    signed: run it where the library is made, with --follow, or every few minutes. Every kill-signal is counted on the
    way, for `library stats`. What was taken in is not taken in again.

    \b
    Example:
      streamguard library opinions sync --library known --redis redis://localhost --key-file hmac.key
      streamguard library opinions sync --library known --config /etc/streamguard/streamguard.toml --follow
      streamguard library opinions sync --library known --config streamguard.toml --sign-key library.key
    """
    config = config_of(config_path, redis_url=redis_url, prefix=prefix, key_file=key_file, library=library_path)
    keeping, teller = keeping_of(config, signer=signer), _Teller(library_in(config), as_json=as_json, each=follow)
    with closing(OpinionTaker(keeping, source_of(config), observer=teller)) as taker:
        if follow:
            with suppress(KeyboardInterrupt):  # the usual way to end it
                _follow(taker)
        else:
            while taker.round(at_most_s=_SYNC_READ_S):
                pass
    return teller.end()


@opinions_.command()
@library_option
@click.option("--drop", is_flag=True, help="What waits does not fall: those mistakes count no more.")
@origin_options
@sign_option()
@_as_json
def resume(*, path: Path, drop: bool, by: str | None, reason: str, signer: Signer | None, as_json: bool) -> int:
    """Let references fall again, after you have looked why so many did.

    Ask yourself first: whose opinions are these? If somebody's key or account was taken, or a bad tool undid all there
    was, then --drop: what waits stays as it is. What fell before is put back by `library restore`.

    \b
    Example:
      streamguard library opinions resume --library known --reason "a bad list, they are all wrong"
      streamguard library opinions resume --library known --drop --reason "a script undid what it should not"
    """
    origin = origin_of(by, reason_of(reason))
    with Library.open(path, origin=origin, signer=signer) as opened:
        found = falling.resume(opened, drop=drop, origin=origin, now_unix_s=time.time())
    count = found.references + found.hashes
    if as_json:
        click.echo(json.dumps({"waited": count, "dropped": drop}))
    else:
        click.echo(f"{counted(count, 'reference')} {'stay as they are' if drop else 'may fall'}")
    return EXIT_OK


@click.command()
@library_option
@origin_options
@sign_option()
@_as_json
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def restore(
    *, path: Path, by: str | None, reason: str, signer: Signer | None, as_json: bool, ids: tuple[str, ...]
) -> int:
    """Give items back what they lost by mistakes: they may do again what their label may, and are searched again.

    What was said against them before counts no more. A hash of a list comes back by `library quarantine release`.

    \b
    Example:
      streamguard library restore --library known --reason "the operator meant another stream" attack-2019
    """
    origin = origin_of(by, reason_of(reason))
    with Library.open(path, origin=origin, signer=signer) as opened:
        for id_ in ids:
            item = falling.restore(opened, id_, origin=origin, now_unix_s=time.time())
            click.echo(json.dumps(item_json(item)) if as_json else f"restored {item.id}")
    return EXIT_OK


def said_of(path: Path) -> dict[str, Reference]:
    """What was said of the items that are not removed, by their ids. Raises LibraryError."""
    with closing(Catalogue.open(path, create=False)) as catalogue:
        return {one.id: one for one in opinions.references(catalogue) if one.state != ItemState.REMOVED.value}


def mistaken_signals(path: Path) -> frozenset[str]:
    """The ids of those that were undone, as far as the library has taken it in. Raises LibraryError."""
    with closing(Catalogue.open(path, create=False)) as catalogue:
        return opinions.mistaken(catalogue)


def notes_of(path: Path) -> dict[str, str]:
    """Of items that earn reviews at most, or are in quarantine, why; by their ids. Raises LibraryError."""
    notes: dict[str, str] = {}
    with closing(Catalogue.open(path, create=False)) as catalogue:
        for one in brought(catalogue):
            if one.is_there and one.state is HashState.QUARANTINED:
                notes[one.item.id] = f"in quarantine: {one.reason.words}"
            elif one.is_there and not one.may_kill:
                notes[one.item.id] = f"new sender: reviews only, see exchange trust {one.source}"
    fallen = (id_ for id_, one in said_of(path).items() if one.fall is Fall.REVIEW)
    return notes | dict.fromkeys(fallen, _HAD_MISTAKES)


def limits_of(path: Path) -> dict[str, str]:
    """Of items that earn reviews at most whoever enables them, what to do; by their ids. Raises LibraryError."""
    see = library_command(path, "library opinions list")
    waits = f"had mistakes, and waits to fall: may kill until then; see {see}"
    return {id_: waits for id_, one in said_of(path).items() if one.is_due} | {
        id_: f"{note}; {library_command(path, 'library restore', '--reason', 'TEXT', id_)}"
        if note == _HAD_MISTAKES
        else note
        for id_, note in notes_of(path).items()
    }


def said_in_words(one: Reference) -> str:
    """`1 confirmed, 2 mistakes; fell: ...`."""
    words = f"{one.said.agreed} confirmed, {counted(one.said.mistaken, 'mistake')}"
    if one.forgiven:
        words += f", {one.forgiven} forgiven"
    if one.why:
        words += f"; fell: {one.why}"
    return words + ("; waits to fall" if one.is_due else "")


def _follow(taker: OpinionTaker) -> None:
    trouble = ""
    while True:
        try:
            taker.round()
        except (LibraryError, SignalsError) as error:
            if str(error) != trouble:
                click.echo(f"{error}; trying again", err=True)
            trouble = str(error)
            time.sleep(_AGAIN_S)
        else:
            trouble = ""


class _Teller:
    """Says what was taken in: each thing as it comes, or all of it in the end."""

    def __init__(self, library: Path, *, as_json: bool, each: bool) -> None:
        self._library = library
        self._as_json = as_json
        self._each = each
        self._counts: dict[str, int] = {}
        self._fell: list[Fell] = []
        self._waiting = Waiting()

    def took(self, taken: Taken) -> None:
        found = {"signals": taken.signals}
        found |= {opinion.value: count for opinion, count in taken.opinions.items()}
        found |= {reason.value: count for reason, count in taken.refused.items()}
        for name, count in found.items():
            self._counts[name] = self._counts.get(name, 0) + count
        if self._each and (taken.opinions or taken.refused):
            click.echo(json.dumps(found) if self._as_json else _counts_in_words(found))

    def forged(self) -> None:
        self._counts["not_genuine"] = self._counts.get("not_genuine", 0) + 1

    def fell(self, one: Fell) -> None:
        self._fell.append(one)
        if self._each or not self._as_json:
            tree = {"reference": one.reference, "to": one.to.value, "why": one.why}
            words = printable(f"fell: {one.reference} to {one.to.value}; {one.why}")
            click.echo(json.dumps(tree) if self._as_json else words)

    def look(self, waiting: Waiting) -> None:
        if waiting.stopped_unix_s is not None and self._waiting.stopped_unix_s is None:
            click.echo(_stopped(self._library, waiting, waiting.stopped_unix_s), err=True)
        self._waiting = waiting

    def end(self) -> int:
        """The exit status."""
        if not self._each and self._as_json:
            fell = [{"reference": one.reference, "to": one.to.value, "why": one.why} for one in self._fell]
            click.echo(json.dumps({**self._counts, "fell": fell, "waiting": self._waiting.references}))
        elif not self._each:
            click.echo(_counts_in_words(self._counts))
        return EXIT_FOUND if self._waiting.stopped_unix_s is not None else EXIT_OK


def _counts_in_words(counts: dict[str, int]) -> str:
    words = [
        counted(count, "signal") if name == "signals" else f"{count} {name.replace('_', ' ')}"
        for name, count in counts.items()
        if count
    ]
    return f"taken in: {', '.join(words) or 'nothing new'}"


def _stopped(library: Path, waiting: Waiting, since_unix_s: float) -> str:
    count = waiting.references + waiting.hashes
    look = library_command(library, "library opinions list")
    resume_it = library_command(library, "library opinions resume", "--reason", "TEXT")
    return printable(
        f"{counted(count, 'reference')} should fall by mistakes and wait since {at_utc(since_unix_s)}: too many for an"
        f" hour. Look at them: {look}, then: {resume_it}"
    )


def reference_json(one: Reference) -> dict[str, object]:
    """As `opinions list --json` says it."""
    return {
        "id": one.id,
        "label": one.label,
        "state": one.state,
        "fallen": one.fall.value,
        "confirmed": one.said.agreed,
        "mistakes": one.said.mistaken,
        "forgiven": one.forgiven,
        "waiting": one.is_due,
        "why": one.why,
    }


def _in_words(one: Reference) -> str:
    """`attack-2019 (terror), live: 12 confirmed, 1 mistake; fell: 1 mistake, 12 confirmed: sig_...`."""
    return f"{one.id} ({one.label}), {one.state}: {said_in_words(one)}"
