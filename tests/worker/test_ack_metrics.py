"""streamguard.worker.ack_metrics: what is counted of enforcers' answers."""

import math

from prometheus_client import CollectorRegistry

from streamguard.enforce.signals.acks import Outcome
from streamguard.worker.ack_metrics import AckMetrics


def test_every_outcome_is_there_before_it_happens() -> None:
    """So that the first failure is a rise from 0, which an alert sees."""
    registry = CollectorRegistry()
    AckMetrics(registry)
    outcomes = [
        registry.get_sample_value("streamguard_signals_acknowledged_total", {"outcome": o.value}) for o in Outcome
    ]
    addressed = [
        registry.get_sample_value("streamguard_signals_unacknowledged_total", {"addressed": how})
        for how in ("server", "url")
    ]
    assert {*outcomes, *addressed, registry.get_sample_value("streamguard_acks_ignored_total")} == {0.0}


def test_whether_answers_can_be_read_is_not_known_at_first() -> None:
    """Where none can come it stays so: neither 0, which would raise an alert, nor 1."""
    registry = CollectorRegistry()
    metrics = AckMetrics(registry)
    assert math.isnan(registry.get_sample_value("streamguard_acks_readable") or 0.0)
    metrics.readable.set(0)
    assert registry.get_sample_value("streamguard_acks_readable") == 0
