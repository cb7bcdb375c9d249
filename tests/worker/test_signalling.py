"""streamguard.worker.signalling: durable first, then the rest."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
from tests.waiting import eventually
from tests.worker.conftest import Logs
from tests.worker.fake_decoders import GROUNDS, FakeClock

SPEC = StreamSpec(StreamId("cam-7"), "rtmp://user:secret@host/live", "rtmp://host/live", once=False)


class SickOutbox:
    """Keeps signals, unless it fails; it may fail only after it has kept them, or hang."""

    def __init__(self, happened: list[str]) -> None:
        self.kept: list[str] = []
        self.fails = False
        self.fails_late = False
        self.batches: list[int] = []
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()
        self._happened = happened

    def append(self, *signals: KillSignal) -> int:
        self.batches.append(len(signals))
        self.asked.set()
        self.answers.wait()
        if self.fails and not self.fails_late:
            raise OutboxError("append to outbox", "x", "disk full")
        new = [signal.id for signal in signals if signal.id not in self.kept]
        self.kept += new
        self._happened += [f"kept {id_}" for id_ in new]
        if self.fails:
            raise OutboxError("append to outbox", "x", "disk error")
        return len(new)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Whoever appends meanwhile waits until it is over."""
        self.asked.clear()
        self.answers.clear()
        try:
            yield
        finally:
            self.answers.set()


class Desk:
    """A signaller, and what happened, in order; it is the test that goes through its attempts, unless it is started."""

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
        """And try to make it durable."""
        self.found(number)
        self.signaller.make_durable()

    def found(self, number: int = 0) -> None:
        decision = a_decision(pts_us=14_000_000 + number)
        self.signaller.watcher.found(
            Found(SPEC, SessionId("s-1"), decision, GROUNDS, "v1", arrived_s=self.clock() - 0.5)
        )

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The thread waits for the disk, which has one signal in its hands and does not answer until this is over."""
        self.signaller.start()
        with self.outbox.hanging():
            self.found(0)
            self.outbox.asked.wait()
            yield

    def tick(self) -> None:
        """And what comes of it."""
        self.signaller.watcher.tick(())
        self.signaller.make_durable()

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
    desk.signaller.make_durable()
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
        desk.signaller.make_durable()
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
        desk.signaller.make_durable()
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
    ids = desk.durable
    assert desk.happened == [*(f"kept {id_}" for id_ in ids), "wake", *(f"told {id_}" for id_ in ids)]
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
    desk.outbox.fails = True
    desk.decide()
    desk.decide(1)
    desk.signaller.start()
    assert desk.signaller.last_words(60.0) == 2
    (line,) = [line for line in logs if line["event"] == "signal_not_durable"]
    assert '"verdict":"kill"' in line["signal"]
    assert "secret" not in str(logs)


def test_what_failed_together_stays_in_order() -> None:
    """And before what was decided since."""
    desk = Desk()
    for number in range(3):
        desk.found(number)
    desk.outbox.fails = True
    desk.signaller.make_durable()
    desk.decide(3)
    desk.outbox.fails = False
    desk.tick()
    in_order = Desk()
    for number in range(4):
        in_order.decide(number)
    assert desk.durable == in_order.durable
    assert desk.outbox.batches == [3, 4, 4]


def test_what_failed_is_tried_again_by_the_thread() -> None:
    """At the next tick, though nothing is decided any more."""
    desk = Desk()
    desk.outbox.fails = True
    desk.signaller.start()
    desk.found()
    eventually(lambda: desk.signaller.problem, what="a failure")
    desk.outbox.fails = False
    desk.signaller.watcher.tick(())
    eventually(lambda: desk.durable, what="a durable signal")
    assert desk.signaller.last_words(60.0) == 0


def test_at_the_end_what_waits_is_made_durable() -> None:
    """Without another tick: nobody is left to give one."""
    desk = Desk()
    desk.signaller.start()
    for number in range(3):
        desk.found(number)
    assert desk.signaller.last_words(60.0) == 0
    assert len(desk.durable) == 3
    assert Desk().signaller.last_words(60.0) == 0


def test_whoever_decides_does_not_wait_for_the_disk() -> None:
    """What is decided while it is at work is appended together, once it has answered, in order."""
    desk = Desk()
    with desk.hanging():
        for number in range(1, 8):
            desk.found(number)
        assert desk.durable == []
    assert desk.signaller.last_words(60.0) == 0
    assert desk.outbox.batches == [1, 7]
    assert desk.durable == desk.outbox.kept
    assert len(set(desk.durable)) == 8


def test_a_disk_that_answers_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread would wait for its turns of the interpreter, while the loop matches, longer than the disk takes."""
    monkeypatch.setattr(signalling, "_STEP_BACK_S", 60.0)
    monkeypatch.setattr(signalling, "_STEP_BACK_A_TICK_S", 60.0)
    desk = Desk()
    desk.signaller.start()
    for number in range(3):
        desk.found(number)
        assert len(desk.outbox.kept) == number + 1
    assert desk.signaller.last_words(60.0) == 0
    assert desk.outbox.batches == [1, 1, 1]


def test_so_many_wait_for_the_disk_together_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delivery uses the outbox as well."""
    monkeypatch.setattr(signalling, "MOST_AT_ONCE", 4)
    desk = Desk()
    for number in range(9):
        desk.found(number)
    desk.signaller.make_durable()
    assert desk.outbox.batches == [4, 4, 1]
    assert len(desk.durable) == 9


def test_a_disk_that_hangs_is_told_of_after_a_second(logs: Logs) -> None:
    """What waits for it is counted and named, each once, and no longer when it has answered."""
    desk = Desk()
    with desk.hanging():
        desk.found(1)
        desk.clock.now_s += 0.9
        desk.signaller.watcher.tick(())
        assert (desk.signaller.waiting, desk.signaller.problem, logs) == (0, "", [])
        desk.clock.now_s += 1.2
        assert desk.signaller.waiting == 2
        assert desk.signaller.problem == "the disk of the outbox has not answered for 2 s"
        for _ in range(3):
            desk.signaller.watcher.tick(())
        desk.found(2)
        assert [line["event"] for line in logs] == ["outbox_failed", *["signal_waits"] * 3]
        assert desk.metric("outbox_hangs_total") == 1
        assert desk.metric("outbox_failures_total") == 0
    assert desk.signaller.last_words(60.0) == 0
    assert (desk.signaller.waiting, desk.signaller.problem) == (0, "")
    assert len(desk.durable) == 3
    assert [line["event"] for line in logs][4:].count("outbox_recovered") == 1


def test_a_disk_that_was_asked_late_does_not_hang(logs: Logs) -> None:
    """Who has to cut the stream is told all the same: the signal is late, whoever it waited for."""
    desk = Desk()
    desk.found(0)
    desk.clock.now_s += 5
    with desk.outbox.hanging():
        desk.signaller.start()
        desk.outbox.asked.wait()
        desk.found(1)
        desk.clock.now_s += 0.9
        desk.signaller.watcher.tick(())
        assert desk.signaller.waiting == 2
        assert desk.signaller.problem == "the oldest has waited 6 s for its turn at the outbox"
        assert desk.metric("outbox_hangs_total") == 0
        assert [line["event"] for line in logs].count("signal_waits") == 2
        desk.clock.now_s += 2.1
        desk.signaller.watcher.tick(())
        assert desk.signaller.problem == "the disk of the outbox has not answered for 3 s"
        assert desk.metric("outbox_hangs_total") == 1
    assert desk.signaller.last_words(60.0) == 0


def test_the_end_does_not_wait_for_a_disk_that_hangs(logs: Logs) -> None:
    """What may not be durable is in the log as a whole, what the disk has in its hands included."""
    desk = Desk()
    with desk.hanging():
        desk.found(1)
        assert desk.signaller.last_words(0.0) == 2
        assert [line["event"] for line in logs] == ["signal_not_durable"] * 2


def test_what_waits_is_bounded_while_the_disk_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest that the disk does not have in its hands makes room."""
    monkeypatch.setattr(signalling, "MOST_WAITING", 3)
    desk = Desk()
    with desk.hanging():
        for number in range(1, 6):
            desk.found(number)
        assert desk.metric("signals_lost_total") == 3
    assert desk.signaller.last_words(60.0) == 3
    assert len(desk.durable) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_died_is_told_of() -> None:
    """By a mistake of ours: signals wait, and a restart helps."""
    desk = Desk()
    del desk.outbox.batches  # or whatever it is that nobody foresaw
    desk.signaller.start()
    desk.found()
    eventually(lambda: not desk.signaller._thread.is_running, what="that it is dead")
    desk.clock.now_s += 1
    assert desk.signaller.waiting == 1
    assert "has died" in desk.signaller.problem
    assert desk.signaller.last_words(60.0) == 1


def test_times_to_the_signal_are_counted() -> None:
    """From the deciding keyframe's arrival, and from the first evidence."""
    desk = Desk()
    desk.decide()
    assert desk.metric("keyframe_to_signal_seconds_sum") == pytest.approx(0.5)
    assert desk.metric("evidence_to_signal_seconds_sum") == pytest.approx(2.5)
