"""Which HLS segments are read whole, and of which a part is enough. No clock and no I/O: fed with what was seen.

A segment of one keyframe shows as much by its head as by all of it. Where there may be more, MPEG-TS does not say
where, so such a segment is read whole, unless it is short, or one lately had a single keyframe, or the stream is quiet:
then its first keyframe does, and the others are fetched should that one show something. Whoever publishes might hide
footage behind each first keyframe: so now and then a segment is read whole that need not be, nobody knows which. Of a
quiet stream that is done as often as its purse allows, and a quarter as often in any case.
"""

import random
from collections.abc import Callable
from enum import Enum

from streamguard.core.attention import TELLING_S
from streamguard.core.sampling import Pace
from streamguard.ingest.playlist import MediaSegment
from streamguard.ingest.purse import Purse

_LEARNT_FOR_S = 300.0
_MOST_MISSES_IN_A_ROW = 2
_WHOLE_AFTER_MISSES = 30
_SEVERAL_FOR_S = 300.0
"""Where a segment had several keyframes, all are read whole for so long."""

_SURE_SHARE = 0.25
"""Of the segments that are read whole by chance so many are, whatever that costs."""
_PUT_OFF_S = 900.0
"""So much later than usual a quiet stream is asked again whether its segments still hold one keyframe, to save that."""

_LATE = 2.0
"""A segment that comes after so many times its length, or the time between looks, lasts longer than it says."""


class Plan(Enum):
    """How much of a segment to fetch."""

    WHOLE = "whole"
    HEAD = "head"
    """As far as its first keyframe."""
    SKIM = "skim"
    """As far as its first keyframe, and all of it if what that shows makes the stream suspect."""
    KEYFRAMES = "keyframes"
    """All of its keyframes, where its head says where they are; else the whole."""


def all_of(segment: MediaSegment) -> Plan:
    """What it takes to leave no keyframe out: only MP4 may say where they are."""
    return Plan.KEYFRAMES if segment.init is not None else Plan.WHOLE


class Looks:
    """One session's plans. `look_every_s`: by how much looks may lie apart where keyframes are left out; 0: none is.
    Of segments whose head would do, `checked_share` are read whole; `chance` gives numbers from 0 to 1 that nobody can
    foretell.
    """

    def __init__(
        self, look_every_s: float, *, checked_share: float = 0.0, chance: Callable[[], float] = random.random
    ) -> None:
        self._look_every_s = look_every_s
        self._checked_share = checked_share
        self._chance = chance
        self._several_for_s = 0.0
        self._single_for_s = 0.0
        self._keyframes = 0
        self._misses = 0
        self._whole_left = 0
        self._last_s: float | None = None
        self.purse = Purse()
        """Of what the stream costs while it is quiet; whoever fetches tells it what that took."""

    def plan(self, segment: MediaSegment, *, now_s: float, pace: Pace) -> Plan:
        """What to fetch of the next segment, which was there at `now_s`, of a stream that is looked at at that pace."""
        before_s, self._last_s = self._last_s, now_s
        passed_s = 0.0 if before_s is None else now_s - before_s
        if pace.most_s > 0:
            self.purse.earns()
        if segment.starts_anew:
            self._single_for_s, self._several_for_s = 0.0, 0.0
            self._keyframes, self._misses, self._whole_left = 0, 0, 0
        if self._whole_left:
            self._whole_left -= 1
            return Plan.WHOLE
        is_late = passed_s > _LATE * max(segment.duration_s, self._look_every_s)
        if not self._look_every_s or segment.starts_anew or segment.duration_s <= 0 or is_late:
            return Plan.WHOLE
        if self._several_for_s > 0:
            self._several_for_s -= segment.duration_s
        elif segment.duration_s <= self._look_every_s or self._is_single(pace):
            self._single_for_s -= segment.duration_s
            return Plan.WHOLE if self._is_checked(pace) else Plan.HEAD
        if self._may_be_skimmed(segment, pace) and not self._is_checked(pace):
            return Plan.SKIM
        return all_of(segment)

    def _is_checked(self, pace: Pace) -> bool:
        """Whether this segment is one of those that are read whole though a part would do."""
        chance = self._chance()
        if pace.most_s <= 0 or chance < _SURE_SHARE * self._checked_share:
            return chance < self._checked_share
        return chance < self._checked_share and self.purse.affords_whole()

    def _is_single(self, pace: Pace) -> bool:
        """Whether a long segment is taken to hold a single keyframe."""
        if self._single_for_s > 0:
            return True
        may_wait = pace.most_s > 0 and not self.purse.affords_whole()
        return may_wait and self._keyframes == 1 and self._single_for_s > -_PUT_OFF_S

    def _may_be_skimmed(self, segment: MediaSegment, pace: Pace) -> bool:
        """Whether footage that comes on right after its first keyframe is still killed in time: by the next segment's
        first, and by as many of its others as a kill takes, which are fetched as soon as it is known to take them.
        """
        until_seen_s = segment.duration_s + TELLING_S
        return self._keyframes > pace.further and until_seen_s <= min(pace.most_s, pace.kill_s)

    def saw_whole(self, *, keyframes: int) -> None:
        """All of a segment was read. One keyframe a segment, or several, is taken to stay so for some minutes."""
        self._keyframes = keyframes
        self._single_for_s = _LEARNT_FOR_S if keyframes == 1 else 0.0
        self._several_for_s = _SEVERAL_FOR_S if keyframes > 1 else 0.0

    def saw_part(self, *, keyframes: int) -> None:
        """A part of a segment was read, and what that showed. Twice nothing: they are read whole for a while."""
        self._misses = 0 if keyframes else self._misses + 1
        if keyframes > 1:
            self._keyframes = keyframes
        if self._misses >= _MOST_MISSES_IN_A_ROW:
            self._misses, self._whole_left = 0, _WHOLE_AFTER_MISSES

    def missed(self) -> None:
        """A part was not to be had, or of no use."""
        self.saw_part(keyframes=0)
