"""What a worker or an enforcer must be allowed in Redis, and what of it this user is not. Nothing is written for that.

The lists are those of docs/signals.md, "Permissions", as far as one command stands for all that a right is for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamguard.config import Config
from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.sharing.roll import KEY as MEMBERS
from streamguard.enforce.signals.redis_consumer import group_of
from streamguard.servers.spec import read_spec

_MAY_RUN = load_script(__name__, "may_run.lua")
_OPERATION = "ask for permissions in"
_ANY = "doctor"
"""An id, a field, a value: nothing is looked up, let alone written."""


@dataclass(frozen=True, slots=True)
class Need:
    """A command, and what does not work where it is refused. `vital`: nothing is cut without it, or not for long."""

    command: tuple[str, ...]
    key: str
    without: str
    vital: bool = True

    def __str__(self) -> str:
        """As an ACL's author has to know it."""
        return f"{self.command[0]} {self.key}"


def needs_of_a_worker(config: Config) -> tuple[Need, ...]:
    """What `watch` runs, in order of importance."""
    prefix = config.redis.prefix
    signals, sent, acks = f"{prefix}signals", f"{prefix}sent:{_ANY}", f"{prefix}acks"
    unpublished = "kill-signals cannot be published"
    needs = [
        Need(("EVALSHA", _ANY, "2", signals, sent), signals, unpublished),
        Need(("XADD", signals, "*", "event", _ANY), signals, unpublished),
        Need(("SET", sent, _ANY, "NX"), sent, unpublished),
        Need(
            ("XREAD", "COUNT", "1", "STREAMS", acks, "0"),
            acks,
            "enforcers' answers are not heard, and no kill is closed",
        ),
        *_roll(prefix),
    ]
    if config.library.take_opinions:
        unheard = "references with mistakes do not fall by themselves"
        needs.append(Need(("XREAD", "COUNT", "1", "STREAMS", signals, "0"), signals, unheard, vital=False))
    if config.leases.enabled:
        held, workers, epoch = (f"{prefix}leases:{name}" for name in ("held", "workers", "epoch"))
        unshared = "streams cannot be shared with other workers"
        needs += [
            Need(("EVALSHA", _ANY, "3", held, workers, epoch), held, unshared),
            Need(("HSET", held, _ANY, _ANY), held, unshared),
            Need(("HGETALL", f"{prefix}streams"), f"{prefix}streams", "the list of shared streams cannot be read"),
        ]
    return tuple(needs)


def needs_of_an_enforcer(config: Config) -> tuple[Need, ...]:
    """What `enforce` runs. Raises UsageError for a server that is none."""
    prefix = config.redis.prefix
    names = [read_spec(server.get_secret_value()).name for server in config.enforce.servers]
    group = group_of(names)
    signals, acks, done = f"{prefix}signals", f"{prefix}acks", f"{prefix}done:{_ANY}"
    unread = "kill-signals cannot be read, and nothing is cut"
    unanswered = "kills cannot be answered, and are cut again and again"
    unasked = "nobody can tell whether a kill is held or one of too many, and it is not cut"
    unstruck = "strikes cannot be entered, and nobody is kept out"
    return (
        Need(("XREADGROUP", "GROUP", group, _ANY, "STREAMS", signals, ">"), signals, unread),
        Need(("XGROUP", "CREATE", signals, group, "0", "MKSTREAM"), signals, unread),
        Need(("XAUTOCLAIM", signals, group, _ANY, "1", "0"), signals, "what a dead enforcer left is not taken over"),
        Need(("XACK", signals, group, "0-0"), signals, unanswered),
        Need(("EXISTS", done), done, unread),
        Need(("EVAL", _ANY, "3", signals, acks, done), signals, unanswered),
        Need(("XADD", acks, "*", "event", _ANY), acks, unanswered),
        Need(("SET", done, _ANY), done, unanswered),
        Need(("HGET", f"{prefix}hold:{_ANY}", _ANY), f"{prefix}hold:{_ANY}", unasked),
        Need(("ZADD", f"{prefix}breaker:kills", "1", _ANY), f"{prefix}breaker:kills", unasked),
        Need(("SET", f"{prefix}permitted:{_ANY}", _ANY), f"{prefix}permitted:{_ANY}", unasked),
        Need(
            ("XADD", f"{prefix}notices", "*", "event", _ANY),
            f"{prefix}notices",
            "nobody is told of held kills and of too many",
        ),
        Need(("MGET", f"{prefix}strikes:{_ANY}"), f"{prefix}strikes:{_ANY}", unstruck),
        Need(("ZADD", f"{prefix}strikes:active", "1", _ANY), f"{prefix}strikes:active", unstruck),
        Need(("XADD", f"{prefix}strikes:audit", "*", "event", _ANY), f"{prefix}strikes:audit", unstruck),
        *_roll(prefix),
    )


def refused(needs: Sequence[Need], runner: RedisCaller) -> tuple[Need, ...] | None:
    """Those that this user may not run; None: this Redis is older than 7, and does not say.

    Raises SignalsUnreachable, SignalsRejected: it may not even ask.
    """
    words = [word for need in needs for word in (str(len(need.command)), *need.command)]
    match runner.run(_MAY_RUN, operation=_OPERATION, keys=(), arguments=words):
        case None:
            return None
        case [*numbers]:
            by_number = dict(enumerate(needs, 1))
            return tuple(by_number[number] for number in numbers if isinstance(number, int) and number in by_number)
    raise runner.no_redis(_OPERATION)


def _roll(prefix: str) -> Iterator[Need]:
    """Who is there; without it all else works."""
    key, unknown = f"{prefix}{MEMBERS}", "it cannot be seen whether workers and enforcers have the same key"
    yield Need(("HSET", key, _ANY, _ANY), key, unknown, vital=False)
    yield Need(("HGETALL", key), key, unknown, vital=False)
    yield Need(("HDEL", key, _ANY), key, unknown, vital=False)
