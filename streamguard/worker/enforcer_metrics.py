"""What is counted of enforcing, in one place: base units, closed label sets. `server` is the operator's own name."""

import math
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as TotalCounter

from streamguard.enforce.orders.enforcer import Result, Settled

_CUT_BUCKETS_S = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class EnforcerMetrics:
    """`registry`: where a worker enforces by itself, the worker's."""

    def __init__(self, registry: CollectorRegistry, *, servers: Iterable[str]) -> None:
        self.registry = registry
        self._results = TotalCounter(
            "streamguard_enforced", "Signals that came to their end, by what became of them.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self._after_decision = Histogram(
            "streamguard_decision_to_cut_seconds", "From a decision to the listing without its session.",
            buckets=_CUT_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._after_receipt = Histogram(
            "streamguard_received_to_cut_seconds", "From a signal's arrival to the listing without its session.",
            buckets=_CUT_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.under_way = Gauge(
            "streamguard_enforcing", "Signals that were received and are not settled.", registry=registry
        )
        self.server_up = Gauge(
            "streamguard_media_server_up", "1 while the media server lists its publishers, else 0.", ["server"],
            registry=registry,
        )  # fmt: skip
        for result in Result:
            self._results.labels(result.value)
        for server in servers:
            self.server_up.labels(server).set(math.nan)

    def count(self, result: Result) -> None:
        self._results.labels(result.value).inc()

    def settled(self, settled: Settled) -> None:
        """Counts it, and how long it took where a session was cut."""
        self.count(settled.result)
        timings_s = dict(settled.timings_s)
        if settled.result is Result.EXECUTED:
            # Clocks of two machines may differ: none of them may say that it was cut before the decision.
            self._after_decision.observe(max(0.0, timings_s["gone"]))
            self._after_receipt.observe(max(0.0, timings_s["gone"] - timings_s["received"]))
