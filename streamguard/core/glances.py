"""When a picture between two keyframes is looked at, and what that may cost.

Whoever makes a stream may put a harmless picture into each keyframe, and show known footage in all others. Those cannot
all be decoded: it would cost ten times as much. But how long they are is known for nothing, and one that is much longer
than its neighbours is new as a whole: there the picture was cut to another. Now and then such a cut is looked at, and
now and then a picture by chance: a *glance*. If what it shows is neither what the keyframe before showed nor what the
next one does, something may hide there, and for some minutes each cut is looked at.

A glance must decode all pictures since the keyframe, so each session has a purse of processor time for them.
"""

import math
from collections import deque
from collections.abc import Callable
from enum import Enum

QUIET_SHARE = 0.0002
"""Of a core, for the glances of a stream in which nothing is suspect: a sixtieth of what its keyframes cost."""

HIDING_S = 120.0
"""So long after a glance at something that keyframes do not show, each cut is looked at."""

_ALIKE_BITS = 60
"""Pictures of one scene, moments apart, are nearer than this; of two scenes 128 bits apart, hardly ever under 100."""

_CUTS = ((2.0, 0.25), (1.3, 0.6))
"""What is so many times as long as the longest of its neighbours, and has that share of its keyframe's length, is a
cut. (Made footage of 3 Mb/s: cuts are 2.7 to 3.8 times as long as those, what is none up to 1.7 times. Where there are
more bits than it takes all pictures are long, and a cut is 1.4 times as long and has 0.7 of a keyframe.)
"""

_LEAST_SHARE = min(share for _, share in _CUTS)

_NEIGHBOURS, _NEIGHBOURS_KNOWN, _LONGEST = 36, 24, 4
"""Pictures before it; the three longest of them may be cuts themselves. Not their median: of three pictures two may be
B-pictures, a fifth as long as the third.
"""

_LAG = 3
"""Pictures behind a cut that are waited for: encoders that must save bits show it coarse at first."""

_KEPT_SHARE, _KEPT_FIRST = 1 / 8, 6
"""Of the groups in which nothing is expected, so many are kept all the same; and a session's first ones."""

_CUTS_LATELY = 4
_SOON_CUT_S, _SOON_CUTS = 1.0, 3
"""A cut so soon behind so many keyframes in a row is not by accident."""

_TAKEN_SHARE = 2 / 3
"""Of the cuts that may be looked at: whoever knew which is could put another one before it."""

_BY_CHANCE_EVERY_S = 300.0
_LONG_S, _UNKNOWN_S = 4.0, 3.0
"""A group of pictures that lasts so long has time for further looks; one whose length nobody knows, after a while."""
_GAPS_LATELY = 8
"""Whoever makes groups now short and now long knows which they are: one goes by the longest of the last ones."""

_GO_ON_S, _ASK_AGAIN_S, _SOON_S = 1.7, 0.5, 1.0
"""How long after a look the next one may be that counts beside it, in a long group."""

_REST_S = 60.0
"""Behind the minutes in which something seemed to hide, and twice as long behind each further ones: a stream may well
be so, and what is known is seen in the first of them.
"""

_PAUSE_S, _MOST_DOUBLED = 20.0, 4
"""After an ordinary cut none is looked at for a while; twice as long after each further one, up to five minutes."""

_START_S, _LEAST_S, _MOST_S = 0.06, 0.02, 0.45
_OF_PURSE, _CHEAP_S = 0.5, 0.03
"""Where nothing is suspect no glance takes more of what there is, but a cheap one: that must still be possible."""

_GRANT_S, _MOST_GRANTED_S, _GRANT_EVERY_S = 0.6, 1.0, 120.0
_MOST_OWED_S = 0.3
_MOST_EARNING_S = 60.0
_ORDINARY_GAP_S, _LOOK_S = 2.0, 0.01
"""Where keyframes are farther apart, those that are not there leave half of what they would have cost."""


def are_alike(code: bytes, other: bytes) -> bool:
    """Whether two pictures with these PDQ hashes show the same, moments apart."""
    # Counted here: ingest glances, and `core.pdq` would bring the fingerprints into each process that only pulls.
    return (int.from_bytes(code) ^ int.from_bytes(other)).bit_count() <= _ALIKE_BITS


class Finding(Enum):
    """What a glance has shown, beside the keyframes around it."""

    SAME = "same"
    """What the keyframe before had shown: there was no cut."""
    ORDINARY = "ordinary"
    """What the next keyframe shows as well: a cut as others are."""
    CAME_BACK = "came back"
    """Something else, and the next keyframe shows what the one before had shown: the picture went away for between."""
    MOVED_ON = "moved on"
    """Something else again than either keyframe. Where much moves that is nothing unusual."""


class Glances:
    """One session's. Times are seconds of one clock, sizes bytes, costs seconds of processor time.

    `chance` gives numbers from 0 to 1 that nobody can foretell. None: of a recording every cut is looked at that the
    purse allows, and nothing by chance, so that the same file gives the same decisions each time.
    """

    def __init__(self, *, chance: Callable[[], float] | None) -> None:
        self._chance = chance
        self._sizes: deque[int] = deque(maxlen=_NEIGHBOURS)
        self._cuts: deque[bool] = deque(maxlen=_CUTS_LATELY)
        self._has_cut = self._has_soon_cut = self._has_look = False
        self._key_size, self._key_s, self._gap_s, self._groups = 0, -math.inf, 0.0, 0
        self._gaps_s: deque[float] = deque(maxlen=_GAPS_LATELY)
        self._longest_s = math.inf
        self._kept = False
        self._lag = 0
        self._ask_s = self._chance_s = math.inf
        self._looked_s = -math.inf
        self._pause_until_s = -math.inf
        self._ordinary = 0
        self._hiding_until_s = self._hides_again_s = -math.inf
        self._hid = 0
        self._soon_cuts = 0
        self._closely = False
        self._has_s, self._earned_s, self._granted_s = _START_S, -math.inf, -math.inf
        self.refused = 0
        """Cuts and chances that were not looked at, since that was last set to 0."""

    def keyframe(self, size: int, *, at_s: float, share: float) -> bool:
        """A group of pictures begins; whether they are worth keeping, for one of them may be looked at. `share`: of a
        core, may be spent.
        """
        if self._key_size:
            self._cuts.append(self._has_cut)
            self._gap_s = at_s - self._key_s
            self._gaps_s.append(self._gap_s)
            self._longest_s = max(self._gaps_s)
            self._soon_cuts = self._soon_cuts + 1 if self._has_soon_cut else 0
            self._earn_of_long_gap()
        self._has_cut, self._has_soon_cut, self._has_look, self._lag = False, False, False, 0
        self._key_size, self._key_s, self._looked_s = size, at_s, at_s
        self._earn(at_s, share)
        self._chance_s = self._by_chance(at_s)
        is_long = self._is_long(at_s)
        self._ask_s = at_s + (_UNKNOWN_S if not self._gaps_s else _GO_ON_S if is_long else _LONG_S)
        self._groups += 1
        by_force = is_long or self._is_suspect(at_s) or self._chance_s < math.inf
        may_take = self._chance is None or self._may_be_odd() or at_s >= self._pause_until_s
        likely = self._groups <= _KEPT_FIRST or any(self._cuts)
        worth = share > 0 and self._has_s >= _LEAST_S
        chosen = by_force or (may_take and (likely or self._chance is None or self._chance() < _KEPT_SHARE))
        self._kept = worth and chosen
        return self._kept

    def keeps(self, *, at_s: float, cost_s: float) -> bool:
        """Whether the group is still worth keeping, now that a look takes so long. Each further picture makes it
        dearer: what is too dear once stays so, but for a long group, which earns more or may be suspect by then, and
        for one that was looked into: what it showed may make it suspect, and is known a moment later.
        """
        may_go_on = self._has_look or self._is_long(at_s) or self._is_suspect(at_s)
        if self._kept and not (may_go_on or self._affords(at_s, cost_s)):
            self._kept = False
            self.refused += bool(self._lag) + (self._chance_s < math.inf)
            self._lag, self._chance_s = 0, math.inf
        return self._kept

    def picture(self, size: int, *, at_s: float) -> bool:
        """Another picture of the group is in; whether to ask `due` now."""
        if self._lag:
            self._lag -= 1
        cut = self._is_cut(size)
        self._sizes.append(size)
        if cut:
            self._has_cut = True
            self._has_soon_cut |= at_s - self._key_s <= _SOON_CUT_S
            if self._takes(at_s):
                self._lag = _LAG
            else:
                self.refused += 1
            return False
        return self._kept and (self._lag == 1 or at_s >= self._ask_s or at_s >= self._chance_s)

    def due(self, *, at_s: float, share: float, cost_s: float) -> bool:
        """Whether to look now at the newest picture, which takes that long."""
        self._earn(at_s, share)
        by_cut, by_chance = self._lag == 1, at_s >= self._chance_s
        goes_on = at_s >= self._ask_s and self._goes_on(at_s)
        self._lag = 0 if by_cut else self._lag
        self._chance_s = math.inf if by_chance else self._chance_s
        if at_s >= self._ask_s:
            self._ask_s = at_s + _ASK_AGAIN_S
        if not (by_cut or by_chance or goes_on):
            return False
        if share <= 0 or not self._affords(at_s, cost_s):
            self.refused += 1
            return False
        return True

    def looked(self, *, at_s: float, cost_s: float) -> None:
        """It was, and took so long."""
        self._has_s = max(-_MOST_OWED_S, self._has_s - cost_s)
        self._looked_s, self._has_look = at_s, True
        self._ask_s = max(self._ask_s, at_s + _GO_ON_S)

    @property
    def affords_s(self) -> float:
        """What is left to be spent."""
        return max(0.0, self._has_s)

    def found(self, finding: Finding, *, at_s: float) -> None:
        """What the last glance has shown."""
        is_odd = finding is Finding.CAME_BACK or (
            finding is Finding.MOVED_ON and self._soon_cuts + self._has_soon_cut >= _SOON_CUTS
        )
        if is_odd and at_s >= self._hides_again_s:
            self._ordinary = 0
            if not self.is_hiding(at_s):
                self._hiding_until_s = at_s + HIDING_S
                self._hides_again_s = self._hiding_until_s + _REST_S * 2 ** min(self._hid, _MOST_DOUBLED)
                self._hid += 1
                self._grant(at_s)
        elif not self._is_suspect(at_s):
            random = 0.5 if self._chance is None else self._chance()
            doubled: float = 2 ** min(self._ordinary, _MOST_DOUBLED)
            self._pause_until_s = at_s + _PAUSE_S * doubled * (0.5 + random) if self._chance else -math.inf
            self._ordinary = 0 if finding is Finding.MOVED_ON else self._ordinary + 1

    def is_hiding(self, at_s: float) -> bool:
        """Whether something may hide between this stream's keyframes."""
        return at_s < self._hiding_until_s

    def _is_suspect(self, at_s: float) -> bool:
        return self._closely or self.is_hiding(at_s)

    def _affords(self, at_s: float, cost_s: float) -> bool:
        may_take_all = self._is_suspect(at_s) or cost_s <= _CHEAP_S
        return cost_s <= self._has_s * (1.0 if may_take_all else _OF_PURSE)

    def _is_long(self, at_s: float) -> bool:
        """Whether the group is, or may be, as far as is known by now."""
        return self._longest_s >= _LONG_S or at_s - self._key_s >= _LONG_S

    def _is_cut(self, size: int) -> bool:
        if size < _LEAST_SHARE * self._key_size or len(self._sizes) < _NEIGHBOURS_KNOWN:
            return False
        longest = sorted(self._sizes)[-_LONGEST]
        return any(size >= times * longest and size >= share * self._key_size for times, share in _CUTS)

    def _takes(self, at_s: float) -> bool:
        if not self._kept or self._lag:
            return False
        if self._is_suspect(at_s) or self._chance is None:
            return True
        return (self._may_be_odd() or at_s >= self._pause_until_s) and self._chance() < _TAKEN_SHARE

    def _may_be_odd(self) -> bool:
        return self._soon_cuts >= _SOON_CUTS and not self._ordinary

    def _goes_on(self, at_s: float) -> bool:
        """In a long group of pictures the next keyframe is not waited for where something was seen."""
        ends_s = self._key_s + self._longest_s
        remains_s = ends_s - at_s if at_s < ends_s else math.inf
        is_apart = at_s - self._looked_s >= _GO_ON_S
        return is_apart and remains_s >= _SOON_S and self._is_suspect(at_s)

    def _by_chance(self, at_s: float) -> float:
        if self._chance is None or self._chance() >= self._gap_s / _BY_CHANCE_EVERY_S:
            return math.inf
        return at_s + self._chance() * self._gap_s

    def _earn(self, at_s: float, share: float) -> None:
        closely = share > QUIET_SHARE
        if closely and not self._closely:
            self._grant(at_s)
        self._closely = closely
        most_s = _MOST_GRANTED_S if self._is_suspect(at_s) else _MOST_S
        passed_s = min(max(0.0, at_s - self._earned_s), _MOST_EARNING_S) if self._earned_s > -math.inf else 0.0
        self._has_s = max(self._has_s, min(most_s, self._has_s + share * passed_s))
        self._earned_s = at_s

    def _earn_of_long_gap(self) -> None:
        more = min(self._gap_s, _MOST_EARNING_S) / _ORDINARY_GAP_S - 1
        if more > 0:
            self._has_s = max(self._has_s, min(_MOST_S, self._has_s + _LOOK_S * more))

    def _grant(self, at_s: float) -> None:
        if at_s - self._granted_s >= _GRANT_EVERY_S:
            self._granted_s = at_s
            self._has_s = min(_MOST_GRANTED_S, self._has_s + _GRANT_S)
