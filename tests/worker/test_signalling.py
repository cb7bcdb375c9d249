"""streamguard.worker.signalling: durable first, then the rest."""

import json
from dataclasses import replace

import pytest

from streamguard.errors import OutboxError
from streamguard.types import KillSignal, SessionId, StreamId, Verdict
from streamguard.worker import signalling
from streamguard.worker.metrics import Metrics
from streamguard.worker.signalling import Signaller
from streamguard.worker.streams import Origin, StreamSpec
from streamguard.worker.watcher import Found
from tests.kill_signals import NOW_UNIX_S, a_decision
from tests.worker.conftest import Logs
from tests.worker.fake_decoders import GROUNDS, FakeClock

SPEC = StreamSpec(StreamId("cam-7"), "rtmp://user:secret@host/live", "rtmp://host/live", once=False)


class SickOutbox:
    """Keeps signals, unless it fails; it may fail only after it has kept one."""

    def __init__(self, happened: list[str]) -> None:
        self.kept: list[str] = []
        self.fails = False
        self.fails_late = False
        self._happened = happened

    def append(self, signal: KillSignal) -> bool:
        if self.fails and not self.fails_late:
            raise OutboxError("append to outbox", "x", "disk full")
        is_new = signal.id not in self.kept
        if is_new:
            self.kept.append(signal.id)
            self._happened.append(f"kept {signal.id}")
        if self.fails:
            raise OutboxError("append to outbox", "x", "disk error")
        return is_new


class Desk:
    """A signaller, and what happened, in order."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.durable: list[str] = []
        self.outbox = SickOutbox(self.happened)
        self.metrics = Metrics()
        self.clock = FakeClock()
        self.signaller = Signaller(
            self.outbox,
            worker="worker-1",
            expires_after_s=300.0,
            wake=lambda: self.happened.append("wake"),
            counts=self.metrics,
            on_durable=self._durable,
            clock=self.clock,
            wall_clock=lambda: NOW_UNIX_S,
        )

    def decide(self, number: int = 0) -> None:
        decision = a_decision(pts_us=14_000_000 + number)
        self.signaller.watcher.found(
            Found(SPEC, SessionId("s-1"), decision, GROUNDS, "v1", arrived_s=self.clock() - 0.5)
        )

    def tick(self) -> None:
        self.signaller.watcher.tick(())

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"streamguard_{name}")

    def _durable(self, signal: KillSignal) -> None:
        self.durable.append(signal.id)
        self.happened.append(f"told {signal.id}")


def test_durable_comes_first() -> None:
    """A signal is in the outbox before the delivery is woken, and before anybody is told."""
    desk = Desk()
    desk.decide()
    (signal_id,) = desk.outbox.kept
    assert desk.happened == [f"kept {signal_id}", "wake", f"told {signal_id}"]
    assert desk.signaller.waiting == 0


@pytest.mark.parametrize("verdict", [Verdict.REVIEW, Verdict.LIMIT, Verdict.KILL])
def test_every_verdict_is_sent_under_its_type(verdict: Verdict) -> None:
    """What a policy makes of a kill goes out as well, and says what it is."""
    desk = Desk()
    events: list[str] = []
    desk.signaller._on_durable = lambda signal: events.append(signal.event)
    found = Found(SPEC, SessionId("s-1"), a_decision(verdict=verdict), GROUNDS, "v1", arrived_s=desk.clock())
    desk.signaller.watcher.found(found)
    (event,) = map(json.loads, events)
    assert (event["type"], event["data"]["verdict"]) == (f"org.streamguard.{verdict.value}.v1", verdict.value)


def test_only_what_was_discovered_names_its_server() -> None:
    """With that server's own session; of others an enforcer must see that it cannot tell whom it would cut."""
    desk = Desk()
    events: list[str] = []
    desk.signaller._on_durable = lambda signal: events.append(signal.event)
    discovered = replace(SPEC, origin=Origin("edge-1", SessionId("4711-9")))
    for spec, session in ((SPEC, SessionId("s-1")), (discovered, SessionId("4711-9"))):
        desk.signaller.watcher.found(Found(spec, session, a_decision(), GROUNDS, "v1", arrived_s=desk.clock()))
    named, found = (json.loads(event)["data"] for event in events)
    assert (named["session_id"], "server" in named) == ("s-1", False)
    assert (found["session_id"], found["server"]) == ("4711-9", "edge-1")


@pytest.mark.parametrize(("verdict", "said"), [(Verdict.KILL, 500), (Verdict.LIMIT, None), (Verdict.REVIEW, None)])
def test_a_kill_says_in_how_many_streams_its_incident_is_believed(verdict: Verdict, said: int | None) -> None:
    """At the moment of the decision; of an item of no open incident, and of what is no kill, nothing is said."""
    desk = Desk()
    events: list[str] = []
    desk.signaller._on_durable = lambda signal: events.append(signal.event)
    believed = {"clip-1": 500}
    desk.signaller._streams_believed = lambda asset: believed.get(asset, 0)
    for asset in ("clip-1", "clip-2", "clip-1"):
        if events:
            believed = believed if asset == "clip-2" else {}
        decision = a_decision(verdict=verdict, asset=asset, pts_us=14_000_000 + len(events))
        desk.signaller.watcher.found(Found(SPEC, SessionId("s-1"), decision, GROUNDS, "v1", arrived_s=desk.clock()))
    assert [json.loads(event)["data"].get("streams_believed") for event in events] == [said, None, None]


def test_a_failing_outbox_loses_nothing_and_keeps_the_order() -> None:
    """What was decided meanwhile becomes durable at the next tick after it, in order, and only then is told."""
    desk = Desk()
    desk.outbox.fails = True
    for number in range(3):
        desk.decide(number)
    assert (desk.signaller.waiting, desk.durable, desk.happened) == (3, [], [])
    desk.tick()
    desk.outbox.fails = False
    desk.tick()
    assert desk.durable == desk.outbox.kept
    assert len(set(desk.durable)) == 3
    assert desk.happened == [word for id_ in desk.durable for word in (f"kept {id_}", "wake", f"told {id_}")]
    assert desk.signaller.waiting == 0
    assert desk.metric("outbox_failures_total") == 4


def test_an_outbox_that_fails_after_keeping_is_told_of_all_the_same() -> None:
    """The second attempt finds it there: it is one signal, told and counted once."""
    desk = Desk()
    desk.outbox.fails = desk.outbox.fails_late = True
    desk.decide()
    desk.outbox.fails = False
    desk.tick()
    assert desk.durable == desk.outbox.kept
    assert len(desk.durable) == 1
    assert desk.metric("keyframe_to_signal_seconds_count") == 1


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch, logs: Logs) -> None:
    """Beyond so many the oldest is dropped, counted, and stands in the log as a whole."""
    monkeypatch.setattr(signalling, "MOST_WAITING", 3)
    desk = Desk()
    desk.outbox.fails = True
    for number in range(5):
        desk.decide(number)
    assert desk.signaller.waiting == 3
    assert desk.metric("signals_lost_total") == 2
    lost = [line for line in logs if line["event"] == "signal_lost"]
    assert len(lost) == 2
    assert '"stream":"cam-7"' in lost[0]["signal"]
    desk.outbox.fails = False
    desk.tick()
    assert len(desk.durable) == 3


def test_a_failing_outbox_is_logged_now_and_again(logs: Logs) -> None:
    """At once, then every half minute, and once when it is over."""
    desk = Desk()
    desk.outbox.fails = True
    for _ in range(61):
        desk.decide()
        desk.clock.now_s += 1
    desk.outbox.fails = False
    desk.tick()
    said = [line["event"] for line in logs if line["event"].startswith("outbox")]
    assert said == ["outbox_failed"] * 3 + ["outbox_recovered"]


def test_what_waits_is_named_at_once(logs: Logs) -> None:
    """Stream, session and reference of each signal that is not durable, so that a person can cut; and why it waits."""
    desk = Desk()
    desk.decide()
    assert "signal_waits" not in [line["event"] for line in logs]
    desk.outbox.fails = True
    for number in (1, 2):
        desk.decide(number)
    waits = [line for line in logs if line["event"] == "signal_waits"]
    assert [(line["stream"], line["session_id"], line["reference"]) for line in waits] == [
        ("cam-7", "s-1", "clip-1")
    ] * 2
    assert all(line["log_level"] == "critical" for line in waits)
    assert desk.signaller.problem == "append to outbox x: disk full"
    desk.outbox.fails = False
    desk.tick()
    assert desk.signaller.problem == ""


def test_last_words(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be made durable before the end goes into the log, whole, so that a person can act on it; it is lost,
    as is what there was no room for.
    """
    monkeypatch.setattr(signalling, "MOST_WAITING", 1)
    desk = Desk()
    desk.decide()
    assert desk.signaller.last_words() == 0
    desk.outbox.fails = True
    desk.decide(1)
    desk.decide(2)
    assert desk.signaller.last_words() == 2
    (line,) = [line for line in logs if line["event"] == "signal_not_durable"]
    assert '"verdict":"kill"' in line["signal"]
    assert "secret" not in str(logs)


def test_times_to_the_signal_are_counted() -> None:
    """From the deciding keyframe's arrival, and from the first evidence."""
    desk = Desk()
    desk.decide()
    assert desk.metric("keyframe_to_signal_seconds_sum") == pytest.approx(0.5)
    assert desk.metric("evidence_to_signal_seconds_sum") == pytest.approx(2.5)
