"""streamguard.enforce.redis.caller: each call ends in an answer or an error of ours, and the next one begins afresh."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.script import Script
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.errors import SignalsRejected, SignalsUnreachable
from tests.faults.proxy import Fault, Proxy, Way
from tests.redis_servers import RedisServer

TEXT = "return redis.call('INCR', KEYS[1])"
COUNT = Script(TEXT, hashlib.sha1(TEXT.encode(), usedforsecurity=False).hexdigest())


@contextmanager
def caller_of(url: str, *, timeout_s: float = 0.5) -> Iterator[RedisCaller]:
    with closing(RedisCaller(parse_redis_url(url), timeout_s=timeout_s)) as caller:
        yield caller


def test_nothing_is_connected_before_it_is_asked() -> None:
    """So it can be built while Redis is away; then each call says so, with what was tried."""
    with caller_of("redis://127.0.0.1:1") as caller:
        caller.close()
        for _ in range(2):
            with pytest.raises(SignalsUnreachable, match=r"count kills in redis://127\.0\.0\.1:1: connection refused"):
                caller.call("GET", "key", operation="count kills in")


def test_a_restarted_redis_is_asked_again(redis_server: RedisServer) -> None:
    """The call that finds the connection dead may fail; the one after it does not, and the script is taught anew."""
    with caller_of(redis_server.url) as caller:
        assert caller.run(COUNT, operation="count in", keys=("counter",), arguments=()) == 1
        redis_server.kill()
        with pytest.raises(SignalsUnreachable):
            caller.run(COUNT, operation="count in", keys=("counter",), arguments=())
        redis_server.start()
        assert caller.run(COUNT, operation="count in", keys=("counter",), arguments=()) == 1


def test_a_lost_reply_is_not_asked_for_again(redis_server: RedisServer) -> None:
    """Whoever asked must know that it may have happened; its reply is never taken for that of another call."""
    with Proxy(urlsplit(redis_server.url).port or 0) as proxy, caller_of(f"redis://127.0.0.1:{proxy.port}") as caller:
        assert caller.call("SET", "key", "1", operation="set in") in {b"OK", True}
        proxy.now(Fault.SWALLOW, way=Way.REPLIES)
        with pytest.raises(SignalsUnreachable, match="no answer in time"):
            caller.call("INCR", "key", operation="count in")
        proxy.now(Fault.PASS)
        assert caller.call("GET", "key", operation="read") == b"2"


@pytest.mark.parametrize("lost", [0, 1])
def test_a_script_whose_reply_was_lost_is_tried_again(redis_server: RedisServer, lost: int) -> None:
    """Also where it was the reply to its text: that Redis did not know it at first is no reason to give up."""
    replies = [Fault.PASS] * lost + [Fault.CUT]
    port = urlsplit(redis_server.url).port or 0
    url = "redis://127.0.0.1:{}"
    with Proxy(port, replies=replies) as proxy, caller_of(url.format(proxy.port), timeout_s=10.0) as caller:
        with pytest.raises(SignalsUnreachable):
            caller.run(COUNT, operation="count in", keys=("counter",), arguments=())
        assert caller.run(COUNT, operation="count in", keys=("counter",), arguments=()) == 1 + lost


def test_what_stumbles_over_an_answer_says_that_it_is_none(redis_server: RedisServer) -> None:
    """A wrong shape is an unreachable Redis, not a mistake of ours that ends a thread."""
    with caller_of(redis_server.url) as caller:
        with (
            pytest.raises(SignalsUnreachable, match=r"list kills in .*no Redis"),
            caller.asking("list kills in") as client,
        ):
            int(client.execute_command("PING") and "no number")
        assert str(caller.no_redis("list kills in")).startswith("list kills in redis://")


def test_no_permission_is_not_waited_out(redis_server: RedisServer) -> None:
    """It does not pass by itself."""
    redis_server.run("ACL SETUSER", "reader", "on", ">secret", "~*", "+get")
    with caller_of(redis_server.url.replace("//", "//reader:secret@")) as caller:
        assert caller.call("GET", "key", operation="read") is None
        with pytest.raises(SignalsRejected, match=r"write to redis://.*: redis said no"):
            caller.call("SET", "key", "1", operation="write to")


def test_the_time_is_that_of_redis(redis_server: RedisServer) -> None:
    """In milliseconds; here the clock is the same machine's."""
    with caller_of(redis_server.url) as caller:
        assert abs(caller.now_ms("ask") - 1000 * time.time()) < 5000
