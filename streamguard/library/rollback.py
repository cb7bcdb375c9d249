"""Back to what the library was at an earlier version: a new version with the items, states and labels of then.

Shared lists stay as they are: what of them is searched is what their book says (exchange.book), which has no versions.
An old part would bring back hashes that were found to be wrong since, and kills that were taken from its source.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import LibraryError, UsageError, counted
from streamguard.library import changes
from streamguard.library.catalogue import Catalogue, ItemRecord, ItemState
from streamguard.library.catalogue_values import ours, possible
from streamguard.library.changes import Earlier, Origin
from streamguard.library.exchange.book import ORIGIN
from streamguard.library.handed_on import is_kept_out
from streamguard.library.live_set import SEGMENTS
from streamguard.library.segments import SegmentRef, read_segment

_NAMED = 5


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did, in items. `restored` ones had been removed, and are as they were, enabled or not. `gone`:
    items of then that are on the disk no more, by id.
    """

    generation: int
    restored: int
    enabled: int
    disabled: int
    removed: int
    relabelled: int
    gone: tuple[str, ...]
    lists: tuple[str, ...] = ()
    """Shared lists that have changed since, and stay as they are."""


@dataclass(frozen=True, slots=True)
class _Step:
    item: ItemRecord
    state: ItemState
    label: str


def roll_back(
    library: Path, catalogue: Catalogue, version: str, *, partly: bool, origin: Origin, now_unix_s: float
) -> RolledBack:
    """Under the lock. Items that came since are removed, those that were removed since are searched again, as long as
    their segment is kept; `partly`: those of which it is not are left out. Where nothing has changed since, nothing is;
    nor are shared lists.

    Raises UsageError (no such version, or items of then are gone), LibraryError.
    """
    generation = _generation(catalogue, version)
    with ours(catalogue.path), possible(catalogue.path):
        then = [_step(catalogue, one) for one in changes.earlier(catalogue.connection, generation)]
    all_steps = [step for step in then if step.item.state is not step.state or _renames(step)]
    lists = {step.item.source.removeprefix(ORIGIN) for step in all_steps if _is_of_a_list(step)}
    steps = [step for step in all_steps if not _is_of_a_list(step)]
    gone = _gone(library, catalogue, [step.item for step in steps if _revives(step)])
    if gone and not partly:
        names = ", ".join(item.id for item in gone[:_NAMED]) + (", ..." if len(gone) > _NAMED else "")
        problem = f"{counted(len(gone), 'item')} of then no longer on the disk: {names}"
        hint = "--partly rolls back all others; add these again"
        raise UsageError("library rollback", version, problem, hint=hint)
    numbers = {item.number for item in gone}
    steps = [step for step in steps if step.item.number not in numbers]
    if steps:
        detail = f"to {changes.version_at(catalogue.connection, generation) or generation}"
        with catalogue.change(now_unix_s=now_unix_s, action="rollback", detail=detail, origin=origin):
            # Removals first: what comes back may have the id or the content of what goes.
            for step in sorted(steps, key=_revives):
                _take(catalogue, step, now_unix_s=now_unix_s)
    return RolledBack(
        generation=generation,
        restored=sum(map(_revives, steps)),
        enabled=_count(steps, ItemState.DISABLED, ItemState.LIVE),
        disabled=_count(steps, ItemState.LIVE, ItemState.DISABLED),
        removed=sum(step.state is ItemState.REMOVED for step in steps),
        relabelled=sum(map(_renames, steps)),
        gone=tuple(item.id for item in gone),
        lists=tuple(sorted(lists)),
    )


def _generation(catalogue: Catalogue, version: str) -> int:
    generation = changes.generation_of(version)
    with ours(catalogue.path):
        known = changes.version_at(catalogue.connection, generation)
    if known is None or ("-" in version and known not in ("", version)):
        hint = "see `streamguard library history`"
        raise UsageError("library rollback", version, "no such version in the history of this library", hint=hint)
    return generation


def _step(catalogue: Catalogue, then: Earlier) -> _Step:
    item = catalogue.with_number(then.item)
    if not then.state:  # it was not there
        return _Step(item, ItemState.REMOVED, item.label)
    state = ItemState(then.state)
    is_back = state is ItemState.LIVE or item.state is ItemState.REMOVED
    if is_back and is_kept_out(catalogue.connection, item.number):
        state = item.state  # what went into quarantine since, or was dropped, stays out
    return _Step(item, state, then.label)


def _is_of_a_list(step: _Step) -> bool:
    return step.item.source.startswith(ORIGIN)


def _revives(step: _Step) -> bool:
    return step.item.state is ItemState.REMOVED and step.state is not ItemState.REMOVED


def _count(steps: Sequence[_Step], now: ItemState, then: ItemState) -> int:
    return sum((step.item.state, step.state) == (now, then) for step in steps)


def _renames(step: _Step) -> bool:
    return step.item.label != step.label and step.state is not ItemState.REMOVED


def _gone(library: Path, catalogue: Catalogue, items: Sequence[ItemRecord]) -> list[ItemRecord]:
    """Those whose segment is not there any more, or damaged, or does not hold them."""
    refs = {ref.id: ref for ref in catalogue.segments_named(sorted({item.segment for item in items}))}
    held: dict[str, frozenset[str]] = {}
    for name in {item.segment for item in items}:
        held[name] = _ids_in(library, refs[name]) if name in refs else frozenset()
    return [item for item in items if item.id not in held[item.segment]]


def _ids_in(library: Path, ref: SegmentRef) -> frozenset[str]:
    try:
        return frozenset(item.id for item in read_segment(library / SEGMENTS, ref).items)
    except (LibraryError, FileNotFoundError, NotADirectoryError):
        return frozenset()


def _take(catalogue: Catalogue, step: _Step, *, now_unix_s: float) -> None:
    if step.item.state is not step.state:
        catalogue.set_state(step.item, step.state, action="rollback", now_unix_s=now_unix_s)
    if _renames(step):
        catalogue.set_label(step.item, step.label, now_unix_s=now_unix_s)
