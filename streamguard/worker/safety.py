"""What stands between a kill and its cut, and who is told besides Redis, as parts of an enforcer's service."""

import math
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import structlog

from streamguard.config import BreakerConfig, Config, HoldConfig, WebhookConfig
from streamguard.core.breaker import BreakerLimits, Scope
from streamguard.enforce.cutting.teller import Teller, Telling, TellTerms
from streamguard.enforce.orders.breaker_memory import BreakerMemory
from streamguard.enforce.orders.enforcer import Order
from streamguard.enforce.orders.kill_control import open_control
from streamguard.enforce.orders.notices import NoticeMaker
from streamguard.enforce.orders.permits import HoldTerms, Then
from streamguard.enforce.orders.redis_permits import PermitTerms, RedisPermits
from streamguard.enforce.redis.url import RedisTarget
from streamguard.enforce.signals.redis_consumer import GroupReader
from streamguard.errors import ServerError, SignalsError, UsageError
from streamguard.servers.http_api import read_api_url
from streamguard.servers.webhook import Webhook
from streamguard.signing import key_from_file
from streamguard.worker.complaints import Complaint
from streamguard.worker.safety_metrics import SafetyMetrics

LOOK_EVERY_S = 2.0
"""How often an enforcer looks how the breaker stands, and how many kills are held: others trip it as well."""
_STREAMS = ("signals", "notices")

log = structlog.get_logger()


def breaker_limits(config: BreakerConfig) -> BreakerLimits:
    return BreakerLimits(config.kills, config.kills_within_s, config.streams, config.streams_within_s)


def hold_terms(config: HoldConfig) -> HoldTerms:
    if config.then is None:
        return HoldTerms()
    return HoldTerms(frozenset(config.labels), config.for_s, Then(config.then))


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
    config: Config, target: RedisTarget, *, key: bytes | None, metrics: SafetyMetrics, parts: ExitStack
) -> Callable[[], RedisPermits]:
    """Makes one for each desk; all share what this process has counted, for when Redis is away."""

    def tripped(scope: Scope, reference: str) -> None:
        metrics.trips.labels(scope.value).inc()
        log_trip(scope, reference)

    limits = breaker_limits(config.enforce.breaker)
    redis = config.redis
    terms = PermitTerms(
        limits, hold_terms(config.enforce.hold), redis.prefix, keep_s=redis.keep_signals_s, timeout_s=redis.timeout_s
    )
    memory = BreakerMemory(limits, on_trip=tripped)

    def make() -> RedisPermits:
        maker = NoticeMaker(config.enforce.name, key)
        permits = RedisPermits(target, terms, memory, notices=maker, on_trip=tripped, on_held=log_held)
        parts.callback(permits.close)
        return permits

    return make


class SafetyWatch:
    """Keeps the gauges of the breaker and of held kills as they are in Redis; NaN while that cannot be read."""

    def __init__(self, config: Config, *, metrics: SafetyMetrics) -> None:
        self._control = open_control(config)
        self._metrics = metrics
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="safety-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stopping.set()

    def stop(self, timeout_s: float) -> None:
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def look(self) -> None:
        try:
            standing, held = self._control.standing(), self._control.count_held()
        except SignalsError:  # whoever reads signals says so
            self._metrics.set_standing(math.nan, math.nan, held=math.nan)
        else:
            self._metrics.set_standing(float(standing.is_open), float(len(standing.quarantined)), held=float(held))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(LOOK_EVERY_S)
        self._control.close()


class _Told:
    """Counts and logs what becomes of one webhook's signals."""

    def __init__(self, name: str, metrics: SafetyMetrics) -> None:
        self._name = name
        self._metrics = metrics
        self._trouble = Complaint("webhook")

    def ended(self, telling: Telling, signal_id: str) -> None:
        self._metrics.told.labels(self._name, telling.value).inc()
        if telling is Telling.EXPIRED:
            log.error("webhook_expired", webhook=self._name, id=signal_id, note="it was never taken; tell them by hand")

    def trouble(self, error: SignalsError | ServerError | None) -> None:
        self._trouble.tell("" if error is None else str(error), webhook=self._name)


def webhook_names(config: Config) -> tuple[str, ...]:
    """What each is called. Raises UsageError: a URL that is none, two of one name."""
    names = tuple(_name_of(block) for block in config.enforce.webhooks)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError("open webhooks", twice[0], "two are called so", hint="give each a `name` in the config")
    return names


def tellers(
    config: Config,
    target: RedisTarget,
    permits_for: Callable[[], RedisPermits],
    *,
    key: bytes | None,
    metrics: SafetyMetrics,
    parts: ExitStack,
) -> list[Teller]:
    """Two for each webhook: of kill-signals, and of what enforcers tell. Raises UsageError."""
    made = []
    for block, name in zip(config.enforce.webhooks, webhook_names(config), strict=True):
        their_key = key if block.key_file is None else key_from_file(block.key_file)
        if their_key is None:
            raise UsageError("open webhook", name, "no key to sign with", hint="give --key-file, or its key_file")
        url = read_api_url(block.url.get_secret_value(), of="webhook")
        terms = TellTerms(frozenset(block.verdicts), key, config.redis.keep_signals_s)
        for stream in _STREAMS:
            reader = GroupReader(
                target,
                prefix=config.redis.prefix,
                group=f"webhook:{name}",
                consumer=f"{config.enforce.name}@{socket.gethostname()}",
                stream=stream,
                mark=f"told:{name}",
            )
            parts.callback(reader.close)
            webhook = Webhook(url, name=name, key=their_key)
            made.append(Teller(reader, webhook, terms, permits=permits_for(), observer=_Told(name, metrics)))
    return made


def _name_of(block: WebhookConfig) -> str:
    url = read_api_url(block.url.get_secret_value(), of="webhook")
    return block.name or url.host
