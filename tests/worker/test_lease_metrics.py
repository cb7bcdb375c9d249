"""streamguard.worker.lease_metrics: how sharing stands, as numbers."""

import math

import pytest
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
        state = SharingState(problem, workers=3, held=7, unwatched=unwatched, changes={Change.TAKEN: total})
        metrics.tick(state, is_renewing=True)
        assert value("streamguard_leases_up") == (not problem)
        assert value("streamguard_leases_changes_total", {"change": "taken"}) == total
    assert value("streamguard_leases_changes_total", {"change": "lost"}) == 0
    assert [value(f"streamguard_leases_{name}") for name in ("workers", "held", "unwatched_streams")] == [3, 7, 2]


@pytest.mark.promise(8, "a worker whose leases nobody renews any more")
def test_what_is_not_brought_up_to_date_does_not_look_well() -> None:
    """The last state said that all is well, and then its thread ended, or hangs."""
    registry = CollectorRegistry()
    LeaseMetrics(registry).tick(SharingState(), is_renewing=False)
    assert registry.get_sample_value("streamguard_leases_up") == 0
