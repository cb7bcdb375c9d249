"""Backoff: doubling, capped, spread, and never a surprise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.backoff import delay_s


@pytest.mark.parametrize(("attempt", "expected_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (5, 16.0), (6, 30.0), (7, 30.0)])
def test_doubles_up_to_the_cap(attempt: int, expected_s: float) -> None:
    """Each failure in a row doubles the wait, up to the cap."""
    assert delay_s(attempt, first_s=1.0, cap_s=30.0, jitter=1.0) == expected_s


@pytest.mark.parametrize("attempt", [0, -3])
def test_no_failure_yet_waits_as_after_the_first(attempt: int) -> None:
    """A count below one is taken for one."""
    assert delay_s(attempt, first_s=2.0, cap_s=30.0, jitter=1.0) == 2.0


@given(st.integers(1, 10**9), st.floats(0.001, 60), st.floats(0, 1))
def test_jitter_spreads_over_the_upper_half(attempt: int, first_s: float, jitter: float) -> None:
    """Whatever the attempt, the wait lies between half and all of the full one, which is capped."""
    full_s = delay_s(attempt, first_s=first_s, cap_s=90.0, jitter=1.0)
    assert full_s <= 90.0
    assert full_s / 2 <= delay_s(attempt, first_s=first_s, cap_s=90.0, jitter=jitter) <= full_s
