"""`streamguard library`: the known footage."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.cli.library_add import add
from streamguard.cli.library_exchange import export, import_
from streamguard.cli.library_history import compact, history, label, origin_of, origin_options, rollback
from streamguard.cli.library_items import at_utc, in_words, item_json, library_option, printable, warn_of_parts
from streamguard.cli.library_opinions import (
    limits_of,
    notes_of,
    opinions_,
    reference_json,
    restore,
    said_in_words,
    said_of,
)
from streamguard.cli.library_quarantine import quarantine
from streamguard.cli.library_shard import merge, shard
from streamguard.cli.library_signing import keygen, sign, sign_option
from streamguard.cli.library_sources import exchange
from streamguard.cli.library_stats import stats
from streamguard.cli.next_steps import library_command
from streamguard.errors import LibraryDamaged, UsageError, counted
from streamguard.library.catalogue import ItemRecord
from streamguard.library.changes import Origin
from streamguard.library.ed25519 import Signer, Trust
from streamguard.library.inspection import Problem
from streamguard.library.signed import untrusted
from streamguard.library.store import Library

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


@click.group()
def library() -> None:
    """Make and keep a library of known footage.

    A library is a directory. Workers that watch with it see each change within a second.

    \b
    Examples:
      streamguard library add --library known --label terror attack.mp4
      streamguard library list --library known
      streamguard library disable --library known attack
      streamguard library history --library known --last 20
    """


for command in (
    *(add, shard, merge, label, history, rollback, compact, keygen, sign, import_, export, exchange, quarantine),
    *(opinions_, restore, stats),
):
    library.add_command(command)


@library.command("list")
@library_option
@click.option("--removed", is_flag=True, help="List what was removed as well.")
@_as_json
def list_(path: Path, removed: bool, as_json: bool) -> None:
    """List the items.

    \b
    Example:
      streamguard library list --library known
      streamguard library list --library known --json | jq -r .id
    """
    with Library.open(path, read_only=True) as opened:
        items = opened.items(removed=removed)
    notes = notes_of(path)
    if as_json:
        for item in items:
            click.echo(json.dumps(item_json(item) | {"fallen": item.id in notes}))
    elif items:
        _print_table(items, notes)
    else:
        add_some = library_command(path, "library add", "FILE")
        click.echo(printable(f"the library is empty; add footage: {add_some}"), err=True)


@library.command()
@library_option
@_as_json
@click.argument("id_", metavar="ID")
def show(path: Path, as_json: bool, id_: str) -> None:
    """Show all that is known of an item, and its history.

    \b
    Example:
      streamguard library show --library known attack-2019
    """
    with Library.open(path, read_only=True) as opened:
        item = opened.item(id_)
        history = opened.history(id_)
    said = said_of(path).get(id_)
    tree = item_json(item) | {"history": [{"at": at_utc(at_s), "action": action} for at_s, action in history]}
    tree |= {"opinions": None if said is None else reference_json(said)}
    if as_json:
        click.echo(json.dumps(tree))
        return
    click.echo(printable(in_words(item)))
    for key in ("state", "sha256", "size_bytes", "source", "segment"):
        click.echo(f"  {key.replace('_', ' ')}: {printable(str(tree[key]))}")
    if said is not None:
        click.echo(printable(f"  opinions: {said_in_words(said)}"))
    for at_s, action in history:
        click.echo(f"  {at_utc(at_s)} {action}")


@library.command()
@library_option
@origin_options
@sign_option()
@_as_json
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def disable(
    *, path: Path, by: str | None, reason: str, signer: Signer | None, as_json: bool, ids: tuple[str, ...]
) -> int:
    """Stop searching for items, until they are enabled again.

    \b
    Example:
      streamguard library disable --library known attack-2019
    """
    return _change(
        path, ids, origin=origin_of(by, reason), as_json=as_json, done="disabled", signer=signer, change=Library.disable
    )


@library.command()
@library_option
@origin_options
@sign_option()
@_as_json
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def enable(
    *, path: Path, by: str | None, reason: str, signer: Signer | None, as_json: bool, ids: tuple[str, ...]
) -> int:
    """Search for disabled items again.

    What mistakes took from a reference it does not give back: it says so, and `library restore` does.

    \b
    Example:
      streamguard library enable --library known attack-2019
    """
    return _change(
        path, ids, origin=origin_of(by, reason), as_json=as_json, done="enabled", signer=signer, change=Library.enable,
        limits=limits_of,
    )  # fmt: skip


@library.command()
@library_option
@origin_options
@sign_option()
@_as_json
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def remove(
    *, path: Path, by: str | None, reason: str, signer: Signer | None, as_json: bool, ids: tuple[str, ...]
) -> int:
    """Remove items. Asks nothing; the catalogue keeps the fact that they were there.

    For seven days `streamguard library rollback` can bring them back; then what they take on the disk is freed, or at
    once by `streamguard library compact --forget`.

    \b
    Example:
      streamguard library remove --library known attack-2019
    """
    return _change(
        path, ids, origin=origin_of(by, reason), as_json=as_json, done="removed", signer=signer, change=Library.remove
    )


@library.command()
@library_option
@click.option(
    "--library-key", "key_file", metavar="FILE", type=click.Path(path_type=Path), help="Whose signature must be on it."
)
@_as_json
def verify(path: Path, key_file: Path | None, as_json: bool) -> int:
    """Check every file, every index, and that all agree; with a public key that it signed them.

    Exit status: 0 it is whole, 1 it is damaged or not signed, 2 it cannot be looked at (there is none, or a newer one).

    \b
    Example:
      streamguard library verify --library known
      streamguard library verify --library known --library-key library.key.pub
    """
    trust = None if key_file is None else Trust.of_file(key_file)
    items = None
    try:
        with Library.open(path, read_only=True) as opened:
            problems = opened.verify()
            with suppress(LibraryDamaged):  # one of the problems then
                items = len(opened.items())
    except LibraryDamaged as error:  # so much that it does not even open
        problems = (Problem(error.subject, error.problem, error.hint),)
    if trust is not None:
        problems += tuple(Problem(one.subject, one.problem, one.hint) for one in untrusted(path, trust))
    damaged = any(problem.damage for problem in problems)
    if as_json:
        found = [{"where": p.where, "what": p.what, "hint": p.hint, "damage": p.damage} for p in problems]
        click.echo(json.dumps({"ok": not damaged, "items": items, "problems": found}))
    else:
        for problem in problems:
            kind = "damaged" if problem.damage else "note"
            click.echo(f"{kind}: {printable(f'{problem.where}: {problem.what}; {problem.hint}')}")
        if not damaged:
            click.echo(f"ok: {counted(items or 0, 'item')}")
    return EXIT_FOUND if damaged else EXIT_OK


def _change(
    path: Path,
    ids: tuple[str, ...],
    *,
    origin: Origin,
    as_json: bool,
    done: str,
    change: Callable[[Library, str], ItemRecord],
    signer: Signer | None,
    limits: Callable[[Path], Mapping[str, str]] = lambda _path: {},
) -> int:
    """Each id is its own durable step; one that is not there does not keep the others from being done. `limits`: what
    is left to say of items, by id.
    """
    missing: list[UsageError] = []
    changed: list[ItemRecord] = []
    with Library.open(path, origin=origin, signer=signer) as opened:
        for id_ in ids:
            try:
                item = change(opened, id_)
            except UsageError as error:
                missing.append(error)
                continue
            changed.append(item)
            limit = limits(path).get(item.id, "")
            tree = item_json(item) | ({"limited": limit} if limit else {})
            words = f"{done} {item.id}" + (f"; {limit}" if limit else "")
            click.echo(json.dumps(tree) if as_json else printable(words))
    warn_of_parts(path, changed)
    for problem in missing:
        click.echo(f"error: {printable(str(problem))}", err=True)
    return EXIT_ERROR if missing else EXIT_OK


def _print_table(items: tuple[ItemRecord, ...], notes: Mapping[str, str]) -> None:
    console = Console()
    if not console.is_terminal:
        for item in items:
            words = (item.id, printable(item.label), item.state.value, in_words(item, named=False))
            click.echo("\t".join(words) + (f"; {printable(notes[item.id])}" if item.id in notes else ""))
        return
    table = Table("id", "label", "state", "looks", "seconds", "blank", "")
    for item in items:
        note = printable(notes.get(item.id, "review only" if item.review_only else "")).partition(":")[0]
        seconds, blank = f"{item.duration_us / 1e6:.1f}", f"{item.blank_share:.0%}"
        table.add_row(
            Text(item.id), Text(printable(item.label)), item.state.value, str(item.looks), seconds, blank, note
        )
    console.print(table)
