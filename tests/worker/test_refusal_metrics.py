"""streamguard.worker.refusal_metrics: what was refused is counted and told, and the stream goes on."""

import pytest

from streamguard.ingest.news import Refusal, Refused
from streamguard.worker.metrics import Metrics
from streamguard.worker.streams import StreamState
from tests.worker.conftest import Logs
from tests.worker.fake_decoders import UNKNOWN, Stage


def counted(metrics: Metrics, why: Refusal) -> float | None:
    return metrics.registry.get_sample_value("streamguard_refusals_total", {"reason": why.value})


def test_each_reason_is_there_from_the_start() -> None:
    """With 0, so that the first one is an increase."""
    metrics = Metrics()
    assert [counted(metrics, why) for why in Refusal] == [0.0] * len(Refusal)


@pytest.mark.parametrize("why", Refusal)
def test_a_refusal_is_counted_by_its_reason_and_told(why: Refusal, logs: Logs) -> None:
    """With the stream and what it was; and it ends nothing."""
    metrics = Metrics()
    script = [(0.1, Refused(why, "something far away")), (0.2, Refused(why, "something else")), *UNKNOWN]
    stage = Stage({"cam": [script]}, watchers=(metrics.watcher,))
    assert stage.run(5)["cam"].state is StreamState.WATCHING
    assert counted(metrics, why) == 2.0
    lines = [line for line in logs if line["event"] == "refused"]
    assert [(line["stream"], line["why"], line["what"]) for line in lines] == [
        ("cam", why.value, "something far away"), ("cam", why.value, "something else"),
    ]  # fmt: skip
