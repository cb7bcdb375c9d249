"""Few segments, however often something is added: small ones of about one size are merged into a larger one.

A merged segment is one more new segment: written beside, while others write; under the lock named, then the catalogue's
transaction, then `current.json`, and the old ones are removed last. Where another writer changed what is in it
meanwhile, it is made again. Killed at any point, the library is whole; a worker goes on with the old ones until it has
the new one. Sizes are looks and features, in tiers of FAN times the one below; eight of a tier become one of a higher.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamguard.errors import LibraryDamaged, counted
from streamguard.library import holdings, thumbnails
from streamguard.library.catalogue import Catalogue
from streamguard.library.holdings import Held, Wanted
from streamguard.library.live_set import SEGMENTS
from streamguard.library.segments import Contents, Segment, SegmentItem, Staged, read_segment
from streamguard.library.shard import Arrays, joined, of_items
from streamguard.library.staged import Stage

FAN = 8
LARGEST_ROWS = FAN**6
"""A segment of so many looks and features is merged no more: a worker would be seconds with reading it anew."""

MOST_SMALL = 42
"""So many segments below LARGEST_ROWS there are at most when writers are done: seven of each of six tiers. Beside them
stand one for each LARGEST_ROWS looks and features, and as many again that are kept for a rollback.
"""

REWRITE_SHARE = 0.5
"""A segment is written anew when so much of it was removed too long ago to be put back."""


def next_merge(held: Sequence[Held], *, rewrite_share: float = REWRITE_SHARE) -> tuple[Held, ...]:
    """The segments to merge next, oldest first; empty when all is well. What workers search and what is only kept for a
    rollback are not mixed.
    """
    for one in held:
        if one.gone_looks and one.gone_looks >= one.looks * rewrite_share:
            return (one,)
    for is_used in (True, False):
        tiers: dict[int, list[Held]] = {}
        for one in held:
            if one.is_used is is_used and one.rows < LARGEST_ROWS:
                tiers.setdefault(_tier(one.rows), []).append(one)
        for _, tier in sorted(tiers.items()):
            if group := _group(tier):
                return group
    return ()


def _tier(rows: int) -> int:
    tier = 0
    while rows >= FAN ** (tier + 1):
        tier += 1
    return tier


def _group(tier: Sequence[Held]) -> tuple[Held, ...]:
    """Enough of one tier to make one of a higher one, and never far more than that."""
    rows = 0
    for count, one in enumerate(tier, start=1):
        rows += one.rows
        if count == FAN or (count > 1 and rows >= LARGEST_ROWS):
            return tuple(tier[:count])
    return ()


@dataclass(frozen=True, slots=True)
class _Source:
    """A segment that is merged, and of its items those that go into one merged segment, by id: none is there twice."""

    segment: Segment
    wanted: Mapping[str, Wanted]


@dataclass(frozen=True, slots=True)
class _Part:
    """A segment that is made of others, its looks, its size, and whether it is only kept for a rollback."""

    staged: Staged
    looks: int
    rows: int
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Merged:
    """What is to stand in the place of a `group` of segments, made of what the catalogue `wanted` of each by then."""

    group: tuple[Held, ...]
    wanted: tuple[tuple[Wanted, ...], ...]
    kept: tuple[Wanted, ...]
    parts: tuple[_Part, ...]
    since_unix_s: float

    def is_outdated(self, catalogue: Catalogue) -> bool:
        """Another writer has merged some of them, or removed, relabelled or brought back what is in them."""
        return _wanted(catalogue, self.group, since_unix_s=self.since_unix_s) != self.wanted


def merged(library: Path, catalogue: Catalogue, group: Sequence[Held], *, beside: Stage, since_unix_s: float) -> Merged:
    """Without the lock: write what is wanted of these segments as one. What is kept for a rollback goes into another
    one, as workers need not read it; of several removed items of one id the last.

    Raises LibraryDamaged (one of them is, or another writer has removed it: nothing is merged then), LibraryError,
    OSError.
    """
    wanted = _wanted(catalogue, group, since_unix_s=since_unix_s)
    sources = [_source(library, one, items) for one, items in zip(group, wanted, strict=True)]
    used, removed = _used(sources), _last_removed(sources)
    parts = []
    for some in (used, removed):
        contents = _contents(some)
        if contents.items:
            looks, features = len(contents.codes), len(contents.local.rows)
            size = holdings.rows_of(items=len(contents.items), looks=looks, features=features)
            parts.append(_Part(beside.write(contents), looks, size, some is removed))
    kept = tuple(item for source in removed for item in source.wanted.values())
    return Merged(tuple(group), wanted, kept, tuple(parts), since_unix_s)


def put_in_place(catalogue: Catalogue, made: Merged, *, now_unix_s: float) -> None:
    """Under the lock, and unless it is outdated: name what was made, and have the catalogue say so.

    Raises LibraryError, OSError.
    """
    number = catalogue.generation() + 1
    written = [(part.staged.put_in_place(number=number), part) for part in made.parts]
    detail = f"{counted(len(made.group), 'segment')} into {len(written)}"
    with catalogue.change(now_unix_s=now_unix_s, action="merge", detail=detail):
        for ref, part in written:
            catalogue.add_segment(ref, looks=part.looks, rows=part.rows)
            if part.is_kept:
                holdings.move(catalogue, ref, used_of=(), removed=made.kept)
            else:
                holdings.move(catalogue, ref, used_of=[one.ref for one in made.group], removed=())
        for one in made.group:
            holdings.forget(catalogue, one.ref)


def _wanted(catalogue: Catalogue, group: Sequence[Held], *, since_unix_s: float) -> tuple[tuple[Wanted, ...], ...]:
    return tuple(holdings.wanted_items(catalogue, one.ref, since_unix_s=since_unix_s) for one in group)


def _source(library: Path, one: Held, items: Sequence[Wanted]) -> _Source:
    try:
        segment = read_segment(library / SEGMENTS, one.ref)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LibraryDamaged("merge segments", error.filename, "the file is missing") from error
    wanted = {item.id: item for item in items}
    if len(wanted) < len(items) or wanted.keys() - {item.id for item in segment.items}:
        problem = "the catalogue has other items in it than it holds"
        raise LibraryDamaged("merge segments", library / SEGMENTS / one.ref.id, problem)
    return _Source(segment, wanted)


def _used(sources: Sequence[_Source]) -> list[_Source]:
    return [
        _Source(source.segment, {id_: item for id_, item in source.wanted.items() if item.removed_unix_s is None})
        for source in sources
    ]


def _last_removed(sources: Sequence[_Source]) -> list[_Source]:
    """What is kept for a rollback."""
    removed = [item for source in sources for item in source.wanted.values() if item.removed_unix_s is not None]
    last = {item.id: item for item in sorted(removed, key=lambda item: (item.removed_unix_s or 0.0, item.number))}
    return [
        _Source(source.segment, {id_: item for id_, item in source.wanted.items() if last.get(id_) is item})
        for source in sources
    ]


def _contents(sources: Sequence[_Source]) -> Contents:
    items: list[SegmentItem] = []
    arrays: list[Arrays] = []
    albums: list[tuple[NDArray[np.void], bytes]] = []
    for source in sources:
        segment, wanted = source.segment, source.wanted
        on = np.array([item.id in wanted for item in segment.items], np.bool_)
        places, local = of_items(on, segment.places, segment.local)
        codes = segment.codes[on[segment.places["item"]]]
        arrays.append(Arrays(int(on.sum()), codes, places, local))
        albums.append(thumbnails.of_items(segment.album, on))
        kept = compress(segment.items, on)
        items += (SegmentItem(id=item.id, label=wanted[item.id].label, kind=item.kind) for item in kept)
    whole = joined(arrays)
    spans, pictures = thumbnails.joined(albums, [part.items for part in arrays])
    return Contents(tuple(items), whole.codes, whole.places, whole.local, spans, pictures)
