"""The catalogue's table `came_in`: which items came in which incident, from the transaction on that adds them.

`incidents.json` is written from it before the version that has them is published, so that no reader of that version
finds one of them outside its incident. Killed in between, the next writer does both; killed before, nothing came.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import UsageError
from streamguard.library.catalogue import Catalogue
from streamguard.library.catalogue_values import moment, ours, possible, text
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import (
    MOST_ITEMS,
    NAME_PATTERN,
    read_incidents,
    read_open_one,
    replace_incidents,
    with_items,
)
from streamguard.library.segments import ID_PATTERN
from streamguard.types import AssetId

_TABLE = """CREATE TABLE IF NOT EXISTS came_in (incident TEXT NOT NULL, item INTEGER NOT NULL REFERENCES items,
    generation INTEGER NOT NULL, PRIMARY KEY (incident, item)) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Into:
    """The open incident that what is added comes in. `known`: items that are there already, and came in it as well."""

    incident: str
    known: tuple[AssetId, ...] = ()


def check_open(library: Path, into: Into, ids: Sequence[AssetId]) -> None:
    """Under the lock, before anything is written. Raises UsageError where it is not open (any more) or has no room for
    these and the known ones, LibraryError.
    """
    with_items(*read_open_one(library, into.incident), (*ids, *into.known))


def put(catalogue: Catalogue, into: Into, numbers: Sequence[int], *, generation: int) -> None:
    """Within the change that makes this generation, after its items."""
    run = catalogue.connection.execute
    run(_TABLE)
    known = [record.number for id_ in into.known for record in catalogue.with_id(id_)]
    for item in (*numbers, *known):
        run("INSERT OR REPLACE INTO came_in VALUES (?, ?, ?)", (into.incident, item, generation))


def note_known(library: Path, into: Into, *, signer: Signer | None) -> None:
    """Under the lock, where nothing is new: what is known came in it. Raises as `check_open`."""
    if into.known:
        replace_incidents(library, with_items(*read_open_one(library, into.incident), into.known), signer=signer)


def note_since(library: Path, catalogue: Catalogue, generation: int | None, *, signer: Signer | None) -> None:
    """Under the lock, before publishing: what has come since that generation. None: nobody knows which was published
    last; then what has come since the incident of that name was opened, for another one may have had the name before.
    An incident that was closed since has it all the same; of one that is gone, or full, nothing is known any more.

    Raises LibraryError.
    """
    came = _since(catalogue, -1 if generation is None else generation)
    if not came:
        return
    incidents = before = read_incidents(library)
    for one in before:
        if one.name in came:
            ids = [id_ for id_, unix_s in came[one.name] if generation is not None or unix_s >= one.opened_unix_s]
            with suppress(UsageError):  # no room is left: the library must open all the same
                incidents = with_items(incidents, one, list(dict.fromkeys((*one.items, *ids)))[:MOST_ITEMS])
    if incidents != before:
        replace_incidents(library, incidents, signer=signer)


def _since(catalogue: Catalogue, generation: int) -> dict[str, list[tuple[str, float]]]:
    """Ids, and when they came, by incident, those that came first first."""
    connection = catalogue.connection
    came: dict[str, list[tuple[str, float]]] = {}
    with ours(catalogue.path), possible(catalogue.path):
        if not _has_table(connection):
            return came
        rows = connection.execute(
            """SELECT incident, items.id, at_unix_s FROM came_in JOIN items ON items.number = item
               JOIN changes USING (generation) WHERE generation > ? ORDER BY generation, item""",
            (generation,),
        ).fetchall()
        for name, id_, unix_s in rows:
            came.setdefault(text(name, NAME_PATTERN), []).append((text(id_, ID_PATTERN), moment(unix_s)))
    return came


def _has_table(connection: sqlite3.Connection) -> bool:
    asked = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'came_in'"
    return bool(connection.execute(asked).fetchone()[0])
