"""The session's clock: only forward, whatever the stream says of its own time."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.clock import MAX_STEP_S, ClockState, MediaClock, advance
from streamguard.types import MediaTime

Stamps = list[tuple[float | None, float]]
"""Time stamp and arrival of each frame, in seconds."""


def _times_s(stamps: Stamps) -> list[float]:
    clock = MediaClock(1)
    return [clock.at(pts_s, arrived_s=arrived_s).pts_us / 1e6 for pts_s, arrived_s in stamps]


def test_follows_the_streams_own_steps() -> None:
    """Time begins at 0, and goes as the time stamps go, not as packets happen to arrive."""
    assert _times_s([(1000.0, 50.0), (1002.0, 50.1), (1004.0, 57.0)]) == [0.0, 2.0, 4.0]


@pytest.mark.parametrize("pts_s", [None, math.nan, math.inf, -math.inf, 7.0, 10.0, 10.0 + MAX_STEP_S + 1, 1e300])
def test_nonsense_is_replaced_by_arrival(pts_s: float | None) -> None:
    """A missing time stamp, one that goes back, stands still or leaps: the monotonic clock's step counts."""
    assert _times_s([(8.0, 50.0), (10.0, 52.0), (pts_s, 55.0)]) == [0.0, 2.0, 5.0]


@pytest.mark.parametrize("jump_s", [-500.0, -3.0, 500.0])
def test_own_steps_count_again_after_a_jump(jump_s: float) -> None:
    """After a jump the stream's own steps go on from where it landed."""
    assert _times_s([(10.0, 0.0), (12.0, 2.0), (14.0 + jump_s, 4.5), (16.0 + jump_s, 9.0)]) == [0.0, 2.0, 4.5, 6.5]


def test_recovers_from_missing_and_endless_time_stamps() -> None:
    """The step after nonsense is by arrival too, and the one after that by time stamps again."""
    for nonsense in (None, math.nan, math.inf):
        assert _times_s([(10.0, 0.0), (nonsense, 2.0), (14.0, 4.0), (17.0, 5.0)]) == [0.0, 2.0, 4.0, 7.0]


def test_a_long_silence_is_one_step() -> None:
    """However long nothing came, time goes on by the longest step at most."""
    assert _times_s([(None, 0.0), (None, 5000.0)]) == [0.0, MAX_STEP_S]


_ANY_STAMP = st.none() | st.floats(allow_nan=True, allow_infinity=True)
_ARRIVALS = st.floats(-1e6, 1e6)


@settings(deadline=None)
@given(st.lists(st.tuples(_ANY_STAMP | st.floats(0, 100), _ARRIVALS), min_size=2, max_size=40))
def test_time_only_goes_forward(stamps: Stamps) -> None:
    """Each time is later than the one before, by no more than the longest step, whatever is fed in."""
    times_s = _times_s(stamps)
    assert times_s[0] == 0.0
    steps_s = [later - earlier for earlier, later in pairwise(times_s)]
    assert all(0 < step_s <= MAX_STEP_S + 1e-6 for step_s in steps_s)


def test_advance_is_pure() -> None:
    """The same state and frame give the same time, and the session's number is kept."""
    state, first = advance(ClockState(7), pts_s=3.0, arrived_s=1.0)
    assert first == MediaTime(7, 0)
    again = [advance(state, pts_s=4.0, arrived_s=2.0) for _ in range(2)]
    assert again[0] == again[1] == (ClockState(7, 4.0, 2.0, 1_000_000), MediaTime(7, 1_000_000))
