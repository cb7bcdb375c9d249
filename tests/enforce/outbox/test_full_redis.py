"""A Redis that answers and takes nothing, for its disk or its memory is full: signals wait, and that is told."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.enforce.outbox.delivery import Delivery, DeliveryState, DeliveryStatus
from streamguard.enforce.outbox.outbox import Outbox, OutboxCounts
from streamguard.enforce.signals.redis_streams import RedisStreams
from tests.enforce.outbox.test_delivery import append, running
from tests.kill_signals import a_signal
from tests.redis_servers import RedisServer, StartRedis
from tests.small_disks import MakeDisk
from tests.waiting import eventually

_FIRST, _MEANWHILE = range(20), range(20, 120)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path / "outbox.sqlite") as opened:
        yield opened


def _refuses(redis: RedisServer) -> bool:
    return "MISCONF" in str(redis.tried("SET", "probe", "x" * 100))


def check_that_all_wait_and_come(
    outbox: Outbox, redis: RedisServer, *, fill: Callable[[], None], said: str, mend: Callable[[], None]
) -> None:
    """What is decided before, while Redis takes nothing, and after that is there once, in order; meanwhile none is
    parked, and the state says why they wait.
    """
    news: list[DeliveryState] = []
    streams = RedisStreams(redis.url, prefix="{streamguard}:", timeout_s=2.0, keep_s=3600)
    with closing(streams), running(outbox, streams, news=news) as delivery:
        append(outbox, *_FIRST)
        delivery.wake()
        assert delivery.flush(10)
        fill()
        append(outbox, *_MEANWHILE)
        delivery.wake()
        _waits(delivery, said)
        attempts = delivery.state.failed_attempts_total
        eventually(lambda: delivery.state.failed_attempts_total > attempts + 10, what="that it goes on trying")
        assert outbox.counts() == OutboxCounts(pending=len(_MEANWHILE), delivered=len(_FIRST), parked=0)
        mend()
        assert delivery.flush(30)
    assert [state.status for state in news] == [DeliveryStatus.UNREACHABLE, DeliveryStatus.OK]
    sent = [fields[b"event"].decode() for fields in redis.entries()]
    assert sent == [a_signal(number).event for number in (*_FIRST, *_MEANWHILE)]


def _waits(delivery: Delivery, said: str) -> None:
    eventually(lambda: delivery.state.status is DeliveryStatus.UNREACHABLE, what="that it is said")
    assert said in delivery.state.problem


@pytest.mark.promise(1, "the disk under Redis full (appendfsync everysec)")
def test_a_redis_whose_disk_is_full_takes_nothing_and_gets_all_later(
    outbox: Outbox, start_redis: StartRedis, make_disk: MakeDisk
) -> None:
    """MISCONF is its answer to every write, for as long as it cannot append to its file."""
    disk = make_disk(2048)
    redis = start_redis("--dir", str(disk.path), "--appendonly", "yes", "--appendfsync", "everysec")

    def fill() -> None:
        disk.fill()
        eventually(lambda: _refuses(redis), what="MISCONF")

    check_that_all_wait_and_come(outbox, redis, fill=fill, said="MISCONF", mend=disk.empty)


@pytest.mark.promise(1, "the memory of Redis full (maxmemory)")
def test_a_redis_whose_memory_is_full_takes_nothing_and_gets_all_later(
    outbox: Outbox, redis_server: RedisServer
) -> None:
    """OOM is its answer, for as long as nobody gives it more or makes room."""

    def limit(most: str) -> None:
        redis_server.run("CONFIG SET", "maxmemory", most)

    check_that_all_wait_and_come(
        outbox, redis_server, fill=lambda: limit("1"), said="redis is full (maxmemory)", mend=lambda: limit("0")
    )


@pytest.mark.promise(1, "the disk under Redis full (appendfsync always): it ends")
def test_a_redis_that_ends_on_a_full_disk_has_what_it_said_it_had(
    outbox: Outbox, start_redis: StartRedis, make_disk: MakeDisk
) -> None:
    """With `appendfsync always` it does not go on: what it had answered to is there after its restart, the rest comes
    from the outbox.
    """
    disk = make_disk(2048)
    redis = start_redis("--dir", str(disk.path), "--appendonly", "yes", "--appendfsync", "always")
    streams = RedisStreams(redis.url, prefix="{streamguard}:", timeout_s=2.0, keep_s=3600)
    with closing(streams), running(outbox, streams) as delivery:
        append(outbox, *_FIRST)
        delivery.wake()
        assert delivery.flush(10)
        disk.fill()
        append(outbox, *_MEANWHILE)
        delivery.wake()
        eventually(lambda: not redis.runs, what="its end")
        eventually(lambda: delivery.state.status is DeliveryStatus.UNREACHABLE, what="that it is said")
        disk.empty()
        redis.start()
        assert delivery.flush(30)
    sent = [fields[b"event"].decode() for fields in redis.entries()]
    assert sent == [a_signal(number).event for number in (*_FIRST, *_MEANWHILE)]
