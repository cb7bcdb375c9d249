"""Clients of Redis for our purposes.

They never retry by themselves: redis-py's default (10 retries) sends XADD again when only the reply was lost, and
blocks for 4 s when Redis is down. The outbox retries.
"""

from typing import Any, Protocol

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from streamguard.enforce.redis_errors import our_errors
from streamguard.enforce.redis_url import Credentials, RedisKind, RedisTarget, parse_redis_url


class Client(Protocol):
    """What we ask of redis.Redis and of RedisCluster alike."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...  # noqa: ANN401 - Redis answers with anything

    def close(self) -> None: ...


def connect(url: str | RedisTarget, *, timeout_s: float) -> Client:
    """A client that never retries and decodes nothing. Only a Cluster is asked for something at once: its map.

    `timeout_s` bounds connecting and each reply. Raises UsageError (the URL), SignalsUnreachable, SignalsRejected.
    """
    target = parse_redis_url(url) if isinstance(url, str) else url
    settings = _settings(target, timeout_s)
    with our_errors("connect to", target):
        match target.kind:
            case RedisKind.SERVER:
                host, port = target.nodes[0]
                return Redis(host=host, port=port, db=target.db, **settings, **_login(target.login))
            case RedisKind.UNIX:
                return Redis(unix_socket_path=target.path, db=target.db, **settings, **_login(target.login))
            case RedisKind.SENTINEL:
                return _sentinel(target, settings)
            case RedisKind.CLUSTER:
                # redis-py's classes for Cluster and Sentinel are only half typed.
                nodes = [ClusterNode(host, port) for host, port in target.nodes]  # type: ignore[no-untyped-call]
                return RedisCluster(startup_nodes=nodes, **settings, **_login(target.login))


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


def _settings(target: RedisTarget, timeout_s: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
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
