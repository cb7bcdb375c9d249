"""From near misses on harmless footage to the nats that a verdict takes: peaks over a threshold, and their tail.

What counts is not a keyframe but an event: how near one stretch of a stream came to a false verdict, at its nearest
(`peaks`). Events come at a rate, and over a high threshold they thin out as an exponential, or more slowly as a
generalised Pareto, whatever the body of their distribution is (Pickands, Balkema, de Haan). So a rate can be told for
nats that were never seen: with a bound, as the tail is known from some events only. With too few of them to know a
tail nothing is told beyond what the hours alone bear out: no event in `h` hours means a rate of 3/h at most.

The tail is never taken for a lighter one than an exponential: nats are bounded, and a fit may well say so, but where
the bound lies is the last thing that near misses can tell.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streamguard.types import AssetId

APART_S = 300.0
"""What is nearer in one stream is one event: so long a verdict stands, and a stream that is cut is cut once."""

CONFIDENCE = 0.95
MOST_NATS = 40.0
"""Beyond, a kill would take five perfect keyframes or more: whatever the footage says, no rule asks for that."""

_LEAST_EVENTS = 10
_EVENTS_OF_A_TAIL = 50
_MOST_EVENTS_OF_A_TAIL = 500
_TAIL_SHARE = 0.2
_EVENTS_OF_A_SHAPE = 100
"""Fewer tell nothing of a shape: its error alone would be worth a factor of thousands."""

_DRAWS = 4000
_STEP_NATS = 0.1
_TINY = 1e-9

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Near:
    """How near a stream came to a verdict at a moment, and for which asset."""

    at_s: float
    nats: float
    asset: AssetId


def peaks(session: Iterable[Near], *, apart_s: float = APART_S) -> tuple[Near, ...]:
    """The events of one session: of what is not farther apart than that, the nearest to a verdict."""
    events: list[Near] = []
    last_s = -math.inf
    for near in sorted(session, key=lambda one: one.at_s):
        if near.at_s - last_s > apart_s:
            events.append(near)
        elif near.nats > events[-1].nats:
            events[-1] = near
        last_s = near.at_s
    return tuple(events)


class TailKind(Enum):
    """What is believed beyond the highest event."""

    NONE = "none"
    """Too few events: nothing is."""
    EXPONENTIAL = "exponential"
    PARETO = "pareto"
    """Heavier, where the events say so."""


@dataclass(frozen=True, slots=True)
class _Draws:
    """What rate, scale and shape may as well be, a row each."""

    rates: Numbers
    scales: Numbers
    shapes: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """How often events reach so many nats, in `hours` of stream. `fit` makes it."""

    kind: TailKind
    hours: float
    events: Numbers
    """The nats of each, the lowest first."""
    over_nats: float = math.inf
    scale_nats: float = 0.0
    shape: float = 0.0
    _draws: _Draws | None = field(default=None, repr=False)

    def seen(self, nats: float) -> int:
        """How many events reached it."""
        return int(len(self.events) - np.searchsorted(self.events, nats))

    def per_hour(self, nats: float) -> float:
        """The rate of events that reach it, as far as can be told."""
        if nats <= self.over_nats:
            return self.seen(nats) / self.hours
        beyond = _survival(nats - self.over_nats, np.array([self.scale_nats]), np.array([self.shape]))
        return self._over / self.hours * float(beyond[0])

    def at_most_per_hour(self, nats: float, *, confidence: float = CONFIDENCE) -> float:
        """Its upper bound with this confidence."""
        if self._draws is None or nats <= self.over_nats:
            return poisson_at_most(self.seen(nats), confidence=confidence) / self.hours
        draws = self._draws
        rates = draws.rates * _survival(nats - self.over_nats, draws.scales, draws.shapes)
        return float(np.quantile(rates, confidence)) / self.hours

    def at_least_per_hour(self, nats: float, *, confidence: float = CONFIDENCE) -> float:
        """Its lower bound with this confidence."""
        if self._draws is None or nats <= self.over_nats:
            count = self.seen(nats)
            return poisson_at_most(count - 1, confidence=1 - confidence) / self.hours if count else 0.0
        return self.at_most_per_hour(nats, confidence=1 - confidence)

    @property
    def _over(self) -> int:
        return int(np.count_nonzero(self.events > self.over_nats))


@dataclass(frozen=True, slots=True)
class Choice:
    """The nats that a verdict takes, and how often harmless streams reach them. Not `is_supported`: the rate that was
    asked for cannot be promised, with these nats or with any.
    """

    nats: float
    per_hour: float
    at_most_per_hour: float
    is_supported: bool


def fit(nats: Iterable[float], *, hours: float, seed: int = 0) -> Tail:
    """The tail of these events. The same events give the same one; more hours change nothing but its rate.

    Raises ValueError without any hours.
    """
    if not hours > 0:
        raise ValueError(f"{hours} hours")
    events = np.sort(np.fromiter(nats, np.float64))
    kept = min(int(np.clip(len(events) * _TAIL_SHARE, _EVENTS_OF_A_TAIL, _MOST_EVENTS_OF_A_TAIL)), len(events) - 1)
    if kept < _LEAST_EVENTS:
        return Tail(TailKind.NONE, hours, events)
    over_nats = float(events[-kept - 1])
    excesses = events[events > over_nats] - over_nats
    if len(excesses) < _LEAST_EVENTS:
        return Tail(TailKind.NONE, hours, events)
    chance = np.random.default_rng(seed)
    count = len(excesses)
    rates = chance.gamma(count + 1, size=_DRAWS)
    if count >= _EVENTS_OF_A_SHAPE:
        resampled = np.sort(excesses[chance.integers(count, size=(_DRAWS, count))], axis=1)
        scales, shapes = _pareto(resampled)
        if np.quantile(shapes, 1 - CONFIDENCE) > 0:
            (scale,), (shape,) = _pareto(excesses[np.newaxis])
            draws = _Draws(rates, scales, shapes)
            return Tail(TailKind.PARETO, hours, events, over_nats, float(scale), float(shape), draws)
    mean = float(excesses.mean())
    # 2 n mean / scale has a chi-squared distribution with 2 n degrees of freedom.
    draws = _Draws(rates, mean * count / chance.gamma(count, size=_DRAWS), np.zeros(_DRAWS))
    return Tail(TailKind.EXPONENTIAL, hours, events, over_nats, mean, 0.0, draws)


def choose(tail: Tail, *, per_hour: float, least_nats: float, most_nats: float = MOST_NATS) -> Choice:
    """The fewest nats that harmless streams reach no more often than `per_hour`, with confidence.

    Where none do, the fewest that keep the lowest rate within reach: with a tail the most there is any use in, without
    one just above the events that were seen, if so few nats are above them.
    """
    steps = max(0, math.floor((most_nats - least_nats) / _STEP_NATS + 1e-9))
    marks = [round(least_nats + step * _STEP_NATS, 6) for step in range(steps + 1)]
    bounds = [tail.at_most_per_hour(nats) for nats in marks]
    enough = max(per_hour, min(bounds))
    nats, at_most = next(pair for pair in zip(marks, bounds, strict=True) if pair[1] <= enough)
    return Choice(nats, tail.per_hour(nats), at_most, is_supported=at_most <= per_hour)


@lru_cache(maxsize=4096)
def poisson_at_most(count: int, *, confidence: float = CONFIDENCE) -> float:
    """The exact upper bound on the mean of a Poisson distribution that gave `count`: at that mean, `count` or fewer
    come with a probability of 1 - confidence.
    """
    low, high = 0.0, count + 10.0 * math.sqrt(count + 1.0) + 10.0
    orders = np.arange(count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    for _ in range(60):
        mean = (low + high) / 2
        probability = np.exp(orders * math.log(mean) - mean - factorials).sum()
        low, high = (mean, high) if probability > 1 - confidence else (low, mean)
    return high


def _pareto(sorted_rows: Numbers) -> tuple[Numbers, Numbers]:
    """(scale, shape) of each row by probability-weighted moments (Hosking and Wallis 1987), the shape 0 at least."""
    count = sorted_rows.shape[1]
    beyond = 1.0 - (np.arange(1, count + 1) - 0.35) / count
    first, second = sorted_rows.mean(axis=1), (sorted_rows * beyond).mean(axis=1)
    rest = np.maximum(first - 2 * second, _TINY)
    shapes = 2.0 - first / rest
    is_heavy = shapes > 0
    return np.where(is_heavy, 2.0 * first * second / rest, first), np.where(is_heavy, shapes, 0.0)


def _survival(excess_nats: float, scales: Numbers, shapes: Numbers) -> Numbers:
    """The share of events over the threshold that are over it by so much."""
    light = np.exp(-excess_nats / scales)
    heavy = np.power(1.0 + shapes * excess_nats / scales, -1.0 / np.where(shapes > 0, shapes, 1.0))
    return np.where(shapes > 0, heavy, light)
