"""streamguard.enforce.redis.subscription: one channel of a real Redis, heard, or known not to be."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain

import pytest

from streamguard.enforce.redis.subscription import Subscription
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.errors import SignalsRejected, SignalsUnreachable
from tests.faults.proxy import Proxy
from tests.redis_servers import PASSWORD, RedisServer, free_port
from tests.waiting import eventually

CHANNEL = "{streamguard}:publishers"
HINT = b"live/cam"


@contextmanager
def subscribed(url: str) -> Iterator[Subscription]:
    with closing(Subscription(parse_redis_url(url), channel=CHANNEL)) as subscription:
        yield subscription


def portions(subscription: Subscription, *, of: int) -> list[list[bytes]]:
    """What comes at a time, until there are so many messages."""
    came: list[list[bytes]] = []

    def all_are_there() -> bool:
        came.append(subscription.messages(within_s=0.2))
        return sum(map(len, came)) >= of

    eventually(all_are_there, what="the messages")
    return came


def hear_for_a_while(subscription: Subscription) -> None:
    for _ in range(3):
        subscription.messages(within_s=0.2)


def test_what_is_said_is_heard_in_order_and_nothing_else(redis_server: RedisServer) -> None:
    """Bytes as they came, of this channel alone; what was said before is lost."""
    redis_server.run("PUBLISH", CHANNEL, "before")
    with subscribed(redis_server.url) as subscription:
        for channel, message in ((CHANNEL, b"\xff1"), ("{streamguard}:other", b"2"), (CHANNEL, b"3")):
            redis_server.run("PUBLISH", channel, message)
        assert list(chain.from_iterable(portions(subscription, of=2))) == [b"\xff1", b"3"]
        assert subscription.messages(within_s=0.0) == []


def test_of_a_flood_a_few_come_at_a_time(redis_server: RedisServer) -> None:
    """The rest waits where it is, and none is lost."""
    with subscribed(redis_server.url) as subscription:
        with redis_server.admin() as client, client.pipeline(transaction=False) as pipeline:
            for number in range(500):
                pipeline.publish(CHANNEL, str(number))
            pipeline.execute()
        came = portions(subscription, of=500)
    assert max(map(len, came)) <= 50
    assert [int(message) for message in chain.from_iterable(came)] == list(range(500))


def test_who_may_not_listen_is_told_so(redis_server: RedisServer) -> None:
    """It does not pass by itself; the password is not shown."""
    redis_server.run("ACL", "SETUSER", "deaf", "on", f">{PASSWORD}", "+@all", "~*", "resetchannels")
    url = redis_server.url.replace("redis://", f"redis://deaf:{PASSWORD}@")
    with (
        pytest.raises(SignalsRejected, match=r"listen to publishers in .*redis said no") as refused,
        subscribed(url) as subscription,
    ):
        subscription.messages(within_s=0.1)
    assert PASSWORD not in str(refused.value)


def test_nobody_there_is_told_at_once() -> None:
    """There is no subscription that only looks like one."""
    with pytest.raises(SignalsUnreachable, match="connection refused"), subscribed(f"redis://127.0.0.1:{free_port()}"):
        pass


def test_a_connection_that_is_cut_is_told(redis_server: RedisServer) -> None:
    """What was said since may be lost: whoever listens must know."""
    port = int(redis_server.url.rpartition(":")[2])
    with Proxy(port) as proxy, subscribed(f"redis://127.0.0.1:{proxy.port}") as subscription:
        assert subscription.messages(within_s=0.0) == []
        proxy.close()
        with pytest.raises(SignalsUnreachable):
            hear_for_a_while(subscription)


def test_a_redis_that_hangs_is_noticed(redis_server: RedisServer) -> None:
    """A connection on which nobody answers is no subscription."""
    subscription = Subscription(parse_redis_url(redis_server.url), channel=CHANNEL)
    assert subscription.messages(within_s=0.05) == []
    redis_server.freeze()
    try:
        subscription.messages(within_s=0.05)
        with pytest.raises(SignalsUnreachable, match="no answer"):
            subscription.messages(within_s=0.05)
    finally:
        subscription.close()
        redis_server.thaw()


@pytest.mark.parametrize("kind", ["redis_cluster", "redis_sentinel", "redis_with_password"])
def test_every_kind_of_redis(request: pytest.FixtureRequest, kind: str) -> None:
    """A Cluster, Sentinels, a password."""
    server: RedisServer = request.getfixturevalue(kind)
    url = server.url.replace("redis://", f"redis://:{PASSWORD}@") if server.password else server.url
    if kind == "redis_cluster":
        url = url.replace("redis://", "redis+cluster://")
    subscription = Subscription(parse_redis_url(url), channel=CHANNEL)
    publisher: RedisServer = request.getfixturevalue("redis_server") if kind == "redis_sentinel" else server
    publisher.run("PUBLISH", CHANNEL, HINT)
    heard = eventually(lambda: subscription.messages(within_s=0.2), what="the hint")
    subscription.close()
    assert heard == [HINT]
