"""streamguard.enforce.redis.connect: clients of every kind of Redis that never retry."""

import time

import pytest

from streamguard.enforce.redis.connect import connect
from streamguard.enforce.redis.errors import our_errors
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.errors import SignalsRejected, SignalsUnreachable
from tests.redis_servers import PASSWORD, SERVICE, RedisServer, StartRedis, free_port
from tests.waiting import eventually


def ask(url: str, *command: str | int, timeout_s: float = 2.0) -> object:
    """One command over a fresh client."""
    target = parse_redis_url(url)
    with our_errors("ask", target):
        client = connect(target, timeout_s=timeout_s)
        try:
            answer: object = client.execute_command(*(command or ("PING",)))
        finally:
            client.close()
    return answer


@pytest.mark.parametrize(
    "kind", ["redis_server", "redis_with_password", "redis_on_socket", "redis_tls", "redis_sentinel", "redis_cluster"]
)
def test_every_kind_of_redis_can_be_used(kind: str, request: pytest.FixtureRequest) -> None:
    """A key written over each kind of URL is read back."""
    server: RedisServer = request.getfixturevalue(kind)
    url = server.url
    if kind == "redis_with_password":
        url = url.replace("//", f"//:{PASSWORD}@")
    if kind == "redis_cluster":
        url = url.replace("redis:", "redis+cluster:")
    ask(url, "SET", "{a}key", "value")
    assert ask(url, "GET", "{a}key") == b"value"


def test_the_sentinels_may_have_a_password_of_their_own(redis_sentinel: RedisServer) -> None:
    """sentinel_password is for them, the other one for the master."""
    with_password = f"{redis_sentinel.url}?sentinel_password={PASSWORD}"
    redis_sentinel.stop()
    config = redis_sentinel.directory / "sentinel.conf"
    config.write_text(config.read_text().replace("user default on nopass", f"user default on >{PASSWORD}"))
    redis_sentinel.password = PASSWORD
    redis_sentinel.start()
    assert ask(with_password) is True
    with pytest.raises(SignalsRejected, match="wrong password for the Sentinels"):
        ask(redis_sentinel.url)
    with pytest.raises(SignalsUnreachable, match="the Sentinels name no master"):
        ask(with_password.replace(SERVICE, "othermaster"))


@pytest.mark.parametrize("scheme", ["redis", "redis+sentinel", "redis+cluster"])
def test_nobody_there_is_told_at_once(scheme: str) -> None:
    """Connection refused: no ten retries, whatever kind of client."""
    port = free_port()
    service = "/main" if scheme == "redis+sentinel" else ""
    began_s = time.monotonic()
    with pytest.raises(SignalsUnreachable, match=f"127.0.0.1:{port}"):
        ask(f"{scheme}://127.0.0.1:{port}{service}")
    assert time.monotonic() - began_s < 4


@pytest.mark.parametrize("kind", ["redis_server", "redis_sentinel", "redis_cluster"])
def test_a_redis_that_hangs_is_told_after_the_timeout(kind: str, request: pytest.FixtureRequest) -> None:
    """Frozen, it takes connections and answers nothing: 0.2 s, not ten times 5 s."""
    server: RedisServer = request.getfixturevalue(kind)
    url = server.url.replace("redis:", "redis+cluster:") if kind == "redis_cluster" else server.url
    ask(url)
    server.freeze()
    began_s = time.monotonic()
    with pytest.raises(SignalsUnreachable, match=r"no answer in time|name no master"):
        ask(url, timeout_s=0.2)
    assert time.monotonic() - began_s < 5
    server.thaw()


def test_a_missing_socket_is_told(redis_on_socket: RedisServer) -> None:
    """The path is in the message."""
    redis_on_socket.kill()
    with pytest.raises(SignalsUnreachable, match=r"unix:///.*r\.sock: (there is no such|connection refused)"):
        ask(redis_on_socket.url)
    with pytest.raises(SignalsUnreachable, match="no such file or socket"):
        ask("unix:///nowhere/r.sock")


def test_after_a_failover_the_sentinels_lead_to_the_new_master(
    redis_sentinel: RedisServer, redis_server: RedisServer, start_redis: StartRedis
) -> None:
    """A client made after the failover writes to the promoted replica."""
    host, port = redis_server.url.removeprefix("redis://").split(":")
    replica = start_redis("--replicaof", f"{host} {port}")
    eventually(lambda: "'num-slaves': 1" in str(redis_sentinel.run("SENTINEL MASTERS")), what="the replica")
    redis_server.kill()
    eventually(lambda: can_write(redis_sentinel.url), timeout_s=20, what="writing to the new master")
    assert replica.run("GET", "key") == b"value"


def can_write(url: str) -> bool:
    try:
        ask(url, "SET", "key", "value")
    except SignalsUnreachable:
        return False
    return True
