"""streamguard.enforce.cutting.enforcement: from Redis to the server and back, whatever becomes of the enforcer."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

import pytest

from streamguard.enforce.cutting import enforcement as enforcement_module
from streamguard.enforce.cutting.desk import Desk
from streamguard.enforce.cutting.enforcement import Enforcement, EnforcerIdentity
from streamguard.enforce.orders.enforcer import Order, Result, Settled, Terms
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.signals.acks import read_ack
from streamguard.enforce.signals.redis_consumer import AckWriter, GroupReader, group_of
from streamguard.errors import ServerUnreachable, SignalsError
from tests.enforce.made_orders import Kill, a_kill
from tests.fake_media_server import FakeMediaServer, FakeStrikes, failing
from tests.kill_signals import KEY
from tests.redis_servers import RedisServer
from tests.waiting import eventually

PREFIX = "{streamguard}:"
STREAM, ACKS = f"{PREFIX}signals", f"{PREFIX}acks"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that waits is a test that waits."""
    monkeypatch.setattr(enforcement_module, "READ_FOR_S", 0.1)


class Watching:
    """An Observer that keeps what it is told."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.troubles: list[str] = []

    def settled(self, order: Order, settled: Settled, event: str) -> None:
        assert json.loads(event)["data"]["signal_id"] == order.id
        self.results[settled.result.value] += 1

    def ignored(self, end: Settled, order: Order | None) -> None:
        assert end.why
        assert (order is None) <= (end.result is Result.NOT_UNDERSTOOD)
        self.results[end.result.value] += 1

    def reading(self, error: SignalsError | None) -> None:
        if error is not None:
            self.troubles.append(str(error))

    acknowledging = reading


class Edge:
    """An enforcer beside one media server or several, against a real Redis."""

    def __init__(
        self,
        redis: RedisServer,
        *servers: FakeMediaServer,
        strikes: FakeStrikes | None = None,
        name: str = "edge-1",
        key: bytes | None = KEY,
    ) -> None:
        names = tuple(server.name for server in servers)
        target, group = parse_redis_url(redis.url), group_of(names)
        self.watching = Watching()
        self.reader = GroupReader(target, prefix=PREFIX, group=group, consumer=name)
        self.writer = AckWriter(target, prefix=PREFIX, group=group, timeout_s=2.0, keep_s=3600)
        book = strikes or FakeStrikes()
        self.enforcement = Enforcement(
            self.reader,
            self.writer,
            make_desks=lambda on_settled: [Desk(server, book, on_settled=on_settled) for server in servers],
            terms=Terms(servers=names, key=key),
            identity=EnforcerIdentity(name, key),
            observer=self.watching,
        )
        self._thread = threading.Thread(target=lambda: self.enforcement.run(drain_s=5.0))

    @property
    def results(self) -> dict[str, int]:
        return dict(self.watching.results)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enforcement.stop()
        self._thread.join(10.0)
        assert not self._thread.is_alive()
        self.reader.close()
        self.writer.close()


def send(redis: RedisServer, *kills: Kill, key: bytes | None = KEY, event: str | None = None) -> None:
    with redis.admin() as client, client.pipeline(transaction=False) as pipe:
        for kill in kills:
            pipe.xadd(STREAM, kill.fields(key=key, event=event))
        pipe.execute()


def kill_now(session: str = "nginx-1", **options: object) -> Kill:
    return a_kill(session, now_unix_s=time.time(), **options)  # type: ignore[arg-type]


def acks(redis: RedisServer) -> dict[str, str]:
    """Outcome by session; each is genuine, and there once."""
    events = [json.loads(fields[b"event"]) for fields in redis.entries(ACKS)]
    assert all(read_ack(fields, key=KEY).genuine for fields in redis.entries(ACKS))
    sessions = [event["data"]["session_id"] for event in events]
    assert len(sessions) == len(set(sessions))
    return {event["data"]["session_id"]: event["data"]["outcome"] for event in events}


def pending(redis: RedisServer, group: str = "enforce:nginx-rtmp") -> int:
    with redis.admin() as client:
        summary = client.xpending(STREAM, group)
    count: int = summary["pending"]
    return count


def a_server(*sessions: str, name: str = "nginx-rtmp", lingers: int = 1) -> FakeMediaServer:
    server = FakeMediaServer(name, lingers=lingers)
    for session in sessions:
        server.connect("live/cam", session)
    return server


def test_a_kill_is_executed_and_acknowledged(redis_server: RedisServer) -> None:
    """Once, and off the group's list; the successor goes on."""
    server = a_server("nginx-1", "nginx-2")
    with Edge(redis_server, server) as edge:
        send(redis_server, kill_now())
        assert eventually(lambda: acks(redis_server)) == {"nginx-1": "executed"}
        eventually(lambda: edge.results == {"executed": 1})
        assert pending(redis_server) == 0
    assert server.cut == ["nginx-1"]
    assert server.live == {"nginx-2"}


def test_forged_altered_expired_and_replayed_cut_nothing_and_are_counted(redis_server: RedisServer) -> None:
    """Only what is genuine and refused is acknowledged; the two that another key may fit are left for its enforcer."""
    server = a_server("nginx-1", "nginx-2")
    altered = kill_now("nginx-9", pts_us=1)
    with Edge(redis_server, server) as edge:
        send(redis_server, kill_now("nginx-2"))
        eventually(lambda: edge.results == {"executed": 1})
        server.connect("live/cam", "nginx-2")
        for entry in redis_server.entries(STREAM) * 3:
            redis_server.run("XADD", STREAM, "*", *(part for pair in entry.items() for part in pair))
        send(redis_server, kill_now(pts_us=2), key=b"a key of somebody else")
        send(redis_server, kill_now(pts_us=3), key=None)
        send(redis_server, altered, event=altered.event.replace("nginx-9", "nginx-1"))
        send(redis_server, a_kill("nginx-1", now_unix_s=time.time() - 301))
        redis_server.run("XADD", STREAM, "*", "event", "x" * 300_000)
        redis_server.run("XADD", STREAM, "*", "rubbish", "x")
        expected = {"executed": 1, "forged": 2, "unsigned": 1, "expired": 1, "replayed": 3, "not_understood": 2}
        eventually(lambda: edge.results == expected, what=str(edge.results))
        eventually(lambda: pending(redis_server) == 2, what="nothing else is left")
    assert server.live == {"nginx-1", "nginx-2"}
    assert acks(redis_server) == {"nginx-2": "executed", "nginx-1": "refused"}


def test_a_forged_signal_does_not_close_the_genuine_one(redis_server: RedisServer) -> None:
    """Whoever forges first, with the id that the true one will have, keeps nobody from being cut."""
    server = a_server("nginx-1")
    with Edge(redis_server, server):
        send(redis_server, kill_now(), key=b"a key of somebody else")
        send(redis_server, kill_now())
        eventually(lambda: server.cut == ["nginx-1"])
        assert eventually(lambda: acks(redis_server)) == {"nginx-1": "executed"}


@pytest.mark.parametrize("name", ["edge-1", "edge-2"], ids=["started again", "another beside it"])
def test_an_enforcer_with_another_key_leaves_signals_to_one_with_the_right_key(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, *, name: str
) -> None:
    """It says that its key is in doubt; the right one executes what has not expired, be it this one started again."""
    monkeypatch.setattr(enforcement_module, "CARE_EVERY_S", 0.1)
    server = a_server("nginx-1")
    with ExitStack() as stack:
        wrong = stack.enter_context(Edge(redis_server, server, key=b"not the key of the worker"))
        send(redis_server, kill_now())
        eventually(lambda: wrong.results == {"forged": 1})
        assert "do not fit the key, and none ever did" in wrong.enforcement.key_doubt
        if name == "edge-1":
            stack.pop_all().close()
        with Edge(redis_server, server, name=name) as right:
            assert eventually(lambda: acks(redis_server)) == {"nginx-1": "executed"}
            assert right.enforcement.key_doubt == ""
    assert wrong.results == {"forged": 1}, "it is counted once, however often it comes by"
    assert pending(redis_server) == 0


def test_a_flood_of_forged_signals_keeps_nobody_waiting(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded number stays, and the genuine one in the middle is executed."""
    monkeypatch.setattr(enforcement_module, "CARE_EVERY_S", 0.1)
    server = a_server("nginx-1")
    forged = [kill_now(pts_us=number) for number in range(1, 1201)]
    send(redis_server, *forged[:600], key=b"a key of somebody else")
    send(redis_server, kill_now())
    send(redis_server, *forged[600:], key=b"a key of somebody else")
    with Edge(redis_server, server) as edge:
        assert eventually(lambda: acks(redis_server)) == {"nginx-1": "executed"}
        eventually(lambda: edge.watching.results["forged"] == 1200)
        eventually(lambda: pending(redis_server) == 256, what="the newest are left")
    assert edge.watching.results["forged"] == 1200


@pytest.mark.promise(7, "a signal for a session that another one has followed")
def test_a_signal_for_a_session_that_was_followed_by_another_cuts_nothing(redis_server: RedisServer) -> None:
    """The publisher came back as session 2 before the signal for session 1 was there."""
    server = a_server("nginx-2")
    with Edge(redis_server, server):
        send(redis_server, kill_now("nginx-1"))
        assert eventually(lambda: acks(redis_server)) == {"nginx-1": "already_gone"}
    assert server.live == {"nginx-2"}
    assert server.asked == []


def test_what_is_not_ours_is_left_to_others(redis_server: RedisServer) -> None:
    """Other servers have a group of their own; a stream named by its URL has no session to cut, once for all groups."""
    ours, theirs = a_server("nginx-1"), a_server("srs-1", name="srs")
    with Edge(redis_server, ours) as one, Edge(redis_server, theirs, name="edge-2") as other:
        send(redis_server, kill_now("nginx-1"), kill_now("srs-1", server="srs"), kill_now("by-url", server=None))
        expected = {"nginx-1": "executed", "srs-1": "executed", "by-url": "refused"}
        eventually(lambda: acks(redis_server) == expected)
        eventually(lambda: sum((one.watching.results + other.watching.results).values()) == 6)
    total = one.watching.results + other.watching.results
    assert total == {"executed": 2, "other_server": 2, "no_session": 1, "replayed": 1}


class Crash(BaseException):
    """kill -9, as near as a test in one process comes to it."""


@pytest.mark.promise(1, "the enforcer, dead with signals in its hands")
@pytest.mark.parametrize("name", ["edge-1", "edge-2"], ids=["started again", "another"])
@pytest.mark.parametrize("crash_at", ["strike", "list", "drop", "after drop", "acknowledgement"])
def test_an_enforcer_that_was_killed_is_followed_by_the_next(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, *, crash_at: str, name: str
) -> None:
    """At whatever step: the signal is settled once, the session cut once and struck once, by itself when it is started
    again, at once, or by another one that takes over what it left.
    """
    server, strikes = a_server("nginx-1", "nginx-2"), FakeStrikes()
    dying = [crash_at]

    def die(step: str) -> None:
        if dying == [step]:
            dying.clear()
            raise Crash

    strikes.before = lambda: die("strike")
    server.before = die
    server.after_drop = lambda: die("after drop")
    dead = Edge(redis_server, server, strikes=strikes)
    send(redis_server, kill_now())
    while not dead.enforcement.under_way:
        dead.enforcement.round(at_most_s=0.05)
    with suppress(Crash):
        dead.enforcement.desks["nginx-rtmp"].round()
    assert dying == ([crash_at] if crash_at == "acknowledgement" else [])
    assert acks(redis_server) == {}
    dead.reader.close()
    if name != "edge-1":
        monkeypatch.setattr(enforcement_module, "IDLE_S", 0.0)
    with Edge(redis_server, server, strikes=strikes, name=name):
        was_cut = crash_at in {"after drop", "acknowledgement"}
        assert eventually(lambda: acks(redis_server)) == {"nginx-1": "already_gone" if was_cut else "executed"}
        eventually(lambda: pending(redis_server) == 0)
    assert server.cut == ["nginx-1"]
    assert server.live == {"nginx-2"}
    assert len(strikes.strikes) == 1


def test_two_enforcers_settle_each_signal_once(redis_server: RedisServer) -> None:
    """Though both are given some of them twice."""
    sessions = [f"nginx-{number}" for number in range(40)]
    server = a_server(*sessions)
    kills = [kill_now(session) for session in sessions]
    with Edge(redis_server, server) as one, Edge(redis_server, server, name="edge-2") as other:
        send(redis_server, *kills, *kills)
        eventually(lambda: len(acks(redis_server)) == 40)
        eventually(lambda: sum((one.watching.results + other.watching.results).values()) == 80)
    assert sorted(server.cut) == sorted(sessions)
    assert (one.watching.results + other.watching.results)["replayed"] == 40


def test_500_signals_at_once(redis_server: RedisServer) -> None:
    """All are executed, each once, beside 100 publishers that nobody meant, and another server that is down."""
    meant = [f"nginx-{number}" for number in range(500)]
    server = a_server(*meant, *(f"innocent-{number}" for number in range(100)))
    down = a_server(name="srs")
    down.before = failing(ServerUnreachable("list publishers of", "srs", "connection refused"))
    with Edge(redis_server, server, down) as edge:
        send(redis_server, *(kill_now(f"srs-{number}", server="srs") for number in range(50)))
        began_s = time.monotonic()
        send(redis_server, *(kill_now(session) for session in meant))
        eventually(lambda: edge.watching.results["executed"] == 500, timeout_s=20, what="all are executed")
        took_s = time.monotonic() - began_s
        assert set(acks(redis_server)) == set(meant)
        edge.enforcement.stop()
    assert sorted(server.cut) == sorted(meant)
    assert server.live == {f"innocent-{number}" for number in range(100)}
    assert took_s < 10, took_s
    assert pending(redis_server, "enforce:nginx-rtmp,srs") == 50, "what is not settled is left to the next enforcer"


def test_what_there_is_no_room_for_waits_in_redis(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is executed when there is."""
    monkeypatch.setattr("streamguard.enforce.cutting.desk.MOST_ORDERS", 5)
    monkeypatch.setattr(enforcement_module, "MOST_ORDERS", 5)
    sessions = [f"nginx-{number}" for number in range(60)]
    server = a_server(*sessions)
    with Edge(redis_server, server) as edge:
        send(redis_server, *map(kill_now, sessions))
        eventually(lambda: edge.watching.results["executed"] == 60, timeout_s=20)
    assert sorted(server.cut) == sorted(sessions)
    assert pending(redis_server) == 0


def test_a_server_that_is_down_keeps_no_other_waiting_for_room(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were sent more than there is room for: what is left of the other's is executed all the same."""
    monkeypatch.setattr("streamguard.enforce.cutting.desk.MOST_ORDERS", 5)
    monkeypatch.setattr(enforcement_module, "MOST_ORDERS", 5)
    sessions = [f"nginx-{number}" for number in range(40)]
    server, down = a_server(*sessions), a_server(name="srs")
    down.before = failing(ServerUnreachable("list publishers of", "srs", "connection refused"))
    with Edge(redis_server, server, down) as edge:
        send(redis_server, *(kill_now(f"srs-{number}", server="srs") for number in range(20)))
        send(redis_server, *map(kill_now, sessions))
        eventually(lambda: edge.watching.results["executed"] == 40, timeout_s=20)
    assert sorted(server.cut) == sorted(sessions)


@pytest.mark.promise(1, "Redis, kill -9, back without its data, under an enforcer")
def test_a_redis_that_lost_its_data_is_read_from_its_start(redis_server: RedisServer) -> None:
    """The enforcer says that it is away, goes on trying, and settles what comes into the new one."""
    server = a_server("nginx-1", "nginx-2")
    with Edge(redis_server, server) as edge:
        send(redis_server, kill_now())
        eventually(lambda: edge.results == {"executed": 1})
        redis_server.kill()
        eventually(lambda: edge.watching.troubles)
        redis_server.start()
        send(redis_server, kill_now("nginx-2"), kill_now("nginx-1"))
        eventually(lambda: acks(redis_server) == {"nginx-2": "executed", "nginx-1": "already_gone"}, timeout_s=20)
    assert sorted(server.cut) == ["nginx-1", "nginx-2"]


@pytest.mark.promise(1, "Redis, kill -9, between the cut and its answer")
def test_redis_may_go_between_the_cut_and_the_acknowledgement(redis_server: RedisServer) -> None:
    """It is acknowledged when Redis is back, and cut once."""
    server = a_server("nginx-1")
    server.after_drop = redis_server.kill
    with Edge(redis_server, server) as edge:
        send(redis_server, kill_now())
        eventually(lambda: server.cut == ["nginx-1"] and edge.watching.troubles)
        redis_server.start()
        assert eventually(lambda: acks(redis_server), timeout_s=20) == {"nginx-1": "executed"}
    assert server.cut == ["nginx-1"]


@contextmanager
def frozen(redis: RedisServer) -> Iterator[None]:
    with ExitStack() as stack:
        redis.freeze()
        stack.callback(redis.thaw)
        yield


def test_it_ends_in_time_though_redis_stands_still(redis_server: RedisServer) -> None:
    """What was settled and not acknowledged stays for the next enforcer."""
    server = a_server("nginx-1")
    edge = Edge(redis_server, server)
    send(redis_server, kill_now())
    for _ in range(3):
        edge.enforcement.round(at_most_s=0.05)
    with frozen(redis_server):
        began_s = time.monotonic()
        thread = threading.Thread(target=lambda: edge.enforcement.run(drain_s=1.0))
        edge.enforcement.stop()
        thread.start()
        thread.join(10.0)
        assert time.monotonic() - began_s < 4
    assert server.cut == ["nginx-1"]
    # Redis may have had the acknowledgement before it stood still, and written it after that.
    assert pending(redis_server) + len(acks(redis_server)) == 1
    edge.reader.close()
