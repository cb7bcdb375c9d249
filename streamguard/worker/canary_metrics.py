"""What is counted of the canary: base units, closed label sets."""

import math
from enum import Enum

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as TotalCounter


class Stage(Enum):
    """How far a canary came that did not come all the way."""

    MAKE = "make"
    """Its footage could not be made: a disk for temporary files that is full, say."""
    DECODER = "decoder"
    RECOGNITION = "recognition"
    OUTBOX = "outbox"
    DELIVERY = "delivery"
    FAULT = "fault"
    """A mistake of ours."""


class CanaryMetrics:
    """Until a service has a canary, its gauges say nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.since_success = Gauge(
            "streamguard_canary_since_success_seconds",
            "Since a canary got all the way, or since the start; NaN where there is none.",
            registry=registry,
        )
        self.period = Gauge(
            "streamguard_canary_period_seconds", "How often there is a canary; NaN where there is none.",
            registry=registry,
        )  # fmt: skip
        self.failures = TotalCounter(
            "streamguard_canary_failures", "Canaries that did not get all the way, by how far they got.", ["stage"],
            registry=registry,
        )  # fmt: skip
        for stage in Stage:
            self.failures.labels(stage.value)
        self.since_success.set(math.nan)
        self.period.set(math.nan)
