"""streamguard.worker.reload_metrics: their names, and what they say before anything happened."""

import math

from prometheus_client import CollectorRegistry

from streamguard.worker.reload_metrics import Outcome, ReloadMetrics


def test_series_exist_before_anything_happened() -> None:
    """Each outcome from 0 on; gauges are NaN where no file is followed, which no alert takes for well or wrong."""
    registry = CollectorRegistry()
    metrics = ReloadMetrics(registry)
    for outcome in Outcome:
        assert registry.get_sample_value("streamguard_config_reloads_total", {"outcome": outcome.value}) == 0
    for name in ("loaded_timestamp_seconds", "refused", "awaiting_restart"):
        assert math.isnan(registry.get_sample_value(f"streamguard_config_{name}") or 0.0)
    metrics.reloads.labels(Outcome.REFUSED.value).inc()
    assert registry.get_sample_value("streamguard_config_reloads_total", {"outcome": "refused"}) == 1
