"""Clients of Redis for our purposes.

They never retry by themselves: redis-py's default (10 retries) sends XADD again when only the reply was lost, and
blocks for 4 s when Redis is down. The outbox retries.
"""

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from streamguard.enforce.redis.errors import our_errors
from streamguard.enforce.redis.limits import UNREADABLE, Allowance, Client, LimitedClient, limit, no_redis
from streamguard.enforce.redis.url import Credentials, RedisKind, RedisTarget, parse_redis_url


def connect(url: str | RedisTarget, *, timeout_s: float) -> Client:
    """A client that never retries and decodes nothing. Only a Cluster is asked for something at once: its map.

    `timeout_s` bounds connecting and each reply, STEPS times that a command with everything that it takes.
    Raises UsageError (the URL), SignalsUnreachable, SignalsRejected.
    """
    target = parse_redis_url(url) if isinstance(url, str) else url
    allowance = Allowance(timeout_s=timeout_s)
    with our_errors("connect to", target):
        return LimitedClient(_client(target, _settings(target, allowance), allowance), allowance)


def redis_now_ms(client: Client, target: RedisTarget) -> int:
    """Unix milliseconds by Redis's clock: those of workers and operators may be wrong. Raises UnreadableReply."""
    # A Cluster's client would ask every node.
    where: dict[str, Any] = {"target_nodes": "random"} if target.kind is RedisKind.CLUSTER else {}
    match client.execute_command("TIME", **where):
        case (int(seconds), int(microseconds)):
            return seconds * 1000 + microseconds // 1000
    raise no_redis()


def client_of(target: RedisTarget, allowance: Allowance) -> Any:  # noqa: ANN401 - redis-py's clients share no type
    """redis-py's own, for what takes more than commands; the caller renews its allowance. Raises redis-py's errors."""
    return _client(target, _settings(target, allowance), allowance)


def _client(target: RedisTarget, settings: dict[str, Any], allowance: Allowance) -> Client:
    match target.kind:
        case RedisKind.SERVER:
            host, port = target.nodes[0]
            return Redis(host=host, port=port, db=target.db, **settings, **_login(target.login))
        case RedisKind.UNIX:
            return Redis(unix_socket_path=target.path, db=target.db, **settings, **_login(target.login))
        case RedisKind.SENTINEL:
            return _sentinel(target, settings)
        case RedisKind.CLUSTER:
            return _Cluster(target, settings, allowance)


class _Cluster(RedisCluster):
    """redis-py's classes for Cluster and Sentinel are only half typed."""

    def __init__(self, target: RedisTarget, settings: dict[str, Any], allowance: Allowance) -> None:
        self._allowance = allowance
        nodes = [ClusterNode(host, port) for host, port in target.nodes]  # type: ignore[no-untyped-call]
        try:
            super().__init__(startup_nodes=nodes, **settings, **_login(target.login))
        except UNREADABLE as error:
            raise no_redis() from error

    def on_connect(self, connection: Any) -> None:  # noqa: ANN401 - as in redis-py
        # A Cluster puts this in the place of redis_connect_func, and calls that one after the login.
        limit(connection, self._allowance)
        super().on_connect(connection)  # type: ignore[no-untyped-call]


def _sentinel(target: RedisTarget, settings: dict[str, Any]) -> Client:
    # Without sentinel_kwargs the Sentinels' own clients would get redis-py's default retries.
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        list(target.nodes),
        sentinel_kwargs={**settings, **_login(target.sentinel_login)},
        db=target.db,
        **settings,
        **_login(target.login),
    )
    client: Client = sentinels.master_for(target.service)  # type: ignore[no-untyped-call]
    return client


def _settings(target: RedisTarget, allowance: Allowance) -> dict[str, Any]:
    def on_connect(connection: Any) -> None:  # noqa: ANN401 - redis-py's connections share no public type
        limit(connection, allowance)
        connection.on_connect()

    settings: dict[str, Any] = {
        "socket_timeout": allowance.timeout_s,
        "socket_connect_timeout": allowance.timeout_s,
        "redis_connect_func": on_connect,
        "retry": Retry(NoBackoff(), 0),
        # RESP2 and no CLIENT SETINFO: nothing that an ACL or an older server could refuse.
        "protocol": 2,
        "driver_info": None,
        "decode_responses": False,
    }
    if target.tls:
        settings |= {"ssl": True, **dict(target.tls_files)}
    return settings


def _login(credentials: Credentials) -> dict[str, Any]:
    given = {"username": credentials.username, "password": credentials.password}
    return {name: value for name, value in given.items() if value is not None}
