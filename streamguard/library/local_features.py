"""Local features of a library's footage: arrays that never change, and the votes of a stream's features for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamguard.core.feature_records import in_pixels, in_units
from streamguard.core.geometry import Geometry
from streamguard.library.faiss_nearest import NearestCodes
from streamguard.types import (
    CODE_BYTES,
    AssetId,
    Codes,
    Features,
    MediaKind,
    Place,
    ReferenceFrame,
    Votes,
)

FEATURE = np.dtype([("frame", "<u4"), ("x", "<u2"), ("y", "<u2"), ("mirrored", "u1"), ("seen_elsewhere", "u1")])
"""One row a feature, in the order of their codes; `frame` counts frames."""

FRAME = np.dtype([("item", "<u4"), ("from_us", "<i8"), ("to_us", "<i8"), ("width_px", "<u2"), ("height_px", "<u2")])
"""One row a frame; `item` counts the segment's items, or a snapshot's assets."""

NEAREST = 4
NEAREST_BITS = 48
"""Of each feature of a stream the four nearest within 48 of 256 bits vote: several copies of one scene may be known."""

MOST_FRAMES = 8
"""However hostile the picture or degenerate the library, this many frames are looked at more closely."""

GLANCE_FROM = 150
_GLANCE_STEP = 3
GLANCE_VOTES = 5
"""Of a picture with so many features every third is looked up first, and the others only where so many of those vote
for one frame. Of the pictures with footage in our gauntlets that loses no catch, at 7 votes neither, at 10 the first.
"""

_USUAL = Geometry()
_STILL_WORTH = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """The features of some items. `codes` has a row for each of `rows`."""

    codes: Codes
    rows: NDArray[np.void]
    frames: NDArray[np.void]

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.rows.nbytes + self.frames.nbytes

    def is_sound(self, *, items: int) -> bool:
        """Whether every value is possible."""
        frames, rows = self.frames, self.rows
        return bool(
            len(self.codes) == len(rows)
            and np.all(rows["frame"] < len(frames))
            and np.all(rows["frame"][1:] >= rows["frame"][:-1])
            and np.all(rows["mirrored"] <= 1)
            and np.all(frames["item"] < items)
            and np.all((frames["from_us"] >= 0) & (frames["from_us"] <= frames["to_us"]))
            and np.all((frames["width_px"] > 0) & (frames["height_px"] > 0))
        )

    def of_items(self, renumbered: NDArray[np.int64]) -> "LocalFeatures":
        """Only the items whose new number is not negative, under their new numbers."""
        kept = renumbered[self.frames["item"]] >= 0
        frames = self.frames[kept]
        frames["item"] = renumbered[frames["item"]]
        numbers = np.full(len(kept), -1, np.int64)
        numbers[kept] = np.arange(len(frames))
        live = numbers[self.rows["frame"]] >= 0
        rows = self.rows[live]
        rows["frame"] = numbers[rows["frame"]]
        return LocalFeatures(self.codes[live], rows, frames)


NONE = LocalFeatures(np.empty((0, CODE_BYTES), np.uint8), np.empty(0, FEATURE), np.empty(0, FRAME))


def from_references(references: Sequence[Sequence[ReferenceFrame]]) -> LocalFeatures:
    """The arrays of each item's frames."""
    frames = [(number, frame) for number, item in enumerate(references) for frame in item]
    if not frames:
        return NONE
    counts = [len(frame.features) for _, frame in frames]
    rows = np.zeros(sum(counts), FEATURE)
    rows["frame"] = np.repeat(np.arange(len(frames)), counts)
    places = np.concatenate([frame.features.places for _, frame in frames])
    rows["x"], rows["y"] = in_units(places)
    rows["mirrored"] = np.concatenate([frame.features.mirrored for _, frame in frames])
    rows["seen_elsewhere"] = np.concatenate([frame.seen_elsewhere for _, frame in frames])
    table = [
        (number, frame.place.from_us, frame.place.to_us, frame.features.width_px, frame.features.height_px)
        for number, frame in frames
    ]
    return LocalFeatures(
        np.concatenate([frame.features.codes for _, frame in frames]), rows, np.array(table, dtype=FRAME)
    )


def joined(parts: Sequence[tuple[LocalFeatures, int]]) -> LocalFeatures:
    """(features, number of its first asset), one after another."""
    codes, rows, frames = [NONE.codes], [NONE.rows], [NONE.frames]
    count = 0
    for part, first_asset in parts:
        moved_rows, moved_frames = part.rows.copy(), part.frames.copy()
        moved_rows["frame"] += count
        moved_frames["item"] += first_asset
        count += len(part.frames)
        codes.append(part.codes)
        rows.append(moved_rows)
        frames.append(moved_frames)
    return LocalFeatures(np.concatenate(codes), np.concatenate(rows), np.concatenate(frames))


@dataclass(frozen=True, slots=True)
class Asset:
    """An item that is searched."""

    id: AssetId
    label: str
    kind: MediaKind


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
class FeatureSearch:
    """Votes of streams' features for frames of the library."""

    rows: NDArray[np.void]
    frames: NDArray[np.void]
    _starts: NDArray[np.int64] = field(repr=False)
    """Where in `rows` each frame begins, and the last ends."""
    _nearest: NearestCodes = field(repr=False)

    @classmethod
    def over(cls, features: LocalFeatures) -> "FeatureSearch":
        """The codes stand in the index alone: it has a copy of its own."""
        starts = np.searchsorted(features.rows["frame"], np.arange(len(features.frames) + 1))
        return cls(features.rows, features.frames, starts, NearestCodes(features.codes))

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.frames.nbytes + self._nearest.rows * CODE_BYTES

    def nearest(self, codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows of the features, distances in bits) of the nearest four of each code; row -1: there is none."""
        return self._nearest.nearest(codes, most=NEAREST)

    def vote(self, stream: Features, assets: Sequence[Asset], *, closely: bool = True) -> tuple[Votes, ...]:
        """For the frames with the most votes, the features that voted; those that tell when count for five others.

        Not `closely`: a picture is not looked up whole where a third of it, spread over it, shows nothing.
        """
        if not len(stream) or not len(self.rows):
            return ()
        if closely or len(stream) < GLANCE_FROM:
            return self._strongest(self._cast(stream, *self.nearest(stream.codes)), stream, assets)
        some = np.arange(len(stream)) % _GLANCE_STEP == 0
        found, bits = (np.empty((len(stream), NEAREST), np.int64) for _ in range(2))
        found[some], bits[some] = glanced = self.nearest(stream.codes[some])
        if not self._cast(stream, *glanced, features=np.flatnonzero(some)).show(GLANCE_VOTES):
            return ()
        found[~some], bits[~some] = self.nearest(stream.codes[~some])
        return self._strongest(self._cast(stream, found, bits), stream, assets)

    def _cast(
        self,
        stream: Features,
        found: NDArray[np.int64],
        bits: NDArray[np.int64],
        *,
        features: NDArray[np.int64] | None = None,
    ) -> "_Cast":
        """What was found, by frame and form; `features`: of which of the stream's, if not of all."""
        asked, neighbours = np.nonzero((bits <= NEAREST_BITS) & (found >= 0))
        rows = self.rows[found[asked, neighbours]]
        ours = asked if features is None else features[asked]
        frames = rows["frame"].astype(np.int64) * 2 + (rows["mirrored"].astype(np.bool_) != stream.mirrored[ours])
        order = np.argsort(frames, kind="stable")
        groups, starts, counts = np.unique(frames[order], return_index=True, return_counts=True)
        return _Cast(ours[order], rows[order], groups, starts, counts)

    def _strongest(self, cast: "_Cast", stream: Features, assets: Sequence[Asset]) -> tuple[Votes, ...]:
        if not cast.show(_USUAL.least_votes):
            return ()
        worth = np.where(cast.rows["seen_elsewhere"] <= _USUAL.telling_elsewhere, 1.0, _STILL_WORTH)
        worths = np.add.reduceat(worth, cast.starts)
        enough = np.flatnonzero(cast.counts >= _USUAL.least_votes)
        strongest = enough[np.argsort(-worths[enough], kind="stable")[:MOST_FRAMES]]
        return tuple(
            self._votes(
                int(cast.groups[group]), stream, ours=cast.ours[members], rows=cast.rows[members], assets=assets
            )
            for group in strongest
            for members in [slice(cast.starts[group], cast.starts[group] + cast.counts[group])]
        )

    def _votes(
        self, group: int, stream: Features, *, ours: NDArray[np.int64], rows: NDArray[np.void], assets: Sequence[Asset]
    ) -> Votes:
        frame = self.frames[group // 2]
        asset = assets[int(frame["item"])]
        all_of_it = self.rows[self._starts[group // 2] : self._starts[group // 2 + 1]]
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
