"""What a stream shows besides the footage: a host's studio, a waiting screen, a slate.

It stands beside recognised footage as more of that footage does, and whoever made it known would have every later
broadcast of that host cut. So a picture that was on long before the footage came, or that stands on the other side of
it as well, is context.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.stillness import same_place
from streamguard.types import PDQ_BITS, PDQ_BYTES, Fingerprints, MediaTime, View

LONG_BEFORE_S = 30.0
"""What was on so long before the first recognised keyframe of a session, and is on again, is none of the footage."""

_ALIKE_BITS = 31
"""PDQ's usual radius."""

_MAYBE_ALIKE_BITS = 110
"""Whoever moves before a camera changes its picture by up to 70 bits; of two unlike pictures one in 50 is so near."""

_ALIKE_SHARE, _LEAST_FEATURES = 0.4, 30
"""Of the features so many stand at the same place: the same camera, whoever moves before it."""

_STANDS_S = 4.0
"""On for so long without a change: a film that is shown over and over does not stand."""

_MOST_OF_IT = 0.5

_MOST_COMPARED, _MOST_PAIRS = 12, 30_000
"""Of one run, by features, which takes 0.3 ms a pair; and of one stream in all. A stream that is recognised in every
third keyframe has hundreds of runs: then what came last is told by hashes alone.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Keyframes of one session in a row that show nothing known, in order of time."""

    keyframes: tuple[Fingerprints, ...]


def is_blank(keyframe: Fingerprints) -> bool:
    """Black, flat or fading: nothing to recognise by its hash."""
    return all(look.quality < pdq.MIN_QUALITY for look in keyframe.prints)


def stands_still(keyframes: Sequence[Fingerprints]) -> bool:
    """Whether most of what there is to see is one camera that does not move, whatever moves before it."""
    seen = _Pictures([one for one in keyframes if not is_blank(one)])
    rows = range(len(seen))
    return len(seen) > 0 and sum(seen.is_among(row, rows) for row in rows) >= _MOST_OF_IT * len(seen)


def context_in(runs: Sequence[Run], *, first_known_us: Mapping[int, int]) -> frozenset[MediaTime]:
    """When the runs of one stream show context. `first_known_us`: of each session in which something was recognised,
    the time of the first such keyframe.
    """
    pictures = _Pictures([one for run in runs for one in run.keyframes])
    ends = np.cumsum([0, *(len(run.keyframes) for run in runs)]).tolist()
    rows_of_runs = [range(since, until) for since, until in pairwise(ends)]
    long_before: dict[int, list[int]] = {}
    for row, one in enumerate(pictures.keyframes):
        if first_known_us.get(one.at.session, 0) - one.at.pts_us > LONG_BEFORE_S * 1e6:
            long_before.setdefault(one.at.session, []).append(row)
    return frozenset(
        pictures.keyframes[row].at
        for own in rows_of_runs
        for row in own
        if pictures.is_among(row, long_before.get(pictures.keyframes[row].at.session, []))
        or any(pictures.stands_in(row, other) for other in rows_of_runs if other is not own)
    )


class _Pictures:
    """Keyframes, and which of them look alike; one is meant by its row."""

    def __init__(self, keyframes: Sequence[Fingerprints]) -> None:
        self.keyframes = keyframes
        looks = [
            (row, look.codes[View.UPRIGHT])
            for row, one in enumerate(keyframes)
            for look in one.prints
            if look.quality >= pdq.MIN_QUALITY
        ]
        self._rows = np.array([row for row, _ in looks], np.int64)
        self._words = np.frombuffer(b"".join(code for _, code in looks), np.uint64).reshape(len(looks), PDQ_BYTES // 8)
        self._last: tuple[int, NDArray[np.int64]] = -1, self._rows
        self._pairs = 0

    def __len__(self) -> int:
        return len(self.keyframes)

    def is_among(self, row: int, others: Sequence[int]) -> bool:
        """At another time than its own."""
        at_us = self.keyframes[row].at.pts_us
        others_us = (self.keyframes[other].at.pts_us for other in self._alike(row, others))
        return any(abs(other_us - at_us) >= _STANDS_S * 1e6 for other_us in others_us)

    def stands_in(self, row: int, others: Sequence[int]) -> bool:
        """Whether it is on there, and for a while; they are in order of time."""
        if self._lasts_s(others) < _STANDS_S:
            return False
        first_us: int | None = None
        for other in self._alike(row, others):
            at_us = self.keyframes[other].at.pts_us
            first_us = at_us if first_us is None else first_us
            if at_us - first_us >= _STANDS_S * 1e6:
                return True
        return False

    def _lasts_s(self, rows: Sequence[int]) -> float:
        return (self.keyframes[rows[-1]].at.pts_us - self.keyframes[rows[0]].at.pts_us) / 1e6 if rows else 0.0

    def _alike(self, row: int, others: Sequence[int]) -> Iterator[int]:
        """By hash all of them, by features a few."""
        bits = self._bits(row)
        step = max(1, -(-len(others) // _MOST_COMPARED))
        for number, other in enumerate(others):
            if bits[other] <= _ALIKE_BITS or (
                number % step == 0 and bits[other] <= _MAYBE_ALIKE_BITS and self._has_the_same_places(row, other)
            ):
                yield other

    def _bits(self, row: int) -> NDArray[np.int64]:
        """How far it is from each, with black bars or without; from what is blank as far as can be."""
        if self._last[0] != row:
            nearest = np.full(len(self), PDQ_BITS, np.int64)
            for own in np.flatnonzero(self._rows == row):
                bits = np.bitwise_count(self._words ^ self._words[own]).sum(axis=1, dtype=np.int64)
                np.minimum.at(nearest, self._rows, bits)
            self._last = row, nearest
        return self._last[1]

    def _has_the_same_places(self, row: int, other: int) -> bool:
        mine, theirs = self.keyframes[row].features, self.keyframes[other].features
        if min(len(mine), len(theirs)) < _LEAST_FEATURES or self._pairs >= _MOST_PAIRS:
            return False
        self._pairs += 1
        return bool(same_place(mine, theirs).mean() >= _ALIKE_SHARE)
