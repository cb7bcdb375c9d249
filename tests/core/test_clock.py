"""The session's clock: only forward, whatever the stream says of its own time."""

import math
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.clock import MAX_STEP_S, MOST_AHEAD_S, MOST_BEHIND_S, ClockState, MediaClock, advance
from streamguard.types import MediaTime

Stamps = list[tuple[float | None, float]]
"""Time stamp and arrival of each frame, in seconds."""

_LIVE_OR_NOT = pytest.mark.parametrize("live", [True, False])


def _times_s(stamps: Stamps, *, live: bool) -> list[float]:
    clock = MediaClock(1, live=live)
    return [clock.at(pts_s, arrived_s=arrived_s).pts_us / 1e6 for pts_s, arrived_s in stamps]


@_LIVE_OR_NOT
def test_follows_the_streams_own_steps(*, live: bool) -> None:
    """Time begins at 0, and goes as the time stamps go, not as packets happen to arrive."""
    assert _times_s([(1000.0, 50.0), (1002.0, 50.1), (1004.0, 57.0)], live=live) == [0.0, 2.0, 4.0]


@_LIVE_OR_NOT
@pytest.mark.parametrize("pts_s", [None, math.nan, math.inf, -math.inf, 7.0, 10.0, 10.0 + MAX_STEP_S + 1, 1e300])
def test_nonsense_is_replaced_by_arrival(pts_s: float | None, *, live: bool) -> None:
    """A missing time stamp, one that goes back, stands still or leaps: the monotonic clock's step counts."""
    assert _times_s([(8.0, 50.0), (10.0, 52.0), (pts_s, 55.0)], live=live) == [0.0, 2.0, 5.0]


@_LIVE_OR_NOT
@pytest.mark.parametrize("jump_s", [-500.0, -3.0, 500.0])
def test_own_steps_count_again_after_a_jump(jump_s: float, *, live: bool) -> None:
    """After a jump the stream's own steps go on from where it landed."""
    stamps: Stamps = [(10.0, 0.0), (12.0, 2.0), (14.0 + jump_s, 4.5), (16.0 + jump_s, 9.0)]
    assert _times_s(stamps, live=live) == [0.0, 2.0, 4.5, 6.5]


@_LIVE_OR_NOT
def test_recovers_from_missing_and_endless_time_stamps(*, live: bool) -> None:
    """The step after nonsense is by arrival too, and the one after that by time stamps again."""
    for nonsense in (None, math.nan, math.inf):
        stamps: Stamps = [(10.0, 0.0), (nonsense, 2.0), (14.0, 4.0), (17.0, 5.0)]
        assert _times_s(stamps, live=live) == [0.0, 2.0, 4.0, 7.0]


@_LIVE_OR_NOT
def test_a_long_silence_is_one_step(*, live: bool) -> None:
    """However long nothing came, time goes on by the longest step at most."""
    assert _times_s([(None, 0.0), (None, 5000.0)], live=live) == [0.0, MAX_STEP_S]


_ANY_STAMP = st.none() | st.floats(allow_nan=True, allow_infinity=True)
_ARRIVALS = st.floats(-1e6, 1e6)


@settings(deadline=None)
@given(st.lists(st.tuples(_ANY_STAMP | st.floats(0, 100), _ARRIVALS), min_size=2, max_size=40), st.booleans())
def test_time_only_goes_forward(stamps: Stamps, live: bool) -> None:  # noqa: FBT001  (drawn)
    """Each time is later than the one before, by no more than the longest step, whatever is fed in."""
    times_s = _times_s(stamps, live=live)
    assert times_s[0] == 0.0
    steps_s = [later - earlier for earlier, later in pairwise(times_s)]
    assert all(0 < step_s <= MAX_STEP_S + 1e-6 for step_s in steps_s)


_STEPS = st.lists(st.tuples(_ANY_STAMP | st.floats(0, 100), st.floats(0, MAX_STEP_S)), min_size=2, max_size=60)


@settings(deadline=None)
@given(_STEPS)
def test_live_time_stays_near_its_arrivals(steps: Stamps) -> None:
    """Whatever a live stream says of its time, it is never far ahead of its arrivals nor far behind."""
    arrivals_s = list(accumulate(passed_s for _, passed_s in steps))
    times_s = _times_s([(pts_s, at_s) for (pts_s, _), at_s in zip(steps, arrivals_s, strict=True)], live=True)
    for time_s, arrived_s in zip(times_s, arrivals_s, strict=True):
        assert -MOST_BEHIND_S - 1e-3 <= time_s - (arrived_s - arrivals_s[0]) <= MOST_AHEAD_S + 1e-3


@pytest.mark.parametrize("factor", [16.0, 8.0, 5.0, 3.0, 0.3, 0.1, 1e-6])
def test_stretched_and_squeezed_live_time_soon_goes_as_it_arrives(factor: float) -> None:
    """Time stamps that run away are followed for some seconds and no farther; then each step is the arrivals'."""
    times_s = _times_s([(100.0 + factor * 2.0 * i, 2.0 * i) for i in range(60)], live=True)
    steps_s = [later - earlier for earlier, later in pairwise(times_s)]
    settled = next(i for i in range(60) if steps_s[i:] == pytest.approx([2.0] * (59 - i)))
    assert settled <= 5


def _bursts(*, segments: int, joined_late_s: float) -> Stamps:
    """HLS segments of 10 s, each five keyframes at one moment; the first is fetched when it is already so old."""
    arrivals_s = [max(joined_late_s, 10.0 * segment) for segment in range(segments)]
    return [(1000.0 + 10.0 * i + 2.0 * key, arrived_s) for i, arrived_s in enumerate(arrivals_s) for key in range(5)]


@pytest.mark.parametrize("joined_late_s", [0.0, 5.0, 9.9])
def test_bursts_keep_their_own_steps(joined_late_s: float) -> None:
    """Keyframes of a long HLS segment come at once, and stand apart as they stand in the stream, from the first on."""
    stamps = _bursts(segments=12, joined_late_s=joined_late_s)
    assert _times_s(stamps, live=True) == pytest.approx([2.0 * i for i in range(60)])


@pytest.mark.parametrize("stall_s", [3.0, 10.0, 18.0, 24.0])
def test_catching_up_keeps_own_steps(stall_s: float) -> None:
    """What a stream sends at once after a stall is seconds apart, as it was filmed, and so is what follows."""
    stamps: Stamps = [(2.0 * i, max(2.0 * i, 10.0 + stall_s) if i >= 5 else 2.0 * i) for i in range(60)]
    times_s = _times_s(stamps, live=True)
    assert [later - earlier for earlier, later in pairwise(times_s[5:])] == pytest.approx([2.0] * 54)


@pytest.mark.parametrize("factor", [16.0, 0.1])
def test_files_are_never_bent(factor: float) -> None:
    """How fast a file is read says nothing about its time."""
    stamps: Stamps = [(factor * 2.0 * i, 0.001 * i) for i in range(60)]
    assert _times_s(stamps, live=False) == pytest.approx([factor * 2.0 * i for i in range(60)])


def test_advance_is_pure() -> None:
    """The same state and frame give the same time, and the session's number is kept."""
    state, first = advance(ClockState(7, live=True), pts_s=3.0, arrived_s=1.0)
    assert first == MediaTime(7, 0)
    again = [advance(state, pts_s=4.0, arrived_s=2.0) for _ in range(2)]
    assert (
        again[0]
        == again[1]
        == (ClockState(7, live=True, last_pts_s=4.0, last_arrived_s=2.0, last_us=1_000_000), MediaTime(7, 1_000_000))
    )


def test_what_is_passed_over_moves_no_time() -> None:
    """It has the time that it would have had, and the next frame the one that it has without it."""
    asked, other = MediaClock(7, live=True), MediaClock(7, live=True)
    for clock in (asked, other):
        clock.at(50.0, arrived_s=10.0)
    assert asked.would_be(52.0, arrived_s=12.0) == MediaTime(7, 2_000_000)
    assert asked.would_be(54.0, arrived_s=14.0) == MediaTime(7, 4_000_000)
    assert asked.at(56.0, arrived_s=16.0) == other.at(56.0, arrived_s=16.0) == MediaTime(7, 6_000_000)
