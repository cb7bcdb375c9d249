"""streamguard.core.calibrate: from near misses to the nats that keep a stated rate."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.calibrate import (
    MOST_NATS,
    Near,
    Tail,
    TailKind,
    choose,
    fit,
    peaks,
    poisson_at_most,
)
from streamguard.types import AssetId

_PATIENT = settings(deadline=None, max_examples=40)

_NATS = st.lists(st.floats(4.0, 30.0), max_size=120)
_RATES = st.floats(1e-7, 10.0)


def _exponential(count: int, *, scale_nats: float, seed: int = 1, least_nats: float = 5.0) -> np.ndarray:
    return least_nats + np.random.default_rng(seed).exponential(scale_nats, count)


def _near(at_s: float, nats: float) -> Near:
    return Near(at_s, nats, AssetId("clip"))


def test_what_is_near_in_time_is_one_event() -> None:
    """Its nearest to a verdict; a pause of more than five minutes ends it, however long it lasted."""
    session = [_near(0, 6), _near(200, 9), _near(400, 7), _near(800, 5), _near(1100, 8), _near(2000, 4)]
    assert [(one.at_s, one.nats) for one in peaks(session)] == [(200, 9), (1100, 8), (2000, 4)]
    assert peaks([]) == ()


@_PATIENT
@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(1, 30))), st.randoms(use_true_random=False))
def test_the_nearest_of_all_is_an_event(moments: list[tuple[float, float]], chance: object) -> None:
    """In whatever order they come, the highest is kept and no two events are near."""
    shuffled = list(moments)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's Random
    found = peaks(_near(*one) for one in shuffled)
    assert max((one.nats for one in found), default=0) == max((nats for _, nats in moments), default=0)
    assert len(found) <= len(moments)


@pytest.mark.parametrize(("count", "bound"), [(0, 2.9957), (1, 4.7439), (3, 7.7537), (10, 16.962), (100, 118.08)])
def test_the_bound_on_a_count_is_exact(count: int, bound: float) -> None:
    """As in the tables: none seen means three at most."""
    assert poisson_at_most(count) == pytest.approx(bound, rel=1e-4)


@pytest.mark.parametrize("scale_nats", [0.7, 1.5, 3.0])
def test_a_planted_exponential_tail_is_found(scale_nats: float) -> None:
    """Its scale within 10 %, and the nats for a rate that was never seen within a nat or two, above the truth."""
    hours = 1000.0
    tail = fit(_exponential(4000, scale_nats=scale_nats), hours=hours)
    assert tail.kind is TailKind.EXPONENTIAL
    assert tail.scale_nats == pytest.approx(scale_nats, rel=0.1)
    true_nats = 5.0 + scale_nats * math.log(4000 / hours / 1e-4)
    choice = choose(tail, per_hour=1e-4, least_nats=5.0)
    assert true_nats <= choice.nats <= true_nats * 1.15 + 0.1
    assert choice.is_supported
    assert choice.per_hour <= choice.at_most_per_hour <= 1e-4


def test_a_planted_heavy_tail_is_not_taken_for_a_light_one() -> None:
    """A generalised Pareto with shape 0.3: an exponential would promise ten times too little."""
    uniform = np.random.default_rng(3).random(2500)
    heavy = 5.0 + (uniform**-0.3 - 1.0) / 0.3
    tail = fit(heavy, hours=100.0)
    true_per_hour = 25.0 * (1 + 0.3 * 30.0) ** (-1 / 0.3)
    assert tail.kind is TailKind.PARETO
    assert tail.shape == pytest.approx(0.3, abs=0.15)
    assert tail.at_most_per_hour(35.0) >= true_per_hour


def test_a_bounded_tail_is_taken_for_an_exponential_at_least() -> None:
    """Near misses between 5 and 8 nats do not promise that there will never be one of 9."""
    tail = fit(5.0 + 3.0 * np.random.default_rng(4).random(3000), hours=100.0)
    assert (tail.kind, tail.shape) == (TailKind.EXPONENTIAL, 0.0)
    assert tail.per_hour(9.0) > 0


def test_the_bound_holds_as_often_as_it_says() -> None:
    """On 200 samples of a known tail, the rate beyond is above the bound in few."""
    hours, nats = 50.0, 20.0
    true_per_hour = 40 / hours * math.exp(-(nats - 5.0) / 1.5)
    counts = np.random.default_rng(6).poisson(40, 200)
    bounds = [
        fit(_exponential(int(count), scale_nats=1.5, seed=seed), hours=hours).at_most_per_hour(nats)
        for seed, count in enumerate(counts)
    ]
    assert np.mean(np.array(bounds) < true_per_hour) <= 0.08


@_PATIENT
@given(_NATS, _RATES, _RATES)
def test_a_stricter_rate_never_takes_fewer_nats(nats: list[float], one: float, other: float) -> None:
    """And no rate takes fewer than the least, or more than the most."""
    tail = fit(nats, hours=10.0)
    strict, loose = sorted((one, other))
    marks = [choose(tail, per_hour=rate, least_nats=12.0) for rate in (strict, loose)]
    if all(mark.is_supported for mark in marks):
        assert marks[0].nats >= marks[1].nats
    assert all(12.0 <= mark.nats <= MOST_NATS for mark in marks)
    assert not (marks[0].is_supported and not marks[1].is_supported)


@_PATIENT
@given(_NATS, st.tuples(st.floats(0.1, 1e5), st.floats(1.0, 100.0)), st.floats(4.0, 60.0))
def test_more_hours_never_raise_the_bound(nats: list[float], hours: tuple[float, float], at_nats: float) -> None:
    """The same near misses in more hours of stream are a lower rate."""
    few, times = hours
    short, long = fit(nats, hours=few), fit(nats, hours=few * times)
    assert long.at_most_per_hour(at_nats) <= short.at_most_per_hour(at_nats) * (1 + 1e-9)
    assert long.per_hour(at_nats) <= short.per_hour(at_nats) * (1 + 1e-9)


@_PATIENT
@given(_NATS, st.floats(4.0, 60.0))
def test_the_bound_is_above_the_estimate(nats: list[float], at_nats: float) -> None:
    """And above the lower one, whatever the events are; and the same events give the same bound."""
    tail = fit(nats, hours=3.0)
    assert tail.at_least_per_hour(at_nats) <= tail.per_hour(at_nats) <= tail.at_most_per_hour(at_nats)
    assert fit(reversed(nats), hours=3.0).at_most_per_hour(at_nats) == tail.at_most_per_hour(at_nats)


def _rates(tail: Tail) -> list[float]:
    return [tail.at_most_per_hour(nats) for nats in np.arange(12.0, 40.0, 0.5)]


def test_too_few_events_tell_no_tail() -> None:
    """The hours alone bound the rate then, whatever nats are asked for: that must not look like support."""
    tail = fit([6.0, 7.0, 8.0], hours=2.0)
    assert tail.kind is TailKind.NONE
    assert _rates(tail) == pytest.approx([2.9957 / 2.0] * len(_rates(tail)), rel=1e-4)
    choice = choose(tail, per_hour=1e-5, least_nats=12.0)
    assert (choice.nats, choice.is_supported) == (12.0, False)


def test_hours_enough_need_no_tail() -> None:
    """Nothing seen in 400,000 hours bears out 1e-5 an hour."""
    choice = choose(fit([], hours=400_000.0), per_hour=1e-5, least_nats=12.0)
    assert (choice.nats, choice.is_supported) == (12.0, True)
    assert choice.at_most_per_hour == pytest.approx(7.49e-6, rel=1e-3)


def test_few_events_that_reach_a_kill_raise_it_above_them() -> None:
    """No tail is made up, and what was seen is not promised away."""
    choice = choose(fit([6.0, 14.03], hours=2.0), per_hour=1e-5, least_nats=12.0)
    assert (choice.nats, choice.is_supported) == (14.1, False)


def test_the_most_is_where_it_ends() -> None:
    """A tail that asks for a hundred nats gets what is of any use, and no promise."""
    choice = choose(fit(_exponential(60, scale_nats=12.0), hours=0.5), per_hour=1e-6, least_nats=12.0)
    assert (choice.nats, choice.is_supported) == (MOST_NATS, False)


def test_equal_events_are_no_tail() -> None:
    """Events that are all alike say nothing of what lies beyond."""
    assert fit([8.0] * 200, hours=1.0).kind is TailKind.NONE
    assert fit([7.0] * 100 + [8.0] * 40, hours=1.0).scale_nats == 1.0


@pytest.mark.parametrize("hours", [0.0, -1.0, math.nan])
def test_no_hours_are_an_error(hours: float) -> None:
    """A rate of nothing is none."""
    with pytest.raises(ValueError, match="hours"):
        fit([], hours=hours)
