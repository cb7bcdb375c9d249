"""The mass-kill breaker of one process: all there is without Redis, and what decides while Redis is away."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from streamguard.core.breaker import Breaker, BreakerLimits, Scope, believing, counted, is_trusted, lifted
from streamguard.enforce.orders.enforcer import Order
from streamguard.enforce.orders.permits import Permit, Standing, breaker_permit, counted_kill


class BreakerMemory:
    """A PermitBook (see desk.py) for any number of threads. `on_trip` hears what is refused from now on; of one
    reference, which.
    """

    def __init__(
        self,
        limits: BreakerLimits,
        *,
        on_trip: Callable[[Scope, str], None] = lambda _scope, _reference: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits
        """Any thread may exchange them: the next kill is counted by the new ones, and what is open stays open."""
        self._on_trip = on_trip
        self._clock = clock
        self._lock = threading.Lock()
        self._breaker = Breaker()

    def ask(self, order: Order, /) -> Permit:
        with self._lock:
            before = self._breaker
            now_ms = int(1000 * self._clock())
            self._breaker, scope = counted(before, counted_kill(order), self._limits_of(order), now_ms=now_ms)
            tripped = self._is_new(before)
        if tripped and scope is not None:
            self._on_trip(scope, order.reference if scope is Scope.REFERENCE else "")
        return breaker_permit(scope, order.reference)

    def standing(self) -> Standing:
        breaker = self._breaker
        return Standing(breaker.open_since_ms, tuple(sorted(breaker.quarantined_ms.items())))

    def lift(self, reference: str | None, *, who: str, reason: str, trust_for_s: float) -> bool:  # noqa: ARG002 - a log's
        """Lets kills pass again, of this reference, or (None) all, and counts them again after so long. False: nothing
        stood against them, and nobody vouched for them.
        """
        with self._lock:
            before, now_ms = self._breaker, int(1000 * self._clock())
            self._breaker = lifted(before, reference, trust_until_ms=now_ms + round(1000 * trust_for_s))
        is_open = before.open_since_ms is not None if reference is None else reference in before.quarantined_ms
        return is_open or (not trust_for_s and is_trusted(before, reference, now_ms=now_ms))

    def learn(self, order: Order, scope: Scope | None) -> None:
        """What Redis has just answered: this process decides by it when Redis is away."""
        now_ms = int(1000 * self._clock())
        with self._lock:
            breaker = self._breaker
            kept = {name: since for name, since in breaker.quarantined_ms.items() if name != order.reference}
            if scope is Scope.ALL:
                self._breaker = replace(breaker, open_since_ms=breaker.open_since_ms or now_ms)
            elif scope is Scope.REFERENCE:
                self._breaker = replace(breaker, quarantined_ms={**kept, order.reference: now_ms})
            else:
                # Where its own count says no, Redis knows better: an operator may have lifted it there.
                free = replace(breaker, open_since_ms=None, quarantined_ms=kept)
                after, against = counted(free, counted_kill(order), self._limits_of(order), now_ms=now_ms)
                self._breaker = free if against is not None else after

    def _limits_of(self, order: Order) -> BreakerLimits:
        return believing(self.limits, order.streams_believed)

    def _is_new(self, before: Breaker) -> bool:
        after = self._breaker
        is_open = after.open_since_ms is not None and before.open_since_ms is None
        return is_open or len(after.quarantined_ms) > len(before.quarantined_ms)
