"""What the gate answers to whom: pure but for the cache that it looks into."""

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from streamguard.enforce.strikes.cache import StrikeCache
from streamguard.enforce.strikes.strike import publisher_keys
from streamguard.servers.hooks import HookKind, PublishRequest
from streamguard.servers.names import why_unwatchable
from streamguard.types import StreamId

REFUSAL_TOLD_EVERY_S = 60.0
_MOST_STREAMS = 1000
_MOST_AT_ONCE = 10


class WhenAway(Enum):
    """What becomes of a publisher without a known strike while Redis is away. The operator's choice."""

    OPEN = "open"
    CLOSED = "closed"


class Judgement(Enum):
    """`refused_name`: nobody could watch a stream of this name, or it names two accounts. `refused_away`: nobody knows
    of a strike, but Redis is away and the gate is closed then.
    """

    ALLOWED = "allowed"
    REFUSED = "refused"
    REFUSED_NAME = "refused_name"
    REFUSED_AWAY = "refused_away"
    NOT_UNDERSTOOD = "not_understood"

    @property
    def allows(self) -> bool:
        return self is Judgement.ALLOWED


@dataclass(frozen=True, slots=True)
class GateRule:
    """Who is refused. Strikes by stream always count; those by address and by account where the operator says so. So
    does an odd name: one that nobody could watch.
    """

    when_away: WhenAway
    by_address: bool = False
    account_argument: str | None = None
    refuse_odd_names: bool = True

    def keys(self, request: PublishRequest) -> tuple[str, ...]:
        return publisher_keys(
            request.stream,
            address=request.address,
            arguments=request.arguments,
            by_address=self.by_address,
            account_argument=self.account_argument,
        )

    def account(self, request: PublishRequest) -> str:
        """Whose the publisher says it is; empty where the gate was not told to ask, or it does not say."""
        return "" if self.account_argument is None else request.arguments.get(self.account_argument, "")

    def judge(self, request: PublishRequest, cache: StrikeCache) -> Judgement:
        """A beginning is refused by any strike; what goes on only if this very session was struck.

        So a session that began before the strike and is not the one that was struck is never cut by an update, and
        none is because Redis is away. An end, or what is not about publishing, is never refused.
        """
        if request.kind is HookKind.UPDATE:
            struck = cache.struck(self.keys(request), stream=request.stream, session=request.session)
            return Judgement.REFUSED if struck else Judgement.ALLOWED
        if request.kind is not HookKind.PUBLISH:
            return Judgement.ALLOWED
        if cache.refuses(self.keys(request)):
            return Judgement.REFUSED
        if self.account_argument in request.repeated:
            # Whoever checks accounts may have checked the other one: a strike would be against somebody innocent.
            return Judgement.REFUSED_NAME
        if self.refuse_odd_names and why_unwatchable(request.stream):
            return Judgement.REFUSED_NAME
        closed = self.when_away is WhenAway.CLOSED and cache.away
        return Judgement.REFUSED_AWAY if closed else Judgement.ALLOWED


class Refusals:
    """Who was refused, to be told once a minute for each stream, for encoders try again for days; and a few at a time,
    for some try a new name each time. Bounded.
    """

    def __init__(self) -> None:
        self._counts: Counter[StreamId] = Counter()
        self._told_s: dict[StreamId, float] = {}

    def add(self, stream: StreamId) -> None:
        if stream in self._counts or len(self._counts) < _MOST_STREAMS:
            self._counts[stream] += 1

    def due(self, *, now_s: float) -> tuple[tuple[StreamId, int], ...]:
        """Those to be told now, and how often each was refused since it was told last."""
        self._told_s = {stream: at_s for stream, at_s in self._told_s.items() if now_s - at_s < REFUSAL_TOLD_EVERY_S}
        waiting = ((stream, count) for stream, count in list(self._counts.items()) if stream not in self._told_s)
        due = tuple(islice(waiting, _MOST_AT_ONCE))
        for stream, _ in due:
            self._told_s[stream] = now_s
            del self._counts[stream]
        return due
