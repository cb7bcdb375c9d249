"""An enforcer on a Redis that takes nothing: what it has in hand it cuts, once, and answers to when there is room."""

import pytest

from streamguard.enforce.cutting import enforcement as enforcement_module
from tests.enforce.cutting.test_enforcement import Edge, a_server, acks, kill_now, pending, send
from tests.redis_servers import RedisServer, StartRedis
from tests.small_disks import MakeDisk
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that waits is a test that waits."""
    monkeypatch.setattr(enforcement_module, "READ_FOR_S", 0.1)


@pytest.mark.promise(1, "the memory of Redis full between the cut and its answer")
def test_an_answer_waits_until_redis_has_memory_for_it(redis_server: RedisServer) -> None:
    """The session is cut once, however long that takes, and the answer says so."""
    server = a_server("nginx-1", "nginx-2")

    def fill() -> None:
        redis_server.run("CONFIG SET", "maxmemory", "1")

    server.after_drop = fill
    with Edge(redis_server, server) as edge:
        send(redis_server, kill_now())
        eventually(lambda: any("redis is full" in one for one in edge.watching.troubles), what="that it is said")
        assert server.cut == ["nginx-1"]
        assert acks(redis_server) == {}
        redis_server.run("CONFIG SET", "maxmemory", "0")
        assert eventually(lambda: acks(redis_server)) == {"nginx-1": "executed"}
        eventually(lambda: pending(redis_server) == 0, what="that nothing is left")
    assert server.cut == ["nginx-1"]
    assert server.live == {"nginx-2"}


@pytest.mark.promise(1, "the disk under Redis full before a kill is read")
def test_a_kill_that_cannot_be_read_on_a_full_disk_is_executed_when_there_is_room(
    start_redis: StartRedis, make_disk: MakeDisk
) -> None:
    """To give out a signal Redis must write; it says why it does not."""
    disk, server = make_disk(2048), a_server("nginx-1")
    redis = start_redis("--dir", str(disk.path), "--appendonly", "yes", "--appendfsync", "everysec")
    send(redis, kill_now())
    disk.fill()
    eventually(lambda: "MISCONF" in str(redis.tried("SET", "probe", "x" * 100)), what="MISCONF")
    with Edge(redis, server) as edge:
        eventually(lambda: any("MISCONF" in trouble for trouble in edge.watching.troubles), what="that it is said")
        assert server.cut == []
        disk.empty()
        assert eventually(lambda: acks(redis)) == {"nginx-1": "executed"}
    assert server.cut == ["nginx-1"]
