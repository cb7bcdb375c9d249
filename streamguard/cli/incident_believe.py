"""`streamguard incident believe`: in how many streams one item of an incident may kill before enforcers stop it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from streamguard.cli.breaker_words import refused_in_words, refused_json, refused_of
from streamguard.cli.exits import EXIT_OK
from streamguard.cli.incident_options import believed_in_words, incident_json, place_of, redis_option
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import place_options, printable
from streamguard.cli.library_notes import note_done
from streamguard.cli.library_signing import sign_option
from streamguard.cli.next_steps import same_redis
from streamguard.errors import counted
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import MOST_BELIEVED, Book

_Command = TypeVar("_Command", bound=Callable[..., Any])

_STREAMS = click.IntRange(1, MOST_BELIEVED)


def believed_option(command: _Command) -> _Command:
    """`--streams-believed`."""
    return click.option(
        "--streams-believed", metavar="N", type=_STREAMS,
        help="In so many streams each item may kill, where that is more than enforce.breaker.streams.  "
        "[default: policy.incident.streams_believed of the workers]",
    )(command)  # fmt: skip


@click.command()
@click.argument("name")
@click.argument("streams", type=_STREAMS)
@place_options
@redis_option
@origin_options
@sign_option()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def believe(
    name: str,
    streams: int,
    *,
    library_path: str | None,
    config_path: Path | None,
    redis_url: str | None,
    by: str | None,
    reason: str,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Say of an open incident in how many streams each of its items may kill, before enforcers believe it no more.

    That is enforce.breaker.streams (50 in ten minutes) without it, and never less than that; how many kills of all
    references together are believed stays as it is. It counts for what is decided from a second later on, until the
    incident is closed. An item that is in quarantine already stays there until `streamguard breaker lift`;
    which do is told where a Redis is named, by --redis or the configuration.

    \b
    Example:
      streamguard incident believe attack 1000 --library known
    """
    place = place_of(library_path, config_path, redis_url)
    origin = origin_of(by, reason)
    incident = Book(place.library, time.time, signer).believe(name, streams)
    note_done(place.library, "incident believe", f"{name}{believed_in_words(incident)}", origin=origin)
    words = f"incident {name}: {counted(len(incident.items), 'item')}{believed_in_words(incident)}"
    given = same_redis(config_path, redis_url)
    refused = refused_of(incident.items, place.config, given)
    click.echo(json.dumps(incident_json(incident) | refused_json(refused)) if as_json else printable(words))
    for line in [] if refused is None or as_json else refused_in_words(refused, given):
        click.echo(line)
    return EXIT_OK
