"""What of some shards is live in one version, and what is found over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamguard.library.live_set import LiveSegment
from streamguard.library.local_features import Asset
from streamguard.library.segments import SegmentRef
from streamguard.library.shard import Mask, Shard, is_little, ref_of
from streamguard.types import Codes

MOST_PLACES = 4
MOST_CANDIDATES = 256
"""However hostile the picture or degenerate the library, this is the most that one search returns."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A shard, and what of it is live in one version. `assets` have the labels of now; `live` None: all are."""

    shard: Shard
    segments: Mapping[SegmentRef, LiveSegment]
    live: Mask | None
    assets: tuple[Asset, ...]
    items: int
    looks: int
    features: int

    @classmethod
    def of(cls, shard: Shard, segments: Mapping[SegmentRef, LiveSegment]) -> "Served":
        """Of the shard what these segments have live."""
        mask = np.zeros(len(shard.assets), np.bool_)
        assets = None
        for ref, segment in segments.items():
            span = shard.spans[ref]
            mask[span.first : span.stop] = True
            mask[shard.numbers(ref, (id_ for id_ in segment.off if id_ not in span.absent))] = False
            for id_, label in segment.new_labels.items():
                assets = list(shard.assets) if assets is None else assets
                for number in shard.numbers(ref, (id_,)):
                    assets[number] = replace(assets[number], label=label)
        live = None if mask.all() else mask
        looks_of = shard.looks_of if live is None else shard.looks_of[live]
        features_of = shard.features_of if live is None else shard.features_of[live]
        return cls(
            shard=shard,
            segments=segments,
            live=live,
            assets=shard.assets if assets is None else tuple(assets),
            items=int(mask.sum()),
            looks=int(looks_of.sum()),
            features=int(features_of.sum()),
        )

    @property
    def dead_rows(self) -> int:
        return self.shard.rows - self.looks - self.features

    @property
    def worth_keeping(self) -> Mask | None:
        """Of which assets the next shard is made, None: of all. What is off goes along where it is little, and what its
        segments have no more does not.
        """
        if self.live is None:
            return None
        there = np.zeros(len(self.live), np.bool_)
        for ref in self.segments:
            there[self.shard.spans[ref].first : self.shard.spans[ref].stop] = True
        rows = np.where(there, self.shard.looks_of + self.shard.features_of, 0)
        if not is_little(there & ~self.live, rows):
            return self.live
        return None if there.all() else there

    def is_live(self, number: int) -> bool:
        return self.live is None or bool(self.live[number])

    def covers(self, segment: LiveSegment) -> bool:
        """Whether all that is live of a segment is in the shard."""
        span = self.shard.spans.get(ref_of(segment))
        return span is not None and (not span.absent or span.absent.issubset(segment.off))


@dataclass(frozen=True, slots=True)
class Hits:
    """A line a hit: in which shard, which row of it, of which query, how far; items and places counted over shards."""

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    queries: NDArray[np.int64]
    distances_bits: NDArray[np.int64]
    items: NDArray[np.int64]
    places: NDArray[np.int64]


def hits_in(served: Sequence[Served], queries: Codes, *, radius_bits: int) -> Hits:
    """Of all of them that are live."""
    lines: list[tuple[NDArray[np.int64], ...]] = []
    first_item = first_place = 0
    for owner, one in enumerate(served):
        hits = one.shard.within(queries, radius_bits=radius_bits, live=one.live)
        asked = np.repeat(np.arange(len(queries)), np.diff(hits.starts))
        items = one.shard.places["item"][hits.rows].astype(np.int64) + first_item
        places = one.shard.place_numbers[hits.rows].astype(np.int64) + first_place
        lines.append((np.full(len(asked), owner), hits.rows, asked, hits.distances_bits, items, places))
        first_item += len(one.assets)
        # A shard has at most as many places as rows, so numbers of different shards never meet.
        first_place += one.shard.index.rows
    return Hits(*map(np.concatenate, zip(*lines, strict=True)))


def nearest(hits: Hits) -> NDArray[np.int64]:
    """Which hits to keep, nearest first: of each place the nearest look, of each query and item the nearest places."""
    if not len(hits.rows):
        return np.empty(0, np.int64)
    order = np.lexsort((hits.places, hits.queries, hits.distances_bits))
    # np.unique keeps the first of each, which is the nearest, as the order is by distance.
    both = np.stack([hits.queries, hits.places])[:, order]
    order = order[np.sort(np.unique(both, axis=1, return_index=True)[1])]
    groups = np.stack([hits.queries, hits.items])[:, order]
    by_group = np.lexsort((np.arange(len(order)), groups[1], groups[0]))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(groups[:, by_group], axis=1) != 0).any(axis=0)
    first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    near = by_group[np.arange(len(order)) - first < MOST_PLACES]
    return order[np.sort(near)[:MOST_CANDIDATES]]
