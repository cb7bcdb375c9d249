"""streamguard.enforce.cutting.teller: a webhook hears of each genuine signal, once, whatever becomes of it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from streamguard.enforce.cutting.teller import Teller, Telling, TellTerms
from streamguard.enforce.orders.enforcer import Result
from streamguard.enforce.orders.permits import Permit
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.signals.redis_consumer import GroupReader
from streamguard.errors import ServerError, ServerRefused, ServerUnreachable, SignalsError, SignalsUnreachable
from streamguard.servers.webhook import Notice
from streamguard.types import Verdict
from tests.enforce.made_orders import Kill, a_kill
from tests.enforce.permit_books import FakePermits
from tests.kill_signals import KEY
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer, StartRedis
from tests.waiting import eventually

PREFIX = "{streamguard}:"
STREAM = f"{PREFIX}signals"
ALL = frozenset({"kill", "limit", "review", "held", "undo"})
DOWN = ServerUnreachable("tell", "platform", "connection refused")


class FakePlatform:
    """Told (streamguard.servers.webhook): keeps what it took; `script` gives an error for a call, or None."""

    def __init__(self, *script: ServerError | None, name: str = "platform") -> None:
        self.name = name
        self.heard: list[str] = []
        self.asked = 0
        self.down: ServerError | None = None
        self._script = iter(script)
        self._lock = threading.Lock()

    def tell(self, notice: Notice, /) -> None:
        with self._lock:
            self.asked += 1
            error = self.down or next(self._script, None)
            if error is not None:
                raise error
            self.heard.append(notice.id)


class Bench:
    """A teller without its thread, against a real Redis, with a clock that goes when told to."""

    def __init__(
        self,
        url: str,
        platform: FakePlatform,
        *,
        verdicts: frozenset[str] = ALL,
        name: str = "edge-1",
        stream: str = "signals",
    ) -> None:
        self.now_s = time.time()
        self.platform = platform
        self.ends: Counter[Telling] = Counter()
        self.troubles: list[str] = []
        self.permits = FakePermits()
        self.reader = GroupReader(
            parse_redis_url(url),
            prefix=PREFIX,
            group=f"webhook:{platform.name}",
            consumer=name,
            stream=stream,
            mark=f"told:{platform.name}",
        )
        self.teller = Teller(
            self.reader,
            platform,
            TellTerms(verdicts, KEY, 3600, clock=lambda: self.now_s, monotonic=lambda: self.now_s),
            permits=self.permits,
            observer=self,
        )

    def ended(self, telling: Telling, signal_id: str) -> None:
        assert bool(signal_id) or telling is not Telling.TOLD
        self.ends[telling] += 1

    def trouble(self, error: SignalsError | ServerError | None) -> None:
        if error is not None:
            self.troubles.append(str(error))

    def work(self, *, rounds: int = 6, each_s: float = 1.0) -> None:
        for _ in range(rounds):
            self.teller.round(at_most_s=0.01)
            self.now_s += each_s


@pytest.fixture
def redis_server(start_redis: StartRedis) -> RedisServer:
    """One that looks at its clock often: else a read that is to wait 10 ms waits 100."""
    return start_redis("--hz", "500")


Make = Callable[..., Bench]


@pytest.fixture
def bench_of(redis_server: RedisServer) -> Iterator[Make]:
    """Makes one for a platform; closed in the end."""
    with ExitStack() as stack:

        def make(platform: FakePlatform, **options: Any) -> Bench:  # noqa: ANN401 - as Bench takes them
            bench = Bench(redis_server.url, platform, **options)
            stack.callback(bench.reader.close)
            stack.callback(bench.teller.stop, 5.0)
            return bench

        yield make


def send(redis: RedisServer, *kills: Kill, key: bytes | None = KEY) -> None:
    with redis.admin() as client:
        for kill in kills:
            client.xadd(STREAM, kill.fields(key=key))


def kill_now(number: int = 0, *, verdict: Verdict = Verdict.KILL, expires_after_s: float = 300.0) -> Kill:
    return a_kill(
        f"nginx-{number}", pts_us=number, verdict=verdict, now_unix_s=time.time(), expires_after_s=expires_after_s
    )


def pending(redis: RedisServer, name: str = "platform") -> int:
    with redis.admin() as client:
        count: int = client.xpending(STREAM, f"webhook:{name}")["pending"]
    return count


def test_each_genuine_signal_is_told_once(redis_server: RedisServer, bench_of: Make) -> None:
    """Kills, reviews and limits; what is forged, unsigned, no signal, or there twice is not."""
    kills = [
        kill_now(number, verdict=verdict)
        for number, verdict in enumerate((Verdict.KILL, Verdict.REVIEW, Verdict.LIMIT))
    ]
    send(redis_server, *kills, *kills)
    send(redis_server, kill_now(7), key=b"a key of somebody else")
    send(redis_server, kill_now(8), key=None)
    redis_server.run("XADD", STREAM, "*", "rubbish", "x")
    bench = bench_of(FakePlatform())
    bench.work()
    assert sorted(bench.platform.heard) == sorted(kill.id for kill in kills)
    assert bench.ends == {Telling.TOLD: 3, Telling.REPEATED: 3, Telling.NOT_GENUINE: 3}
    assert pending(redis_server) == 0


def test_it_hears_of_what_it_wants(redis_server: RedisServer, bench_of: Make) -> None:
    """The rest is taken off its list."""
    send(redis_server, kill_now(0), kill_now(1, verdict=Verdict.REVIEW))
    bench = bench_of(FakePlatform(), verdicts=frozenset({"review"}))
    bench.work()
    assert bench.ends == {Telling.TOLD: 1, Telling.NOT_WANTED: 1}
    assert pending(redis_server) == 0


def test_a_kill_is_told_when_it_may_be_executed(redis_server: RedisServer, bench_of: Make) -> None:
    """While it is held the platform must not act on it either; refused, it is not told. Others do not wait for it."""
    held, refused, review = kill_now(0), kill_now(1), kill_now(2, verdict=Verdict.REVIEW)
    send(redis_server, held, refused, review)
    bench = bench_of(FakePlatform())
    bench.permits.answers = {held.id: Permit(held=True), refused.id: Permit(Result.BREAKER, "too many")}
    bench.work()
    assert bench.platform.heard == [review.id]
    assert bench.ends == {Telling.TOLD: 1, Telling.REFUSED: 1}
    assert bench.permits.asked.count(refused.id) == 1
    bench.permits.answers = {held.id: Permit(problem="Redis did not answer")}
    bench.work(rounds=2)
    bench.permits.answers = {held.id: SignalsUnreachable("ask", "redis", "no answer in time")}
    bench.work(rounds=2)
    assert bench.platform.heard == [review.id]
    bench.permits.answers = {}
    bench.work(rounds=2)
    assert bench.platform.heard == [review.id, held.id]
    assert bench.permits.asked.count(review.id) == 0


def test_many_held_kills_leave_room_for_others(redis_server: RedisServer, bench_of: Make) -> None:
    """They are beside what may be open at once."""
    kills = [kill_now(number) for number in range(150)]
    send(redis_server, *kills, kill_now(1000))
    bench = bench_of(FakePlatform())
    bench.permits.answers = {kill.id: Permit(held=True) for kill in kills}
    bench.work(rounds=16)
    assert bench.platform.heard == [kill_now(1000).id]
    assert bench.teller.waiting == 150


@pytest.mark.parametrize("error", [DOWN, ServerRefused("tell", "platform", "HTTP 401")])
def test_what_is_not_taken_is_told_again(redis_server: RedisServer, bench_of: Make, error: ServerError) -> None:
    """Until it is, less and less often; others do not wait for it."""
    send(redis_server, kill_now(0), kill_now(1))
    bench = bench_of(FakePlatform(error, error, None, error, error))
    bench.work(rounds=12)
    assert bench.ends == {Telling.TOLD: 2}
    assert len(bench.troubles) == 4
    assert bench.platform.asked == 6


def test_what_is_never_taken_ends_with_its_signal(redis_server: RedisServer, bench_of: Make) -> None:
    """After a bounded number of tries; one that has expired is not told at all."""
    send(redis_server, kill_now(0, expires_after_s=100), a_kill("old", now_unix_s=time.time() - 400))
    bench = bench_of(FakePlatform())
    bench.platform.down = DOWN
    bench.work(rounds=20, each_s=6.0)
    assert bench.ends == {Telling.EXPIRED: 2}
    assert 8 < bench.platform.asked < 20
    assert pending(redis_server) == 0


def test_a_webhook_that_is_down_does_not_read_all_there_is(redis_server: RedisServer, bench_of: Make) -> None:
    """The rest waits in Redis, and is told when it is back."""
    send(redis_server, *map(kill_now, range(150)))
    bench = bench_of(FakePlatform())
    bench.platform.down = DOWN
    bench.work(rounds=8)
    assert bench.teller.waiting == 64
    bench.platform.down = None
    bench.work(rounds=16, each_s=8.0)
    assert len(set(bench.platform.heard)) == len(bench.platform.heard) == 150
    assert pending(redis_server) == 0


def test_each_webhook_hears_of_all(redis_server: RedisServer, bench_of: Make) -> None:
    """One that is down keeps nothing from the other."""
    send(redis_server, *map(kill_now, range(5)))
    one, other = FakePlatform(DOWN, DOWN, DOWN, DOWN, DOWN), FakePlatform(name="other")
    down, up = bench_of(one), bench_of(other)
    down.work(rounds=3, each_s=0.0)
    up.work()
    assert (len(one.heard), len(other.heard)) == (0, 5)
    down.work(rounds=6)
    assert len(one.heard) == 5


def test_two_enforcers_tell_each_signal_once(redis_server: RedisServer, bench_of: Make) -> None:
    """They share a webhook's signals; what one that was killed left is told by the other, and so is nothing twice."""
    platform = FakePlatform(DOWN, DOWN)
    dead = bench_of(platform, name="edge-1")
    send(redis_server, kill_now(0), kill_now(1))
    dead.work(rounds=3, each_s=0.0)
    assert dead.teller.waiting == 2
    next_one = bench_of(platform, name="edge-2")
    send(redis_server, kill_now(2))
    next_one.work(rounds=3)
    assert platform.heard == [kill_now(2).id]
    with redis_server.admin() as client:
        for entry in client.xpending_range(STREAM, "webhook:platform", "-", "+", 10):
            client.execute_command(
                "XCLAIM", STREAM, "webhook:platform", "edge-1", 0, entry["message_id"], "IDLE", 30_000
            )
    next_one.work(rounds=6, each_s=3.0)
    assert sorted(platform.heard) == sorted(kill_now(number).id for number in range(3))


def test_redis_may_go_between_telling_and_its_mark(redis_server: RedisServer, bench_of: Make) -> None:
    """None of those that were told together is told again by whoever told it, when Redis is back."""
    send(redis_server, *map(kill_now, range(3)))
    bench = bench_of(FakePlatform())
    tell = bench.platform.tell

    all_told = threading.Barrier(3, action=redis_server.kill)

    def and_then_redis_goes(notice: Notice, /) -> None:
        tell(notice)
        all_told.wait(15.0)

    bench.platform.tell = and_then_redis_goes  # type: ignore[method-assign]
    bench.work(rounds=2)
    assert bench.troubles
    assert bench.ends == {}
    redis_server.start()

    def is_settled() -> bool:
        bench.work(rounds=2)
        return bench.teller.waiting == 0

    eventually(is_settled, timeout_s=15)
    assert bench.platform.asked == 3


def test_the_documented_permissions_are_enough(redis_server: RedisServer) -> None:
    """docs/signals.md, "Permissions": of what enforcers tell; those for signals are the enforcer's own."""
    for line in (*acl_lines("enforcer", about="notices +x"), *acl_lines("enforcer", about="told:")[1:]):
        redis_server.run(*line)
    redis_server.run("XADD", f"{PREFIX}notices", "*", *(part for pair in kill_now().fields().items() for part in pair))
    url = redis_server.url.replace("redis://", f"redis://enforcer:{PASSWORD}@")
    bench = Bench(url, FakePlatform(), stream="notices")
    bench.work()
    bench.reader.close()
    bench.teller.stop(5.0)
    assert bench.troubles == []
    assert bench.ends == {Telling.TOLD: 1}


def test_its_thread_tells_at_once_and_ends_when_asked(redis_server: RedisServer) -> None:
    """Also while the platform does not answer; what it holds stays in Redis."""
    platform = FakePlatform(name="live")
    bench = Bench(redis_server.url, platform)
    bench.teller.start()
    send(redis_server, kill_now(0))
    eventually(lambda: platform.heard, timeout_s=5)
    platform.down = DOWN
    send(redis_server, kill_now(1))
    eventually(lambda: bench.troubles)
    assert bench.teller.stop(5.0)
    assert pending(redis_server, "live") == 1
    bench.reader.close()
