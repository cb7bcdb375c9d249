"""streamguard.enforce.gate.metrics: what is counted of hooks, under labels that nobody outside can add to."""

from itertools import product

import pytest

from streamguard.enforce.gate.gate import Judgement
from streamguard.enforce.gate.metrics import UNKNOWN_HOOK, GateMetrics
from streamguard.servers.hooks import HookKind

HOOKS = (*(kind.value for kind in HookKind), UNKNOWN_HOOK)


def labels_of(metrics: GateMetrics) -> set[tuple[str, str]]:
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    requests = [sample.labels for sample in samples if sample.name == "streamguard_gate_requests_total"]
    return {(labels["hook"], labels["answer"]) for labels in requests}


def test_every_answer_is_there_from_the_start_and_no_other_comes() -> None:
    """A rate is known from the first request on, and a scrape does not grow."""
    metrics = GateMetrics()
    pairs = set(product(HOOKS, [judgement.value for judgement in Judgement]))
    assert labels_of(metrics) == pairs
    for hook in (*HookKind, None):
        for judgement in Judgement:
            metrics.answered(hook, judgement, seconds=0.001)
    assert labels_of(metrics) == pairs


@pytest.mark.parametrize(("hook", "label"), [(HookKind.UPDATE, "update"), (None, "unknown")])
def test_a_hook_is_counted_once_with_its_time(hook: HookKind | None, label: str) -> None:
    """Also one that nobody could tell the kind of."""
    metrics = GateMetrics()
    metrics.answered(hook, Judgement.REFUSED_AWAY, seconds=0.004)
    value = metrics.registry.get_sample_value
    assert value("streamguard_gate_requests_total", {"hook": label, "answer": "refused_away"}) == 1
    assert (
        sum(
            value("streamguard_gate_requests_total", {"hook": h, "answer": a.value}) or 0
            for h, a in product(HOOKS, Judgement)
        )
        == 1
    )
    assert value("streamguard_gate_answer_seconds_sum") == pytest.approx(0.004)
    assert value("streamguard_gate_answer_seconds_bucket", {"le": "0.0025"}) == 0
    assert value("streamguard_gate_answer_seconds_bucket", {"le": "0.005"}) == 1


def test_two_gates_in_one_process_count_apart() -> None:
    """Each has a registry of its own."""
    one, other = GateMetrics(), GateMetrics()
    one.hints_lost.inc()
    name = "streamguard_gate_hints_lost_total"
    assert (one.registry.get_sample_value(name), other.registry.get_sample_value(name)) == (1, 0)
