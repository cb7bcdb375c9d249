"""What stands still: features that one picture has at the same place as another.

Where the camera stands still, so does what it shows for long, and the same camera's stream shows that on any other day
too. So features that stand still tell nothing about *when*, neither in the known footage (core.reference_frames) nor in
the stream: a car that covered a wall for most of the footage makes the wall look like something that comes and goes,
but in a stream without that car the wall is there all the time.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamguard.types import Codes, Features, Fingerprints

SAME_PLACE_PX = 8.0
SAME_CODE_BITS = 44
_SURELY_NEAR_PX = np.float32(SAME_PLACE_PX + 1)
"""Beyond what rounding can hide."""

APART_S = 1.5
"""Pictures nearer than this show the same, whatever moves."""

LOOKS_BACK_S = (1.5, 4.0, 8.0)
"""A keyframe is compared with the newest that are so much older."""

_KEPT_S = 20.0
_KEPT = 64

_Rows = NDArray[np.int64]


def same_place(found: Features, *others: Features) -> NDArray[np.bool_]:
    """Which of the features any of the other pictures has at the same place."""
    has = np.zeros(len(found), np.bool_)
    if not others:
        return has
    places, codes = (np.concatenate(parts) for parts in zip(*((one.places, one.codes) for one in others), strict=True))
    ours, theirs = _near_in_a_row(found.places[:, 0], places[:, 0])
    for axis in (1, 0):
        near = np.flatnonzero(np.abs(found.places[ours, axis] - places[theirs, axis]) <= SAME_PLACE_PX)
        ours, theirs = ours[near], theirs[near]
    bits = np.bitwise_count(_words(found.codes)[ours] ^ _words(codes)[theirs]).sum(axis=1, dtype=np.int64)
    has[ours[bits <= SAME_CODE_BITS]] = True
    return has


def _near_in_a_row(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> tuple[_Rows, _Rows]:
    """The pairs of values that may be as near as `SAME_PLACE_PX`, and some that are a little farther apart.

    Of pictures 512 pixels wide that is one pair in 28: to compare all with all was half the cost of adding footage.
    """
    order = np.argsort(theirs)
    ordered = theirs[order]
    first = np.searchsorted(ordered, ours - _SURELY_NEAR_PX, side="left")
    counts = np.searchsorted(ordered, ours + _SURELY_NEAR_PX, side="right") - first
    rows = np.repeat(np.arange(len(ours)), counts)
    # Not `np.cumsum`: Python keeps a new string for each of thousands of calls, in each stream's process.
    before = np.add.accumulate(counts) - counts
    return rows, order[np.arange(len(rows)) + np.repeat(first - before, counts)]


def _words(codes: Codes) -> NDArray[np.uint64]:
    return np.ascontiguousarray(codes).view(np.uint64)


@dataclass(slots=True)
class StreamMemory:
    """The last features of one session, oldest first: of keyframes, and of pictures between them, which may be another
    camera's, and of which too none must be taken for new that was there before.
    """

    _past: tuple[Fingerprints, ...] = ()
    _past_between: tuple[Fingerprints, ...] = ()

    def marked(self, keyframe: Fingerprints) -> Fingerprints:
        """The keyframe, with those features marked that the stream showed at the same place some seconds ago.

        As long as nothing is old enough to compare with, all are: nobody knows which of them come and go.
        """
        pasts = self._looked_back_at(keyframe.at.pts_us)
        still = same_place(keyframe.features, *(past.features for past in pasts))
        if not pasts:
            still[:] = True
        self._remember(keyframe)
        return replace(keyframe, features=replace(keyframe.features, still=still))

    def _looked_back_at(self, now_us: int) -> tuple[Fingerprints, ...]:
        older = [
            [past for past in kind if now_us - past.at.pts_us >= ago_s * 1e6]
            for kind in (self._past, self._past_between)
            for ago_s in LOOKS_BACK_S
        ]
        return tuple({past.at: past for pasts in older for past in pasts[-1:]}.values())

    def _remember(self, keyframe: Fingerprints) -> None:
        """Not more than are needed, however many keyframes there are."""
        kind = self._past_between if keyframe.between else self._past
        since_us = keyframe.at.pts_us - _KEPT_S * 1e6
        if kind and keyframe.at.pts_us - kind[-1].at.pts_us < APART_S * 1e6 / 3:
            return
        kind = (*(past for past in kind if past.at.pts_us >= since_us), keyframe)[-_KEPT:]
        if keyframe.between:
            self._past_between = kind
        else:
            self._past = kind
