"""What an operator sees and says of kills in Redis: those that are held, the breaker, who said what, and mistakes.

Each call raises SignalsUnreachable or SignalsRejected. Whoever can write to Redis can write anything: what cannot be
read is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from streamguard.config import Config
from streamguard.enforce.orders.permits import Standing
from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.redis.url import RedisTarget, checked_target
from streamguard.enforce.signals.follow import entry_of
from streamguard.enforce.strikes.records import json_object
from streamguard.enforce.strikes.strike import fit
from streamguard.errors import UsageError

_DECIDE = load_script(__name__, "decide_hold.lua")
_LIFT = load_script(__name__, "lift_breaker.lua")
MOST_SHOWN = 10_000
_LIFTS_TOLD_MS = 86_400_000
_A_PAGE = 200
_MOST_BYTES = 65_536
_MOST_MS = 1 << 53
_object = partial(json_object, most_bytes=_MOST_BYTES)


@dataclass(frozen=True, slots=True)
class HeldKill:
    """A kill that waits for an operator's yes, until then."""

    signal_id: str
    until_unix_ms: int
    then: str
    stream: str
    session: str
    server: str
    reference: str
    label: str


@dataclass(frozen=True, slots=True)
class HoldAnswer:
    """What a decision came to: `decided` now, `approved` or `rejected` before by `who`, `lapsed` (too late: `why` says
    what became of it), or `unknown`.
    """

    state: str
    who: str
    why: str
    at_unix_ms: int


@dataclass(frozen=True, slots=True)
class ControlEntry:
    """One line of the audit, or of the mistakes.

    `not_counted_until_unix_ms`: a lift's, until when the breaker counts nothing of it, 0 where it counts at once;
    `match_was_right`: an undo's, its reference made no mistake.
    """

    action: str
    signal_id: str
    reference: str
    who: str
    why: str
    at_unix_ms: int
    rest: Mapping[str, str]
    not_counted_until_unix_ms: int = 0
    match_was_right: bool = False


class KillControl:
    """Connects when first used; one thread at a time."""

    def __init__(self, target: RedisTarget, *, prefix: str, timeout_s: float, keep_s: float) -> None:
        self.target = target
        self._prefix = prefix
        self._keep_s = int(keep_s)
        self.caller = RedisCaller(target, timeout_s=timeout_s)

    def held(self) -> tuple[HeldKill, ...]:
        """All that wait now, the first over first."""
        operation = "list held kills in"
        now_ms = self.caller.now_ms(operation)
        ids = self._list(operation, "ZRANGEBYSCORE", f"{self._prefix}held", now_ms, "+inf", "LIMIT", 0, MOST_SHOWN)
        found = []
        for id_ in ids:
            fields = self._list(operation, "HMGET", f"{self._prefix}hold:{id_}", "state", "until_ms", "then", "what")
            if fields[:1] == ["held"] and len(fields) == 4:  # noqa: PLR2004 - as many as were asked for
                found.append(_held(id_, until_ms=fields[1], then=fields[2], what=fields[3]))
        return tuple(found)

    def count_held(self) -> int:
        operation = "count held kills in"
        count = self.caller.call(
            "ZCOUNT", f"{self._prefix}held", self.caller.now_ms(operation), "+inf", operation=operation
        )
        return self._whole(count, operation)

    def decide(self, signal_id: str, *, approve: bool, who: str, why: str) -> HoldAnswer:
        """Kill it now, or not at all. Saying the same again is harmless."""
        operation = "decide on held kill in"
        keys = tuple(f"{self._prefix}{name}" for name in (f"hold:{signal_id}", "held", "audit"))
        verdict = "approved" if approve else "rejected"
        answer = self.caller.run(
            _DECIDE, operation=operation, keys=keys, arguments=(signal_id, verdict, fit(who), fit(why), self._keep_s)
        )
        match answer:
            case [bytes(state), bytes(by), bytes(reason), bytes(at)]:
                return HoldAnswer(_shown(state), _shown(by), _shown(reason), _ms(at))
        raise self.caller.no_redis(operation)

    def standing(self) -> Standing:
        """Whether all kills are refused, and the references in quarantine."""
        operation = "read breaker in"
        opened = self.caller.call("GET", f"{self._prefix}breaker:open", operation=operation)
        raw = self._hash(operation, "quarantine")
        since_ms = None if opened is None else _whole_of(_object(opened), "at_unix_ms")
        quarantined = sorted((_shown(name), _whole_of(_object(value), "at_unix_ms")) for name, value in raw.items())
        return Standing(since_ms, tuple(quarantined))

    def lifts(self) -> tuple[ControlEntry, ...]:
        """The newest lift of each reference (empty: of all kills) within a day, and whatever is not counted now; what
        is counted again has no `not_counted_until_unix_ms`. One that the audit has forgotten has no time. The oldest
        first.
        """
        operation = "read breaker in"
        raw = self._hash(operation, "breaker:trusted")
        now_ms = self.caller.now_ms(operation)
        until_ms = {_vouched_for(name): _ms(value) for name, value in raw.items() if _ms(value) > now_ms}
        newest: dict[str, ControlEntry] = {}
        late_ms = now_ms - _LIFTS_TOLD_MS
        for entry in self._entries("audit", most=MOST_SHOWN):
            if 0 < entry.at_unix_ms <= late_ms and until_ms.keys() <= newest.keys():
                break
            if entry.action == "lift":
                newest.setdefault(entry.reference, entry)
        late = {name for name, entry in newest.items() if entry.at_unix_ms > late_ms}
        found = [
            replace(
                newest.get(name) or ControlEntry("lift", "", name, "", "", 0, {}),
                not_counted_until_unix_ms=until_ms.get(name, 0),
            )
            for name in late | until_ms.keys()
        ]
        return tuple(sorted(found, key=lambda entry: (entry.at_unix_ms, entry.reference)))

    def has_met(self, reference: str) -> bool:
        """Whether it is in quarantine, was vouched for, or killed so lately that the breaker counts it."""
        operation = "look for reference in"
        asked: tuple[tuple[str | int, ...], ...] = (
            ("HGET", f"{self._prefix}quarantine", reference),
            ("HGET", f"{self._prefix}breaker:trusted", f"reference:{reference}"),
            ("ZCOUNT", f"{self._prefix}breaker:streams:{reference}", "-inf", "+inf"),
        )
        return any(self.caller.call(*command, operation=operation) for command in asked)

    def lift(self, reference: str | None, *, who: str, reason: str, trust_for_s: float) -> bool:
        """Lets kills pass again, of this reference, or (None) all, and counts them again after so long. False: nothing
        stood against them, and nobody vouched for them.
        """
        operation = "lift breaker in"
        names = ("breaker:open", "quarantine", "breaker:kills", f"breaker:streams:{reference or ''}", "breaker:trusted")
        scope = "all" if reference is None else "reference"
        arguments = (scope, reference or "", fit(who), fit(reason), round(1000 * trust_for_s), self._keep_s)
        keys = tuple(f"{self._prefix}{name}" for name in (*names, "audit"))
        answer = self.caller.run(_LIFT, operation=operation, keys=keys, arguments=arguments)
        return self._whole(answer, operation) > 0

    def audit(self, *, most: int) -> tuple[ControlEntry, ...]:
        """Holds, answers, trips, lifts and undos: the newest, oldest first."""
        return tuple(self._entries("audit", most=most))[::-1]

    def mistakes(self, *, most: int) -> tuple[ControlEntry, ...]:
        """Signals that were undone: the newest, oldest first."""
        return tuple(self._entries("mistakes", most=most))[::-1]

    def close(self) -> None:
        self.caller.close()

    def _entries(self, stream: str, *, most: int) -> Iterator[ControlEntry]:
        operation, newest = f"read {stream} in", "+"
        while most > 0:
            count = min(most, _A_PAGE)
            page = self.caller.call(
                "XREVRANGE", f"{self._prefix}{stream}", newest, "-", "COUNT", count, operation=operation
            )
            if not isinstance(page, list):
                raise self.caller.no_redis(operation)
            try:
                entries = [entry_of(id_, fields) for id_, fields in page]
            except (ValueError, TypeError) as error:
                raise self.caller.no_redis(operation) from error
            for entry in entries:
                if tree := _object(entry.fields.get(b"event")):
                    yield _entry(tree)
            if not entries:
                return
            most -= len(entries)
            newest = f"({entries[-1].id}"

    def _hash(self, operation: str, name: str) -> dict[bytes, bytes]:
        answer = self.caller.call("HGETALL", f"{self._prefix}{name}", operation=operation)
        # redis-py makes a dict of whatever answers, of a word its letters.
        if not isinstance(answer, dict) or not all(isinstance(part, bytes) for pair in answer.items() for part in pair):
            raise self.caller.no_redis(operation)
        return answer

    def _list(self, operation: str, *command: str | int) -> list[str]:
        answer = self.caller.call(*command, operation=operation)
        if not isinstance(answer, list):
            raise self.caller.no_redis(operation)
        return [_shown(item) for item in answer]

    def _whole(self, answer: object, operation: str) -> int:
        if not isinstance(answer, int):
            raise self.caller.no_redis(operation)
        return answer


def open_control(config: Config) -> KillControl:
    """As the configuration says. Raises UsageError where it names no Redis."""
    if config.redis.url is None:
        raise UsageError("open kill control", "", "no Redis named", hint="give --redis URL, or set SG__REDIS__URL")
    target = checked_target(config.redis.url.get_secret_value(), prefix=config.redis.prefix)
    return KillControl(
        target, prefix=config.redis.prefix, timeout_s=config.redis.timeout_s, keep_s=config.redis.keep_signals_s
    )


def _held(signal_id: str, *, until_ms: str, then: str, what: str) -> HeldKill:
    tree = _object(what.encode("utf-8", "replace"))
    names = ("stream", "session", "server", "reference", "label")
    return HeldKill(signal_id, _ms(until_ms.encode()), then, *(_text(tree, name) for name in names))


_KNOWN = (
    *("action", "signal", "reference", "who", "why"),
    *("at_unix_ms", "not_counted_until_unix_ms", "match_was_right"),
)


def _entry(tree: Mapping[str, Any]) -> ControlEntry:
    action, signal_id, reference, who, why = (_text(tree, name) for name in _KNOWN[:5])
    rest = {fit(name): _text(tree, name) for name in list(tree)[:20] if name not in _KNOWN}
    return ControlEntry(
        *(action, signal_id, reference, who, why),
        _whole_of(tree, "at_unix_ms"),
        rest,
        not_counted_until_unix_ms=_whole_of(tree, "not_counted_until_unix_ms"),
        match_was_right=tree.get("match_was_right") is True,
    )


def _vouched_for(field: bytes) -> str:
    """The reference of a field of `breaker:trusted`, fit as in the audit; empty: all kills."""
    return fit(_shown(field).removeprefix("reference:")) if field != b"all" else ""


def _text(tree: Mapping[str, Any], name: str) -> str:
    value = tree.get(name)
    return fit(value) if isinstance(value, str) else ""


def _whole_of(tree: Mapping[str, Any], name: str) -> int:
    value = tree.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_MS else 0


def _shown(raw: object) -> str:
    """Nothing is empty; what is no UTF-8 shows."""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""


def _ms(raw: bytes) -> int:
    return int(raw) if raw.isdigit() and len(raw) <= len(str(_MOST_MS)) else 0
