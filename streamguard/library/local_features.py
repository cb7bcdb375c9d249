"""Local features of a library's footage: arrays that never change, and the nearest of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamguard.core.feature_records import in_units
from streamguard.library.faiss_nearest import Filed, NearestCodes, filed_together
from streamguard.library.in_threads import in_threads
from streamguard.library.turns import GiveWay, nobody_waits, stretches
from streamguard.types import CODE_BYTES, AssetId, Codes, MediaKind, ReferenceFrame

FEATURE = np.dtype([("frame", "<u4"), ("x", "<u2"), ("y", "<u2"), ("mirrored", "u1"), ("seen_elsewhere", "u1")])
"""One row a feature, in the order of their codes; `frame` counts frames."""

FRAME = np.dtype([("item", "<u4"), ("from_us", "<i8"), ("to_us", "<i8"), ("width_px", "<u2"), ("height_px", "<u2")])
"""One row a frame; `item` counts the segment's items, or a snapshot's assets."""

NEAREST = 4
NEAREST_BITS = 48
"""Of each feature of a stream the four nearest within 48 of 256 bits vote: several copies of one scene may be known."""

_NOWHERE_BITS = 1 << 30
"""As far as what is not there."""

_MOST_ASKED = 256
"""Behind so many neighbours that do not count, nothing is looked for: as many copies of one frame are switched off."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """The features of some items. `codes` has a row for each of `rows`. `filed`: where they stand in an index."""

    codes: Codes
    rows: NDArray[np.void]
    frames: NDArray[np.void]
    filed: Filed | None = None

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
        filed = None if self.filed is None else Filed(self.filed.middles, self.filed.lists[live])
        return LocalFeatures(self.codes[live], rows, frames, filed)


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


def joined(parts: Sequence[tuple[LocalFeatures, int]], *, give_way: GiveWay = nobody_waits) -> LocalFeatures:
    """(features, number of its first asset), one after another, in new arrays."""
    starts = np.cumsum([0, *(len(part.rows) for part, _ in parts)]).tolist()
    frames_before = np.cumsum([0, *(len(part.frames) for part, _ in parts)]).tolist()
    codes, rows = np.empty((starts[-1], CODE_BYTES), np.uint8), np.empty(starts[-1], FEATURE)
    frames = np.empty(frames_before[-1], FRAME)

    def put(number: int) -> None:
        part, first_asset = parts[number]
        own_codes, own_rows = codes[starts[number] :], rows[starts[number] :]
        for some in stretches(len(part.rows)):
            give_way()
            own_codes[some], own_rows[some] = part.codes[some], part.rows[some]
            own_rows["frame"][some] += np.uint32(frames_before[number])
        own = slice(frames_before[number], frames_before[number + 1])
        frames[own] = part.frames
        frames["item"][own] += np.uint32(first_asset)

    in_threads(put, range(len(parts)), rows=starts[-1])
    filed = filed_together([(part.filed, len(part.rows)) for part, _ in parts])
    return LocalFeatures(codes, rows, frames, filed)


@dataclass(frozen=True, slots=True)
class Asset:
    """An item that is searched."""

    id: AssetId
    label: str
    kind: MediaKind


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSearch:
    """The nearest of some footage's features."""

    rows: NDArray[np.void]
    frames: NDArray[np.void]
    starts: NDArray[np.int64] = field(repr=False)
    """Where in `rows` each frame begins, and the last ends."""
    _nearest: NearestCodes = field(repr=False)

    @classmethod
    def over(cls, features: LocalFeatures, *, give_way: GiveWay = nobody_waits) -> "FeatureSearch":
        """The codes stand in the index alone: it has a copy of its own."""
        starts = np.searchsorted(features.rows["frame"], np.arange(len(features.frames) + 1))
        nearest = NearestCodes(features.codes, filed=features.filed, give_way=give_way)
        return cls(features.rows, features.frames, starts, nearest)

    def features(self, codes: Codes) -> LocalFeatures:
        """What to index anew, of the codes that this was made of; where they stand counts there."""
        return LocalFeatures(codes, self.rows, self.frames, self._nearest.filed)

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + self.frames.nbytes + self.starts.nbytes + self._nearest.nbytes

    def nearest(
        self, codes: Codes, *, live: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows of the features, distances in bits) of the nearest four of each code, in order; row -1: there is none.
        `live`, by item: only features of these count, up to NEAREST_BITS away.
        """
        rows, bits = self._nearest.nearest(codes, most=NEAREST)
        if live is None or not len(rows):
            return rows, bits
        found, distances = np.full_like(rows, -1), np.full_like(bits, _NOWHERE_BITS)
        asked, most = np.arange(len(codes)), NEAREST
        while True:
            on = self._counts(rows, live)
            first = np.argsort(~on, axis=1, kind="stable")[:, :NEAREST]
            counted = np.take_along_axis(on, first, axis=1)
            found[asked] = np.where(counted, np.take_along_axis(rows, first, axis=1), -1)
            distances[asked] = np.where(counted, np.take_along_axis(bits, first, axis=1), _NOWHERE_BITS)
            # Those that do not count may hide some that do: of what has too few, more are asked for.
            hidden = (on.sum(axis=1) < NEAREST) & (rows[:, -1] >= 0) & (bits[:, -1] <= NEAREST_BITS)
            if most >= _MOST_ASKED or not hidden.any():
                return found, distances
            asked, most = asked[hidden], 4 * most
            rows, bits = self._nearest.nearest(codes[asked], most=most)

    def _counts(self, rows: NDArray[np.int64], live: NDArray[np.bool_]) -> NDArray[np.bool_]:
        there = rows >= 0
        frames = self.rows["frame"][rows[there]]
        on = np.zeros(rows.shape, np.bool_)
        on[there] = live[self.frames["item"][frames]]
        return on
