"""What stands between a kill and its cut, as parts of an enforcer's service."""

import math
from collections.abc import Callable
from contextlib import ExitStack

import structlog

from streamguard.config import Config
from streamguard.core.breaker import Scope
from streamguard.enforce.orders.breaker_memory import BreakerMemory
from streamguard.enforce.orders.enforcer import Order
from streamguard.enforce.orders.kill_control import open_control
from streamguard.enforce.orders.notices import NoticeMaker
from streamguard.enforce.orders.redis_permits import PermitTerms, RedisPermits
from streamguard.enforce.redis.url import RedisTarget
from streamguard.errors import SignalsError
from streamguard.worker.kill_terms import KillTerms, breaker_limits, hold_terms
from streamguard.worker.own_thread import OwnThread
from streamguard.worker.safety_metrics import SafetyMetrics

LOOK_EVERY_S = 2.0
"""How often an enforcer looks how the breaker stands, and how many kills are held: others trip it as well."""

log = structlog.get_logger()


def log_trip(scope: Scope, reference: str) -> None:
    """The line that somebody must act on."""
    note = "kills become reviews until `streamguard breaker lift`; see docs/enforcement.md"
    log.critical("breaker_open", scope=scope.value, reference=reference, note=note)


def log_held(order: Order) -> None:
    """Somebody should decide."""
    log.warning(
        "kill_held", id=order.id, stream=order.stream, session_id=order.session, server=order.server,
        reference=order.reference, label=order.label, note="streamguard signals approve ID, or reject",
    )  # fmt: skip


def permit_books(
    config: Config,
    target: RedisTarget,
    *,
    key: bytes | None,
    metrics: SafetyMetrics,
    kill_terms: KillTerms,
) -> Callable[[ExitStack], RedisPermits]:
    """Makes one for each desk, closed with the stack; all share what this process has counted, for when Redis is away,
    and follow the configuration by `kill_terms`.
    """

    def tripped(scope: Scope, reference: str) -> None:
        metrics.trips.labels(scope.value).inc()
        log_trip(scope, reference)

    limits = breaker_limits(config.enforce.breaker)
    redis = config.redis
    terms = PermitTerms(
        limits, hold_terms(config.enforce.hold), redis.prefix, keep_s=redis.keep_signals_s, timeout_s=redis.timeout_s
    )
    memory = BreakerMemory(limits, on_trip=tripped)
    kill_terms.of(memory)

    def make(parts: ExitStack) -> RedisPermits:
        maker = NoticeMaker(config.enforce.name, key)
        permits = RedisPermits(target, terms, memory, notices=maker, on_trip=tripped, on_held=log_held)
        parts.callback(permits.close)
        kill_terms.of(permits)
        parts.callback(kill_terms.forget, permits)
        return permits

    return make


class SafetyWatch:
    """Its `thread` keeps the gauges of the breaker and of held kills as they are in Redis; NaN while that cannot be
    read.
    """

    def __init__(self, config: Config, *, metrics: SafetyMetrics) -> None:
        self._control = open_control(config)
        self._metrics = metrics
        self.thread = OwnThread(self._run, name="safety-watch")

    def look(self) -> None:
        try:
            standing, held = self._control.standing(), self._control.count_held()
        except SignalsError:  # whoever reads signals says so
            self._metrics.set_standing(math.nan, math.nan, held=math.nan)
        else:
            self._metrics.set_standing(float(standing.is_open), float(len(standing.quarantined)), held=float(held))

    def _run(self) -> None:
        while not self.thread.is_asked:
            self.look()
            self.thread.rest(LOOK_EVERY_S)
        self._control.close()
