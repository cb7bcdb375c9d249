"""What is counted of what streams asked for and did not get."""

from prometheus_client import CollectorRegistry, Counter

from streamguard.ingest.news import Refusal, Refused


class RefusalMetrics:
    """By reason, of which there are as many as Refusal has."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.refused = Counter(
            "streamguard_refusals", "What streams asked for that is beyond our bounds, by reason.", ["reason"],
            registry=registry,
        )  # fmt: skip
        for why in Refusal:
            self.refused.labels(why.value)

    def count(self, refused: Refused) -> None:
        self.refused.labels(refused.why.value).inc()
