"""One time line for a session, whatever the stream says of its own.

Streams jump, go back and leave their time stamps out, and raise nothing. Decisions need time that only goes forward.
"""

from dataclasses import dataclass

from streamguard.types import MediaTime

MAX_STEP_S = 60.0
"""A longer step between two keyframes is taken for a jump of the stream's clock."""

_MIN_STEP_US = 1


@dataclass(frozen=True, slots=True)
class ClockState:
    """Where the session's time stands: the last frame's time stamp, arrival and repaired time."""

    session: int
    last_pts_s: float | None = None
    last_arrived_s: float = 0.0
    last_us: int | None = None


def advance(state: ClockState, *, pts_s: float | None, arrived_s: float) -> tuple[ClockState, MediaTime]:
    """The time of the next frame: from 0 on, as the stream's time stamps go where they make sense, else by arrival.

    A step back, a step of more than a minute, or a missing time stamp is replaced by the time that passed on
    the monotonic clock (`arrived_s`); from there on the stream's own steps count again.
    """
    if state.last_us is None:
        at_us = 0
    else:
        step_s = None if pts_s is None or state.last_pts_s is None else pts_s - state.last_pts_s
        if step_s is None or not 0 < step_s <= MAX_STEP_S:
            step_s = min(max(arrived_s - state.last_arrived_s, 0.0), MAX_STEP_S)
        at_us = state.last_us + max(_MIN_STEP_US, round(step_s * 1_000_000))
    return ClockState(state.session, pts_s, arrived_s, at_us), MediaTime(state.session, at_us)


class MediaClock:
    """`advance` with its state kept, for one session's loop."""

    def __init__(self, session: int) -> None:
        self._state = ClockState(session)

    def at(self, pts_s: float | None, *, arrived_s: float) -> MediaTime:
        """The repaired time of the next frame; see `advance`."""
        self._state, at = advance(self._state, pts_s=pts_s, arrived_s=arrived_s)
        return at
