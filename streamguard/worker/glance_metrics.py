"""What is counted of looks between keyframes."""

from prometheus_client import CollectorRegistry, Counter

from streamguard.ingest.news import Glanced


class GlanceMetrics:
    """Of all streams together."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.looks = Counter(
            "streamguard_between_keyframes_looks", "Pictures between keyframes looked at.", registry=registry
        )
        self.refused = Counter(
            "streamguard_between_keyframes_refused",
            "Cuts between keyframes not looked at: nothing was kept, it was not their turn, or the budget was spent.",
            registry=registry,
        )
        self.cost = Counter(
            "streamguard_between_keyframes_cpu_seconds", "Processor time of looks between keyframes.",
            registry=registry,
        )  # fmt: skip

    def count(self, glanced: Glanced) -> None:
        self.looks.inc(glanced.looks)
        self.refused.inc(glanced.refused)
        self.cost.inc(glanced.cost_s)
