"""What a worker counts of the streams that it shares with others, in one place."""

import math
from collections import Counter

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as TotalCounter

from streamguard.worker.leases import Change, SharingState


class LeaseMetrics:
    """NaN, or nothing, where streams are not shared."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "streamguard_leases_up", "1 while leases are kept in Redis, else 0; NaN where streams are not shared.",
            registry=registry,
        )  # fmt: skip
        self.workers = Gauge(
            "streamguard_leases_workers", "Workers that share streams, this one with them.", registry=registry
        )
        self.held = Gauge("streamguard_leases_held", "Shared streams that this worker has.", registry=registry)
        self.unwatched = Gauge(
            "streamguard_leases_unwatched_streams", "Shared streams known to this worker that no worker watches.",
            registry=registry,
        )  # fmt: skip
        self.changes = TotalCounter(
            "streamguard_leases_changes", "Streams taken, and given to other workers.", ["change"],
            registry=registry,
        )  # fmt: skip
        for change in Change:
            self.changes.labels(change.value)
        self.up.set(math.nan)
        self._seen: Counter[Change] = Counter()

    def tick(self, state: SharingState, *, is_renewing: bool) -> None:
        """A state that nobody brings up to date any more must not look well for ever."""
        self.up.set(is_renewing and not state.problem)
        self.workers.set(state.workers)
        self.held.set(state.held)
        self.unwatched.set(len(state.unwatched))
        for change, total in state.changes.items():
            self.changes.labels(change.value).inc(total - self._seen[change])
            self._seen[change] = total
