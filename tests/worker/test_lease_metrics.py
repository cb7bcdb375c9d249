"""streamguard.worker.lease_metrics: how sharing stands, as numbers."""

import math

from prometheus_client import CollectorRegistry

from streamguard.types import StreamId
from streamguard.worker.lease_metrics import LeaseMetrics
from streamguard.worker.leases import Change, SharingState


def test_states_become_numbers_and_changes_add_up() -> None:
    """Whoever shares nothing has no number that would raise an alert; names are in none."""
    registry = CollectorRegistry()
    metrics = LeaseMetrics(registry)
    value = registry.get_sample_value
    assert math.isnan(value("streamguard_leases_up") or 0.0)
    unwatched = (StreamId("a"), StreamId("b"))
    for total, problem in ((2, ""), (5, "no answer in time")):
        metrics.tick(SharingState(problem, workers=3, held=7, unwatched=unwatched, changes={Change.TAKEN: total}))
        assert value("streamguard_leases_up") == (not problem)
        assert value("streamguard_leases_changes_total", {"change": "taken"}) == total
    assert value("streamguard_leases_changes_total", {"change": "lost"}) == 0
    assert [value(f"streamguard_leases_{name}") for name in ("workers", "held", "unwatched_streams")] == [3, 7, 2]
