"""Redis's words for trouble turned into ours: try again (SignalsUnreachable), or fix it (SignalsRejected)."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import MasterNotFoundError

from streamguard.enforce.redis.limits import UnreadableReply
from streamguard.enforce.redis.url import RedisTarget
from streamguard.errors import SignalsError, SignalsRejected, SignalsUnreachable

_LONGEST_REPLY = 200

_NOT_NOW = re.compile(r"\b(MISCONF|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|LOADING|BUSY|OOM|READONLY|UNKILLABLE)\b")
"""Redis's own words for "try again": it is full, failing over, cannot save, or runs somebody's long script."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """An exception of one of these kinds, with `needle` in its text, means `problem`; `{reply}` is that text."""

    kinds: type[BaseException] | tuple[type[BaseException], ...]
    problem: str
    hint: str = ""
    needle: str = ""


_LOGIN = (AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError)
_ACL = "docs/signals.md has the ACL line"

_REJECTIONS = (
    _Rule(
        _LOGIN,
        "redis said no: it has no password, and the URL gives one",
        hint="take the password out of the URL",
        needle="without any password configured",
    ),
    _Rule(_LOGIN, "redis said no: it wants a password", hint="put it into the URL", needle="Authentication required"),
    _Rule(_LOGIN, "redis said no: wrong password", hint="check user and password in the URL"),
    _Rule(
        MasterNotFoundError,
        "redis said no: wrong password for the Sentinels",
        hint="check sentinel_password in the URL",
        needle="AuthenticationError",
    ),
    _Rule(NoPermissionError, "redis said no: {reply}", hint=_ACL),
    _Rule(
        ssl.SSLCertVerificationError,
        "its certificate is not trusted: {reply}",
        hint="name its authority with ?ssl_ca_certs=FILE",
    ),
    _Rule(InvalidResponse, "what answers there is no Redis", hint="check host and port"),
    _Rule(MovedError, "it is one node of a Cluster", hint="write redis+cluster://"),
    _Rule(ClusterCrossSlotError, "the keys lie in different slots", hint="put the prefix in braces: {streamguard}:"),
    _Rule(
        RedisClusterException,
        "it is no Cluster, or CLUSTER SLOTS is not allowed",
        hint=f"write redis:// for a single server; {_ACL}",
        needle="Cluster mode is not enabled",
    ),
)

_DELAYS = (
    _Rule(UnreadableReply, "{reply}"),
    _Rule(OutOfMemoryError, "redis is full (maxmemory)", hint="make room in it, or raise maxmemory"),
    _Rule(ReadOnlyError, "this Redis is a read-only replica now"),
    _Rule(MasterNotFoundError, "the Sentinels name no master"),
    _Rule(BusyLoadingError, "redis is loading its data"),
    _Rule(
        ResponseError,
        "redis says not now: {reply}",
        hint="is its disk full? It takes nothing until it can write there; its log says more",
        needle="MISCONF",
    ),
    _Rule(ResponseError, "redis says not now: {reply}"),
    _Rule((RedisTimeoutError, TimeoutError), "no answer in time"),
    _Rule(ConnectionRefusedError, "connection refused"),
    _Rule(FileNotFoundError, "there is no such file or socket"),
    _Rule(OSError, "{reply}"),
    _Rule(RedisClusterException, "the Cluster has no node for the keys now"),
)


@contextmanager
def our_errors(operation: str, target: RedisTarget) -> Iterator[None]:
    """Turns what redis-py raises within into SignalsUnreachable or SignalsRejected, without credentials."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise _ours(error, operation=operation, target=target) from error


def _ours(error: Exception, *, operation: str, target: RedisTarget) -> SignalsError:
    # The reason may be buried: a wrong password under "the Cluster cannot be connected", for one.
    causes = tuple(_chain(error))
    for cause in causes:
        rule = _first(_REJECTIONS, cause)
        if target.tls and isinstance(cause, FileNotFoundError):
            rule = _Rule(FileNotFoundError, "a file named by ssl_ca_certs, ssl_certfile or ssl_keyfile is missing")
        if rule is None and isinstance(cause, ResponseError) and not _not_now(cause):
            rule = _Rule(ResponseError, "redis said no: {reply}", hint="see docs/signals.md")
        if rule is not None:
            return SignalsRejected(operation, target, _problem(rule, cause, target), hint=rule.hint)
    # The innermost tells most: a refused connection, say, under redis-py's ConnectionError.
    for cause in reversed(causes):
        rule = _first(_DELAYS, cause)
        if rule is not None:
            return SignalsUnreachable(operation, target, _problem(rule, cause, target), hint=rule.hint)
    return SignalsUnreachable(operation, target, f"no connection ({type(error).__name__})")


def _first(rules: tuple[_Rule, ...], cause: BaseException) -> _Rule | None:
    text = _with_status(cause)
    return next((rule for rule in rules if isinstance(cause, rule.kinds) and rule.needle in text), None)


def _not_now(cause: ResponseError) -> bool:
    if isinstance(cause, (OutOfMemoryError, ReadOnlyError)):
        return True
    return _NOT_NOW.search(_with_status(cause)) is not None


def _problem(rule: _Rule, cause: BaseException, target: RedisTarget) -> str:
    return rule.problem.replace("{reply}", target.redacted(_reply(cause)))


def _with_status(cause: BaseException) -> str:
    """The first word of an answer, which redis-py may have cut off, and the rest."""
    return f"{getattr(cause, 'status_code', None) or ''} {cause}"


def _reply(cause: BaseException) -> str:
    """The other side's own words, as one printable line."""
    text = cause.strerror or str(cause) if isinstance(cause, OSError) else _with_status(cause)
    return "".join(character if character.isprintable() else " " for character in text[:_LONGEST_REPLY]).strip()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
