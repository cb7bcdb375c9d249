"""What a worker matches against: everything live, in memory, checked, immutable, safe for any number of threads.

Reads `current.json` and the segments that it names; needs no write permission and no SQLite.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.rules import Rules
from streamguard.errors import FingerprintError, LibraryDamaged, LibraryUntrusted
from streamguard.library import canaries, local_features
from streamguard.library.canaries import Part
from streamguard.library.ed25519 import Trust
from streamguard.library.faiss_flat import Hits
from streamguard.library.live_set import CURRENT, SEGMENTS, LiveSegment, LiveSet, read_live_set
from streamguard.library.local_features import Asset, FeatureSearch, LocalFeatures
from streamguard.library.pdq_index import PdqIndex
from streamguard.library.segments import PLACE, Places, SegmentRef, kind_of, read_segment
from streamguard.library.thumbnails import Album
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

_VIEWS = len(View)
_LOADS_TRIED = 3


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


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One segment's live looks and features; `places["item"]` counts `assets`."""

    assets: tuple[Asset, ...]
    codes: Codes
    places: Places
    place_numbers: NDArray[np.uint32]
    local: LocalFeatures
    album: Album


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One version of the library. `load_snapshot` makes it."""

    version: str
    created_unix_s: float
    assets: tuple[Asset, ...]
    _index: PdqIndex = field(repr=False)
    _places: Places = field(repr=False)
    _place_numbers: NDArray[np.uint32] = field(repr=False)
    _local: FeatureSearch = field(repr=False)
    _spans: dict[LiveSegment, tuple[slice, slice]] = field(repr=False)
    _segments: dict[LiveSegment, LocalFeatures] = field(repr=False)
    _albums: dict[LiveSegment, Album] = field(repr=False)
    rules: Rules | None = None
    """The rule that was fitted for this library; `watch.SnapshotHolder` fills it in."""

    @property
    def generation(self) -> int:
        """How many changes had made the library what it was then."""
        return int(self.version.partition("-")[0])

    @property
    def items(self) -> int:
        return len(self.assets)

    @property
    def looks(self) -> int:
        return self._index.rows

    @property
    def features(self) -> int:
        return len(self._local.rows)

    @property
    def bytes_in_memory(self) -> int:
        # The features stand here twice: once as they were read, for the next snapshot, and once in the index.
        local = self._local.nbytes + sum(part.nbytes for part in self._segments.values())
        local += sum(album.spans.nbytes for album in self._albums.values())
        return self._index.nbytes + self._places.nbytes + self._place_numbers.nbytes + local

    def vote(self, features: Features, *, closely: bool = True) -> tuple[Votes, ...]:
        """The frames that a stream's local features look like, the most likely first; at most 8. Not `closely`: for a
        stream that has shown nothing, at a third of the cost where it goes on so.
        """
        return self._local.vote(features, self.assets, closely=closely)

    def picture(self, asset: AssetId, place: Place) -> bytes:
        """A thumbnail of known footage at a place of it, read from disk; empty where there is none."""
        pictures = (album.picture(asset, place) for album in self._albums.values() if asset in album.items)
        return next((picture for picture in pictures if picture), b"")

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:
        """Looks within the radius of any print of good quality, seen in any of the 16 views; nearest first.

        At most 4 distinct places for each asset, view and print, and 256 candidates in all.
        """
        telling = [look for look in prints if look.quality >= pdq.MIN_QUALITY]
        if not telling or not self.looks:
            return ()
        hits = self._index.within(_queries(telling), radius_bits=radius_bits)
        if not len(hits.rows):
            return ()
        queries = np.repeat(np.arange(len(hits.starts) - 1), np.diff(hits.starts))
        items = self._places["item"][hits.rows].astype(np.int64)
        kept = _nearest(hits, queries, items=items, places=self._place_numbers[hits.rows].astype(np.int64))
        return tuple(
            self._candidate(
                int(hits.rows[hit]),
                query=int(queries[hit]),
                region=telling[int(queries[hit]) // _VIEWS].region,
                distance_bits=int(hits.distances_bits[hit]),
            )
            for hit in kept
        )

    def _candidate(self, row: int, *, query: int, region: Region, distance_bits: int) -> Candidate:
        place = self._places[row]
        asset = self.assets[int(place["item"])]
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

    def _parts(self) -> dict[LiveSegment, _Loaded]:
        """Its segments, for the next snapshot: no need to read and check them again."""
        codes = self._index.codes()
        parts = {}
        for segment, (rows, assets) in self._spans.items():
            places = self._places[rows].copy()
            places["item"] -= assets.start
            # Places of a segment are numbered from its first row's number on: see _load.
            numbers = self._place_numbers[rows] - rows.start
            local, album = self._segments[segment], self._albums[segment]
            parts[segment] = _Loaded(self.assets[assets], codes[rows], places, numbers, local, album)
        return parts


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
    give_back()  # what loading took: 72 MiB with a million looks
    return loaded


def _load_live(library: Path, previous: Snapshot | None, demands: Demands) -> Snapshot:
    for tried in range(1, _LOADS_TRIED + 1):
        live = read_live_set(library, trust=demands.trust)
        if demands.trust is not None and previous is not None:
            _check_not_older(library, live, previous)
        try:
            return _load(library, live, previous, trial=demands.trial)
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


def _load(library: Path, live: LiveSet, previous: Snapshot | None, *, trial: Trial | None) -> Snapshot:
    known = {} if previous is None else previous._parts()  # noqa: SLF001  (this module's own class)
    if trial is not None:
        tried = {_ref(segment) for segment in known}  # with other items off it was the same
        trial(library / SEGMENTS, [ref for ref in map(_ref, live.segments) if ref not in tried])
    parts = [known.get(segment) or _read(library, segment) for segment in live.segments]
    assets: list[Asset] = []
    rows = 0
    looks = sum(len(part.codes) for part in parts)
    codes = np.empty((looks, PDQ_BYTES), np.uint8)
    places = np.empty(looks, PLACE)
    numbers = np.empty(looks, np.uint32)
    spans = {}
    local = []
    for segment, part in zip(live.segments, parts, strict=True):
        span = slice(rows, rows + len(part.codes))
        spans[segment] = span, slice(len(assets), len(assets) + len(part.assets))
        codes[span] = part.codes
        places[span] = part.places
        places["item"][span] += len(assets)
        # A segment has at most as many places as rows, so numbers of different segments never meet.
        numbers[span] = part.place_numbers
        numbers[span] += rows
        rows = span.stop
        local.append((part.local, len(assets)))
        assets.extend(part.assets)
    if len({asset.id for asset in assets}) != len(assets):
        raise LibraryDamaged("load library", library, "two live items have one id")
    index, search = PdqIndex.over(codes), FeatureSearch.over(local_features.joined(local))
    canaries.check_answers(
        library,
        [part for part in _laid_out(live, parts) if part.segment not in known],
        index=index,
        search=search,
        named=places["item"],
        ids=[asset.id for asset in assets],
    )
    return Snapshot(
        version=live.version,
        created_unix_s=live.changed_unix_s,
        assets=tuple(assets),
        _index=index,
        _places=places,
        _place_numbers=numbers,
        _local=search,
        _spans=spans,
        _segments={segment: part.local for segment, part in zip(live.segments, parts, strict=True)},
        _albums={segment: part.album for segment, part in zip(live.segments, parts, strict=True)},
    )


def _laid_out(live: LiveSet, parts: Sequence[_Loaded]) -> Iterator[Part]:
    """One after another, as in the version's arrays."""
    look = feature = 0
    for segment, part in zip(live.segments, parts, strict=True):
        ids = [asset.id for asset in part.assets]
        yield Part(segment, ids, part.codes, part.places, look, part.local.codes, feature)
        look += len(part.codes)
        feature += len(part.local.codes)


def _ref(segment: LiveSegment) -> SegmentRef:
    return SegmentRef(segment.id, segment.manifest_sha256)


def _read(library: Path, live: LiveSegment) -> _Loaded:
    segment = read_segment(library / SEGMENTS, _ref(live))
    off = set(live.off)
    on = [number for number, item in enumerate(segment.items) if item.id not in off]
    renumbered = np.full(len(segment.items), -1, dtype=np.int64)
    renumbered[on] = np.arange(len(on))
    codes, places = segment.codes, segment.places
    if off:
        kept = renumbered[places["item"]] >= 0
        codes, places = codes[kept], places[kept]
        places["item"] = renumbered[places["item"]]
    items = [segment.items[number] for number in on]
    assets = tuple(Asset(AssetId(item.id), item.label, kind_of(item)) for item in items)
    local = segment.local.of_items(renumbered)
    # The id of an item that was removed may name other footage by now, in another segment.
    album = replace(segment.album, items={id_: n for id_, n in segment.album.items.items() if id_ not in off})
    return _Loaded(assets, codes, places, _numbered(places), local, album)


def _numbered(places: Places) -> NDArray[np.uint32]:
    """For each look a number of its place, from 0, the same for all looks of that place (with and without bars)."""
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


def _queries(prints: list[Fingerprint]) -> Codes:
    """All 16 views of each print, in the order of View: a negative's code is the complement."""
    codes = [code for look in prints for code in look.codes]
    if len(codes) != len(prints) * len(DIHEDRAL_VIEWS) or any(len(code) != PDQ_BYTES for code in codes):
        raise FingerprintError("search library", "", f"a print needs {len(DIHEDRAL_VIEWS)} codes of {PDQ_BYTES} bytes")
    upright = np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(len(prints), len(DIHEDRAL_VIEWS), PDQ_BYTES)
    return np.concatenate([upright, ~upright], axis=1).reshape(-1, PDQ_BYTES)


def _nearest(
    hits: Hits, queries: NDArray[np.int64], *, items: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which hits to keep, nearest first: of each place the nearest look, of each query and item the nearest places."""
    order = np.lexsort((places, queries, hits.distances_bits))
    # np.unique keeps the first of each, which is the nearest, as the order is by distance.
    order = order[np.sort(np.unique(np.stack([queries, places])[:, order], axis=1, return_index=True)[1])]
    groups = np.stack([queries, items])[:, order]
    by_group = np.lexsort((np.arange(len(order)), groups[1], groups[0]))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(groups[:, by_group], axis=1) != 0).any(axis=0)
    first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    near = by_group[np.arange(len(order)) - first < MOST_PLACES]
    return order[np.sort(near)[:MOST_CANDIDATES]]
