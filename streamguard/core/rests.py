"""When a reader of a live stream may rest, so that it is not woken for every packet.

Between two keyframes there is nothing to look at, but each packet that is waited for costs a wake-up, and cold caches
after it: of what a 1080p stream costs that was 6 %. So a reader that has caught up with its stream lets packets gather
for a moment, and is awake again before the next keyframe is due.
"""

from collections import deque

REST_S = 0.2
STEADY_REST_S = 0.95
"""Of a stream whose keyframes come like a clock: there it is seldom that one comes before its time, as at a cut. It is
told as if it had come when the rest began, so with its look this stays below the second from which on a worker counts
as too slow (StreamGuardLagging). Servers hold far more for a slow player (nginx-rtmp 256 messages besides its socket's
buffers), or drop none in that time.
"""
QUIET_REST_S = 0.8
"""Of a stream that is looked at seldom: a keyframe that comes before its time may wait a little longer there."""

_EARLY_S = 0.06
_SHORTEST_S = 0.02
_WAITED_S = 0.003
"""What takes less was there already: the reader is behind."""

_MOST_BEHIND_S = 10.0
"""Nothing is taken to have come earlier than that: what comes in a stream of tiny packets is there each time, and a
clock of arrivals that stood still would hide it.
"""

_GAPS = 8
_GAPS_KNOWN = 2
_STEADY_SHARE = 0.05


class Rests:
    """One connection's. Times are seconds of one clock that only goes forward.

    While keyframes come as they did, none is read later than without rests. One that comes before its time may wait
    for as long as a rest is; then the next are expected as early.
    """

    def __init__(self) -> None:
        self._keyframe_s: float | None = None
        self._gaps_s: deque[float] = deque(maxlen=_GAPS)
        self._rest_began_s: float | None = None
        self._is_behind = False

    @property
    def is_behind(self) -> bool:
        """Whether the last packet was there before it was asked for."""
        return self._is_behind

    @property
    def longest_s(self) -> float:
        """What a rest may be where every keyframe is looked at: longest where the last gaps between them were alike."""
        if len(self._gaps_s) < _GAPS // 2:
            return REST_S
        shortest_s, longest_s = min(self._gaps_s), max(self._gaps_s)
        return STEADY_REST_S if longest_s - shortest_s <= _STEADY_SHARE * longest_s else REST_S

    def arrived_s(self, *, asked_s: float, now_s: float) -> float:
        """When a packet came that was asked for then and is here now. Of one that was not waited for only this is
        known: not before the last rest, nor longer ago than readers fall behind.
        """
        self._is_behind = now_s - asked_s <= _WAITED_S
        if not self._is_behind:
            self._rest_began_s = None
        return now_s if self._rest_began_s is None else max(self._rest_began_s, now_s - _MOST_BEHIND_S)

    def after(self, arrived_s: float, *, is_keyframe: bool) -> float:
        """Seconds that may be rested, STEADY_REST_S at most, after a packet `arrived_s` is right of; 0: read on."""
        if is_keyframe:
            if self._keyframe_s is not None:
                self._gaps_s.append(arrived_s - self._keyframe_s)
            self._keyframe_s = arrived_s
            return 0.0
        if self._is_behind or self._keyframe_s is None or len(self._gaps_s) < _GAPS_KNOWN:
            return 0.0
        rest_s = min(STEADY_REST_S, self._keyframe_s + min(self._gaps_s) - _EARLY_S - arrived_s)
        if rest_s < _SHORTEST_S:
            return 0.0
        self._rest_began_s = arrived_s
        return rest_s
