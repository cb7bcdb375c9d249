"""How long it takes from the outbox to Redis, and after an outage until all is there: promise 3, for many signals."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.enforce.outbox.delivery import DeliveryStatus, Pace
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.types import KillSignal
from tests.enforce.outbox.test_delivery import append, running
from tests.fakes import FakeTransport
from tests.kill_signals import a_signal
from tests.redis_servers import RedisServer, StartRedis
from tests.waiting import eventually

SIGNALS = 1000
MANY, MEANWHILE = 10_000, 100
AT_ONE_MOMENT = 10
TO_REDIS_S = 0.5
RETRY_CAP_S = 1.0
A_SIGNAL_S = 0.005
BUSY = 2
"""Programs to a core, for which these bounds are stated. With more of them all takes so much longer."""


@pytest.fixture
def redis(start_redis: StartRedis) -> RedisServer:
    """As docs/operations.md wants it."""
    return start_redis("--appendonly", "yes")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path / "outbox.sqlite") as opened:
        yield opened


def longer() -> float:
    """How many times over this machine is busier than that."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / BUSY)


def streams_to(redis: RedisServer) -> RedisStreams:
    return RedisStreams(redis.url, prefix="{streamguard}:", timeout_s=2.0, keep_s=3600)


@pytest.mark.promise(3, "1,000 signals, ten at one moment", times=SIGNALS)
def test_p99_from_the_decision_to_redis(outbox: Outbox, redis: RedisServer) -> None:
    """990 of 1,000 are there in the stated time, and all are, in order."""
    began_s: list[float] = []
    with closing(streams_to(redis)) as streams, running(outbox, streams, pace=Pace()) as delivery:
        for first in range(0, SIGNALS, AT_ONE_MOMENT):
            began_s += [time.time()] * AT_ONE_MOMENT
            append(outbox, *range(first, first + AT_ONE_MOMENT))
            delivery.wake()
            eventually(lambda: outbox.depth() == 0, what="that they are delivered")
    with redis.admin() as client:
        entries = client.xrange("{streamguard}:signals")
    assert [fields[b"event"].decode() for _, fields in entries] == [a_signal(n).event for n in range(SIGNALS)]
    there_s = [int(id_.split(b"-")[0]) / 1000 for id_, _ in entries]
    took_s = sorted(there - began for there, began in zip(there_s, began_s, strict=True))
    assert took_s[SIGNALS * 99 // 100 - 1] < TO_REDIS_S * longer(), took_s[-20:]


@pytest.mark.promise(3, "Redis away under 1,000 signals", times=SIGNALS)
def test_after_an_outage_all_are_there_in_the_stated_time(outbox: Outbox, redis: RedisServer) -> None:
    """Within the longest wait between two tries and so much for each signal, once and in order."""
    redis.kill()
    pace = Pace(retry_first_s=0.2, retry_cap_s=RETRY_CAP_S)
    with closing(streams_to(redis)) as streams, running(outbox, streams, pace=pace) as delivery:
        append(outbox, *range(SIGNALS))
        delivery.wake()
        eventually(lambda: delivery.state.status is DeliveryStatus.UNREACHABLE, what="that it is said")
        redis.start()
        back_at_s = time.monotonic()
        eventually(lambda: outbox.depth() == 0, timeout_s=60.0, what="that all is delivered")
        assert time.monotonic() - back_at_s < RETRY_CAP_S + SIGNALS * A_SIGNAL_S * longer()
    sent = [fields[b"event"].decode() for fields in redis.entries()]
    assert sent == [a_signal(number).event for number in range(SIGNALS)]


class Taker(FakeTransport):
    """Takes whatever comes, and looks for nothing among all that it has."""

    def deliver(self, signal: KillSignal) -> None:
        self.attempts.append(signal.id)


@pytest.mark.promise(1, "a start with 10,000 signals in the outbox", times=MANY)
def test_many_that_wait_at_the_start_keep_no_new_one_from_being_durable(outbox: Outbox) -> None:
    """All are delivered once, in order, and what is decided meanwhile after them."""
    outbox.append(*map(a_signal, range(MANY)))
    transport = Taker()
    with running(outbox, transport) as delivery:
        for first in range(MANY, MANY + MEANWHILE, AT_ONE_MOMENT):
            assert outbox.append(*map(a_signal, range(first, first + AT_ONE_MOMENT))) == AT_ONE_MOMENT
            delivery.wake()
        eventually(lambda: outbox.depth() == 0, timeout_s=120.0, what="that all is delivered")
    assert transport.attempts == [a_signal(number).id for number in range(MANY + MEANWHILE)]
