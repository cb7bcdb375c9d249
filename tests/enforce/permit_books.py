"""Books of permits in Redis, for tests."""

from collections.abc import Callable

from streamguard.core.breaker import BreakerLimits, Scope
from streamguard.enforce.orders.breaker_memory import BreakerMemory
from streamguard.enforce.orders.enforcer import Order
from streamguard.enforce.orders.kill_control import KillControl
from streamguard.enforce.orders.notices import NoticeMaker
from streamguard.enforce.orders.permits import HoldTerms, Permit
from streamguard.enforce.orders.redis_permits import PermitTerms, RedisPermits
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.errors import SignalsError
from tests.kill_signals import KEY
from tests.redis_servers import RedisServer

PREFIX = "{streamguard}:"
LIMITS = BreakerLimits()
NO_HOLD = HoldTerms()


def permits_of(
    server: RedisServer,
    *,
    limits: BreakerLimits = LIMITS,
    hold: HoldTerms = NO_HOLD,
    url: str | None = None,
    on_trip: Callable[[Scope, str], None] = lambda _scope, _reference: None,
) -> RedisPermits:
    """As an enforcer's desk has it."""
    return RedisPermits(
        parse_redis_url(url or server.url),
        PermitTerms(limits, hold, PREFIX, keep_s=3600, timeout_s=0.5),
        BreakerMemory(limits),
        notices=NoticeMaker("edge-1", KEY),
        on_trip=on_trip,
    )


def control_of(server: RedisServer, *, url: str | None = None) -> KillControl:
    """As an operator has it."""
    return KillControl(parse_redis_url(url or server.url), prefix=PREFIX, timeout_s=2.0, keep_s=3600)


class FakePermits:
    """A PermitBook (streamguard.enforce.cutting.desk): `answers` by signal id, a permit or an error to raise."""

    def __init__(self) -> None:
        self.answers: dict[str, Permit | SignalsError] = {}
        self.asked: list[str] = []

    def ask(self, order: Order, /) -> Permit:
        self.asked.append(order.id)
        answer = self.answers.get(order.id, Permit())
        if isinstance(answer, SignalsError):
            raise answer
        return answer
