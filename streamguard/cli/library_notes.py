"""What the commands of a library put into its history beside its versions, and how that is told."""

import time
from pathlib import Path

import click

from streamguard.cli.library_items import at_utc, printable
from streamguard.errors import LibraryError
from streamguard.library.catalogue import CATALOGUE
from streamguard.library.changes import Origin
from streamguard.library.notes import Note, write_note


def note_done(library: Path, action: str, detail: str, *, origin: Origin) -> None:
    """What is done is done: where the history cannot have it, that is a warning. A copy that workers serve from has
    none.
    """
    if not (library / CATALOGUE).is_file():
        return
    try:
        write_note(library, Note(time.time(), action, detail, origin))
    except LibraryError as error:
        click.echo(printable(f"warning: it is done, but the library's history does not say so: {error}"), err=True)


def note_json(note: Note) -> dict[str, object]:
    """With the keys of a version, of which it has none."""
    return {
        "version": "",
        "generation": None,
        "at": at_utc(note.at_unix_s),
        "action": note.action,
        "detail": note.detail,
        "by": note.origin.by,
        "reason": note.origin.reason,
        "source": "",
        "items": 0,
        "first_items": [],
    }


def note_in_words(note: Note) -> str:
    """`- 2026-03-01T12:00:00+00:00 incident open: attack; by anna@desk; because a call`."""
    words = f"- {at_utc(note.at_unix_s)} {note.action}" + (f": {note.detail}" if note.detail else "")
    pairs = (("by", note.origin.by), ("because", note.origin.reason))
    return "; ".join([words, *(f"{name} {text}" for name, text in pairs if text)])
