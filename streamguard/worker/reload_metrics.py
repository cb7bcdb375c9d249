"""What is counted of reading the configuration anew."""

import math
from enum import Enum

from prometheus_client import CollectorRegistry, Counter, Gauge


class Outcome(Enum):
    """How one reading ended. NEEDS_RESTART: some of what is new waits for one, and the rest counts."""

    APPLIED = "applied"
    NEEDS_RESTART = "needs_restart"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class ReloadMetrics:
    """Workers, enforcers and gates have them. NaN where there is no file to be read anew."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reloads = Counter(
            "streamguard_config_reloads", "How often the configuration was read anew, by how that ended.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.loaded = Gauge(
            "streamguard_config_loaded_timestamp_seconds", "When the configuration was last read and found right.",
            registry=registry,
        )  # fmt: skip
        self.refused = Gauge(
            "streamguard_config_refused", "1 while the configuration's file is wrong, and an earlier one counts.",
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "streamguard_config_awaiting_restart", "Options of the file that count after a restart.", registry=registry
        )
        for gauge in (self.loaded, self.refused, self.waiting):
            gauge.set(math.nan)
        for outcome in Outcome:
            self.reloads.labels(outcome.value)
