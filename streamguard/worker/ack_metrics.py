"""What a worker counts of enforcers' answers, in one place."""

import math

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as TotalCounter

from streamguard.enforce.signals.acks import Outcome


class AckMetrics:
    """From a delivered kill to its acknowledgement."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.acknowledged = TotalCounter(
            "streamguard_signals_acknowledged", "Kills that an enforcer answered to, by outcome.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.unacknowledged = TotalCounter(
            "streamguard_signals_unacknowledged", "Kills that expired without an answer, by how they were addressed.",
            ["addressed"], registry=registry,
        )  # fmt: skip
        self.awaiting = Gauge(
            "streamguard_signals_awaiting_ack", "Kills that were delivered, and that nobody answered to yet.",
            registry=registry,
        )  # fmt: skip
        self.ignored = TotalCounter(
            "streamguard_acks_ignored", "Entries among acknowledgements that are none, or forged.", registry=registry
        )
        self.readable = Gauge(
            "streamguard_acks_readable", "1 while acknowledgements can be read, else 0; NaN where none can come.",
            registry=registry,
        )  # fmt: skip
        self.readable.set(math.nan)
        for outcome in Outcome:
            self.acknowledged.labels(outcome.value)
        for addressed in ("server", "url"):
            self.unacknowledged.labels(addressed)
