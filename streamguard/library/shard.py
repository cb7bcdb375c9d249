"""A part of a library as it is searched: what some segments hold, in one index. It never changes.

A worker has a few of them. A new segment is indexed with the newest and smallest one, so that a change takes as long as
the change is large, and not as the library is; what is switched off is masked out until shards are put together anew.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamguard.library import local_features
from streamguard.library.faiss_flat import Counts, Hits
from streamguard.library.in_threads import in_threads
from streamguard.library.live_set import SEGMENTS, LiveSegment
from streamguard.library.local_features import Asset, FeatureSearch, LocalFeatures
from streamguard.library.pdq_index import PdqIndex
from streamguard.library.segments import PLACE, Places, SegmentRef, kind_of, read_segment
from streamguard.library.thumbnails import Album
from streamguard.library.turns import GiveWay, nobody_waits, stretches
from streamguard.types import PDQ_BYTES, AssetId, Codes

Mask = NDArray[np.bool_]

TAIL_ROWS = 1 << 15
"""What is new is indexed with the newest shard, up to so many looks and features: that takes 50 ms at most."""


OFF_KEPT = 8
"""What is off is indexed as well, and masked, where it is no more than an eighth: to enable it is to read nothing then,
and a segment with an hour of footage takes seconds to read.
"""


@dataclass(frozen=True, slots=True)
class Span:
    """Of one segment the assets `first` to `stop`; its items that are `absent` were off when it was read."""

    first: int
    stop: int
    absent: frozenset[str]
    album: Album


@dataclass(frozen=True, slots=True)
class Arrays:
    """Looks and features of so many items, which `places["item"]` and the frames of `local` count."""

    items: int
    codes: Codes
    places: Places
    local: LocalFeatures


def joined(parts: Sequence[Arrays], *, give_way: GiveWay = nobody_waits) -> Arrays:
    """One after another, in new arrays; one alone as it is."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part.codes) for part in parts)]).tolist()
    firsts = np.cumsum([0, *(part.items for part in parts)]).tolist()
    codes, places = np.empty((starts[-1], PDQ_BYTES), np.uint8), np.empty(starts[-1], PLACE)
    bytes_of_place = np.dtype((np.void, PLACE.itemsize))  # NumPy copies places field by field, and these at once

    def put(number: int) -> None:
        part, own_codes, own_places = parts[number], codes[starts[number] :], places[starts[number] :]
        new, old = own_places.view(bytes_of_place), part.places.view(bytes_of_place)
        for some in stretches(len(part.codes)):
            give_way()
            own_codes[some], new[some] = part.codes[some], old[some]
            own_places["item"][some] += np.uint32(firsts[number])

    in_threads(put, range(len(parts)), rows=starts[-1])
    local = [(part.local, first) for part, first in zip(parts, firsts, strict=False)]
    return Arrays(firsts[-1], codes, places, local_features.joined(local, give_way=give_way))


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be indexed: the looks and features of `assets`, which are those of some segments. See `Part.of`."""

    assets: tuple[Asset, ...]
    arrays: Arrays
    spans: Mapping[SegmentRef, Span]
    place_numbers: NDArray[np.uint32]
    """For each look a number of its place, from 0, the same for all looks of that place (with and without bars)."""
    looks_of: NDArray[np.int64]
    features_of: NDArray[np.int64]
    """By asset."""

    @classmethod
    def of(cls, assets: tuple[Asset, ...], arrays: Arrays, spans: Mapping[SegmentRef, Span]) -> "Part":
        """With what follows from them."""
        local = arrays.local
        return cls(
            assets,
            arrays,
            spans,
            place_numbers=_numbered(arrays.places),
            looks_of=np.bincount(arrays.places["item"], minlength=len(assets)),
            features_of=np.bincount(local.frames["item"][local.rows["frame"]], minlength=len(assets)),
        )

    @property
    def rows(self) -> int:
        """How much there is to index, looks and features."""
        return len(self.arrays.codes) + len(self.arrays.local.rows)


def together(parts: list[Part], *, give_way: GiveWay = nobody_waits) -> Part:
    """One after another. Empties the list: what is large need not be in memory twice while it is indexed."""
    if len(parts) == 1:
        return parts.pop()
    arrays = joined([part.arrays for part in parts], give_way=give_way)
    spans: dict[SegmentRef, Span] = {}
    first = places = row = 0
    numbers = np.empty(len(arrays.codes), np.uint32)
    for part in parts:
        for ref, span in part.spans.items():
            spans[ref] = Span(span.first + first, span.stop + first, span.absent, span.album)
        first += len(part.assets)
        stop = row + len(part.place_numbers)
        np.add(part.place_numbers, np.uint32(places), out=numbers[row:stop])
        row = stop
        places += int(part.place_numbers.max()) + 1 if len(part.place_numbers) else 0
    whole = Part(
        tuple(chain.from_iterable(part.assets for part in parts)),
        arrays,
        spans,
        place_numbers=numbers,
        looks_of=np.concatenate([part.looks_of for part in parts]),
        features_of=np.concatenate([part.features_of for part in parts]),
    )
    parts.clear()
    return whole


def read_part(library: Path, live: LiveSegment) -> Part:
    """Read and check a segment; what is off stays out of memory where it is much. Raises as `segments.read_segment`."""
    ref = ref_of(live)
    segment = read_segment(library / SEGMENTS, ref)
    off = frozenset(live.off)
    on = np.array([item.id not in off for item in segment.items], np.bool_)
    if on.all() or is_little(~on, rows_by_item(segment.places, segment.local, items=len(on))):
        on[:], off = True, frozenset()
    places, local = of_items(on, segment.places, segment.local)
    codes = segment.codes if on.all() else segment.codes[on[segment.places["item"]]]
    assets = tuple(Asset(AssetId(item.id), item.label, kind_of(item)) for item in compress(segment.items, on))
    span = Span(0, len(assets), off, segment.album)
    return Part.of(assets, Arrays(len(assets), codes, places, local), {ref: span})


def rows_by_item(places: Places, local: LocalFeatures, *, items: int) -> NDArray[np.int64]:
    """How many looks and features each has."""
    looks = np.bincount(places["item"], minlength=items)
    return looks + np.bincount(local.frames["item"][local.rows["frame"]], minlength=items)


def is_little(off: Mask, rows: NDArray[np.int64]) -> bool:
    """Whether what is off may as well stay in memory; `rows`: of each item."""
    return int(rows[off].sum()) * OFF_KEPT <= int(rows.sum())


def ref_of(live: LiveSegment) -> SegmentRef:
    return SegmentRef(live.id, live.manifest_sha256)


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Safe for any number of threads. `Shard.over` makes it."""

    assets: tuple[Asset, ...]
    index: PdqIndex
    places: Places = field(repr=False)
    place_numbers: NDArray[np.uint32] = field(repr=False)
    features: FeatureSearch
    spans: Mapping[SegmentRef, Span] = field(repr=False)
    looks_of: NDArray[np.int64] = field(repr=False)
    features_of: NDArray[np.int64] = field(repr=False)
    feature_codes: Codes = field(repr=False)
    """As they were read, for the next shard; the index has its own copy."""
    ids: "Ids" = field(repr=False)

    @classmethod
    def over(cls, part: Part, *, give_way: GiveWay = nobody_waits) -> "Shard":
        """All of it in one index."""
        arrays = part.arrays
        return cls(
            assets=part.assets,
            index=PdqIndex.over(arrays.codes, give_way=give_way),
            places=arrays.places,
            place_numbers=part.place_numbers,
            features=FeatureSearch.over(arrays.local, give_way=give_way),
            spans=part.spans,
            looks_of=part.looks_of,
            features_of=part.features_of,
            feature_codes=arrays.local.codes,
            ids=Ids.of(asset.id for asset in part.assets),
        )

    @property
    def rows(self) -> int:
        """How much is indexed, looks and features."""
        return self.index.rows + len(self.features.rows)

    @property
    def nbytes(self) -> int:
        albums = sum(span.album.spans.nbytes for span in self.spans.values())
        tables = self.places.nbytes + self.place_numbers.nbytes + self.looks_of.nbytes + self.features_of.nbytes
        return self.index.nbytes + tables + self.features.nbytes + self.feature_codes.nbytes + self.ids.nbytes + albums

    def part(self, live: Mask | None) -> Part:
        """What to index anew of it: of the assets that are `live`; None: of all."""
        local = self.features.features(self.feature_codes)
        if live is None:
            arrays = Arrays(len(self.assets), self.index.codes(), self.places, local)
            return Part(self.assets, arrays, self.spans, self.place_numbers, self.looks_of, self.features_of)
        codes = self.index.codes()[live[self.places["item"]]]
        places, local = of_items(live, self.places, local)
        before = np.concatenate([[0], np.cumsum(live)])
        spans = {}
        for ref, span in self.spans.items():
            first, stop = int(before[span.first]), int(before[span.stop])
            if first < stop:
                gone = compress(self.assets[span.first : span.stop], ~live[span.first : span.stop])
                absent = span.absent | {asset.id for asset in gone}
                spans[ref] = Span(first, stop, absent, span.album)
        assets = tuple(compress(self.assets, live))
        return Part.of(assets, Arrays(len(assets), codes, places, local), spans)

    def within(self, queries: Codes, *, radius_bits: int, live: Mask | None) -> Hits:
        """As PdqIndex's, of looks of assets that are `live`."""
        return self.index.within(queries, radius_bits=radius_bits, counts=self._counts(live))

    def _counts(self, live: Mask | None) -> Counts | None:
        if live is None:
            return None
        mask, items = live, self.places["item"]

        def counts(rows: NDArray[np.int64]) -> Mask:
            on: Mask = mask[items[rows]]
            return on

        return counts

    def numbers(self, ref: SegmentRef, ids: Iterable[str]) -> NDArray[np.int64]:
        """Those of a segment's assets that have these ids; of ids that are not here none."""
        span = self.spans[ref]
        same = (number for id_ in ids for number in self.ids.with_id(id_, of=self._id))
        return np.array([number for number in same if span.first <= number < span.stop], np.int64)

    def with_id(self, id_: AssetId) -> tuple[int, ...]:
        """The assets of that id: several, where all but one are off."""
        return self.ids.with_id(id_, of=self._id)

    def _id(self, number: int) -> str:
        return self.assets[number].id


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Finds items by their ids at 16 bytes each; the strings are where they are."""

    hashes: NDArray[np.int64]
    _numbers: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Ids":
        hashes = np.fromiter(map(hash, ids), np.int64)
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], order)

    @property
    def nbytes(self) -> int:
        return self.hashes.nbytes + self._numbers.nbytes

    def with_id(self, id_: str, *, of: Callable[[int], str]) -> tuple[int, ...]:
        """Numbers, in order; `of` says what id a number has."""
        asked = hash(id_)
        first, stop = (
            np.searchsorted(self.hashes, asked, side="left"),
            np.searchsorted(self.hashes, asked, side="right"),
        )
        return tuple(number for number in self._numbers[first:stop].tolist() if of(number) == id_)

    def shared(self, other: "Ids") -> tuple[int, ...]:
        """Numbers of ours whose ids another may have as well."""
        if len(other.hashes) < len(self.hashes):
            first = np.searchsorted(self.hashes, other.hashes, side="left")
            stop = np.searchsorted(self.hashes, other.hashes, side="right")
            return tuple(
                number for at in np.flatnonzero(stop > first) for number in self._numbers[first[at] : stop[at]].tolist()
            )
        at = np.minimum(np.searchsorted(other.hashes, self.hashes), max(len(other.hashes) - 1, 0))
        return tuple(self._numbers[other.hashes[at] == self.hashes].tolist()) if len(other.hashes) else ()

    def twins(self) -> tuple[int, ...]:
        """Numbers whose ids may stand here more than once."""
        same = self.hashes[1:] == self.hashes[:-1]
        both = np.concatenate([same, [False]]) | np.concatenate([[False], same]) if len(self.hashes) else same
        return tuple(self._numbers[both].tolist())


def of_items(on: Mask, places: Places, local: LocalFeatures) -> tuple[Places, LocalFeatures]:
    """Only what belongs to items that are `on`, which are numbered anew."""
    if on.all():
        return places, local
    renumbered = np.where(on, np.cumsum(on) - 1, -1)
    places = places[on[places["item"]]]
    places["item"] = renumbered[places["item"]]
    return places, local.of_items(renumbered)


def _numbered(places: Places) -> NDArray[np.uint32]:
    """See Part.place_numbers."""
    columns = [places[name] for name in ("to_us", "from_us", "item")]
    later, same = np.zeros(max(len(places) - 1, 0), bool), np.ones(max(len(places) - 1, 0), bool)
    for column in columns:
        equal = column[1:] == column[:-1]
        later = (column[1:] > column[:-1]) | (equal & later)
        same &= equal
    numbers = np.zeros(len(places), np.uint32)
    if (later | same).all():  # as nearly always, and ten million take seconds to sort
        numbers[1:] = np.cumsum(later, dtype=np.uint32)
        return numbers
    keys = np.stack([column.astype(np.int64) for column in reversed(columns)])
    order = np.lexsort(keys)
    new = (np.diff(keys[:, order], axis=1) != 0).any(axis=0)
    numbers[order[1:]] = np.cumsum(new)
    return numbers
