"""The frames of a library that a stream's local features vote for, over all the parts in which it is searched."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamguard.core.feature_records import in_pixels
from streamguard.core.geometry import Geometry
from streamguard.library.local_features import FEATURE, NEAREST, NEAREST_BITS, Asset, FeatureSearch
from streamguard.types import Codes, Features, MediaKind, Place, Votes

MOST_FRAMES = 8
"""However hostile the picture or degenerate the library, this many frames are looked at more closely."""

GLANCE_FROM = 150
GLANCE_STEP = 4
GLANCE_VOTES = 4
"""Of a picture with so many features every fourth is looked up first, and the others only where so many of those vote
for one frame. Of the pictures with footage in our gauntlets that loses no catch; nor did 7 votes of every third, and 10
of these lost the first.
"""

_USUAL = Geometry()
_STILL_WORTH = 0.2

_Found = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """One part. `live`, by asset: whether its features count; None: all do."""

    search: FeatureSearch
    assets: Sequence[Asset]
    live: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Cast:
    """Votes, frame after frame: the stream's features and the library's rows; and of each frame (twice its number, and
    one more where it is mirrored) where its votes start and how many there are.
    """

    ours: NDArray[np.int64]
    rows: NDArray[np.void]
    groups: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def show(self, votes: int) -> bool:
        """Whether any frame has so many."""
        return bool(np.any(self.counts >= votes))


@dataclass(frozen=True, slots=True, eq=False)
class FeatureVotes:
    """Safe for any number of threads; never changes. Rows and frames are counted through all parts."""

    parts: tuple[Footage, ...]
    _first_rows: NDArray[np.int64] = field(repr=False)
    _first_frames: NDArray[np.int64] = field(repr=False)

    @classmethod
    def over(cls, parts: Sequence[Footage]) -> "FeatureVotes":
        """Of any number of parts, as if they were one."""
        rows = np.cumsum([0, *(len(part.search.rows) for part in parts)], dtype=np.int64)
        frames = np.cumsum([0, *(len(part.search.frames) for part in parts)], dtype=np.int64)
        return cls(tuple(parts), rows[:-1], frames[:-1])

    def vote(self, stream: Features, *, closely: bool = True) -> tuple[Votes, ...]:
        """For the frames with the most votes, the features that voted; those that tell when count for five others.
        Unless `closely`, a quarter of the features is asked first, and the others where those find something.
        """
        if not len(stream) or not self.parts:
            return ()
        if closely or len(stream) < GLANCE_FROM:
            return self._strongest(self._cast(stream, self._nearest(stream.codes)), stream)
        some = np.arange(len(stream)) % GLANCE_STEP == 0
        found, bits = (np.empty((len(stream), NEAREST), np.int64) for _ in range(2))
        found[some], bits[some] = glanced = self._nearest(stream.codes[some])
        if not self._cast(stream, glanced, features=np.flatnonzero(some)).show(GLANCE_VOTES):
            return ()
        found[~some], bits[~some] = self._nearest(stream.codes[~some])
        return self._strongest(self._cast(stream, (found, bits)), stream)

    def _nearest(self, codes: Codes) -> _Found:
        """The nearest four of all parts."""
        each = [part.search.nearest(codes, live=part.live) for part in self.parts]
        if len(each) == 1:
            return each[0]
        rows = np.hstack(
            [np.where(own >= 0, own + first, -1) for (own, _), first in zip(each, self._first_rows, strict=True)]
        )
        bits = np.hstack([own for _, own in each])
        order = np.argsort(bits, axis=1, kind="stable")[:, :NEAREST]
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(bits, order, axis=1)

    def _rows(self, found: NDArray[np.int64]) -> NDArray[np.void]:
        """FEATURE of each, with its frame as counted here."""
        rows = np.empty(len(found), FEATURE)
        owners = np.searchsorted(self._first_rows, found, side="right") - 1
        for number, part in enumerate(self.parts):
            own = owners == number
            taken = part.search.rows[found[own] - self._first_rows[number]]
            taken["frame"] += np.uint32(self._first_frames[number])
            rows[own] = taken
        return rows

    def _cast(self, stream: Features, nearest: _Found, *, features: NDArray[np.int64] | None = None) -> _Cast:
        """What was found, by frame and form; `features`: of which of the stream's, if not of all."""
        found, bits = nearest
        asked, neighbours = np.nonzero((bits <= NEAREST_BITS) & (found >= 0))
        rows = self._rows(found[asked, neighbours])
        ours = asked if features is None else features[asked]
        frames = rows["frame"].astype(np.int64) * 2 + (rows["mirrored"].astype(np.bool_) != stream.mirrored[ours])
        order = np.argsort(frames, kind="stable")
        groups, starts, counts = np.unique(frames[order], return_index=True, return_counts=True)
        return _Cast(ours[order], rows[order], groups, starts, counts)

    def _strongest(self, cast: _Cast, stream: Features) -> tuple[Votes, ...]:
        if not cast.show(_USUAL.least_votes):
            return ()
        worth = np.where(cast.rows["seen_elsewhere"] <= _USUAL.telling_elsewhere, 1.0, _STILL_WORTH)
        worths = np.add.reduceat(worth, cast.starts)
        enough = np.flatnonzero(cast.counts >= _USUAL.least_votes)
        strongest = enough[np.argsort(-worths[enough], kind="stable")[:MOST_FRAMES]]
        return tuple(
            self._votes(int(cast.groups[group]), stream, ours=cast.ours[members], rows=cast.rows[members])
            for group in strongest
            for members in [slice(cast.starts[group], cast.starts[group] + cast.counts[group])]
        )

    def _votes(self, group: int, stream: Features, *, ours: NDArray[np.int64], rows: NDArray[np.void]) -> Votes:
        # Parts without a frame begin where the next one does, and own none.
        owner = int(np.searchsorted(self._first_frames, group // 2, side="right")) - 1
        part, number = self.parts[owner], group // 2 - int(self._first_frames[owner])
        frame = part.search.frames[number]
        asset = part.assets[int(frame["item"])]
        all_of_it = part.search.rows[part.search.starts[number] : part.search.starts[number + 1]]
        return Votes(
            asset=asset.id,
            label=asset.label,
            kind=asset.kind,
            place=Place(int(frame["from_us"]), int(frame["to_us"])),
            mirrored=bool(group % 2),
            stream_size_px=(stream.width_px, stream.height_px),
            frame_size_px=(int(frame["width_px"]), int(frame["height_px"])),
            stream_places=stream.places[ours],
            frame_places=in_pixels(rows["x"], rows["y"]),
            seen_elsewhere=rows["seen_elsewhere"],
            still=stream.still[ours],
            known_places=in_pixels(all_of_it["x"], all_of_it["y"]),
            moving_places=stream.places if asset.kind is MediaKind.IMAGE else stream.places[~stream.still],
        )
