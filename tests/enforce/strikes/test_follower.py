"""The gate's cache follows Redis: real servers that restart, freeze, lose data and hold nonsense."""

import time
from collections.abc import Callable, Iterator

import pytest

from streamguard.enforce.strikes import follower as strike_follower
from streamguard.enforce.strikes.cache import StrikeCache
from streamguard.enforce.strikes.follower import StrikeFollower
from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.errors import SignalsError, SignalsRejected, SignalsUnreachable, UsageError
from streamguard.types import SessionId
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer, StartRedis
from tests.strikes import KEY, STREAM, a_strike
from tests.waiting import eventually

PREFIX = "{streamguard}:"
AUDIT = f"{PREFIX}strikes:audit"


class Followed:
    """A follower, its cache, and what it had to tell."""

    def __init__(self, url: str) -> None:
        self.cache = StrikeCache(away_after_s=5.0)
        self.troubles: list[SignalsError | None] = []
        self.follower = StrikeFollower(url, prefix=PREFIX, cache=self.cache, on_trouble=self.troubles.append)

    def refuses(self, key: str = KEY) -> bool:
        return self.cache.refuses([key])


@pytest.fixture
def follow() -> Iterator[Callable[[str], Followed]]:
    """Starts followers; all end with the test."""
    started: list[Followed] = []

    def start(url: str) -> Followed:
        followed = Followed(url)
        started.append(followed)
        followed.follower.start()
        return followed

    yield start
    for followed in started:
        followed.follower.stop()


def ledger(server: RedisServer) -> StrikeLedger:
    return StrikeLedger(server.url, prefix=PREFIX, timeout_s=2.0)


Follow = Callable[[str], Followed]


def test_what_was_struck_before_the_start_is_known(redis_server: RedisServer, follow: Follow) -> None:
    """All of it, also more than fits into one page."""
    book = ledger(redis_server)
    for number in range(500):
        book.add(a_strike(number, keys=(f"stream:live/{number}",)))
    followed = follow(redis_server.url)
    assert followed.cache.loaded.wait(10)
    assert len(followed.cache) == 500
    assert all(followed.refuses(f"stream:live/{number}") for number in range(500))


def test_a_strike_and_its_lift_take_effect_at_once(redis_server: RedisServer, follow: Follow) -> None:
    """Within a fraction of the second that a read may wait."""
    followed = follow(redis_server.url)
    assert followed.cache.loaded.wait(10)
    book = ledger(redis_server)
    book.add(a_strike(session="1-17"))
    struck_s = time.monotonic()
    eventually(followed.refuses, what="the strike in the cache")
    assert followed.cache.struck([KEY], stream=STREAM, session=SessionId("1-17"))
    book.lift(KEY, who="anna", reason="a mistake")
    eventually(lambda: not followed.refuses(), what="the lift in the cache")
    assert time.monotonic() - struck_s < strike_follower.BLOCK_S
    assert followed.follower.reloads == 1


def test_a_strike_ends_by_redis_clock(redis_server: RedisServer, follow: Follow) -> None:
    """Followed or read whole, it is over when Redis says so."""
    book = ledger(redis_server)
    book.add(a_strike(1, keys=("stream:live/before",)), for_s=0.5)
    followed = follow(redis_server.url)
    assert followed.cache.loaded.wait(10)
    book.add(a_strike(2, keys=("stream:live/after",)), for_s=0.5)
    eventually(lambda: book.active() == (), what="the end in Redis")
    eventually(
        lambda: not followed.refuses("stream:live/before") and not followed.refuses("stream:live/after"),
        timeout_s=1.0,
        what="the end in the cache",
    )


def test_redis_gone_and_back_is_told_once_each_and_read_anew(redis_server: RedisServer, follow: Follow) -> None:
    """A restart without its data ends its strikes; new ones count, whatever their ids."""
    ledger(redis_server).add(a_strike(1))
    followed = follow(redis_server.url)
    eventually(followed.refuses, what="the strike in the cache")
    redis_server.kill()
    eventually(lambda: followed.troubles, what="the trouble")
    assert followed.refuses(), "known strikes hold while Redis is away"
    redis_server.start()
    eventually(lambda: not followed.refuses(), what="the empty Redis read")
    ledger(redis_server).add(a_strike(2, keys=("stream:live/new",)))
    eventually(lambda: followed.refuses("stream:live/new"), what="the new strike")
    assert [type(trouble) for trouble in followed.troubles] == [SignalsUnreachable, type(None)]


def test_a_frozen_redis_ages_the_cache(redis_server: RedisServer, follow: Follow) -> None:
    """No answer is no confirmation, and trouble as soon as a read took too long."""
    followed = follow(redis_server.url)
    assert followed.cache.loaded.wait(10)
    redis_server.freeze()
    eventually(lambda: followed.cache.age_s > 2.0, what="an old cache")
    eventually(lambda: followed.troubles, what="the trouble")
    redis_server.thaw()
    eventually(lambda: followed.cache.age_s < 1.0, what="a fresh cache")


def test_a_quiet_redis_confirms_all_the_same(redis_server: RedisServer, follow: Follow) -> None:
    """Without any strike the cache grows no older than one read waits."""
    followed = follow(redis_server.url)
    assert followed.cache.loaded.wait(10)
    eventually(lambda: followed.cache.age_s > 0.7, what="an old cache")
    eventually(lambda: followed.cache.age_s < 0.3, what="a fresh cache")
    assert followed.troubles == []


def test_nonsense_in_the_audit_has_all_read_anew(redis_server: RedisServer, follow: Follow) -> None:
    """It may stand for a change that we did not understand; what comes after it is followed as ever."""
    followed = follow(redis_server.url)
    assert followed.cache.loaded.wait(10)
    events = (b"", b"nonsense", b"{}", b"[" * 100_000, b'{"action":"add","key":["x"]}', b"\xff", b"x" * (2 << 20))
    for event in events:
        redis_server.run("XADD", AUDIT, "*", "event", event)
    redis_server.run("XADD", AUDIT, "*", "other", "thing")
    ledger(redis_server).add(a_strike())
    eventually(followed.refuses, what="the strike in the cache")
    assert followed.follower.not_understood == len(events) + 1
    eventually(lambda: followed.follower.reloads == 2, what="all read anew")


def test_an_audit_that_was_deleted_has_all_read_anew(redis_server: RedisServer, follow: Follow) -> None:
    """Its ids may begin anew below where we were."""
    redis_server.run("XADD", AUDIT, "99999999999999-0", "event", "{}")
    followed = follow(redis_server.url)
    assert followed.cache.loaded.wait(10)
    redis_server.run("DEL", AUDIT)
    ledger(redis_server).add(a_strike())
    eventually(followed.refuses, what="the strike in the cache")


def test_the_permissions_in_the_manual_are_enough(redis_server: RedisServer, follow: Follow) -> None:
    """A gate reads strikes with its line, and writes nothing."""
    for line in acl_lines("gate", about="strikes"):
        redis_server.run(*line)
    ledger(redis_server).add(a_strike())
    followed = follow(redis_server.url.replace("redis://", f"redis://gate:{PASSWORD}@"))
    eventually(followed.refuses, what="the strike in the cache")
    assert followed.troubles == []


def test_a_wrong_password_is_told(start_redis: StartRedis, follow: Follow) -> None:
    """As something to fix."""
    server = start_redis(password="secret")
    followed = follow(server.url)
    eventually(lambda: followed.troubles, what="the trouble")
    assert isinstance(followed.troubles[0], SignalsRejected)


def test_a_cluster_is_followed_too(redis_cluster: RedisServer, follow: Follow) -> None:
    """With a prefix in braces; without, it is refused before anything is asked."""
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    followed = follow(url)
    assert followed.cache.loaded.wait(10)
    StrikeLedger(url, prefix=PREFIX, timeout_s=2.0).add(a_strike())
    eventually(followed.refuses, what="the strike in the cache")
    with pytest.raises(UsageError, match="braces"):
        StrikeFollower(url, prefix="plain:", cache=followed.cache)
