"""`streamguard incident`: a crisis. Footage that nobody knew a minute ago is to be cut everywhere."""

import json
import time
from pathlib import Path

import click

from streamguard.cli.asked_workers import Follower, ask_for_followers, workers_of
from streamguard.cli.breaker_words import among, refused_in_words, refused_json, refused_of
from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.incident_add import add
from streamguard.cli.incident_believe import believe, believed_option
from streamguard.cli.incident_bundle import export, import_
from streamguard.cli.incident_options import (
    believed_in_words,
    in_words,
    incident_json,
    place_of,
    redis_option,
    worker_option,
)
from streamguard.cli.incident_variants import variants
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import place_options, printable
from streamguard.cli.library_notes import note_done
from streamguard.cli.library_signing import sign_option
from streamguard.cli.next_steps import same_redis
from streamguard.errors import counted
from streamguard.library.catalogue import ItemState
from streamguard.library.changes import Origin
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import Book, Incident
from streamguard.library.store import Library

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


@click.group()
def incident() -> None:
    """Act in a crisis: look at everything, and have new footage cut everywhere within seconds.

    \b
    Example:
      streamguard incident open attack --library known --reason "call from the police"
      streamguard incident add attack --library known --stream live/cam-7 --last 120s
      streamguard incident add attack --library known clip-from-the-newsroom.mp4
      streamguard incident close attack --library known
    """


for command in (add, believe, variants, export, import_):
    incident.add_command(command)


@incident.command("open")
@click.argument("name")
@place_options
@click.option("--label", metavar="LABEL", help="Of what is added, and so its policy.  [default: incident-NAME]")
@believed_option
@origin_options
@sign_option()
@_as_json
def open_(
    name: str,
    *,
    library_path: str | None,
    config_path: Path | None,
    label: str | None,
    streams_believed: int | None,
    by: str | None,
    reason: str,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Open an incident: within a second every worker of this library looks at every keyframe of every stream.

    Under overload the quietest streams are still looked at less. What is added to it gets the label incident-NAME, is
    searched before everything else, and is killed for as [policy] and [policy.incident] say. Enforcers believe that one
    item of it is shown in so many streams as --streams-believed, or else [policy.incident], says. One that was closed
    is opened again with its items, and with the label, the reason and the number of streams that it had, but for what
    is said anew; one that is open stays as it is.

    \b
    Example:
      streamguard incident open attack --library known --reason "call from the police"
      streamguard incident open attack --library known --streams-believed 1000
      streamguard incident open attack --config /etc/streamguard/streamguard.toml --label terror
    """
    place = place_of(library_path, config_path)
    origin = origin_of(by, reason)
    book = Book(place.library, time.time, signer)
    opened = book.open(name, label=label, by=origin.by, reason=origin.reason, streams_believed=streams_believed)
    labelled = f", labelled {opened.label}" if label else ""
    note_done(place.library, "incident open", f"{name}{labelled}{believed_in_words(opened)}", origin=origin)
    words = f"incident {name} is open: every keyframe of every stream is looked at; "
    words += "under overload quiet streams are looked at less, and `incident status --worker URL` says so; "
    words += f"what is added is labelled {opened.label}{believed_in_words(opened)}"
    click.echo(json.dumps(incident_json(opened)) if as_json else printable(words))
    return EXIT_OK


@incident.command()
@click.argument("name")
@place_options
@click.option("--disable", is_flag=True, help="Search for what came in it no more.")
@origin_options
@sign_option()
@_as_json
def close(
    name: str,
    *,
    library_path: str | None,
    config_path: Path | None,
    disable: bool,
    by: str | None,
    reason: str,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Close an incident: attention is spent as before. What was added stays known, unless --disable is given.

    \b
    Example:
      streamguard incident close attack --library known
      streamguard incident close drill --library known --disable --reason "was a drill"
    """
    place = place_of(library_path, config_path)
    book = Book(place.library, time.time, signer)
    origin = origin_of(by, reason)
    before = book.to_close(name).items
    disabled = _disable(place.library, before, origin=origin, signer=signer) if disable else 0
    closed = book.close(name)
    note_done(place.library, "incident close", name, origin=origin)
    if disable:  # also what came meanwhile
        disabled += _disable(place.library, closed.items[len(before) :], origin=origin, signer=signer)
    live = _live(place.library, closed)
    if as_json:
        click.echo(json.dumps(incident_json(closed, live=live) | {"disabled": disabled}))
        return EXIT_OK
    known = f"{counted(disabled, 'item')} disabled" if disable else f"{counted(live, 'item')} of it stay known"
    click.echo(printable(f"incident {name} is closed; {known}"))
    return EXIT_OK


@incident.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@place_options
@redis_option
@worker_option
@click.option("--ask", is_flag=True, help="Ask the worker of the config whether it follows.")
@_as_json
def status(
    names: tuple[str, ...],
    *,
    library_path: str | None,
    config_path: Path | None,
    redis_url: str | None,
    workers: tuple[str, ...],
    ask: bool,
    as_json: bool,
) -> int:
    """Say which incidents there are, the oldest first, and what came in each.

    With --ask, or with --worker, workers are asked whether they follow: the exit status is 1 where one does not. Of
    one that does it says how many streams are looked at seldom, for under overload that goes on in an incident too.
    Where a Redis is named, by --redis or the configuration, it says of which items the breaker refuses the kills.

    \b
    Example:
      streamguard incident status --library known
      streamguard incident status --library known attack --json
      streamguard incident status --library known --worker http://10.0.0.7:9464 --worker http://10.0.0.8:9464
    """
    place = place_of(library_path, config_path, redis_url)
    book = Book(place.library, time.time)
    found = [book.named(name) for name in names] if names else list(book.all())
    given = same_redis(config_path, redis_url)
    refused = refused_of({item for one in found for item in one.items}, place.config, given) if found else None
    for one in found:
        live = _live(place.library, one)
        tree = incident_json(one, live=live) | refused_json(among(one.items, refused))
        click.echo(json.dumps(tree) if as_json else printable(in_words(one, live=live)))
    for line in [] if refused is None or as_json else refused_in_words(refused, given):
        click.echo(line)
    if not found and not as_json:
        click.echo("no incident, and none ever was", err=True)
    if not (workers or ask):
        return EXIT_OK
    wanted = frozenset(one.name for one in found if one.is_open)
    behind = False
    for url, told in ask_for_followers(workers_of(workers, place.config)):
        problem = told if isinstance(told, str) else _lacking(wanted - told.incidents)
        behind = behind or bool(problem)
        worker = {"worker": url, "follows": not problem, "problem": problem} | _attentions_json(told)
        click.echo(json.dumps(worker) if as_json else printable(f"{url}: {problem or 'follows'}{_seldom(told)}"))
    return EXIT_FOUND if behind else EXIT_OK


def _lacking(names: frozenset[str]) -> str:
    return f"does not follow {', '.join(sorted(names))}" if names else ""


def _attentions_json(told: Follower | str) -> dict[str, object]:
    """None for each number where the worker does not say; why, is its problem."""
    of = told if isinstance(told, str) else told.attentions
    known = None if isinstance(of, str) else of
    return {
        "watched_streams": known and known.watched,
        "quiet_streams": known and known.quiet,
        "shed_streams": known and known.shed,
        "attention_problem": of if isinstance(of, str) else "",
    }


def _seldom(told: Follower | str) -> str:
    """`; 3 of 20 streams looked at seldom now, ...`, with what to do; empty where none is that should not be."""
    if isinstance(told, str):
        return ""
    if isinstance(told.attentions, str):
        return f"; it does not say how closely it looks: {told.attentions}"
    of = told.attentions
    # Where it follows no incident quiet streams are looked at seldom without overload.
    seldom = of.shed + (of.quiet if told.incidents else 0)
    if not seldom:
        return ""
    words = f"; {seldom} of {counted(of.watched, 'stream')} looked at seldom now, {of.shed} of them shed"
    hint = "move streams to another worker, or name those that cannot wait in its attention.always"
    return f"{words}: if that lasts it has too much to do, {hint}; see Attention in docs/streams.md"


def _live(library: Path, incident: Incident) -> int:
    """How many of its items are searched."""
    with Library.open(library, read_only=True) as opened:
        live = {item.id for item in opened.items() if item.state is ItemState.LIVE}
    return sum(id_ in live for id_ in incident.items)


def _disable(library: Path, ids: tuple[str, ...], *, origin: Origin, signer: Signer | None) -> int:
    """In one step; how many were searched until now. What a killed `add` left half done comes in before that."""
    with Library.open(library, origin=origin, signer=signer) as opened:
        return opened.disable_all(ids)
