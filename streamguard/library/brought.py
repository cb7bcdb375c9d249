"""Footage that others handed on, in the bundles of incidents: whose it is, whether it may kill, what is in quarantine.

What it is stands in the catalogue (handed_on.py). A new sender's items earn reviews until the sender may kill, or until
somebody who has looked says of them that they may. What is in quarantine is disabled, and `enable` is not enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamguard.errors import counted
from streamguard.library.catalogue import Catalogue, ItemRecord, ItemState
from streamguard.library.catalogue_values import ours, possible, whole
from streamguard.library.changes import Origin
from streamguard.library.exchange.schema import HashState
from streamguard.library.fallen import has_brought, has_tables
from streamguard.library.live_set import SEGMENTS
from streamguard.library.poison import Reason
from streamguard.library.segments import read_segment
from streamguard.library.store import Library

_MOST_CODES = 256
"""Of one item that is dropped so many looks are remembered, spread over it."""


@dataclass(frozen=True, slots=True)
class Brought:
    """One item: whose, and what it is to the library. A live one with a reason was released, or believed."""

    item: ItemRecord
    source: str
    may_kill: bool
    state: HashState
    reason: Reason

    @property
    def is_there(self) -> bool:
        """It was not removed since."""
        return self.item.state is not ItemState.REMOVED


def brought(catalogue: Catalogue, *, source: str | None = None) -> tuple[Brought, ...]:
    """All of it, by id; of one sender; those that were dropped and removed as well. Raises LibraryError."""
    if not has_brought(catalogue.connection):
        return ()
    with ours(catalogue.path), possible(catalogue.path):
        rows = catalogue.connection.execute(
            "SELECT item, source, may_kill, state, reason FROM brought WHERE :source IS NULL OR source = :source",
            {"source": source},
        ).fetchall()
        found = [
            Brought(catalogue.with_number(whole(item)), str(whose), bool(kills), HashState(state), Reason(reason))
            for item, whose, kills, state, reason in rows
        ]
    return tuple(sorted(found, key=lambda one: (one.item.id, one.item.number)))


def kept_apart(catalogue: Catalogue, *, source: str | None = None) -> tuple[Brought, ...]:
    """What is in quarantine, and was not removed since."""
    found = brought(catalogue, source=source)
    return tuple(one for one in found if one.state is HashState.QUARANTINED and one.is_there)


def dropped_contents(catalogue: Catalogue) -> frozenset[str]:
    """The SHA-256 of what was thrown out for good."""
    return frozenset(one.item.sha256 for one in brought(catalogue) if one.state is HashState.DROPPED)


def standing(catalogue: Catalogue, source: str) -> tuple[int, int]:
    """How many of a sender's items were right when they matched, and how many were not, by what people said."""
    connection = catalogue.connection
    if not (has_brought(connection) and has_tables(connection)):
        return 0, 0
    with ours(catalogue.path):
        row = connection.execute(
            """SELECT count(DISTINCT CASE opinion WHEN 'agree' THEN opinions.item END),
               count(DISTINCT CASE opinion WHEN 'disagree' THEN opinions.item END)
               FROM opinions JOIN brought ON brought.item = opinions.item WHERE source = ?""",
            (source,),
        ).fetchone()
    return int(row[0]), int(row[1])


def release(library: Library, these: Sequence[Brought], *, origin: Origin, now_unix_s: float) -> None:
    """Back into use, never judged again; it may do what its sender may."""
    _change(library, these, _Step("release", HashState.LIVE), origin=origin, now_unix_s=now_unix_s)


def believe(library: Library, these: Sequence[Brought], *, origin: Origin, now_unix_s: float) -> None:
    """Somebody has looked at it: searched, and it may do what its label may, whoever brought it."""
    _change(library, these, _Step("believe", HashState.LIVE, kills=True), origin=origin, now_unix_s=now_unix_s)


def drop(library: Library, these: Sequence[Brought], *, origin: Origin, now_unix_s: float) -> None:
    """Out for good. See `codes_of` for what of it others are tried against."""
    _change(library, these, _Step("drop", HashState.DROPPED), origin=origin, now_unix_s=now_unix_s)


def keep_apart(library: Library, these: Sequence[tuple[Brought, Reason]], *, origin: Origin, now_unix_s: float) -> None:
    """Out of use, and into quarantine: what came was found to be poison later."""
    if not these:
        return
    with library.writing() as catalogue, catalogue.change(now_unix_s=now_unix_s, action="keep apart", origin=origin):
        for one, reason in these:
            item = catalogue.with_number(one.item.number)
            if item.state is not ItemState.LIVE:  # since it was looked at
                continue
            values = (int(HashState.QUARANTINED), int(reason), item.number)
            catalogue.connection.execute("UPDATE brought SET state = ?, reason = ? WHERE item = ?", values)
            catalogue.set_state(item, ItemState.DISABLED, action="keep apart", now_unix_s=now_unix_s)


def let_kill(library: Library, source: str, *, allowed: bool, origin: Origin, now_unix_s: float) -> None:
    """All that a sender has brought, and still has here, may kill from now on, or only be reviewed."""
    with library.writing() as catalogue:
        if not brought(catalogue, source=source):
            return
        detail = f"{source} {'may kill' if allowed else 'earns reviews only'}"
        with catalogue.change(now_unix_s=now_unix_s, action="trust", detail=detail, origin=origin):
            catalogue.connection.execute("UPDATE brought SET may_kill = ? WHERE source = ?", (allowed, source))


def codes_of(library: Library, these: Sequence[Brought]) -> tuple[bytes, ...]:
    """Looks of these items, some of each: what comes later and looks like them is a clash."""
    found: list[bytes] = []
    with library.writing() as catalogue:
        for one in these:
            for ref in catalogue.segments_named([one.item.segment]):
                segment = read_segment(library.path / SEGMENTS, ref)
                numbers = [number for number, item in enumerate(segment.items) if item.id == one.item.id]
                rows = np.flatnonzero(np.isin(segment.places["item"], numbers))
                step = max(1, -(-len(rows) // _MOST_CODES))
                found += [code.tobytes() for code in segment.codes[rows[::step]]]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Step:
    """What is done to items, as the history calls it; `kills`: they may from now on."""

    action: str
    to: HashState
    kills: bool = False


def _change(library: Library, these: Sequence[Brought], step: _Step, *, origin: Origin, now_unix_s: float) -> None:
    if not these:
        return
    state = ItemState.REMOVED if step.to is HashState.DROPPED else ItemState.LIVE
    detail = f"{counted(len(these), 'item')} of {these[0].source}"
    with (
        library.writing() as catalogue,
        catalogue.change(now_unix_s=now_unix_s, action=step.action, detail=detail, origin=origin),
    ):
        for one in these:
            item = catalogue.with_number(one.item.number)
            if item.state is ItemState.REMOVED:  # since it was looked at
                continue
            values = (int(step.to), step.kills or one.may_kill, item.number)
            catalogue.connection.execute("UPDATE brought SET state = ?, may_kill = ? WHERE item = ?", values)
            # What somebody disabled by hand stays so.
            if one.state is HashState.QUARANTINED:
                catalogue.set_state(item, state, action=step.action, now_unix_s=now_unix_s)
