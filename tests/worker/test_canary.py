"""streamguard.worker.canary: how far it came, and that nothing else notices; with decoders that play a script."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamguard.config import Config, load_config
from streamguard.enforce.outbox.delivery import Delivery, DeliveryState, DeliveryStatus, Pace
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.errors import OutboxBusy, OutboxError
from streamguard.types import Candidate, Fingerprint, KillSignal
from streamguard.worker import canary
from streamguard.worker.canary import AGAIN_AFTER_S, DELIVERED_WITHIN_S, FIRST_AFTER_S, SEEN_WITHIN_S, Canary, CanaryWay
from streamguard.worker.canary_making import ASSET, LABEL, Made, Make
from streamguard.worker.canary_metrics import CanaryMetrics
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.messages import Ended
from tests.kill_signals import NOW_UNIX_S
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer
from tests.waiting import eventually
from tests.worker.canary_works import fails
from tests.worker.conftest import Logs
from tests.worker.fake_decoders import KNOWN, OPTIONS, UNKNOWN, FakeClock, FakeDecoder, FakeLibrary, Line

PERIOD_S = 300.0
SEEN: list[Line] = [*KNOWN, (5.0, Ended())]
UNSEEN: list[Line] = [*UNKNOWN[:3], (5.0, Ended())]


class Reference(FakeLibrary):
    """Knows the same footage as the canary's."""

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:
        found = super().search(prints, radius_bits=radius_bits)
        return tuple(replace(candidate, asset=ASSET, label=LABEL) for candidate in found)


class BrokenLibrary(FakeLibrary):
    """The operator's, which fails to answer."""

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:
        raise RuntimeError(f"no index for {len(prints)} prints and {radius_bits} bits")


@dataclass(slots=True)
class FakeDelivery:
    """Delivers when it is told to."""

    state: DeliveryState = field(default_factory=lambda: DeliveryState(DeliveryStatus.OK, NOW_UNIX_S))
    woken: int = 0

    def wake(self) -> None:
        self.woken += 1


class FailingOutbox(Outbox):
    """Its disk is full, or somebody else has it, when it is told so."""

    is_full = is_held = is_held_once_durable = False

    def append(self, *signals: KillSignal) -> int:
        if self.is_held:
            raise OutboxBusy("append to outbox", self.path, "a shell has it")
        if self.is_full:
            raise OutboxError("append to outbox", self.path, "the disk is full")
        taken = super().append(*signals)
        self.is_held = self.is_held_once_durable
        return taken

    def is_delivered(self, signal_id: str) -> bool:
        if self.is_held:
            raise OutboxBusy("read outbox", self.path, "a shell has it")
        return super().is_delivered(signal_id)


class Stand:
    """A canary on a clock that the test moves; its scripts are played one after the other, the last again and again."""

    def __init__(
        self,
        outbox: FailingOutbox,
        folder: Path,
        scripts: Sequence[Sequence[Line] | OSError],
        *,
        delivery: Delivery | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.outbox = outbox
        self.delivery = FakeDelivery()
        self._way = CanaryWay(outbox, delivery or self.delivery, live=lambda: self.live)
        self.delivers = True
        self.live = FakeLibrary()
        self.registry = CollectorRegistry()
        self.decoders: list[FakeDecoder] = []
        self._scripts = list(scripts)
        self._folder = folder
        self.canary = self.made(fails)

    def made(self, make: Make | None, *, config: Config | None = None) -> Canary:
        """With its footage made."""
        canary = Canary(
            config or load_config(None, environ={}),
            self._way,
            make=make,
            options=OPTIONS,
            metrics=CanaryMetrics(self.registry),
            start=self._start,
            clock=self.clock,
        )
        folder = self._folder / "made"
        folder.mkdir(exist_ok=True)
        (folder / "clip").touch()
        canary._made = Made(folder / "clip", Reference())
        return canary

    def turn(self, seconds: float) -> None:
        """The supervisor's ticks of so long; the disk answers after each."""
        for _ in range(round(seconds)):
            self.canary.watcher.tick(())
            self.canary._post.step()
            if self.delivers:
                for signal in self.outbox.pending(10).signals:
                    self.outbox.delivered(signal.id, at_unix_s=NOW_UNIX_S)
            self.clock.now_s += 1.0

    def metric(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(f"streamguard_canary_{name}", labels)
        assert value is not None
        return value

    def failures(self) -> dict[str, float]:
        samples = next(f for f in self.registry.collect() if f.name == "streamguard_canary_failures").samples
        return {s.labels["stage"]: s.value for s in samples if s.name.endswith("_total") and s.value}

    def _start(self, job: DecoderJob) -> FakeDecoder:
        script = self._scripts[min(len(self.decoders), len(self._scripts) - 1)]
        if isinstance(script, OSError):
            raise script
        self.decoders.append(FakeDecoder(job, script, self.clock))
        return self.decoders[-1]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[FailingOutbox]:
    with FailingOutbox.open(tmp_path / "outbox.sqlite") as opened:
        yield opened


def test_it_comes_all_the_way_every_few_minutes(outbox: FailingOutbox, tmp_path: Path) -> None:
    """The first a minute after the start, each a session of its own; of none of them anything is left."""
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.turn(FIRST_AFTER_S)
    assert not stand.decoders
    stand.turn(10)
    assert len(stand.decoders) == 1
    assert stand.metric("since_success_seconds") < 10
    assert stand.canary.detail() == {
        "since_success_s": pytest.approx(5, abs=5), "failed_in_a_row": 0, "stage": "", "problem": "",
    }  # fmt: skip
    stand.turn(2 * PERIOD_S + 15)
    assert len({decoder.job.session for decoder in stand.decoders}) == 3
    assert all(decoder.ended for decoder in stand.decoders)
    assert stand.delivery.woken == 3
    assert outbox._db.execute("SELECT count(*) FROM signals").fetchone() == (0,)
    assert stand.failures() == {}
    assert stand.canary.why_not_ready() == stand.canary.worth_a_look() == []


def test_what_is_not_recognised_makes_the_worker_unready(outbox: FailingOutbox, tmp_path: Path, logs: Logs) -> None:
    """From the second in a row on; it is tried again in a minute, and one that comes all the way ends it."""
    stand = Stand(outbox, tmp_path, [UNSEEN, UNSEEN, SEEN])
    stand.turn(FIRST_AFTER_S + 10)
    assert stand.failures() == {"recognition": 1}
    assert stand.canary.why_not_ready() == []
    stand.turn(AGAIN_AFTER_S + 1)
    (reason,) = stand.canary.why_not_ready()
    assert reason.startswith("2 canaries in a row did not come all the way (recognition): it was not recognised in 3 ")
    assert reason.endswith('see "Canary" in docs/operations.md')
    assert stand.metric("since_success_seconds") > FIRST_AFTER_S
    stand.turn(AGAIN_AFTER_S + 10)
    assert stand.canary.why_not_ready() == []
    assert stand.metric("since_success_seconds") < AGAIN_AFTER_S
    assert [line.get("over", False) for line in logs if line["event"] == "canary"] == [False, True]


def test_a_decoder_that_cannot_be_had_or_says_nothing(outbox: FailingOutbox, tmp_path: Path) -> None:
    """Out of processes, gone, silent: each is counted as the decoder's, in time."""
    stand = Stand(outbox, tmp_path, [OSError("out of processes")])
    stand.turn(FIRST_AFTER_S + 5)
    assert stand.failures() == {"decoder": 1}
    assert stand.canary.detail()["problem"] == "out of processes"
    gone = Stand(outbox, tmp_path, [[(0.1, None)]])
    gone.turn(FIRST_AFTER_S + 5)
    silent = Stand(outbox, tmp_path, [[]])
    silent.turn(FIRST_AFTER_S + SEEN_WITHIN_S + 5)
    assert gone.failures() == silent.failures() == {"decoder": 1}


def test_a_full_disk_is_told_and_nothing_waits_in_memory(outbox: FailingOutbox, tmp_path: Path) -> None:
    """Decisions have that room; the next canary tries again."""
    stand = Stand(outbox, tmp_path, [SEEN])
    outbox.is_full = True
    stand.turn(FIRST_AFTER_S + 10)
    assert stand.failures() == {"outbox": 1}
    outbox.is_full = False
    stand.turn(AGAIN_AFTER_S)
    assert stand.canary.state.ever


def test_what_is_not_delivered_is_worth_a_look_and_is_taken_back(outbox: FailingOutbox, tmp_path: Path) -> None:
    """With the delivery's own reason. Redis may come back by itself, so the worker is ready all the same."""
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.delivers = False
    stand.delivery.state = DeliveryState(DeliveryStatus.UNREACHABLE, NOW_UNIX_S, "connection refused")
    stand.turn(FIRST_AFTER_S + 10)
    (waiting,) = outbox.pending(10).signals
    assert waiting.expires_unix_s - waiting.decided_unix_s == DELIVERED_WITHIN_S
    assert outbox.depth() == 0
    stand.turn(2 * DELIVERED_WITHIN_S + AGAIN_AFTER_S + 10)
    assert stand.failures() == {"delivery": 2}
    assert stand.canary.why_not_ready() == []
    (reason,) = stand.canary.worth_a_look()
    assert "not delivered within 60 s: connection refused" in reason
    assert outbox.pending(10).signals == ()


def test_a_disk_that_does_not_answer_is_told_as_one(
    outbox: FailingOutbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop does not wait for it; the delivery is not blamed."""
    stand = Stand(outbox, tmp_path, [SEEN])
    monkeypatch.setattr(stand.canary._post, "step", lambda: None)
    stand.turn(FIRST_AFTER_S + DELIVERED_WITHIN_S + 10)
    assert stand.failures() == {"outbox": 1}
    assert stand.canary.detail()["problem"] == "its disk has not answered for 60 s"


def test_who_else_has_the_outbox_is_waited_for(outbox: FailingOutbox, tmp_path: Path) -> None:
    """For as long as a disk is, and is then told as who it is."""
    stand = Stand(outbox, tmp_path, [SEEN])
    outbox.is_held = True
    stand.turn(FIRST_AFTER_S + DELIVERED_WITHIN_S / 2)
    assert stand.failures() == {}
    outbox.is_held = False
    stand.turn(3)
    assert stand.canary.state.ever
    outbox.is_held = True
    stand.turn(stand.canary._period_s + DELIVERED_WITHIN_S + 10)
    assert stand.failures() == {"outbox": 1}
    assert "a shell has it" in str(stand.canary.detail()["problem"])


@pytest.mark.parametrize("status", [DeliveryStatus.OK, DeliveryStatus.OUTBOX])
def test_a_durable_one_that_nobody_can_look_after_is_told_as_that(
    outbox: FailingOutbox, tmp_path: Path, status: DeliveryStatus
) -> None:
    """By who has the outbox: the delivery, which may wait for the same, is not blamed."""
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.delivery.state = DeliveryState(status, NOW_UNIX_S, "" if status is DeliveryStatus.OK else "busy")
    outbox.is_held_once_durable = True
    stand.turn(FIRST_AFTER_S + DELIVERED_WITHIN_S + 10)
    assert stand.failures() == {"outbox": 1}
    assert stand.canary.detail()["problem"] == (
        f"it is durable, but whether it was delivered within 60 s could not be read: read outbox {outbox.path}: "
        "a shell has it"
    )


def test_a_redis_that_is_away_is_the_reason_whoever_has_the_outbox(outbox: FailingOutbox, tmp_path: Path) -> None:
    """It would not be delivered either way."""
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.delivers = False
    stand.delivery.state = DeliveryState(DeliveryStatus.UNREACHABLE, NOW_UNIX_S, "connection refused")
    outbox.is_held_once_durable = True
    stand.turn(FIRST_AFTER_S + DELIVERED_WITHIN_S + 10)
    assert stand.failures() == {"delivery": 1}
    assert "connection refused" in str(stand.canary.detail()["problem"])


def test_a_redis_that_takes_nothing_is_found_before_the_first_kill(
    outbox: FailingOutbox, tmp_path: Path, redis_server: RedisServer
) -> None:
    """A user that may load the script and not publish: Redis's own words are the reason."""
    for command in acl_lines("worker", about=""):
        redis_server.run(*(word for word in command if not word.startswith("(~{streamguard}:signals +xadd")))
    url = redis_server.url.replace("redis://", f"redis://worker:{PASSWORD}@")
    redis = RedisStreams(url, prefix="{streamguard}:", timeout_s=2.0, keep_s=3600)
    delivery = Delivery(outbox, redis, pace=Pace(retry_first_s=0.01, retry_cap_s=0.05))
    stand = Stand(outbox, tmp_path, [SEEN], delivery=delivery)
    stand.delivers = False
    delivery.start()
    try:
        stand.turn(FIRST_AFTER_S + 10)
        eventually(lambda: delivery.state.status is DeliveryStatus.REJECTED)
        stand.turn(DELIVERED_WITHIN_S)
    finally:
        assert delivery.stop(10)
        redis.close()
    assert stand.failures() == {"delivery": 1}
    assert "redis said no: ERR The user executing the script can't run this" in str(stand.canary.detail()["problem"])
    assert redis_server.entries() == []


def test_a_mistake_of_ours_does_not_end_the_watching(outbox: FailingOutbox, tmp_path: Path) -> None:
    """A library that fails to answer, say: it is logged and counted, and the decoder is ended."""
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.live = BrokenLibrary()
    stand.turn(FIRST_AFTER_S + 5)
    assert stand.failures() == {"fault": 1}
    assert all(decoder.ended for decoder in stand.decoders)


def test_footage_that_somebody_cleaned_up_is_made_again(outbox: FailingOutbox, tmp_path: Path) -> None:
    """There are programs that empty /tmp now and then. Where that fails, the stage says so, and it is tried again."""
    start_forkserver()
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.turn(FIRST_AFTER_S + 10)
    (tmp_path / "made" / "clip").unlink()
    stand.turn(PERIOD_S - 10)

    def failed() -> bool:
        stand.turn(1)
        return stand.failures() == {"make": 1}

    eventually(failed)
    assert stand.canary.detail()["problem"] == "its footage could not be made: No space left on device"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(("make", "period_s"), [(fails, 0.0), (None, PERIOD_S)])
def test_without_a_canary_nothing_happens(
    *, outbox: FailingOutbox, tmp_path: Path, make: Make | None, period_s: float
) -> None:
    """Turned off, or a service that has none: no ticks, and gauges that say nothing."""
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.registry = CollectorRegistry()
    stand.canary = stand.made(make, config=load_config(None, environ={}, overrides={"canary.period_s": period_s}))
    stand.turn(1000)
    assert not stand.decoders
    assert stand.canary.detail() == {}
    assert math.isnan(stand.metric("since_success_seconds"))
    assert math.isnan(stand.metric("period_seconds"))


def test_stopping_leaves_nothing(outbox: FailingOutbox, tmp_path: Path) -> None:
    """No decoder, no file, no row, in the middle of it; and twice does no harm."""
    stand = Stand(outbox, tmp_path, [UNKNOWN])
    stand.turn(FIRST_AFTER_S + 5)
    stand.canary.stop()
    stand.canary.stop()
    assert all(decoder.ended for decoder in stand.decoders)
    assert not (tmp_path / "made").exists()


def test_another_decoder_is_started_as_those_of_streams(outbox: FailingOutbox, tmp_path: Path) -> None:
    """By what was said last."""
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.turn(FIRST_AFTER_S + 10)
    stand.canary.change(replace(OPTIONS, decoder_memory_mib=99))
    stand.turn(PERIOD_S)
    assert [decoder.job.memory_mib for decoder in stand.decoders] == [OPTIONS.decoder_memory_mib, 99]


def test_whoever_knows_the_users_is_asked_once(
    outbox: FailingOutbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and never in the loop."""
    asked: list[str] = []
    monkeypatch.setattr(canary, "ids_for_decoders", asked.append)
    stand = Stand(outbox, tmp_path, [SEEN])
    stand.turn(FIRST_AFTER_S + 2 * PERIOD_S)
    assert len(stand.decoders) > 1
    assert asked == [OPTIONS.decoder_user]
