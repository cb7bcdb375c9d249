"""Which keyframes of a stream are looked at: all of them, or as few as the time to kill allows.

A look is a keyframe that is decoded, fingerprinted and searched for. Where a stream has been quiet for a while, looks
may be so far apart that footage which begins right after one is still seen, and seen as often as a kill takes, within
the time to kill. How far that is hangs on the stream's own keyframes, and only its decoder knows them: it is told
a `Pace`, and its `Sampler` picks the keyframes. Who gets which pace: core.attention.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from streamguard.core.glances import QUIET_SHARE

RHYTHM_S = 60.0
"""What the keyframes of so many last seconds did, the next may do."""

_A_STRETCH_S = 10.0


class Attention(Enum):
    """How closely a stream is looked at."""

    EVERY = "every"
    """Every keyframe: it is new, suspect or reported."""
    QUIET = "quiet"
    """As seldom as the time to kill allows."""
    SHED = "shed"
    """More seldom than that: there is too much to do, and it was the quietest."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How seldom a stream may be looked at.

    Two looks are `most_s` apart at most, as far as its keyframes allow, and 0 is every keyframe. `kill_s` after footage
    has come on, it must have been looked at once, and `further` times more that are `apart_s` apart, each at the first
    keyframe that will do; infinite: no such promise. `between_share`: so much of a core may be spent on pictures
    between keyframes (core.glances); more than QUIET_SHARE where something is suspect.
    """

    attention: Attention = Attention.EVERY
    most_s: float = 0.0
    kill_s: float = math.inf
    further: int = 1
    apart_s: float = 0.0
    between_share: float = QUIET_SHARE

    def pause_s(self, *, longest_s: float, shortest_s: float) -> float:
        """Seconds that two looks may be apart, where keyframes are `shortest_s` to `longest_s` apart."""
        to_the_next_s = longest_s if shortest_s >= self.apart_s else longest_s + self.apart_s
        return max(0.0, min(self.most_s, self.kill_s - self.further * to_the_next_s))


EVERY_KEYFRAME = Pace()


@dataclass(frozen=True, slots=True)
class Moment:
    """When a keyframe came, and its own stamps for decoding and presentation. Whoever makes a stream sets those as they
    like, and a server sends as it likes: so of the time between two keyframes the clock that says the most counts.
    """

    arrived_s: float
    decoding_s: float | None = None
    presenting_s: float | None = None

    @property
    def shown_s(self) -> float:
        """The clock that evidence goes by."""
        return self.arrived_s if self.presenting_s is None else self.presenting_s

    def after(self, seconds: float, *, arrived_s: float) -> "Moment":
        """What a keyframe that comes at `arrived_s` would be, if it were so much later by the stream's own stamps."""
        stamps_s = (None if stamp_s is None else stamp_s + seconds for stamp_s in (self.decoding_s, self.presenting_s))
        return Moment(arrived_s, *stamps_s)


def never() -> float:
    """Of looks that need not be: none."""
    return math.inf


class Sampler:
    """One session's keyframes, and which of them to look at. It learns their rhythm from all of them.

    Whoever knows when the looks are could show footage between them, over and over: so some are sooner than they need
    be, and `unforeseen` gives after how many pauses from the last look on, anew after each: numbers that nobody knows.
    """

    def __init__(self, *, unforeseen: Callable[[], float] = never) -> None:
        self._rhythm = _Rhythm()
        self._newest: Moment | None = None
        self._looked: Moment | None = None
        self._unforeseen = unforeseen
        self._sooner_pauses = math.inf

    def due(self, now: Moment, *, pace: Pace) -> bool:
        """Whether this keyframe is to be looked at; ask for each, in order. It is where the next would be too late."""
        self._note(now)
        return self._is_due(now, pace=pace)

    def passes_over(self, arrived_s: float, *, after_s: float, pace: Pace) -> bool:
        """Whether a keyframe need not even be fetched: it is there, and `after_s` after the last by whoever sends it.
        If so it counts as one that was not due; otherwise ask `due` when it is here.
        """
        if self._newest is None:
            return False
        now = self._newest.after(after_s, arrived_s=arrived_s)
        if self._is_due(now, pace=pace):
            return False
        self._note(now)
        return True

    def _note(self, now: Moment) -> None:
        if self._newest is not None:
            longest_s, shortest_s = _longest_and_shortest_s(self._newest, now)
            self._rhythm.note(now.arrived_s, longest_s=longest_s, shortest_s=shortest_s)
        self._newest = now

    def _is_due(self, now: Moment, *, pace: Pace) -> bool:
        if self._looked is None or self._newest is None or pace.most_s <= 0:
            return True
        gaps_s = _gaps_s(self._looked, now)
        if min(gaps_s) < 0 or _clocks(now) != _clocks(self._looked):
            return True  # a clock that went back, came or went: nobody knows how much was shown since
        longest_s, shortest_s = self._rhythm.longest_s, self._rhythm.shortest_s
        if now is not self._newest:
            latest_s, least_s = _longest_and_shortest_s(self._newest, now)
            longest_s, shortest_s = max(longest_s, latest_s), min(shortest_s, least_s)
        pause_s = pace.pause_s(longest_s=longest_s, shortest_s=shortest_s)
        return max(gaps_s) + longest_s > pause_s or max(gaps_s) >= self._sooner_pauses * pause_s

    def wanted_in_s(self, *, pace: Pace) -> float:
        """For how long the newest keyframe, which was not due, may go on being shown without a look at it."""
        if self._looked is None or self._newest is None:
            return 0.0
        pause_s = pace.pause_s(longest_s=self._rhythm.longest_s, shortest_s=self._rhythm.shortest_s)
        return min(1.0, self._sooner_pauses) * pause_s - max(_gaps_s(self._looked, self._newest))

    def looked(self) -> None:
        """The last keyframe was seen. One that was due and could not be decoded leaves the next one due."""
        self._looked = self._newest
        self._sooner_pauses = self._unforeseen()


class _Rhythm:
    """How far apart keyframes were lately, in a few numbers, however many they are."""

    def __init__(self) -> None:
        self._stretches: deque[tuple[float, float, float]] = deque()

    def note(self, at_s: float, *, longest_s: float, shortest_s: float) -> None:
        stretches = self._stretches
        if stretches and at_s - stretches[-1][0] < _A_STRETCH_S:
            began_s, longest, shortest = stretches.pop()
            stretches.append((began_s, max(longest, longest_s), min(shortest, shortest_s)))
        else:
            stretches.append((at_s, longest_s, shortest_s))
        while at_s - stretches[0][0] >= RHYTHM_S + _A_STRETCH_S:
            stretches.popleft()

    @property
    def longest_s(self) -> float:
        return max((longest_s for _, longest_s, _ in self._stretches), default=0.0)

    @property
    def shortest_s(self) -> float:
        return min((shortest_s for _, _, shortest_s in self._stretches), default=0.0)


def _gaps_s(then: Moment, now: Moment) -> list[float]:
    """Between two moments, by each clock that both have."""
    pairs = (
        (then.arrived_s, now.arrived_s),
        (then.decoding_s, now.decoding_s),
        (then.presenting_s, now.presenting_s),
    )
    return [after - before for before, after in pairs if before is not None and after is not None]


def _longest_and_shortest_s(then: Moment, now: Moment) -> tuple[float, float]:
    """By the clock that says the most, and by the one that evidence goes by."""
    return max(_gaps_s(then, now)), max(0.0, now.shown_s - then.shown_s)


def _clocks(moment: Moment) -> tuple[bool, bool]:
    return moment.decoding_s is None, moment.presenting_s is None
