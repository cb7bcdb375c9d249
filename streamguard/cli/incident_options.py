"""What the commands of an incident have in common: which library, which workers, and how an incident is told."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from streamguard.cli.library_items import at_utc, library_in
from streamguard.config import Config, load_config
from streamguard.errors import counted
from streamguard.library.incidents import Incident

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Place:
    """The configuration, and the library that it or an option names."""

    config: Config
    library: Path


def worker_option(command: _Command) -> _Command:
    """`--worker`, as `workers`."""
    return click.option(
        "--worker", "workers", metavar="URL", multiple=True,
        help="A worker's pages; several times for several.  [default: http.host and http.port of the config]",
    )(command)  # fmt: skip


def redis_option(command: _Command) -> _Command:
    """`--redis`, as `redis_url`."""
    return click.option(
        "--redis", "redis_url", metavar="URL",
        help="Ask it whether the breaker refuses items.  [default: redis.url, SG__REDIS__URL; else nobody is asked]",
    )(command)  # fmt: skip


def place_of(library_path: str | None, config_path: Path | None, redis_url: str | None = None) -> Place:
    """Raises ConfigError; UsageError where no library is named."""
    given = {"library.path": library_path, "redis.url": redis_url}
    overrides: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    config = load_config(config_path, overrides=overrides)
    return Place(config, library_in(config))


def incident_json(incident: Incident, *, live: int | None = None) -> dict[str, object]:
    """`live`: how many of its items are searched, where that is known."""
    closed = incident.closed_unix_s
    return {
        "incident": incident.name,
        "open": incident.is_open,
        "label": incident.label,
        "opened_at": at_utc(incident.opened_unix_s),
        "opened_by": incident.opened_by,
        "reason": incident.reason,
        "streams_believed": incident.streams_believed,
        "closed_at": None if closed is None else at_utc(closed),
        "items": list(incident.items),
        "live_items": live,
    }


def in_words(incident: Incident, *, live: int) -> str:
    """`attack: open since 2026-03-01T12:00:00+00:00, label incident-attack, 2 items, 2 of them searched; by anna`."""
    since = f"open since {at_utc(incident.opened_unix_s)}"
    if incident.closed_unix_s is not None:
        since = f"closed at {at_utc(incident.closed_unix_s)}"
    items = f"{counted(len(incident.items), 'item')}, {live} of them searched"
    words = f"{incident.name}: {since}, label {incident.label}, {items}{believed_in_words(incident)}"
    pairs = (("by", incident.opened_by), ("because", incident.reason))
    return "; ".join([words, *(f"{name} {text}" for name, text in pairs if text)])


def believed_in_words(incident: Incident) -> str:
    """`, each believed in 1000 streams`; empty where nothing was said."""
    streams = incident.streams_believed
    return "" if streams is None else f", each believed in {counted(streams, 'stream')}"
