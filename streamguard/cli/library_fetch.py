"""`streamguard library exchange fetch|push`: exchanges that have an API."""

import importlib
import importlib.util
import json
from pathlib import Path

import click
from rich.console import Console

from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.library_add import check_names, goes_on_from, warn_if_damaged
from streamguard.cli.library_exchange import reasons_json
from streamguard.cli.library_history import origin_of
from streamguard.cli.library_items import library_option, printable
from streamguard.cli.library_signing import sign_option
from streamguard.cli.library_words import by_option, json_option
from streamguard.cli.redis_options import operator
from streamguard.errors import UsageError
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange import fetching
from streamguard.library.exchange.book import Book, Source, book_for_change
from streamguard.library.exchange.exchanges import Exchange, ExchangeKind
from streamguard.library.store import Library

_KINDS = [kind.value for kind in ExchangeKind]


@click.command("fetch")
@library_option
@click.option("--kind", type=click.Choice(_KINDS), help="Which exchange; needed the first time.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE",
    help="environment= (ncmec), privacy_group= (threatexchange), file= and type= (file), url= (another address).",
)  # fmt: skip
@click.option("--label", default="unlabelled", show_default=True, help="Of a new source, for [policy].")
@by_option
@sign_option()
@json_option
@click.argument("name")
def fetch(
    *,
    path: Path,
    kind: str | None,
    settings: tuple[str, ...],
    label: str,
    who: str | None,
    signer: Signer | None,
    as_json: bool,
    name: str,
) -> int:
    """Fetch what is new at an exchange since the last time, deletions and opinions with it, into the source NAME.

    Needs the extra: pip install 'streamguard[exchange]'. Credentials come from the environment alone:
    TX_NCMEC_CREDENTIALS (user:password), TX_STOPNCII_KEYS (function key,subscription key), PYTX_TAT_CREDENTIALS
    (user:password), TX_ACCESS_TOKEN (threatexchange).

    May be ended at any moment: run it again, and it goes on from there. As for `library import`: poison goes into
    quarantine, and a new source earns reviews. Exit status: 0 done, 1 something went into quarantine, 2 an error.

    \b
    Examples:
      streamguard library exchange fetch --library known --kind ncmec --set environment=Industry --label csam ncmec
      streamguard library exchange fetch --library known --kind threatexchange --set privacy_group=1234 group
      streamguard library exchange fetch --library known ncmec
    """
    check_names(None, label)
    Library.open(path, create=True, signer=signer).close()
    with (
        goes_on_from("what was fetched is kept"),
        book_for_change(path) as book,
        Library.open(path, origin=origin_of(who, ""), signer=signer) as opened,
        Console(stderr=True).status(printable(f"fetching {name}")) as status,
    ):
        source = _source(book, name, kind=kind, settings=settings, label=label)
        done = fetching.fetch(
            book,
            opened,
            source=source,
            exchange=_exchange(source),
            who=who or operator(),
            told=lambda updates: status.update(printable(f"fetching {name}: {updates} updates")),
        )
    warn_if_damaged(path)
    counts = {"updates": done.updates, "new": done.new, "known": done.known, "gone": done.gone, "unread": done.unread}
    if as_json:
        click.echo(json.dumps({"source": name, **counts, "quarantined": reasons_json(done.quarantined)}))
    else:
        click.echo(printable(f"{name}: " + ", ".join(f"{count} {what}" for what, count in counts.items())))
        for reason, count in done.quarantined.items():
            click.echo(f"  {count} in quarantine: {reason.words}")
    return EXIT_FOUND if done.quarantined else EXIT_OK


@click.command("push")
@library_option
@json_option
@click.argument("name")
def push(*, path: Path, as_json: bool, name: str) -> int:
    """Tell an exchange the opinions that you gave on its hashes: `library exchange opinion`.

    NCMEC takes agree and disagree as votes; StopNCII takes all three with a key in TX_STOPNCII_FEEDBACK_KEY;
    ThreatExchange takes them as reactions; a file takes what you agree with; Tech Against Terrorism takes none.

    \b
    Example:
      streamguard library exchange push --library known ncmec
    """
    with book_for_change(path) as book:
        source = book.source(name)
        told, left = fetching.push(book, source, _exchange(source))
    words = f"{name}: {told} told" + (f"; {left} it does not take" if left else "")
    click.echo(json.dumps({"source": name, "told": told, "not_taken": left}) if as_json else printable(words))
    return EXIT_OK


def _source(book: Book, name: str, *, kind: str | None, settings: tuple[str, ...], label: str) -> Source:
    if kind is None and not settings:
        return book.source(name)
    if kind is None:
        raise UsageError("library exchange fetch", "--set", "goes with --kind", hint=f"one of {', '.join(_KINDS)}")
    pairs = [setting.partition("=") for setting in settings]
    if wrong := next((setting for setting, (_, sign, _) in zip(settings, pairs, strict=True) if not sign), None):
        raise UsageError("library exchange fetch", f"--set {wrong}", "no setting", hint="KEY=VALUE")
    tree = {key: value for key, _, value in pairs}
    if "file" in tree:  # the next fetch may have another working directory
        tree["file"] = str(Path(tree["file"]).absolute())
    # Before it is written down: what is wrong with it is told first.
    _opened(ExchangeKind(kind), tree)
    return book.make_source(name, label=label, exchange=kind, settings=json.dumps(tree, sort_keys=True))


def _exchange(source: Source) -> Exchange:
    if not source.exchange:
        hint = "import its files again: streamguard library import"
        raise UsageError("fetch", source.name, "its lists come as files", hint=hint)
    return _opened(ExchangeKind(source.exchange), json.loads(source.settings))


def _opened(kind: ExchangeKind, settings: dict[str, str]) -> Exchange:
    """The one place that needs the package."""
    if importlib.util.find_spec("threatexchange") is None:
        hint = "pip install 'streamguard[exchange]'"
        raise UsageError("open exchange", kind.value, "the package threatexchange is not installed", hint=hint)
    opening = importlib.import_module("streamguard.library.exchange.apis.opening")
    exchange: Exchange = opening.opened(kind, settings)
    return exchange
