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
from tests.enforce.outbox.test_delivery import append, running
from tests.kill_signals import a_signal
from tests.redis_servers import RedisServer, StartRedis
from tests.waiting import eventually

SIGNALS = 1000
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
