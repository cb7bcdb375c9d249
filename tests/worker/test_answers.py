"""streamguard.worker.answers: what the worker tells of enforcers' answers, and of those that do not come."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr

from streamguard.config import BreakerConfig, Config, DiscoverConfig, EnforceConfig, HoldConfig, RedisConfig
from streamguard.enforce.cutting.listing import ServerState, ServerStatus
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.signals.acks import Outcome
from streamguard.enforce.signals.stdout_lines import StdoutLines
from streamguard.errors import UsageError
from streamguard.worker.ack_metrics import AckMetrics
from streamguard.worker.answers import AGAIN_EVERY_S, TELL_EVERY_S, Answers, again_every_s, local_enforcer
from streamguard.worker.metrics import Metrics
from tests.enforce.cutting.test_local_enforcer import a_signal as a_kill_signal
from tests.kill_signals import NOW_UNIX_S, a_signal
from tests.waiting import eventually
from tests.worker.conftest import Logs

REDIS = RedisConfig(url=SecretStr("redis://127.0.0.1:9"))
IN_WATCH = EnforceConfig(in_watch=True, servers=(SecretStr("nginx-rtmp=http://127.0.0.1:9"),))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path / "outbox.sqlite") as opened:
        yield opened


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def answers_of(outbox: Outbox, *, registry: CollectorRegistry, clock: Clock | None = None) -> Answers:
    transport = StdoutLines(io.StringIO())
    return Answers(Config(redis=REDIS), outbox, transport, metrics=AckMetrics(registry), clock=clock or Clock())


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def named(logs: Logs, event: str) -> list[Any]:
    return [line for line in logs if line["event"] == event]


def test_where_nobody_enforces_it_is_a_line_now_and_then(outbox: Outbox, logs: Logs) -> None:
    """And a metric, which says which of them an enforcer could have executed."""
    registry, clock = CollectorRegistry(), Clock()
    answers = answers_of(outbox, registry=registry, clock=clock)
    for _ in range(100):
        answers.unacknowledged(for_server=False)
    clock.now_s = TELL_EVERY_S + 1
    answers.unacknowledged(for_server=True)
    assert [line["kills"] for line in named(logs, "unacknowledged")] == [1, 100]
    assert value(registry, "streamguard_signals_unacknowledged_total", addressed="url") == 100
    assert value(registry, "streamguard_signals_unacknowledged_total", addressed="server") == 1


def test_acknowledgements_that_may_not_be_read_are_a_line_now_and_then(outbox: Outbox, logs: Logs) -> None:
    """A worker that may only write, as before, goes on."""
    registry, clock = CollectorRegistry(), Clock()
    answers = answers_of(outbox, registry=registry, clock=clock)
    for second in range(700):
        clock.now_s = float(second)
        answers.acks("NOPERM")
    assert len(named(logs, "acks_unreadable")) == 2
    assert value(registry, "streamguard_acks_readable") == 0
    answers.acks("")
    assert value(registry, "streamguard_acks_readable") == 1


def test_each_answer_is_counted_and_a_failure_is_an_error(outbox: Outbox, logs: Logs) -> None:
    """A person should cut that stream."""
    registry = CollectorRegistry()
    answers = answers_of(outbox, registry=registry)
    answers.acknowledged(Outcome.EXECUTED, "sig_1", "cut")
    answers.acknowledged(Outcome.FAILED, "sig_2", "refused")
    answers.ack_ignored()
    assert [(line["log_level"], line["id"]) for line in named(logs, "acknowledged")] == [
        ("info", "sig_1"),
        ("error", "sig_2"),
    ]
    assert value(registry, "streamguard_signals_acknowledged_total", outcome="failed") == 1
    assert value(registry, "streamguard_acks_ignored_total") == 1


def test_open_kills_are_a_gauge_that_never_fails(outbox: Outbox) -> None:
    """A scrape shows the rest when the outbox is gone."""
    registry = CollectorRegistry()
    answers_of(outbox, registry=registry)
    outbox.append(a_signal())
    outbox.delivered(a_signal().id, at_unix_s=NOW_UNIX_S, awaits_ack=True)
    assert value(registry, "streamguard_signals_awaiting_ack") == 1
    outbox.close()
    assert str(value(registry, "streamguard_signals_awaiting_ack")) == "nan"


def test_a_kill_that_nobody_answers_to_is_worth_a_look(outbox: Outbox) -> None:
    """From its tenth second on, whatever reading says; it is no reason not to be ready."""
    signal = a_kill_signal()
    outbox.append(signal)
    outbox.delivered(signal.id, at_unix_s=signal.decided_unix_s, awaits_ack=True)
    metrics, transport = AckMetrics(CollectorRegistry()), StdoutLines(io.StringIO())
    now = lambda: signal.decided_unix_s + 11  # noqa: E731 - a clock that stands
    answers = Answers(Config(redis=REDIS), outbox, transport, metrics=metrics, now=now)
    assert answers.worth_a_look() == []
    answers.acks("")
    (reason,) = answers.worth_a_look()
    assert reason.startswith("1 kill without an enforcer's answer for over 10 s")
    assert "streamguard doctor" in reason


def test_kills_are_sent_again_where_somebody_may_answer() -> None:
    """With Redis, and where the worker enforces by itself; a pipe never answers."""
    assert again_every_s(Config()) is None
    assert again_every_s(Config(redis=REDIS)) == AGAIN_EVERY_S
    assert again_every_s(Config(enforce=IN_WATCH)) == AGAIN_EVERY_S


def test_what_does_not_pass_by_itself_is_a_reason_not_to_be_ready(outbox: Outbox) -> None:
    """A server that says no where the worker cuts by itself, or answers that nobody reads; not one that is down."""
    config, metrics = Config(enforce=IN_WATCH), Metrics()
    enforcer = local_enforcer(config, io.StringIO(), metrics=metrics)
    answers = Answers(config, outbox, enforcer, metrics=metrics.acks)
    answers.start()
    desk = enforcer.desks["nginx-rtmp"]
    eventually(lambda: desk.state.problem)
    assert answers.why_not_ready() == []
    desk._listing.state = ServerState(ServerStatus.REFUSED, "403")
    assert answers.why_not_ready() == ["403"]
    answers.stop(5.0)
    assert answers.why_not_ready()[0].startswith("nobody reads enforcers' answers")


def test_enforcing_in_the_worker_needs_servers_and_no_redis() -> None:
    """With Redis there are enforcers; the servers are those to discover, where none is named."""
    with pytest.raises(UsageError, match="kills are for its enforcers"):
        local_enforcer(Config(redis=REDIS, enforce=IN_WATCH), io.StringIO(), metrics=Metrics())
    with pytest.raises(UsageError, match="no media server is named"):
        local_enforcer(Config(enforce=EnforceConfig(in_watch=True)), io.StringIO(), metrics=Metrics())
    block = DiscoverConfig(kind="nginx-rtmp", name="edge-1", api=SecretStr("http://127.0.0.1:9"))
    discovered = Config(enforce=EnforceConfig(in_watch=True), discover=(block,))
    assert list(local_enforcer(discovered, io.StringIO(), metrics=Metrics()).desks) == ["edge-1"]
    assert list(local_enforcer(Config(enforce=IN_WATCH), io.StringIO(), metrics=Metrics()).desks) == ["nginx-rtmp"]


def test_enforcing_in_the_worker_has_a_breaker_of_its_own(logs: Logs) -> None:
    """Shared by all its servers' desks; what takes a Redis is an error."""
    for enforce in ({"hold": HoldConfig(labels=("a",), then="kill")}, {"webhooks": ({"url": "http://127.0.0.1:9"},)}):
        with pytest.raises(UsageError, match="held kills and webhooks take a Redis"):
            local_enforcer(Config(enforce=_in_watch(**enforce)), io.StringIO(), metrics=Metrics())
    metrics = Metrics()
    config = Config(enforce=_in_watch(breaker=BreakerConfig(kills=1, streams=0)))
    enforcer = local_enforcer(config, io.StringIO(), metrics=metrics)
    enforcer.start()
    for session in ("nginx-1", "nginx-2"):
        enforcer.deliver(a_kill_signal(session))
    (ack,) = eventually(lambda: enforcer.read(at_most_s=0.1))
    assert b"breaker: all kills are refused" in ack.fields[b"event"]
    assert enforcer.waiting == 1
    enforcer.close()
    assert [line["scope"] for line in logs if line["event"] == "breaker_open"] == ["all"]
    assert 'streamguard_breaker_open{scope="all"} 1.0' in generate_latest(metrics.registry).decode()


def _in_watch(**options: Any) -> EnforceConfig:  # noqa: ANN401 - as the section
    return EnforceConfig(in_watch=True, servers=(SecretStr("nginx-rtmp=http://127.0.0.1:9"),), **options)
