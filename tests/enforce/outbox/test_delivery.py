"""streamguard.enforce.outbox.delivery: the thread that drains the outbox, whatever happens at the other end."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from streamguard.enforce.outbox.delivery import PAGE, Delivery, DeliveryState, DeliveryStatus, Pace
from streamguard.enforce.outbox.outbox import Outbox, OutboxCounts, Retention
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.errors import OutboxError, SignalRefused, SignalsError, SignalsRejected, SignalsUnreachable
from tests.fakes import FakeTransport
from tests.kill_signals import NOW_UNIX_S, a_canary, a_signal
from tests.redis_servers import RedisServer
from tests.waiting import eventually

UNREACHABLE = SignalsUnreachable("publish signal", "redis://host:6379", "connection refused")
REJECTED = SignalsRejected("publish signal", "redis://host:6379", "redis said no: wrong password")
QUICK = Pace(retry_first_s=0.005, retry_cap_s=0.02, check_every_s=0.05)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path / "outbox.sqlite") as opened:
        yield opened


@contextmanager
def running(
    outbox: Outbox,
    transport: FakeTransport | RedisStreams,
    *,
    pace: Pace = QUICK,
    news: list[DeliveryState] | None = None,
    clock: Callable[[], float] = lambda: NOW_UNIX_S,
) -> Iterator[Delivery]:
    on_change: Callable[[DeliveryState], None] = news.append if news is not None else lambda _state: None
    delivery = Delivery(outbox, transport, pace=pace, clock=clock, on_change=on_change)
    delivery.start()
    try:
        yield delivery
    finally:
        assert delivery.stop(10)


def append(outbox: Outbox, *numbers: int) -> list[str]:
    for number in numbers:
        assert outbox.append(a_signal(number))
    return [a_signal(number).id for number in numbers]


def test_what_waits_is_delivered_in_order(outbox: Outbox) -> None:
    """More than a page of it, appended before the start."""
    ids = append(outbox, *range(150))
    transport = FakeTransport()
    with running(outbox, transport) as delivery:
        assert delivery.flush(10)
        assert delivery.state == DeliveryState(DeliveryStatus.OK, NOW_UNIX_S, delivered_total=150)
    assert transport.ids == ids
    assert outbox.counts() == OutboxCounts(pending=0, delivered=150, parked=0)


def test_rows_that_were_changed_are_parked_and_the_others_delivered(outbox: Outbox) -> None:
    """More than a page of damage before the good ones; it is counted and told, and nothing of it is sent."""
    append(outbox, *range(100))
    good = append(outbox, *range(100, 103))
    with closing(sqlite3.connect(outbox.path, isolation_level=None)) as shell:
        shell.execute("UPDATE signals SET event = CAST(x'ff' AS TEXT) WHERE seq <= 50")
        shell.execute("UPDATE signals SET event = replace(event, 'cam-7', 'cam-8') WHERE seq BETWEEN 51 AND 100")
    transport, news = FakeTransport(), list[DeliveryState]()
    with running(outbox, transport, news=news) as delivery:
        assert delivery.flush(10)
        assert delivery.state.parked_total == 100
    assert transport.ids == good
    assert outbox.counts() == OutboxCounts(pending=0, delivered=3, parked=100)
    assert len(news) == 100
    assert "it is not what was appended" in news[-1].parked_why


def test_a_wake_delivers_at_once(outbox: Outbox) -> None:
    """An idle thread does not wait for its next check."""
    transport = FakeTransport()
    with running(outbox, transport, pace=Pace(check_every_s=3600)) as delivery:
        eventually(lambda: transport.checks == 1)
        append(outbox, 1)
        delivery.wake()
        eventually(lambda: len(transport.received) == 1)


def test_trouble_is_shown_and_nothing_is_lost(outbox: Outbox) -> None:
    """Unreachable a few times: the state says so and why, and then all arrives, once and in order."""
    news: list[DeliveryState] = []
    ids = append(outbox, 1, 2)
    transport = FakeTransport([None, UNREACHABLE, UNREACHABLE])
    with running(outbox, transport, news=news) as delivery:
        assert delivery.flush(10)
    assert transport.ids == ids
    assert [(state.status, state.problem) for state in news] == [
        (DeliveryStatus.UNREACHABLE, str(UNREACHABLE)),
        (DeliveryStatus.OK, ""),
    ]
    assert delivery.state.failed_attempts_total == 2


def test_an_idle_transport_is_checked(outbox: Outbox) -> None:
    """Redis goes away while nothing is to be sent: the state shows it, and shows when it is back."""
    transport = FakeTransport()
    with running(outbox, transport) as delivery:
        transport.down = REJECTED
        eventually(lambda: delivery.state.status is DeliveryStatus.REJECTED)
        assert "wrong password" in delivery.state.problem
        transport.down = None
        eventually(lambda: delivery.state.status is DeliveryStatus.OK)


def test_appending_does_not_hammer_a_sick_transport(outbox: Outbox) -> None:
    """However often it is woken, an attempt comes no sooner than the first backoff after the last."""
    transport = FakeTransport()
    transport.down = UNREACHABLE
    append(outbox, 1)
    first_s = 0.1
    began_s = time.monotonic()
    with running(outbox, transport, pace=Pace(retry_first_s=first_s, retry_cap_s=60)) as delivery:
        while len(transport.attempts) < 4:
            delivery.wake()
        attempts = len(transport.attempts)
        assert time.monotonic() - began_s >= (attempts - 1) * first_s / 2  # less its jitter


def test_a_new_signal_ends_a_long_backoff(outbox: Outbox) -> None:
    """Redis may be back long before the backoff is over."""
    transport = FakeTransport([UNREACHABLE])
    append(outbox, 1)
    with running(outbox, transport, pace=Pace(retry_first_s=0.05, retry_cap_s=3600, check_every_s=3600)) as delivery:
        eventually(lambda: delivery.state.status is DeliveryStatus.UNREACHABLE)
        delivery.wake()
        eventually(lambda: len(transport.received) == 1)


@pytest.mark.parametrize("error", [REJECTED, SignalRefused("publish signal", "sig_1", "too large")])
def test_a_poison_row_does_not_block_the_rows_behind_it(outbox: Outbox, error: SignalsError) -> None:
    """It is passed at once, parked in the end, counted and told; the others arrive."""
    news: list[DeliveryState] = []
    ids = append(outbox, *range(10))
    transport = FakeTransport(always=lambda signal: error if signal.id == ids[0] else None)
    with running(outbox, transport, news=news) as delivery:
        eventually(lambda: len(transport.received) == 9)
        number = 10
        while outbox.counts().parked == 0:
            append(outbox, number)
            number += 1
            delivery.wake()
            eventually(lambda: len(transport.received) == number - 1)  # noqa: B023 - asked at once
        eventually(lambda: delivery.state.parked_total == 1)
        assert delivery.flush(10)
    assert transport.ids == [*ids[1:], *(a_signal(behind).id for behind in range(10, number))]
    assert any(state.parked_total == 1 for state in news)


def test_two_poison_rows_at_the_head_do_not_block_either(outbox: Outbox) -> None:
    """The round after a rejection begins with another row, so any number of them is passed."""
    ids = append(outbox, *range(20))
    transport = FakeTransport(always=lambda signal: REJECTED if signal.id in ids[:5] else None)
    with running(outbox, transport):
        eventually(lambda: transport.ids == ids[5:])


def test_a_wrong_password_parks_nothing(outbox: Outbox) -> None:
    """When everything is rejected it is no row's fault: all wait, and all arrive once it is mended."""
    ids = append(outbox, *range(8))
    transport = FakeTransport()
    transport.down = REJECTED
    with running(outbox, transport) as delivery:
        eventually(lambda: len(transport.attempts) > 40)
        assert outbox.counts() == OutboxCounts(pending=8, delivered=0, parked=0)
        transport.down = None
        assert delivery.flush(10)
    assert sorted(transport.ids) == sorted(ids)
    assert outbox.counts().parked == 0


def test_flush_says_when_it_could_not_be_done(outbox: Outbox) -> None:
    """Time is up and something waits: False, and it still waits."""
    transport = FakeTransport()
    transport.down = UNREACHABLE
    append(outbox, 1)
    with running(outbox, transport) as delivery:
        assert not delivery.flush(0.1)
    assert outbox.depth() == 1


def test_flush_tries_more_often_than_the_backoff(outbox: Outbox) -> None:
    """Redis comes back while the worker drains: it need not wait an hour for that."""
    transport = FakeTransport([UNREACHABLE] * 4)
    append(outbox, 1)
    with running(outbox, transport, pace=Pace(retry_first_s=0.02, retry_cap_s=3600)) as delivery:
        assert delivery.flush(10)


def test_stop_ends_a_backoff(outbox: Outbox) -> None:
    """SIGTERM does not wait for the next attempt."""
    transport = FakeTransport()
    transport.down = REJECTED
    append(outbox, 1)
    delivery = Delivery(outbox, transport, pace=Pace(retry_first_s=3600, retry_cap_s=3600))
    delivery.start()
    eventually(lambda: delivery.state.status is DeliveryStatus.REJECTED)
    assert delivery.stop(5)


def test_a_delivery_that_was_never_started_can_be_stopped(outbox: Outbox) -> None:
    """Starting may have failed before it."""
    assert Delivery(outbox, FakeTransport(), pace=QUICK).stop(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_shows(outbox: Outbox) -> None:
    """An exception that nobody foresaw ends the thread, and the state says so; the outbox keeps the signal."""
    news: list[DeliveryState] = []
    append(outbox, 1)
    transport = FakeTransport(always=lambda _signal: ZeroDivisionError())
    with running(outbox, transport, news=news) as delivery:
        eventually(lambda: delivery.state.status is DeliveryStatus.FAILED)
        assert "ZeroDivisionError" in delivery.state.problem
        assert not delivery.flush(10)
    assert news[-1].status is DeliveryStatus.FAILED
    assert outbox.depth() == 1


class FailingOutbox(Outbox):
    """A disk that is full for the first notes of an arrival."""

    failures = 3

    def delivered(self, *signal_ids: str, at_unix_s: float, awaits_ack: bool = False) -> None:
        if self.failures:
            self.failures -= 1
            raise OutboxError("write to outbox", self.path, "database or disk is full")
        super().delivered(*signal_ids, at_unix_s=at_unix_s, awaits_ack=awaits_ack)


@pytest.mark.promise(1, "the disk full when a delivery is noted")
def test_a_full_disk_sends_nothing_twice(tmp_path: Path) -> None:
    """The arrival could not be noted: the state says so, and only the noting is tried again."""
    news: list[DeliveryState] = []
    with FailingOutbox.open(tmp_path / "outbox.sqlite") as outbox:
        ids = append(outbox, 1, 2, 3)
        transport = FakeTransport()
        with running(outbox, transport, news=news) as delivery:
            assert delivery.flush(10)
        assert transport.attempts == ids
        assert [state.status for state in news] == [DeliveryStatus.OUTBOX, DeliveryStatus.OK]


class CountingOutbox(Outbox):
    """How many arrivals were noted, with each wait for the disk."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - the base class's
        super().__init__(*args, **options)
        self.noted: list[int] = []

    def delivered(self, *signal_ids: str, at_unix_s: float, awaits_ack: bool = False) -> None:
        super().delivered(*signal_ids, at_unix_s=at_unix_s, awaits_ack=awaits_ack)
        self.noted.append(len(signal_ids))


def test_many_arrivals_wait_for_the_disk_once(tmp_path: Path) -> None:
    """After an outage it is not waited for with each signal; also what came before trouble is noted."""
    with CountingOutbox.open(tmp_path / "outbox.sqlite") as outbox:
        append(outbox, *range(2 * PAGE))
        transport = FakeTransport([*[None] * (PAGE + 10), UNREACHABLE])
        with running(outbox, transport) as delivery:
            assert delivery.flush(10)
        assert outbox.noted == [PAGE, 10, PAGE - 10]
        assert len(transport.received) == 2 * PAGE


def test_what_was_delivered_is_dropped_in_time(tmp_path: Path) -> None:
    """The outbox does not grow for ever."""
    with Outbox.open(tmp_path / "outbox.sqlite", retention=Retention(age_s=1e9, rows=10)) as outbox:
        append(outbox, *range(100))
        with running(outbox, FakeTransport()) as delivery:
            assert delivery.flush(10)
            eventually(lambda: outbox.counts().delivered == 10)


def test_expired_signals_are_delivered_too(outbox: Outbox) -> None:
    """A consumer judges by expires_at; who counts kills hears of every one."""
    transport = FakeTransport()
    append(outbox, 1)
    delivery = Delivery(outbox, transport, pace=QUICK, clock=lambda: NOW_UNIX_S + 1e6)
    delivery.start()
    assert delivery.flush(10)
    delivery.stop(10)
    assert len(transport.received) == 1


@pytest.mark.promise(3, "Redis, kill -9, back empty, under 300 signals", times=3)
def test_a_redis_killed_twice_gets_every_signal_once(outbox: Outbox, redis_server: RedisServer) -> None:
    """Killed in the middle, back empty: what it was not told before it died is there, once, in order."""
    streams = RedisStreams(redis_server.url, prefix="{streamguard}:", timeout_s=0.5, keep_s=3600)
    lives: list[list[bytes]] = []
    with running(outbox, streams) as delivery:
        for life in range(3):
            append(outbox, *range(life * 100, life * 100 + 50))
            delivery.wake()
            assert delivery.flush(10)
            lives.append([fields[b"event"] for fields in redis_server.entries()])
            redis_server.kill()
            append(outbox, *range(life * 100 + 50, life * 100 + 100))
            delivery.wake()
            eventually(lambda: delivery.state.status is DeliveryStatus.UNREACHABLE)
            redis_server.start()
        assert delivery.flush(10)
        lives.append([fields[b"event"] for fields in redis_server.entries()])
    streams.close()
    assert [event for life in lives for event in life] == [a_signal(number).event.encode() for number in range(300)]


@pytest.mark.promise(3, "Redis frozen (SIGSTOP) under 100 signals")
def test_appends_are_never_held_up_by_a_hanging_redis(outbox: Outbox, redis_server: RedisServer) -> None:
    """The worker's loop goes on at disk speed while Redis is frozen."""
    streams = RedisStreams(redis_server.url, prefix="{streamguard}:", timeout_s=3, keep_s=3600)
    with running(outbox, streams) as delivery:
        redis_server.freeze()
        slowest_s = 0.0
        for number in range(100):
            began_s = time.monotonic()
            append(outbox, number)
            delivery.wake()
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        redis_server.thaw()
        assert delivery.flush(10)
        assert slowest_s < 2  # a call waits 3 s
    streams.close()
    assert len(redis_server.entries()) == 100


ACKNOWLEDGED = Pace(retry_first_s=0.005, retry_cap_s=0.02, check_every_s=0.02, again_every_s=0.0)


def test_a_kill_that_nobody_answers_to_is_delivered_again(outbox: Outbox) -> None:
    """Until somebody does: the transport may have lost it. Where nobody is to answer, never."""
    (first, second) = append(outbox, 1, 2)
    transport = FakeTransport()
    with running(outbox, transport, pace=ACKNOWLEDGED):
        eventually(lambda: min(transport.attempts.count(first), transport.attempts.count(second)) >= 3)
        outbox.acknowledged(first, outcome="executed")
        so_far = len(transport.attempts)
        eventually(lambda: transport.attempts[so_far:].count(second) >= 3)
        assert transport.attempts[so_far:].count(first) <= 1
    append(outbox, 3)
    with running(outbox, transport) as delivery:
        assert delivery.flush(10)
        checks = transport.checks
        eventually(lambda: transport.checks >= checks + 2)
    assert transport.attempts.count(a_signal(3).id) == 1


@pytest.mark.parametrize("ago_s", [0.1, 31.0], ids=["by one that was killed", "long ago"])
def test_many_that_nobody_answers_to_are_delivered_again_at_once(outbox: Outbox, ago_s: float) -> None:
    """Not a page with each look at the transport, while streams go on; and then each rests for its time."""
    ids = append(outbox, *range(150))
    for signal_id in ids:
        outbox.delivered(signal_id, at_unix_s=NOW_UNIX_S - ago_s, awaits_ack=True)
    transport, ticks = FakeTransport(), count(1)
    pace = Pace(check_every_s=1000.0, again_every_s=30.0)
    with running(outbox, transport, pace=pace, clock=lambda: NOW_UNIX_S + next(ticks) / 1000) as delivery:
        eventually(lambda: len(transport.attempts) == 150)
        checks = transport.checks
        delivery.wake()
        eventually(lambda: transport.checks > checks)
    assert transport.attempts == ids


@pytest.mark.promise(1, "Redis, kill -9, back without its data")
def test_a_redis_that_lost_its_data_gets_unanswered_kills_again(outbox: Outbox, redis_server: RedisServer) -> None:
    """And one that did not keeps each once."""
    (signal_id,) = append(outbox, 1)
    transport = RedisStreams(redis_server.url, prefix="{streamguard}:", timeout_s=2.0, keep_s=3600)
    with closing(transport), running(outbox, transport, pace=ACKNOWLEDGED) as delivery:
        assert delivery.flush(10)
        redis_server.restart()
        eventually(redis_server.entries, what="it is there again")
    assert [signal_id.encode() in fields[b"event"] for fields in redis_server.entries()] == [True]


def test_one_that_is_refused_again_holds_up_nothing(outbox: Outbox) -> None:
    """Redis took it once, and takes the others."""
    first, second = append(outbox, 1, 2)
    transport = FakeTransport()
    with running(outbox, transport, pace=ACKNOWLEDGED) as delivery:
        assert delivery.flush(10)
        transport._always = lambda signal: SignalRefused("publish", signal.id, "odd") if signal.id == first else None
        so_far = len(transport.attempts)
        eventually(lambda: transport.attempts[so_far:].count(second) >= 3)
        assert delivery.state.status is DeliveryStatus.OK


def test_a_canary_is_delivered_and_no_signal_that_was(outbox: Outbox) -> None:
    """And nobody waits for one: what a drain flushes are decisions."""
    outbox.append(a_canary())
    transport = FakeTransport()
    with running(outbox, transport) as delivery:
        eventually(lambda: outbox.is_delivered(a_canary().id))
        assert delivery.state.delivered_total == 0
        transport.down = UNREACHABLE
        outbox.append(a_canary(1))
        assert delivery.flush(0.0)
    assert transport.ids == [a_canary().id]
