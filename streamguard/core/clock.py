"""One time line for a session, whatever the stream says of its own.

Streams jump, go back and leave their time stamps out, and raise nothing. Decisions need time that only goes forward.
"""

from dataclasses import dataclass

from streamguard.types import MediaTime

MAX_STEP_S = 60.0
"""A longer step between two keyframes is taken for a jump of the stream's clock."""

MOST_AHEAD_S = 20.0
"""How far a live stream's own time may run ahead of its arrivals: two long HLS segments, which come at once each."""

MOST_BEHIND_S = 5.0
"""How far it may fall behind them. Less, as a stream that stalled and catches up runs ahead again, not behind.
Whoever stretches or squeezes the time stamps would otherwise hide footage from a rule that thinks in seconds."""

_MIN_STEP_US = 1


@dataclass(frozen=True, slots=True)
class ClockState:
    """Where the session's time stands: the last frame's time stamp, arrival and repaired time.

    `live`: arrivals are real time, and the stream's time must keep up with them; `ahead_s` is how far it ran ahead.
    """

    session: int
    live: bool
    last_pts_s: float | None = None
    last_arrived_s: float = 0.0
    last_us: int | None = None
    ahead_s: float = 0.0


def advance(state: ClockState, *, pts_s: float | None, arrived_s: float) -> tuple[ClockState, MediaTime]:
    """The time of the next frame: from 0 on, as the stream's time stamps go where they make sense, else by arrival.

    A step back, a step of more than a minute, a missing time stamp, or a step by which a live stream would be more than
    `MOST_AHEAD_S` ahead of its arrivals is replaced by the time that passed on the monotonic clock (`arrived_s`); from
    there on the stream's own steps count again. A step that would leave it too far behind is as much longer as needed.
    """
    if state.last_us is None:
        return ClockState(state.session, state.live, pts_s, arrived_s, 0), MediaTime(state.session, 0)
    passed_s = min(max(arrived_s - state.last_arrived_s, 0.0), MAX_STEP_S)
    step_s = None if pts_s is None or state.last_pts_s is None else pts_s - state.last_pts_s
    if step_s is None or not 0 < step_s <= MAX_STEP_S:
        step_s = passed_s
    elif state.live:
        step_s = _kept_near(step_s, passed_s, ahead_s=state.ahead_s)
    at_us = state.last_us + max(_MIN_STEP_US, round(step_s * 1_000_000))
    ahead_s = state.ahead_s + step_s - passed_s
    return ClockState(state.session, state.live, pts_s, arrived_s, at_us, ahead_s), MediaTime(state.session, at_us)


def _kept_near(step_s: float, passed_s: float, *, ahead_s: float) -> float:
    if ahead_s + step_s - passed_s > MOST_AHEAD_S:
        return passed_s
    return max(step_s, passed_s - ahead_s - MOST_BEHIND_S)


class MediaClock:
    """`advance` with its state kept, for one session's loop."""

    def __init__(self, session: int, *, live: bool) -> None:
        self._state = ClockState(session, live)

    def at(self, pts_s: float | None, *, arrived_s: float) -> MediaTime:
        """The repaired time of the next frame; see `advance`."""
        self._state, at = advance(self._state, pts_s=pts_s, arrived_s=arrived_s)
        return at

    def would_be(self, pts_s: float | None, *, arrived_s: float) -> MediaTime:
        """What `at` would say of a frame that is passed over: the next one goes on from the last all the same."""
        return advance(self._state, pts_s=pts_s, arrived_s=arrived_s)[1]
