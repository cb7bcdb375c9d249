"""What is made of measurements: straight lines, quantiles, tables. Values in, values out."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

S_AN_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A straight line by least squares. `worst_residual` is the largest distance of a point from it, in units of y."""

    slope: float
    intercept: float
    r_squared: float
    worst_residual: float

    def at(self, x: float) -> float:
        return self.intercept + self.slope * x


def fit(points: Iterable[tuple[float, float]]) -> Fit:
    """The line through them. Raises ValueError for fewer than two different x."""
    known = list(points)
    if len({x for x, _ in known}) < 2:  # noqa: PLR2004  # two points make a line
        raise ValueError(f"no line through {len(known)} points of one x")
    mean_x = math.fsum(x for x, _ in known) / len(known)
    mean_y = math.fsum(y for _, y in known) / len(known)
    spread_x = math.fsum((x - mean_x) ** 2 for x, _ in known)
    spread_y = math.fsum((y - mean_y) ** 2 for _, y in known)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in known) / spread_x
    intercept = mean_y - slope * mean_x
    residuals = [y - intercept - slope * x for x, y in known]
    left = math.fsum(residual**2 for residual in residuals)
    r_squared = 1 - left / spread_y if spread_y else 1.0
    return Fit(slope, intercept, r_squared, max(map(abs, residuals)))


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


Buckets = dict[float, float]
"""How many observations there were up to each bound, as Prometheus counts them."""


def buckets(metrics: str, name: str) -> Buckets:
    """Those of a histogram without labels, in what `/metrics` says; empty where it has none."""
    found = re.findall(rf'^{re.escape(name)}_bucket{{le="([^"]+)"}} (\S+)', metrics, re.MULTILINE)
    return {float(bound): float(count) for bound, count in found}


def since(now: Buckets, before: Buckets) -> Buckets:
    """What came after `before`."""
    return {bound: count - before.get(bound, 0.0) for bound, count in now.items()}


def bucket_quantile(counts: Buckets, share: float) -> float:
    """As `histogram_quantile` of Prometheus: even within a bucket, the last bound of what is beyond; NaN of none."""
    bounds = sorted(counts)
    wanted = share * counts[bounds[-1]] if bounds else 0.0
    if not wanted:
        return math.nan
    lower, below = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted:
            return lower if math.isinf(bound) else lower + (bound - lower) * (wanted - below) / (counts[bound] - below)
        lower, below = bound, counts[bound]
    return lower


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put_between(text: str, mark: str, body: str) -> str:
    """The text with what stands between the two lines of this mark replaced. Raises ValueError where they are not."""
    begin, end = f"<!-- {mark}: begin -->\n", f"<!-- {mark}: end -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"no lines `{begin.strip()}` and `{end}`")
    return f"{before}{begin}{body.strip()}\n{end}{after}"
