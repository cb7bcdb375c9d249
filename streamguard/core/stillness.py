"""What stands still: features that one picture has at the same place as another.

Where the camera stands still, so does what it shows for long, and the same camera's stream shows that on any other day
too. So features that stand still tell nothing about *when*, neither in the known footage (core.reference_frames) nor in
the stream: a car that covered a wall for most of the footage makes the wall look like something that comes and goes,
but in a stream without that car the wall is there all the time.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamguard.types import Features, Fingerprints

SAME_PLACE_PX = 8.0
SAME_CODE_BITS = 44

APART_S = 1.5
"""Pictures nearer than this show the same, whatever moves."""

LOOKS_BACK_S = (1.5, 4.0, 8.0)
"""A keyframe is compared with the newest that are so much older."""

_KEPT_S = 20.0
_KEPT = 64


def same_place(found: Features, other: Features) -> NDArray[np.bool_]:
    """Which of the features the other picture has at the same place."""
    near = np.ones((len(found), len(other)), np.bool_)
    for axis in (0, 1):
        near &= np.abs(found.places[:, axis, None] - other.places[None, :, axis]) <= SAME_PLACE_PX
    ours, theirs = np.nonzero(near)
    bits = np.bitwise_count(found.codes[ours] ^ other.codes[theirs]).sum(axis=1, dtype=np.int64)
    has = np.zeros(len(found), np.bool_)
    has[ours[bits <= SAME_CODE_BITS]] = True
    return has


@dataclass(slots=True)
class StreamMemory:
    """The last features of one session, oldest first."""

    _past: tuple[Fingerprints, ...] = ()

    def marked(self, keyframe: Fingerprints) -> Fingerprints:
        """The keyframe, with those features marked that the stream showed at the same place some seconds ago.

        As long as nothing is old enough to compare with, all are: nobody knows which of them come and go.
        """
        pasts = self._looked_back_at(keyframe.at.pts_us)
        still = np.full(len(keyframe.features), not pasts)
        for past in pasts:
            still |= same_place(keyframe.features, past.features)
        self._remember(keyframe)
        return replace(keyframe, features=replace(keyframe.features, still=still))

    def _looked_back_at(self, now_us: int) -> tuple[Fingerprints, ...]:
        older = [[past for past in self._past if now_us - past.at.pts_us >= ago_s * 1e6] for ago_s in LOOKS_BACK_S]
        return tuple({past.at: past for pasts in older for past in pasts[-1:]}.values())

    def _remember(self, keyframe: Fingerprints) -> None:
        """Not more than are needed, however many keyframes there are."""
        since_us = keyframe.at.pts_us - _KEPT_S * 1e6
        if self._past and keyframe.at.pts_us - self._past[-1].at.pts_us < APART_S * 1e6 / 3:
            return
        self._past = (*(past for past in self._past if past.at.pts_us >= since_us), keyframe)[-_KEPT:]
