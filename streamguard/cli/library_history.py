"""`streamguard library label|history|rollback|compact`: what was changed, by whom, and back again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from streamguard.cli.library_items import at_utc, item_json, library_option, printable, warn_of_parts
from streamguard.cli.library_notes import note_done, note_in_words, note_json
from streamguard.cli.library_signing import sign_option
from streamguard.cli.next_steps import library_command
from streamguard.errors import counted
from streamguard.library import changes
from streamguard.library.changes import Change, Origin
from streamguard.library.ed25519 import Signer
from streamguard.library.notes import Note, read_notes
from streamguard.library.store import Library

_Command = TypeVar("_Command", bound=Callable[..., object])

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def origin_options(command: _Command) -> _Command:
    """`--by` and `--reason`, for the library's history."""
    by = click.option("--by", metavar="NAME", help="Who does it, for the history.  [default: your user@machine]")
    reason = click.option("--reason", metavar="TEXT", default="", help="Why, for the history.")
    return by(reason(command))


def origin_of(by: str | None, reason: str) -> Origin:
    """Of these options. Raises UsageError."""
    return changes.origin(by=by, reason=reason)


@click.command()
@library_option
@origin_options
@sign_option()
@_as_json
@click.argument("id_", metavar="ID")
@click.argument("new_label", metavar="LABEL")
def label(
    *, path: Path, by: str | None, reason: str, signer: Signer | None, as_json: bool, id_: str, new_label: str
) -> None:
    """Give an item another label, and so another policy; workers take it up within a second.

    \b
    Example:
      streamguard library label --library known attack-2019 terror --reason "was filed under test"
    """
    with Library.open(path, origin=origin_of(by, reason), signer=signer) as opened:
        item = opened.label(id_, new_label)
    click.echo(json.dumps(item_json(item)) if as_json else printable(f"{item.id} is labelled {item.label}"))
    warn_of_parts(path, [item])


@click.command()
@library_option
@click.option("--id", "id_", metavar="ID", help="Only what has changed this item.")
@click.option("--last", "most", metavar="N", type=click.IntRange(1), help="Only the newest N changes.")
@_as_json
def history(*, path: Path, id_: str | None, most: int | None, as_json: bool) -> None:
    """Say who changed what, when, why and from where, the oldest change first.

    Each change makes a version; `streamguard library rollback` goes back to one. What makes none stands between them:
    incidents that were opened and closed, and what was decided about shared lists.

    \b
    Example:
      streamguard library history --library known --last 20
      streamguard library history --library known --json | jq 'select(.by | startswith("anna"))'
    """
    with Library.open(path, read_only=True) as opened:
        found: list[Change | Note] = [*opened.changes(most=most, id_=id_)]
    if id_ is None:
        found += read_notes(path, most=most)
        found.sort(key=lambda each: each.at_unix_s)
    for each in found if most is None else found[-most:]:
        if isinstance(each, Note):
            click.echo(json.dumps(note_json(each)) if as_json else printable(note_in_words(each)))
        else:
            click.echo(json.dumps(_change_json(each)) if as_json else printable(_in_words(each)))


@click.command()
@library_option
@origin_options
@sign_option()
@click.option("--partly", is_flag=True, help="Leave out items that are gone from the disk.")
@_as_json
@click.argument("version", metavar="VERSION")
def rollback(
    *, path: Path, by: str | None, reason: str, signer: Signer | None, partly: bool, as_json: bool, version: str
) -> None:
    """Put the library back to an earlier version, as a new one: the same items, enabled or not, under the same labels.

    Items that came since are removed; those that were removed in the last seven days come back. Shared lists stay as
    they are: `library exchange remove` or `distrust` takes one out. VERSION is one of `streamguard library history`:
    17-9f2c41aa, or 17 for short.

    \b
    Example:
      streamguard library rollback --library known 17-9f2c41aa --reason "the wrong folder"
    """
    with Library.open(path, origin=origin_of(by, reason), signer=signer) as opened:
        done = opened.roll_back(version, partly=partly)
        now = opened.stats().version
    if as_json:
        counts = {"restored": done.restored, "enabled": done.enabled, "disabled": done.disabled}
        tree = counts | {"removed": done.removed, "relabelled": done.relabelled, "gone": done.gone, "lists": done.lists}
        click.echo(json.dumps({"version": now, "generation_of_then": done.generation, **tree}))
        return
    click.echo(
        f"version {now} is as {version} was: {counted(done.restored, 'item')} restored, {done.enabled} enabled, "
        f"{done.disabled} disabled, {done.removed} removed, {done.relabelled} relabelled"
    )
    for gone in done.gone:
        click.echo(f"gone: {gone}; add it again")
    for name in done.lists:
        hint = f"to take it out: {library_command(path, 'library exchange remove', name)}"
        click.echo(printable(f"note: the list {name} has changed since, and stays as it is now; {hint}"), err=True)


@click.command()
@library_option
@click.option("--forget", is_flag=True, help="Free at once what removed items take; no rollback brings them back.")
@origin_options
@sign_option()
@_as_json
def compact(*, path: Path, forget: bool, by: str | None, reason: str, signer: Signer | None, as_json: bool) -> None:
    """Merge small segments, and free what is needed no more. Each change does so after itself: this is rarely needed.

    Workers go on searching, and other commands may write meanwhile.

    \b
    Example:
      streamguard library compact --library known
      streamguard library compact --library known --forget
    """
    origin = origin_of(by, reason)
    with Library.open(path, origin=origin, signer=signer) as opened:
        merged = opened.compact(forget=forget)
        figures = opened.stats()
    if forget:
        note_done(path, "forget", "what was removed", origin=origin)
    tree = {"merges": merged, "segments": figures.segments, "bytes_on_disk": figures.bytes_on_disk}
    words = f"{counted(merged, 'merge')}; {counted(figures.segments, 'segment')}, {figures.bytes_on_disk} bytes"
    click.echo(json.dumps(tree) if as_json else words)


def _change_json(change: Change) -> dict[str, object]:
    return {
        "version": change.version,
        "generation": change.generation,
        "at": at_utc(change.at_unix_s) if change.at_unix_s else None,
        "action": change.action,
        "detail": change.detail,
        "by": change.origin.by,
        "reason": change.origin.reason,
        "source": change.origin.source,
        "items": change.items,
        "first_items": list(change.named),
    }


def _in_words(change: Change) -> str:
    """`17-9f2c41aa 2026-03-01T12:00:00+00:00 remove: attack-2019; by anna@desk; because it is a test`."""
    named = ", ".join(change.named)
    if change.items > len(change.named):
        named += f" and {change.items - len(change.named)} more"
    what = ": ".join(word for word in (change.action, change.detail or named) if word)
    if change.detail and named:
        what += f" ({named})"
    # Of libraries that an older StreamGuard made nobody knows when.
    when = at_utc(change.at_unix_s) if change.at_unix_s else "at some time"
    words = f"{change.version or change.generation} {when} {what}"
    pairs = (("by", change.origin.by), ("because", change.origin.reason), ("from", change.origin.source))
    return "; ".join([words, *(f"{name} {text}" for name, text in pairs if text)])
