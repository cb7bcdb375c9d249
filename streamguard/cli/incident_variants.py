"""`streamguard incident variants`: what streams that were decided on have shown besides, to be added or not."""

import json
import shlex
import time
from dataclasses import asdict
from pathlib import Path

import click

from streamguard.cli.asked_workers import Variant, ask_for_variants, workers_of
from streamguard.cli.exits import EXIT_OK
from streamguard.cli.incident_options import place_of, place_options, worker_option
from streamguard.cli.library_items import printable
from streamguard.errors import UsageError, counted
from streamguard.library.incidents import Book


@click.command()
@click.argument("name")
@place_options
@worker_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def variants(
    name: str, *, library_path: str | None, config_path: Path | None, workers: tuple[str, ...], as_json: bool
) -> int:
    """List streams that were decided on for what came in an incident, and how much of what they have shown is unknown.

    That may be more of the same footage, or in another form, and it may be anything else: look at it, then add it, or
    the last part of it, by the command that is printed. Workers tell of what they remember (incident.remember_s); those
    that have the most to offer come first.

    \b
    Example:
      streamguard incident variants attack --library known
      streamguard incident variants attack --library known --worker http://10.0.0.7:9464 --worker http://10.0.0.8:9464
    """
    place = place_of(library_path, config_path)
    incident = Book(place.library, time.time).named(name)
    urls = workers_of(workers, place.config)
    found, others = ask_for_variants(urls, frozenset(incident.items))
    for problem in others:
        click.echo(printable(f"warning: {problem}"), err=True)
    if len(others) == len(urls):
        raise UsageError("ask for variants", name, "no worker answered", hint="name others: --worker http://HOST:PORT")
    for one in found:
        command = _command(one, name, library=place.library)
        if as_json:
            click.echo(json.dumps(asdict(one) | {"command": command}))
        else:
            for line in (_in_words(one), *([f"  {command}"] if one.unknown else [])):
                click.echo(printable(line))
    if not found and not as_json:
        click.echo("no stream that is remembered was decided on for it", err=True)
    return EXIT_OK


def _in_words(one: Variant) -> str:
    where = "" if one.server is None else f" of {one.server}"
    return (
        f"{one.stream}{where}: {one.verdict} for {one.reference} {one.ago_s:.0f} s ago; of "
        f"{counted(one.keyframes, 'keyframe')} {one.unknown} show nothing that is known"
    )


def _command(one: Variant, name: str, *, library: Path) -> str:
    words = ["streamguard", "incident", "add", name, "--library", str(library), "--stream", one.stream]
    words += [] if one.server is None else ["--server", one.server]
    return shlex.join([*words, "--worker", one.worker])
