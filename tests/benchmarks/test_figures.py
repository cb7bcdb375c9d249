"""Straight lines, quantiles and tables of the benchmarks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import bucket_quantile, buckets, fit, put_between, quantile, since, table

METRICS = """
# TYPE lag_seconds histogram
lag_seconds_bucket{le="0.05"} 10.0
lag_seconds_bucket{le="0.1"} 30.0
lag_seconds_bucket{le="+Inf"} 40.0
lag_seconds_count 40.0
other_lag_seconds_bucket{le="0.05"} 7.0
"""

numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, st.lists(st.integers(-1000, 1000), min_size=2, max_size=20, unique=True))
def test_points_of_a_line_give_that_line(slope: float, intercept: float, xs: list[int]) -> None:
    """Whatever the line, and wherever on it the points are."""
    line = fit((x, intercept + slope * x) for x in xs)
    size = 1 + abs(slope) * 1000 + abs(intercept)
    assert line.at(500) == pytest.approx(intercept + slope * 500, abs=1e-6 * size)
    assert line.worst_residual <= 1e-9 * size


def test_a_line_tells_its_worst_residual() -> None:
    """Of a point that lies off it, in units of y; and how much of the spread it explains."""
    line = fit([(0, 0), (1, 1), (2, 2), (3, 3), (1.5, 3.5)])
    assert line.slope == pytest.approx(1)
    assert line.intercept == pytest.approx(0.4)
    assert line.worst_residual == pytest.approx(1.6)
    assert line.r_squared == pytest.approx(1 - 3.2 / 8.2)


@pytest.mark.parametrize("points", [[], [(1, 2)], [(1, 2), (1, 3)]])
def test_there_is_no_line_through_one_place(points: list[tuple[float, float]]) -> None:
    """An error, not a guess."""
    with pytest.raises(ValueError, match="no line"):
        fit(points)


def test_a_quantile_is_one_of_the_values() -> None:
    """The smallest that so large a share does not exceed; of nothing there is none."""
    assert quantile([3, 1, 2, 4], 0.5) == 2
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([7], 0.01) == 7
    assert math.isnan(quantile([], 0.5))


def test_buckets_are_those_of_one_histogram() -> None:
    """Not of another one whose name ends the same."""
    assert buckets(METRICS, "lag_seconds") == {0.05: 10, 0.1: 30, math.inf: 40}
    assert buckets(METRICS, "seconds") == {}


def test_quantiles_of_buckets_lie_evenly_within_them() -> None:
    """What is beyond the last bound is said to be there; of no observations there is no quantile."""
    counts = buckets(METRICS, "lag_seconds")
    assert bucket_quantile(counts, 0.5) == pytest.approx(0.075)
    assert bucket_quantile(counts, 0.99) == 0.1
    assert math.isnan(bucket_quantile(since(counts, counts), 0.5))
    assert math.isnan(bucket_quantile({}, 0.5))


def test_only_what_stands_between_the_marks_changes() -> None:
    """However often it is put there; a text without them is refused."""
    text = "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n"
    once = put_between(text, "bench", "new\n")
    assert once == "before\n<!-- bench: begin -->\nnew\n<!-- bench: end -->\nafter\n"
    assert put_between(once, "bench", "new") == once
    with pytest.raises(ValueError, match="no lines"):
        put_between("<!-- bench: end -->\n<!-- bench: begin -->\n", "bench", "new")


def test_a_table_is_markdown() -> None:
    """A head, a rule, and the rows."""
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
