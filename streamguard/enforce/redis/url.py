"""Where a Redis is: the URLs that an operator may write, and a form of them that is safe to show.

    redis://[user:password@]host[:port][/db]            TCP
    rediss://...                                        TLS; ?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE
    unix:///path/to/socket[?db=0&username=U&password=P] (or unix://user:password@/path)
    redis+sentinel://[user:password@]host[:port],host[:port]/service[/db][?sentinel_username=U&sentinel_password=P&ssl=true]
    redis+cluster://[user:password@]host[:port],host[:port][?ssl=true]

User, password and path are percent-decoded; IPv6 addresses stand in brackets.
"""

from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qs, unquote, urlsplit

from streamguard.errors import UsageError

REDIS_PORT = 6379
SENTINEL_PORT = 26379
LARGEST_PORT = 65_535
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})


class RedisKind(Enum):
    SERVER = "server"
    UNIX = "unix"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Never in a repr, never in a message."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """A parsed URL. `str()` gives what may be shown: scheme, addresses, service and database, no credentials."""

    kind: RedisKind
    shown: str
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    tls: bool = False
    tls_files: tuple[tuple[str, str], ...] = ()
    login: Credentials = Credentials()
    sentinel_login: Credentials = Credentials()

    def __str__(self) -> str:
        return self.shown

    def redacted(self, text: str) -> str:
        """`text` from elsewhere without the user names and passwords of this URL."""
        secrets = [self.login.password, self.login.username, self.sentinel_login.password, self.sentinel_login.username]
        for secret in secrets:
            if secret:
                text = text.replace(secret, "***")
        return text


_KINDS = {
    "redis": RedisKind.SERVER,
    "rediss": RedisKind.SERVER,
    "unix": RedisKind.UNIX,
    "redis+sentinel": RedisKind.SENTINEL,
    "redis+cluster": RedisKind.CLUSTER,
}
_OPTIONS = {
    RedisKind.SERVER: _TLS_OPTIONS,
    RedisKind.UNIX: frozenset({"db", "username", "password"}),
    RedisKind.SENTINEL: _TLS_OPTIONS | {"ssl", "sentinel_username", "sentinel_password"},
    RedisKind.CLUSTER: _TLS_OPTIONS | {"ssl"},
}


def parse_redis_url(url: str) -> RedisTarget:
    """Raises UsageError, whose message holds no part of the URL but its scheme: the rest may be a password."""
    scheme, separator, rest = url.partition("://")
    kind = _KINDS.get(scheme)
    if kind is None or not separator:
        hint = "it starts with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        raise UsageError("read Redis URL", "", "not a Redis URL", hint=hint)
    # urlsplit reads one host and port only, so the node list is cut out first.
    place, _, query = rest.partition("?")
    netloc, slash, path = place.partition("/")
    path = unquote(f"{slash}{path}")
    userinfo, at, addresses = netloc.rpartition("@")
    options = _options(query, kind=kind, scheme=scheme)
    login = _login(userinfo) if at else Credentials(options.get("username"), options.get("password"))
    if kind is RedisKind.UNIX:
        if addresses or not path.strip("/"):
            raise _wrong(scheme, "a socket's URL has three slashes and a path", hint="unix:///run/redis/redis.sock")
        return RedisTarget(kind, f"unix://{path}", path=path, db=_db(options.get("db", ""), scheme=scheme), login=login)
    nodes = _nodes(addresses, scheme=scheme, default_port=SENTINEL_PORT if kind is RedisKind.SENTINEL else REDIS_PORT)
    if kind is RedisKind.SERVER and len(nodes) > 1:
        raise _wrong(scheme, "several hosts", hint="redis+sentinel:// or redis+cluster:// take several")
    service, db = _service_and_db(path.strip("/"), kind=kind, scheme=scheme)
    return RedisTarget(
        kind,
        shown=f"{scheme}://{','.join(_address(host, port) for host, port in nodes)}{_shown_path(service, db)}",
        nodes=nodes,
        service=service,
        db=db,
        tls=scheme == "rediss" or options.get("ssl", "").lower() in {"true", "yes", "1"},
        tls_files=tuple((name, options[name]) for name in sorted(_TLS_OPTIONS & options.keys())),
        login=login,
        sentinel_login=Credentials(options.get("sentinel_username"), options.get("sentinel_password")),
    )


def _options(query: str, *, kind: RedisKind, scheme: str) -> dict[str, str]:
    options = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    unknown = sorted(options.keys() - _OPTIONS[kind])
    if unknown:
        known = ", ".join(sorted(_OPTIONS[kind]))
        raise _wrong(scheme, f"unknown option {unknown[0][:40]!r}", hint=f"there are: {known}")
    return options


def _login(userinfo: str) -> Credentials:
    username, _, password = userinfo.partition(":")
    return Credentials(unquote(username) or None, unquote(password) or None)


def _nodes(addresses: str, *, scheme: str, default_port: int) -> tuple[tuple[str, int], ...]:
    nodes = []
    for address in addresses.split(",") if addresses else ["localhost"]:
        try:
            parts = urlsplit(f"//{address}")
            host, port = unquote(parts.hostname or ""), parts.port
            host.encode("idna")
        except ValueError as error:
            raise _wrong(scheme, "a port or address that cannot be read", hint="host:port") from error
        if not host or parts.path or (port is not None and not 0 < port <= LARGEST_PORT):
            raise _wrong(scheme, "an address that cannot be read", hint="host:port, or host:port,host:port")
        nodes.append((host, port or default_port))
    return tuple(nodes)


def _service_and_db(path: str, *, kind: RedisKind, scheme: str) -> tuple[str, int]:
    if kind is not RedisKind.SENTINEL:
        db = _db(path, scheme=scheme)
        if db and kind is RedisKind.CLUSTER:
            raise _wrong(scheme, "a Cluster has database 0 only", hint="leave the path out")
        return "", db
    service, _, db_text = path.partition("/")
    if not service:
        raise _wrong(scheme, "no service name", hint="redis+sentinel://host:26379/mymaster")
    return service, _db(db_text, scheme=scheme)


def _db(text: str, *, scheme: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise _wrong(scheme, "the database is no number", hint="for example /0")
    return int(text or 0)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _shown_path(service: str, db: int) -> str:
    return "".join(f"/{part}" for part in (service, str(db) if db else "") if part)


def _wrong(scheme: str, problem: str, *, hint: str) -> UsageError:
    return UsageError("read Redis URL", f"{scheme}://...", problem, hint=hint)


def checked_target(target: str | RedisTarget, *, prefix: str) -> RedisTarget:
    """Raises UsageError: the URL, or a prefix that a Cluster splits."""
    parsed = parse_redis_url(target) if isinstance(target, str) else target
    if parsed.kind is RedisKind.CLUSTER and not has_hash_tag(prefix):
        problem = "a Cluster may keep the keys on different nodes"
        raise UsageError("use Redis prefix", prefix, problem, hint="put a part of it in braces: {streamguard}:")
    return parsed


def has_hash_tag(prefix: str) -> bool:
    """Whether a Cluster puts all keys with this prefix in one slot: by the text in its first braces."""
    _, brace, rest = prefix.partition("{")
    tag, closing, _ = rest.partition("}")
    return bool(brace and closing and tag)
