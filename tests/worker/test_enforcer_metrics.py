"""streamguard.worker.enforcer_metrics: what is counted of enforcing."""

import math

from prometheus_client import CollectorRegistry

from streamguard.enforce.orders.enforcer import Result, Settled
from streamguard.worker.enforcer_metrics import EnforcerMetrics

CUT = Settled(Result.EXECUTED, "cut", (("received", 0.5), ("dropped", 0.6), ("gone", 0.75)))


class Counted:
    """The metrics of two servers' enforcer, and their values."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = EnforcerMetrics(self.registry, servers=("nginx-rtmp", "edge-2"))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"streamguard_{name}", labels)


def test_each_end_is_counted_under_its_own_name() -> None:
    """All of them are there from the start, at 0."""
    counted = Counted()
    assert {counted.value("enforced_total", outcome=result.value) for result in Result} == {0.0}
    for result in Result:
        counted.metrics.count(result)
    assert {counted.value("enforced_total", outcome=result.value) for result in Result} == {1.0}


def test_only_a_cut_has_a_time() -> None:
    """From the decision, and from the signal's arrival; what was gone by itself would make it look faster."""
    counted = Counted()
    counted.metrics.settled(CUT)
    counted.metrics.settled(Settled(Result.ALREADY_GONE, "not listed", (("received", 0.1), ("gone", 0.2))))
    counted.metrics.settled(Settled(Result.FAILED, "still listed", (("received", 0.1), ("ended", 300.0))))
    assert counted.value("decision_to_cut_seconds_count") == 1
    assert counted.value("decision_to_cut_seconds_sum") == 0.75
    assert counted.value("received_to_cut_seconds_sum") == 0.25
    assert counted.value("enforced_total", outcome="failed") == 1


def test_no_cut_comes_before_its_decision() -> None:
    """Whatever the clocks of two machines say: a sum that falls is a restart to Prometheus."""
    counted = Counted()
    counted.metrics.settled(Settled(Result.EXECUTED, "cut", (("received", -1.5), ("gone", -1.0))))
    assert counted.value("decision_to_cut_seconds_sum") == 0
    assert counted.value("received_to_cut_seconds_sum") == 0.5


def test_a_server_that_was_not_asked_yet_is_neither_up_nor_down() -> None:
    """Each is there by its name, and raises no alert before it has answered, or has not."""
    counted = Counted()
    for server in ("nginx-rtmp", "edge-2"):
        assert math.isnan(counted.value("media_server_up", server=server) or 0.0)
    counted.metrics.server_up.labels("edge-2").set(0)
    assert counted.value("media_server_up", server="edge-2") == 0
