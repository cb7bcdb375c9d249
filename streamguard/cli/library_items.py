"""How the library's commands are told which library, and say what an item is, to people and to machines."""

import datetime as dt
import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from streamguard.cli.next_steps import library_command
from streamguard.config import Config, load_config
from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemRecord
from streamguard.library.exchange.book import ORIGIN
from streamguard.types import STEERING, MediaKind

_Command = TypeVar("_Command", bound=Callable[..., Any])

_STEERING = re.compile(rf"[{STEERING}\ud800-\udfff]")


def place_options(command: _Command) -> _Command:
    """`--library` and `--config`, as `library_path` and `config_path`."""
    library = click.option("--library", "library_path", metavar="DIR", help="The library; else library.path.")
    config = click.option(
        "--config", "config_path", type=click.Path(path_type=Path), help="One TOML file, as for watch."
    )
    return library(config(command))


def library_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same, as `path`: the library alone."""

    @functools.wraps(command)
    def called(*, library_path: str | None, config_path: Path | None, **given: Any) -> Any:  # noqa: ANN401 - what click has read
        # Where the library is named, a configuration that is wrong keeps nobody from it.
        path = library_in(load_config(config_path)) if library_path is None else Path(library_path)
        return command(path=path, **given)

    return place_options(called)


def library_in(config: Config) -> Path:
    """Raises UsageError where it names none."""
    if config.library.path is None:
        raise UsageError("find library", "", "none is named", hint="give --library DIR, or library.path in the config")
    return config.library.path


def printable(text: str) -> str:
    """A hostile file's name must not drive the terminal, nor turn round what stands beside it."""
    return _STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def item_json(item: ItemRecord) -> dict[str, object]:
    return {
        "id": item.id,
        "label": item.label,
        "state": item.state.value,
        "kind": item.kind.value,
        "looks": item.looks,
        "seconds": item.duration_us / 1e6,
        "blank_share": round(item.blank_share, 4),
        "review_only": item.review_only,
        "sha256": item.sha256,
        "source": item.source,
        "size_bytes": item.size_bytes,
        "segment": item.segment,
    }


def in_words(item: ItemRecord, *, named: bool = True) -> str:
    """`talk (unlabelled): video of 32.0 s, 210 looks; 4 % carried nothing to recognise`."""
    what = "image" if item.kind is MediaKind.IMAGE else f"video of {item.duration_us / 1e6:.1f} s"
    words = f"{what}, {item.looks} look{'s' if item.looks != 1 else ''}"
    if item.blank_share:
        # What is little is not nothing.
        share = f"{item.blank_share:.0%}" if item.blank_share >= 0.01 else "under 1%"  # noqa: PLR2004
        words += f"; {share} carried nothing to recognise"
    if item.review_only:
        words += "; review only: too little of it tells when in the footage we are, as of a camera that does not move"
    return f"{item.id} ({item.label}): {words}" if named else words


def warn_of_parts(library: Path, items: Iterable[ItemRecord]) -> None:
    """Where these are parts of shared lists, that the list's book has the last word on them."""
    for source in sorted({item.source.removeprefix(ORIGIN) for item in items if item.source.startswith(ORIGIN)}):
        words = f"warning: this is part of the list {source}, which is written anew when the list changes, live and as "
        words += (
            f"it was. For good: {library_command(library, 'library exchange remove', source)}, or distrust; a hash "
        )
        opinion = library_command(library, "library exchange opinion", "--source", source, "HASH", "disagree")
        click.echo(printable(f"{words}of it: {opinion}"), err=True)


def at_utc(unix_s: float) -> str:
    """`2026-03-01T12:00:00+00:00`."""
    return dt.datetime.fromtimestamp(unix_s, tz=dt.UTC).isoformat(timespec="seconds")
