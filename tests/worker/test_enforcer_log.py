"""streamguard.worker.enforcer_log: a line for what a person should look at, with its next step."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from streamguard.enforce.orders.enforcer import Result, Settled
from streamguard.types import StreamId
from streamguard.worker.enforcer_log import EnforcerLog, log_settled
from streamguard.worker.enforcer_metrics import EnforcerMetrics
from tests.enforce.made_orders import an_order
from tests.worker.conftest import Logs


def a_log() -> EnforcerLog:
    metrics = EnforcerMetrics(CollectorRegistry(), servers=["edge"])
    return EnforcerLog(metrics, servers=("edge",), tell=lambda _event: None)


def named(logs: Logs, event: str) -> Logs:
    return [line for line in logs if line["event"] == event]


def test_each_end_of_a_signal_is_a_line(logs: Logs) -> None:
    """A failure is an error: a person should cut the stream."""
    log_settled(an_order(), Settled(Result.FAILED, "connection refused"))
    log_settled(an_order(), Settled(Result.EXECUTED, "cut", (("gone", 0.0512),)))
    failed, done = named(logs, "enforced")
    assert (failed["log_level"], failed["why"], failed["stream"]) == ("error", "connection refused", "live/cam")
    assert (done["log_level"], done["seconds"]) == ("warning", 0.051)


@pytest.mark.parametrize(
    ("result", "step"),
    [(Result.FORGED, "the worker's key"), (Result.UNSIGNED, "give the worker signals.hmac_key_file")],
)
def test_what_nobody_vouches_for_can_be_traced(logs: Logs, result: Result, step: str) -> None:
    """Its id, its stream and what to do, bounded, and nothing that drives a terminal; one line a minute."""
    log = a_log()
    order = replace(an_order(), id="sig_\x1b[2J\n", stream=StreamId("live/" + "x" * 5000))
    for _ in range(3):
        log.ignored(Settled(result, "why"), order)
    (line,) = named(logs, f"signal_{result.value}")
    assert line["id"] == "sig_?[2J?"
    assert line["stream"] == "live/" + "x" * 195 + "..."
    assert step in line["note"]
    assert "signals tail --verify" in line["note"]


def test_what_is_not_understood_has_no_id_and_a_next_step(logs: Logs) -> None:
    """There may be nothing in it."""
    a_log().ignored(Settled(Result.NOT_UNDERSTOOD, "not JSON"), None)
    (line,) = named(logs, "signal_not_understood")
    assert "id" not in line
    assert "another version" in line["note"]


def test_a_server_that_it_does_not_know_is_a_line_once(logs: Logs) -> None:
    """For each name, with whose kills are executed here, and how to have those executed; a hundred names at most."""
    log = a_log()
    for name in ("nginx-rtmp", "nginx-rtmp", "other\x07"):
        log.ignored(Settled(Result.OTHER_SERVER, "another media server's"), replace(an_order(), server=name))
    first, second = named(logs, "other_server")
    assert (first["log_level"], first["server"], first["ours"]) == ("warning", "nginx-rtmp", "edge")
    assert "--server KIND@NAME=URL" in first["note"]
    assert second["server"] == "other?"
    for number in range(200):
        log.ignored(Settled(Result.OTHER_SERVER, "why"), replace(an_order(), server=f"s{number}"))
    assert len(named(logs, "other_server")) == 100
