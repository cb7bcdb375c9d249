"""What stands against a kill, asked of Redis, where all enforcers ask: one round trip for a kill that passes.

While Redis is away this process decides by what it has last heard and counted itself, as kills that it has in hand must
not wait; a label that is held does wait, for a person's yes can only come through Redis.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamguard.core.breaker import BreakerLimits, Scope, believing
from streamguard.enforce.orders.breaker_memory import BreakerMemory
from streamguard.enforce.orders.enforcer import Order, Result
from streamguard.enforce.orders.notices import NoticeKind, NoticeMaker
from streamguard.enforce.orders.permits import PERMITTED, HoldTerms, Permit, breaker_permit, counted_kill, held_for_s
from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.redis.url import RedisTarget
from streamguard.enforce.signals.redis_streams import PUBLISH
from streamguard.errors import SignalsError

_ASK = load_script(__name__, "ask_permit.lua")
_OPERATION = "ask for permission in"
ASK_AGAIN_S = 1.0
"""So long after Redis did not answer it is not asked: each time may take a time-out."""
_REMEMBER_S = 3600
_ENDS = {"rejected": Result.REJECTED, "not_approved": Result.NOT_APPROVED, "undone": Result.UNDONE}
_SCOPES = {"all": Scope.ALL, "reference": Scope.REFERENCE}
_LONGEST_WHY = 300
_MOST_TOLD = 10_000


@dataclass(frozen=True, slots=True)
class PermitTerms:
    """Where and on what terms kills are permitted."""

    limits: BreakerLimits
    hold: HoldTerms
    prefix: str
    keep_s: float
    timeout_s: float


class RedisPermits:
    """A PermitBook (see desk.py), for one thread. `memory` is shared with the process's other desks."""

    def __init__(
        self,
        target: RedisTarget,
        terms: PermitTerms,
        memory: BreakerMemory,
        *,
        notices: NoticeMaker,
        on_trip: Callable[[Scope, str], None] = lambda _scope, _reference: None,
        on_held: Callable[[Order], None] = lambda _order: None,
    ) -> None:
        self.terms = terms
        """Any thread may exchange them. A kill that is held already waits on as it was told to."""
        self._memory = memory
        self._notices = notices
        self._on_trip = on_trip
        self._on_held = on_held
        self._caller = RedisCaller(target, timeout_s=terms.timeout_s)
        self._away_until_s = 0.0
        self._away: SignalsError | None = None
        self._told: dict[str, None] = {}

    def ask(self, order: Order, /) -> Permit:
        is_held = order.label in self.terms.hold.labels
        if self._away is not None and time.monotonic() < self._away_until_s:
            return self._without_redis(order, self._away, is_held=is_held)
        try:
            permit = self._asked(order)
        except SignalsError as error:
            self._away, self._away_until_s = error, time.monotonic() + ASK_AGAIN_S
            return self._without_redis(order, error, is_held=is_held)
        self._away = None
        return permit

    def close(self) -> None:
        self._caller.close()

    def _asked(self, order: Order) -> Permit:
        answer = self._caller.run(_ASK, operation=_OPERATION, keys=self._keys(order), arguments=self._arguments(order))
        match answer:
            case [bytes(word), bytes(text)]:
                return self._read(order, word.decode("ascii", "replace"), text.decode("utf-8", "replace"))
        raise self._caller.no_redis(_OPERATION)

    def _read(self, order: Order, word: str, text: str) -> Permit:
        if word == "permitted":
            self._memory.learn(order, None)
            return PERMITTED
        if word == "held":
            why = f"held for an operator's yes: streamguard signals approve {order.id}"
            if order.id not in self._told:
                if self._publish(order, NoticeKind.HELD, why):
                    self._on_held(order)
                self._told[order.id] = None
                if len(self._told) > _MOST_TOLD:
                    self._told.pop(next(iter(self._told)))
            return Permit(held=True)
        if word in _ENDS:
            return Permit(_ENDS[word], _why(word, text))
        scope = _SCOPES.get(word.removeprefix("tripped_"))
        if scope is None:
            raise self._caller.no_redis(_OPERATION)
        self._memory.learn(order, scope)
        if word.startswith("tripped_"):
            self._on_trip(scope, order.reference if scope is Scope.REFERENCE else "")
        permit = breaker_permit(scope, order.reference)
        self._publish(order, NoticeKind.REVIEW, permit.why)
        return permit

    def _without_redis(self, order: Order, error: SignalsError, *, is_held: bool) -> Permit:
        """Only a cut is in a hurry: what would be refused, or wait for somebody's yes, waits for Redis."""
        if is_held or (permit := self._memory.ask(order)).result is not None:
            raise error
        return Permit(permit.result, permit.why, problem=str(error))

    def _publish(self, order: Order, kind: NoticeKind, why: str) -> bool:
        """Into the stream of notices, once, however often it is asked. False: it was there."""
        notice = self._notices.make(order, kind, why=why, expires_unix_s=order.expires_unix_s, now_unix_s=time.time())
        prefix = self.terms.prefix
        keys = (f"{prefix}notices", f"{prefix}sent:{notice.id}")
        arguments = (notice.event, notice.sig, int(self.terms.keep_s))
        answer = self._caller.run(PUBLISH, operation="publish notice in", keys=keys, arguments=arguments)
        return answer == 1

    def _keys(self, order: Order) -> tuple[str, ...]:
        prefix = self.terms.prefix
        names = (
            *(f"permitted:{order.id}", f"undone:{order.id}", f"hold:{order.id}", "held", "breaker:kills"),
            *("breaker:open", f"breaker:streams:{order.reference}", "quarantine", "breaker:trusted", "audit"),
        )
        return tuple(f"{prefix}{name}" for name in names)

    def _arguments(self, order: Order) -> tuple[str | int, ...]:
        terms = self.terms
        limits, hold = believing(terms.limits, order.streams_believed), terms.hold
        kill = counted_kill(order)
        held_ms = round(1000 * held_for_s(order, hold, now_unix_s=time.time()))
        return (
            *(kill.id, kill.reference, kill.stream),
            *(limits.kills, round(1000 * limits.kills_within_s)),
            *(limits.streams, round(1000 * limits.streams_within_s)),
            *(held_ms, 1000 * _REMEMBER_S, hold.then.value, _what(order) if held_ms else ""),
            *(self._notices.name, int(self.terms.keep_s)),
        )


def _what(order: Order) -> str:
    """For the operator's list."""
    return json.dumps(
        {
            "stream": order.stream,
            "session": order.session,
            "server": order.server,
            "reference": order.reference,
            "label": order.label,
            "decided_unix_s": order.decided_unix_s,
        }
    )


def _why(word: str, text: str) -> str:
    if word == "not_approved":
        return "held, and nobody said yes in time"
    if word == "rejected":
        return f"rejected by {text}"[:_LONGEST_WHY]
    try:
        tree = json.loads(text)
        return f"undone by {tree['who']}: {tree['why']}"[:_LONGEST_WHY]
    except (ValueError, TypeError, LookupError, RecursionError):
        return "undone"
