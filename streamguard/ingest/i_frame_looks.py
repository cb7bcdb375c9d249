"""Which keyframes of a playlist of keyframes alone are looked at. No clock and no I/O: fed with what was seen.

A playlist of keyframes grows by those of a whole segment at once. Of a quiet stream the first of them does where the
next ones come in time for a kill, and the others are fetched should it show something. How long keyframes last is told
by the playlist alone, which may lie: so the time that really passes counts where it is longer, and bounds how many are
looked at. Whoever publishes might hide footage behind each first one: so now and then all are looked at, nobody knows
when.
"""

import math
import random
from collections.abc import Callable, Sequence

from streamguard.core.attention import TELLING_S
from streamguard.core.sampling import Pace
from streamguard.ingest.playlist import MediaSegment

_LOOKS_A_SECOND = 1.0
_MOST_SAVED_LOOKS = 30.0


class IFrameLooks:
    """One session's. Of a stream of which every keyframe is to be looked at none is left out, and of others none of
    `checked_share` of what comes at once; `chance` gives numbers from 0 to 1 that nobody can foretell.
    """

    def __init__(self, *, checked_share: float = 0.0, chance: Callable[[], float] = random.random) -> None:
        self._checked_share = checked_share
        self._chance = chance
        self._is_checked = False
        self._came_s: float | None = None
        self._lasts_s = math.inf
        self._left = 0
        self._keyframes = 0
        self._is_seen = False
        self._looks = _LOOKS_A_SECOND

    def came(self, keyframes: Sequence[MediaSegment], *, now_s: float) -> None:
        """These are listed since now, all at once."""
        passed_s = math.inf if self._came_s is None else max(0.0, now_s - self._came_s)
        self._came_s = now_s
        self._lasts_s = max(passed_s, sum(keyframe.duration_s for keyframe in keyframes))
        self._left = self._keyframes = len(keyframes)
        self._is_seen = False
        self._is_checked = self._chance() < self._checked_share
        self._looks = min(_MOST_SAVED_LOOKS, self._looks + passed_s * _LOOKS_A_SECOND)

    def leaves_out(self, *, pace: Pace) -> bool:
        """Whether the next of them need not be looked at; ask for each, in order."""
        self._left -= 1
        return pace.most_s > 0 and (self._looks < 1 or (self._is_seen and self._may_be_skimmed(pace)))

    def looked(self, *, pace: Pace) -> bool:
        """One was seen. True: the others of these are left out unless it makes the stream suspect."""
        self._is_seen = True
        self._looks = max(0.0, self._looks - 1)
        return self._left > 0 and pace.most_s > 0 and self._may_be_skimmed(pace)

    def _may_be_skimmed(self, pace: Pace) -> bool:
        """Whether footage that comes on right behind the first of them is still killed in time: by the first of those
        that come next, and as many of the others as that takes.
        """
        is_in_time = self._lasts_s + TELLING_S <= min(pace.most_s, pace.kill_s)
        return is_in_time and self._keyframes > pace.further and not self._is_checked
