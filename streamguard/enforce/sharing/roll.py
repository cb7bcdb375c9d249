"""Who is there, in Redis: workers and enforcers say every few seconds what they are called, the fingerprint of their
key, where they cut, and how their clock stands. Whoever may write to the key can write anything: what is no entry is
left out, and all that an entry can do is a line for somebody to look at.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamguard.core.roll_call import Present, Role
from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.url import RedisTarget
from streamguard.errors import one_line

KEY = "members"
HEARD_WITHIN_S = 60.0
"""Who was not heard of for so long is not there."""
FORGOTTEN_AFTER_S = 86_400.0
MOST_MEMBERS = 1000
_MOST_BYTES = 16_384
_MOST_SERVERS = 200
_LONGEST = 300
_MOST_NUMBER = 1 << 53
"""No infinity and no NaN is below it, nor an integer that is no float."""
_ROLES = {role.value: role for role in Role}
_OPERATION = "read who is there in"


@dataclass(frozen=True, slots=True)
class _Entry:
    field: bytes
    at_ms: int
    present: Present | None


class Roll:
    """Connects when first used; one thread at a time. Each call raises SignalsUnreachable or SignalsRejected."""

    def __init__(self, target: RedisTarget, *, prefix: str, timeout_s: float) -> None:
        self.key = f"{prefix}{KEY}"
        self._redis = RedisCaller(target, timeout_s=timeout_s)

    def now_ms(self) -> int:
        """Unix milliseconds by Redis's clock."""
        return self._redis.now_ms("ask the time of")

    def say(self, me: Present, *, now_ms: int) -> None:
        """Make known who is there, until HEARD_WITHIN_S later. `now_ms`: by Redis's clock."""
        said = {"at_ms": now_ms, "key": me.key, "servers": dict(me.servers), "skew_s": round(me.skew_s, 3)}
        self._redis.call("HSET", self.key, _field(me), json.dumps(said), operation="say who is there in")

    def present(self, *, now_ms: int, forget: bool = False) -> tuple[Present, ...]:
        """All who were heard of lately. `forget`: away with those of whom nobody heard for a day, and with what is no
        entry.
        """
        heard_ms, forgotten_ms = HEARD_WITHIN_S * 1000, FORGOTTEN_AFTER_S * 1000
        entries = self._entries()
        old = [entry.field for entry in entries if abs(now_ms - entry.at_ms) > forgotten_ms]
        if old and forget:
            self._redis.call("HDEL", self.key, *old[:MOST_MEMBERS], operation="forget who was there in")
        there = [entry.present for entry in entries if abs(now_ms - entry.at_ms) <= heard_ms]
        return tuple(one for one in there if one is not None)[:MOST_MEMBERS]

    def leave(self, me: Present) -> None:
        """It ends, and says so."""
        self._redis.call("HDEL", self.key, _field(me), operation="say who leaves in")

    def close(self) -> None:
        self._redis.close()

    def _entries(self) -> list[_Entry]:
        answer = self._redis.call("HGETALL", self.key, operation=_OPERATION)
        # redis-py makes a dict of the answer, where it knows the command.
        flat = [part for pair in answer.items() for part in pair] if isinstance(answer, dict) else answer
        if not isinstance(flat, list):
            raise self._redis.no_redis(_OPERATION)
        pairs = zip(flat[::2], flat[1::2], strict=False)
        return [_entry(field, text) for field, text in pairs if isinstance(field, bytes) and isinstance(text, bytes)]


def _field(me: Present) -> str:
    return f"{me.role.value}:{me.name}"


def _entry(field: bytes, text: bytes) -> _Entry:
    """With the time 0 and nobody where it is none."""
    nobody = _Entry(field, 0, None)
    role, _, name = field.decode("utf-8", "replace").partition(":")
    if role not in _ROLES or not 0 < len(name) <= _LONGEST or len(text) > _MOST_BYTES:
        return nobody
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return nobody
    match tree:
        case {
            "at_ms": int(at_ms),
            "key": str(key),
            "servers": dict(servers),
            "skew_s": int(skew_s) | float(skew_s),
        } if (
            len(key) <= _LONGEST
            and len(servers) <= _MOST_SERVERS
            and abs(skew_s) < _MOST_NUMBER
            and abs(at_ms) < _MOST_NUMBER
        ):
            return _Entry(
                field, at_ms, Present(_ROLES[role], one_line(name), one_line(key), _texts(servers), float(skew_s))
            )
    return nobody


def _are_numbers(*numbers: float) -> bool:
    return all(abs(number) < _MOST_NUMBER for number in numbers)


def _texts(servers: Mapping[Any, Any]) -> dict[str, str]:
    return {
        one_line(name[:_LONGEST]): one_line(where[:_LONGEST])
        for name, where in servers.items()
        if isinstance(name, str) and isinstance(where, str)
    }
