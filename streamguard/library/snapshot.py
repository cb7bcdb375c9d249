"""What a worker matches against: everything live, in memory, checked, immutable, safe for any number of threads.

Reads `current.json` and the segments that it names; needs no write permission and no SQLite. It is searched in a few
shards, see shard.py; the next version takes them over, and reads and indexes what is new.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.rules import Rules
from streamguard.errors import FingerprintError, LibraryDamaged, LibraryUntrusted
from streamguard.library import canaries
from streamguard.library.ed25519 import Trust
from streamguard.library.feature_votes import FeatureVotes, Footage
from streamguard.library.live_set import CURRENT, SEGMENTS, LiveSegment, LiveSet, read_live_set
from streamguard.library.local_features import Asset
from streamguard.library.segments import SegmentRef
from streamguard.library.shard import Mask, Part, Shard, read_part, ref_of
from streamguard.spare_memory import give_back
from streamguard.types import (
    DIHEDRAL_VIEWS,
    PDQ_BYTES,
    AssetId,
    Candidate,
    Codes,
    Features,
    Fingerprint,
    Place,
    Region,
    View,
    Votes,
)

MOST_PLACES = 4
MOST_CANDIDATES = 256
"""However hostile the picture or degenerate the library, this is the most that one search returns."""

TAIL_ROWS = 1 << 15
"""What is new is indexed with the newest shard, up to so many looks and features: that takes 50 ms at most."""

MOST_SHARDS = 3
"""More are put together, see `tidied`."""

_FOR_THE_FIRST = 4
"""All other shards join the first one when they are a quarter of its size; and what is off in one is left out when it
is a quarter of it."""

_VIEWS = len(View)
_LOADS_TRIED = 10


class Trial(Protocol):
    """Opens segments where a crash does no harm."""

    def __call__(self, directory: Path, refs: Sequence[SegmentRef], /) -> None:
        """Raises as `read_segment` does for the first that it would refuse; LibraryCrashes."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What a new version must stand before it is loaded: one of `trust`'s keys signed it; `trial` opened it."""

    trust: Trust | None = None
    trial: Trial | None = None


NO_DEMANDS = Demands()


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

    def is_live(self, number: int) -> bool:
        return self.live is None or bool(self.live[number])

    def covers(self, segment: LiveSegment) -> bool:
        """Whether all that is live of a segment is in the shard."""
        span = self.shard.spans.get(ref_of(segment))
        return span is not None and (not span.absent or span.absent.issubset(segment.off))


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One version of the library. `load_snapshot` makes it."""

    version: str
    created_unix_s: float
    served: tuple[Served, ...] = field(repr=False)
    _votes: FeatureVotes = field(repr=False)
    fallen: frozenset[AssetId] = field(default=frozenset(), repr=False)
    """Footage with mistakes: it earns a review at most."""
    rules: Rules | None = None
    """The rule that was fitted for this library; `watch.SnapshotHolder` fills it in."""

    @classmethod
    def of(cls, live: LiveSet, served: Sequence[Served]) -> "Snapshot":
        """What these shards serve."""
        fallen = frozenset(AssetId(id_) for segment in live.segments for id_ in segment.review)
        return cls(live.version, live.changed_unix_s, tuple(served), _votes_of(served), fallen)

    @property
    def assets(self) -> tuple[Asset, ...]:
        return tuple(asset for one in self.served for n, asset in enumerate(one.assets) if one.is_live(n))

    @property
    def generation(self) -> int:
        """How many changes had made the library what it was then."""
        return int(self.version.partition("-")[0])

    @property
    def items(self) -> int:
        return sum(one.items for one in self.served)

    @property
    def looks(self) -> int:
        return sum(one.looks for one in self.served)

    @property
    def features(self) -> int:
        return sum(one.features for one in self.served)

    @property
    def bytes_in_memory(self) -> int:
        # The features' codes stand here twice: once as they were read, for the next shard, and once in the index.
        masks = sum(one.live.nbytes for one in self.served if one.live is not None)
        return masks + sum(one.shard.nbytes for one in self.served)

    def vote(self, features: Features, *, closely: bool = True) -> tuple[Votes, ...]:
        """The frames that a stream's local features look like, the most likely first; at most 8. Not `closely`: for a
        stream that has shown nothing, at a third of the cost where it goes on so.
        """
        return self._votes.vote(features, closely=closely)

    def picture(self, asset: AssetId, place: Place) -> bytes:
        """A thumbnail of known footage at a place of it, read from disk; empty where there is none."""
        for one in self.served:
            for number in filter(one.is_live, one.shard.with_id(asset)):
                spans = one.shard.spans.values()
                return next(span.album for span in spans if span.first <= number < span.stop).picture(asset, place)
        return b""

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:
        """Looks within the radius of any print of good quality, seen in any of the 16 views; nearest first.

        At most 4 distinct places for each asset, view and print, and 256 candidates in all.
        """
        telling = [look for look in prints if look.quality >= pdq.MIN_QUALITY]
        if not telling or not self.looks:
            return ()
        hits = _hits(self.served, _queries(telling), radius_bits=radius_bits)
        return tuple(
            self._candidate(
                self.served[int(hits.owners[hit])],
                int(hits.rows[hit]),
                query=int(hits.queries[hit]),
                region=telling[int(hits.queries[hit]) // _VIEWS].region,
                distance_bits=int(hits.distances_bits[hit]),
            )
            for hit in _nearest(hits)
        )

    @staticmethod
    def _candidate(one: Served, row: int, /, *, query: int, region: Region, distance_bits: int) -> Candidate:
        place = one.shard.places[row]
        asset = one.assets[int(place["item"])]
        return Candidate(
            asset=asset.id,
            label=asset.label,
            kind=asset.kind,
            place=Place(int(place["from_us"]), int(place["to_us"])),
            nearest_elsewhere_bits=int(place["nearest_elsewhere_bits"]),
            view=View(query % _VIEWS),
            region=region,
            distance_bits=distance_bits,
        )


def load_snapshot(library: Path, *, previous: Snapshot | None = None, demands: Demands = NO_DEMANDS) -> Snapshot:
    """Read and check everything live; segments that `previous` has are taken from it.

    Raises LibraryMissing, LibraryFormatError, LibraryDamaged, LibraryError; where it is demanded LibraryUntrusted, for
    what is older than `previous` as well, and LibraryCrashes.
    """
    try:
        loaded = _load_live(library, previous, demands)
    except LibraryDamaged as error:
        if error.hint:
            raise
        hint = f"what to do: streamguard library verify --library {library}"
        raise LibraryDamaged(error.operation, error.subject, error.problem, hint=hint) from error
    if previous is None:
        give_back()  # what loading took: 72 MiB with a million looks
    return loaded


def untidy_from(snapshot: Snapshot) -> int | None:
    """From which shard on they should be put together; None: they are good as they are."""
    sizes = [one.shard.rows for one in snapshot.served]
    later = sum(sizes[1:])
    if later > TAIL_ROWS and later * _FOR_THE_FIRST > sizes[0]:
        return 0
    for number, one in enumerate(snapshot.served):
        if one.dead_rows * _FOR_THE_FIRST > max(one.shard.rows, TAIL_ROWS):
            return number
    return 1 if len(sizes) > MOST_SHARDS else None


def tidied(snapshot: Snapshot, *, first: int) -> Snapshot:
    """The same version with the shards from the `first` on put together. Takes seconds where they are large.

    Raises LibraryDamaged where what came of it does not find what it must.
    """
    kept, rest = snapshot.served[:first], snapshot.served[first:]
    segments = {ref: segment for one in rest for ref, segment in one.segments.items()}
    parts = [one.shard.part(one.live) for one in rest]
    shard = Shard.over(parts)
    _ask(Path(), shard, _laid_out(shard, parts, [next(iter(one.segments.values())) for one in rest]))
    served = (*kept, Served.of(shard, segments))
    return replace(snapshot, served=served, _votes=_votes_of(served))


def _votes_of(served: Sequence[Served]) -> FeatureVotes:
    with_features = [one for one in served if one.features]
    return FeatureVotes.over([Footage(one.shard.features, one.assets, one.live) for one in with_features])


def _load_live(library: Path, previous: Snapshot | None, demands: Demands) -> Snapshot:
    read: dict[LiveSegment, Part] = {}
    for tried in range(1, _LOADS_TRIED + 1):
        live = read_live_set(library, trust=demands.trust)
        if demands.trust is not None and previous is not None:
            _check_not_older(library, live, previous)
        try:
            return _load(library, live, previous=previous, read=read, trial=demands.trial)
        except (FileNotFoundError, NotADirectoryError) as error:
            # A writer may have removed a segment while we were reading; then current.json is a new one.
            if tried == _LOADS_TRIED or read_live_set(library).version == live.version:
                raise LibraryDamaged("load library", error.filename, "the file is missing") from error
    hint = "try again when nothing writes to it"
    raise LibraryDamaged("load library", library, "it keeps changing while it is read", hint=hint)


def _check_not_older(library: Path, live: LiveSet, previous: Snapshot) -> None:
    """Every version that was ever signed stays signed: who can write here could put an old one back, without what was
    added since.
    """
    if live.generation > previous.generation or live.version == previous.version:
        return
    problem = f"version {live.version} is signed, but not newer than {previous.version}, which serves: was it put back?"
    hint = "if you did so, restart the worker; else copy the library again from where it is made"
    raise LibraryUntrusted("load library", library / CURRENT, problem, hint=hint)


def _load(
    library: Path, live: LiveSet, *, previous: Snapshot | None, read: dict[LiveSegment, Part], trial: Trial | None
) -> Snapshot:
    """`read`: what was read for an earlier try."""
    before = () if previous is None else previous.served
    served_by: list[dict[SegmentRef, LiveSegment]] = [{} for _ in before]
    fresh = []
    for segment in live.segments:
        owner = next((n for n in reversed(range(len(before))) if before[n].covers(segment)), None)
        if owner is None:
            fresh.append(segment)
        else:
            served_by[owner][ref_of(segment)] = segment
    _read(library, fresh, read, known=before, trial=trial)
    served = [
        one if one.segments == segments else Served.of(one.shard, segments)
        for one, segments in zip(before, served_by, strict=True)
        if segments
    ]
    served = _with(library, served, {segment: read[segment] for segment in fresh})
    _check_distinct(library, served, known=before)
    return Snapshot.of(live, served)


def _read(
    library: Path,
    fresh: Sequence[LiveSegment],
    read: dict[LiveSegment, Part],
    *,
    known: Sequence[Served],
    trial: Trial | None,
) -> None:
    if trial is not None:  # with other items off it was the same
        refs = [ref_of(segment) for segment in fresh if segment not in read]
        trial(library / SEGMENTS, [ref for ref in refs if not any(ref in one.shard.spans for one in known)])
    for segment in fresh:
        read[segment] = read.get(segment) or read_part(library, segment)


def _with(library: Path, served: list[Served], fresh: Mapping[LiveSegment, Part]) -> list[Served]:
    """With segments that are new: in the newest shard while it is small, else in one of their own. It is asked for what
    it must know.
    """
    if not fresh:
        return served
    parts = list(fresh.values())
    segments: dict[SegmentRef, LiveSegment] = {}
    if served and served[-1].shard.rows + sum(part.rows for part in parts) <= TAIL_ROWS:
        last = served[-1]
        served, segments = served[:-1], dict(last.segments)
        parts = [last.shard.part(last.live), *parts]
    shard = Shard.over(parts)
    asked = _laid_out(shard, parts, [None] * (len(parts) - len(fresh)) + list(fresh))
    _ask(library, shard, asked)
    return [*served, Served.of(shard, segments | {ref_of(segment): segment for segment in fresh})]


def _laid_out(shard: Shard, parts: Sequence[Part], names: Sequence[LiveSegment | None]) -> list[canaries.Part]:
    """Where each part lies in the shard; those without a name are left out."""
    found = []
    item = look = feature = 0
    for part, name in zip(parts, names, strict=True):
        arrays = part.arrays
        if name is not None:
            ids = [asset.id for asset in shard.assets[item : item + len(part.assets)]]
            found.append(canaries.Part(name, ids, arrays.codes, arrays.places, look, arrays.local.codes, feature))
        item, look = item + len(part.assets), look + len(arrays.codes)
        feature += len(arrays.local.codes)
    return found


def _ask(library: Path, shard: Shard, asked: Sequence[canaries.Part]) -> None:
    canaries.check_answers(
        library,
        asked,
        index=shard.index,
        search=shard.features,
        named=shard.places["item"],
        ids=[asset.id for asset in shard.assets],
    )


def _check_distinct(library: Path, served: Sequence[Served], *, known: Sequence[Served]) -> None:
    """A kill must name its reference without doubt. Of what is `known` to be so only the rest is looked at."""
    for number, one in enumerate(served):
        if any(one is old for old in known):
            continue
        for other in (*served[:number], *served[number + 1 :]):
            for asset in filter(one.is_live, one.shard.ids.shared(other.shard.ids)):
                if any(map(other.is_live, other.shard.with_id(one.assets[asset].id))):
                    raise LibraryDamaged("load library", library, "two live items have one id")
        for asset in filter(one.is_live, one.shard.ids.twins()):
            if sum(map(one.is_live, one.shard.with_id(one.assets[asset].id))) > 1:
                raise LibraryDamaged("load library", library, "two live items have one id")


def _queries(prints: list[Fingerprint]) -> Codes:
    """All 16 views of each print, in the order of View: a negative's code is the complement."""
    codes = [code for look in prints for code in look.codes]
    if len(codes) != len(prints) * len(DIHEDRAL_VIEWS) or any(len(code) != PDQ_BYTES for code in codes):
        raise FingerprintError("search library", "", f"a print needs {len(DIHEDRAL_VIEWS)} codes of {PDQ_BYTES} bytes")
    upright = np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(len(prints), len(DIHEDRAL_VIEWS), PDQ_BYTES)
    return np.concatenate([upright, ~upright], axis=1).reshape(-1, PDQ_BYTES)


@dataclass(frozen=True, slots=True)
class _Hits:
    """A line a hit: in which shard, which row of it, of which query, how far; items and places counted over shards."""

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    queries: NDArray[np.int64]
    distances_bits: NDArray[np.int64]
    items: NDArray[np.int64]
    places: NDArray[np.int64]


def _hits(served: Sequence[Served], queries: Codes, *, radius_bits: int) -> _Hits:
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
    return _Hits(*map(np.concatenate, zip(*lines, strict=True)))


def _nearest(hits: _Hits) -> NDArray[np.int64]:
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
