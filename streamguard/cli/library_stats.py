"""`streamguard library stats`: how much is in the library, what it costs, and which sources are worth it."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamguard.cli.library_items import at_utc, library_option, printable
from streamguard.library.stats import Stats
from streamguard.library.store import Library
from streamguard.library.worth import SourceWorth

_COLUMNS = (
    "source", "items", "live", "reviews only", "disabled", "looks", "MiB", "matches", "kills", "confirmed", "mistakes",
    "precision (95 %)", "worth",
)  # fmt: skip
_MIB = 1 << 20


@click.command()
@library_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def stats(path: Path, as_json: bool) -> None:
    """Say how much is in the library, what it costs, and which sources are worth it.

    Of each source, lists of others and own footage: its items, and what they take of a worker's memory; how many
    kill-signals came of it (matches, of these kills), how many of them somebody confirmed (`signals confirm`) or undid
    (`signals undo`), what share of it was right by that, with its 95 % interval, and its worth: confirmed matches for a
    thousand looks. The best source comes first. Counted is since opinions are taken into the library.

    \b
    Example:
      streamguard library stats --library known
      streamguard library stats --library known --json | jq '.sources[] | {source, worth, precision}'
    """
    with Library.open(path, read_only=True) as opened:
        figures, sources = opened.stats(), opened.source_worth()
    if as_json:
        click.echo(json.dumps({**_stats_json(figures), "sources": [_source_json(one) for one in sources]}))
        return
    for key, value in _stats_json(figures).items():
        if isinstance(value, dict):
            for label, count in value.items():
                click.echo(f"label {printable(label)}: {count}")
        else:
            nothing = "nobody" if key == "signed_by" else "never"
            click.echo(f"{key.replace('_', ' ')}: {nothing if value is None else value}")
    _print_sources(sources)


def _print_sources(sources: tuple[SourceWorth, ...]) -> None:
    """A table on a terminal, tabs in a pipe."""
    console = Console()
    if not console.is_terminal:
        for one in sources:
            words = zip(_COLUMNS[1:], _cells(one)[1:], strict=True)
            click.echo(f"source {printable(one.source)}: " + ", ".join(f"{name} {cell}" for name, cell in words))
        return
    table = Table(*_COLUMNS)
    for one in sources:
        table.add_row(*(Text(printable(cell)) for cell in _cells(one)))
    console.print(table)


def _cells(one: SourceWorth) -> tuple[str, ...]:
    share = one.said.share_right
    low, high = one.precision_bounds
    precision = "unknown" if share is None else f"{share:.0%} ({low:.0%}-{high:.0%})"
    counts = (one.items, one.live, one.in_review, one.disabled, one.looks)
    return (
        *(one.source, *map(str, counts), f"{one.bytes_in_memory / _MIB:.1f}", str(one.matches), str(one.kills)),
        *(str(one.said.agreed), str(one.said.mistaken), precision, f"{one.worth:.3g}"),
    )


def _source_json(one: SourceWorth) -> dict[str, object]:
    share = one.said.share_right
    return {
        "source": one.source,
        "items": one.items,
        "live": one.live,
        "reviews_only": one.in_review,
        "disabled": one.disabled,
        "looks": one.looks,
        "bytes_in_memory": one.bytes_in_memory,
        "matches": one.matches,
        "kills": one.kills,
        "confirmed": one.said.agreed,
        "mistakes": one.said.mistaken,
        "precision": None if share is None else round(share, 4),
        "precision_95": [round(bound, 4) for bound in one.precision_bounds],
        "confirmed_per_1000_looks": round(one.worth, 6),
    }


def _stats_json(figures: Stats) -> dict[str, object]:
    return {
        "version": figures.version,
        "signed_by": figures.signed_by,
        "changed": at_utc(figures.changed_unix_s) if figures.changed_unix_s else None,
        "live_items": figures.live,
        "disabled_items": figures.disabled,
        "removed_items": figures.removed,
        "looks": figures.looks,
        "footage_seconds": round(figures.footage_s, 1),
        "segments": figures.segments,
        "bytes_on_disk": figures.bytes_on_disk,
        "labels": dict(figures.labels),
    }
