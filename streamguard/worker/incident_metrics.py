"""What is counted of incidents: base units, no labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class IncidentMetrics:
    """Set by worker.incidents."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge(
            "streamguard_incidents_open", "Incidents that are open: while there is one, every keyframe is looked at.",
            registry=registry,
        )  # fmt: skip
        self.hot_items = Gauge(
            "streamguard_incident_hot_items", "Items of open incidents that are searched before everything else.",
            registry=registry,
        )  # fmt: skip
        self.hot_alone = Counter(
            "streamguard_incident_hot_alone_total",
            "Keyframes that were looked up among items of open incidents alone, as the rest of the library failed.",
            registry=registry,
        )
        self.shown_bytes = Gauge(
            "streamguard_shown_bytes", "Memory of what streams have shown lately, of all together.", registry=registry
        )
        self.shown_seconds = Gauge(
            "streamguard_shown_reach_seconds",
            "How far back it is remembered: incident.remember_s, or less where that took too much memory.",
            registry=registry,
        )
