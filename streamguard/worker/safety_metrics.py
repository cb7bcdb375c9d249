"""What is counted of the breaker, of held kills and of webhooks. `webhook` is the operator's own name."""

import math
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as TotalCounter

from streamguard.core.breaker import Scope
from streamguard.enforce.cutting.teller import Telling


class SafetyMetrics:
    """`registry`: the enforcer's, or the worker's where that enforces by itself."""

    def __init__(self, registry: CollectorRegistry, *, webhooks: Iterable[str] = ()) -> None:
        self.open = Gauge(
            "streamguard_breaker_open",
            "Of scope all: 1 while every kill becomes a review; of scope reference: references in quarantine.",
            ["scope"], registry=registry,
        )  # fmt: skip
        self.trips = TotalCounter(
            "streamguard_breaker_trips", "How often this process's kill was one too many.", ["scope"], registry=registry
        )
        self.held = Gauge(
            "streamguard_kills_held", "Kills that wait for an operator's yes.", registry=registry
        )  # fmt: skip
        self.told = TotalCounter(
            "streamguard_webhook_signals", "Signals that came to their end at a webhook, by what became of them.",
            ["webhook", "outcome"], registry=registry,
        )  # fmt: skip
        for scope in Scope:
            self.open.labels(scope.value).set(math.nan)
            self.trips.labels(scope.value)
        for webhook in webhooks:
            self.expect(webhook)

    def expect(self, webhook: str) -> None:
        """Its series exist before anything happens."""
        for telling in Telling:
            self.told.labels(webhook, telling.value)

    def set_standing(self, is_open: float, quarantined: float, *, held: float) -> None:
        """NaN: nobody knows."""
        self.open.labels(Scope.ALL.value).set(is_open)
        self.open.labels(Scope.REFERENCE.value).set(quarantined)
        self.held.set(held)
