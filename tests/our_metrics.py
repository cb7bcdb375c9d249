"""The metrics that workers, enforcers and gates export, as their registries have them."""

import re
from collections.abc import Iterator
from functools import cache

from prometheus_client import CollectorRegistry

from streamguard.enforce.gate.metrics import GateMetrics
from streamguard.worker.enforcer_metrics import EnforcerMetrics
from streamguard.worker.metrics import Metrics
from streamguard.worker.reload_metrics import ReloadMetrics
from streamguard.worker.safety_metrics import SafetyMetrics

METRIC = re.compile(r"\b(?:streamguard|process)_[a-z_]+\b")
"""One of ours in a text."""


@cache
def of_workers() -> frozenset[str]:
    """The families of a worker that enforces by itself: all that a worker has, and all that an enforcer has."""
    return frozenset(_families(_worker_that_enforces()))


@cache
def of_gates() -> frozenset[str]:
    """The families of a publish gate."""
    return frozenset(_families(_gate()))


def series_names() -> set[str]:
    """What a query may name: families, and the parts of histograms."""
    registries = _worker_that_enforces(), _gate()
    kinds = {name: kind for registry in registries for name, kind in _families(registry).items()}
    histograms = [name for name, kind in kinds.items() if kind == "histogram"]
    return set(kinds) | {name + part for name in histograms for part in ("_bucket", "_sum", "_count")}


def family_of(series: str) -> str:
    """Of a histogram's part, the histogram."""
    families = of_workers() | of_gates()
    return series if series in families else series.rpartition("_")[0]


def _worker_that_enforces() -> CollectorRegistry:
    registry = Metrics().registry
    EnforcerMetrics(registry, servers=("nginx-rtmp",))
    SafetyMetrics(registry, webhooks=("platform",))
    return registry


def _gate() -> CollectorRegistry:
    """As the command runs it."""
    registry = GateMetrics().registry
    ReloadMetrics(registry)
    return registry


def _families(registry: CollectorRegistry) -> dict[str, str]:
    return {name: kind for name, kind in _named(registry) if not name.endswith("_created")}


def _named(registry: CollectorRegistry) -> Iterator[tuple[str, str]]:
    for family in registry.collect():
        yield family.name + ("_total" if family.type == "counter" else ""), family.type
