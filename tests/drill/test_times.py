"""What is done to the time of footage."""

import pytest

from streamguard.drill import times
from streamguard.drill.attack import TimeMap


@pytest.mark.parametrize(
    ("when", "shown"),
    [
        (times.at_speed(1.5), [0.0, 1.5, 3.0, 4.5, 6.0, 7.5, 9.0]),
        (times.backwards, [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0]),
        (times.looped(4.0), [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0]),
        (times.freezing, [0.0, 1.0, 1.0, 3.0, 4.0, 4.0, 6.0]),
    ],
    ids=["speed", "backwards", "loop", "freeze"],
)
def test_second_by_second(when: TimeMap, shown: list[float]) -> None:
    """Which second of nine is shown at each of the first seven."""
    assert [when(float(t_s), 9.0) for t_s in range(7)] == shown


def test_a_loop_of_short_footage_is_all_of_it() -> None:
    """Two seconds of footage are played over and over."""
    assert [times.looped(5.0)(t_s, 2.0) for t_s in (0.0, 1.5, 2.0, 3.5)] == [0.0, 1.5, 0.0, 1.5]


def test_a_low_rate_holds_each_picture() -> None:
    """At two a second there are four moments in two seconds."""
    assert {times.at_rate(2.0)(number / 10, 9.0) for number in range(20)} == {0.0, 0.5, 1.0, 1.5}


def test_dropping_holds_now_and_then_and_never_leaps_ahead() -> None:
    """Some moments are held, at most for half a second; the others are shown in time."""
    lags_s = [number / 25 - times.dropping(number / 25, 20.0) for number in range(500)]
    assert min(lags_s) == 0
    assert 0.4 < max(lags_s) <= 0.5
    assert 0.2 < sum(lag_s > 0 for lag_s in lags_s) / len(lags_s) < 0.8
