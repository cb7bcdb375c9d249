"""What becomes of delivered kills, as the worker follows it: enforcers' answers, from Redis or from this process."""

import math
import time
from collections.abc import Callable

import structlog

from streamguard.config import Config
from streamguard.core.breaker import Scope
from streamguard.enforce.cutting.listing import ServerStatus
from streamguard.enforce.cutting.local_enforcer import LocalEnforcer
from streamguard.enforce.orders.breaker_memory import BreakerMemory
from streamguard.enforce.orders.enforcer import Order, Result, Settled
from streamguard.enforce.outbox.ack_follower import AckFollower, AckSource, acks_since
from streamguard.enforce.outbox.delivery import Transport
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.signals.acks import Outcome
from streamguard.enforce.signals.follow import Follower
from streamguard.enforce.signals.stdout_lines import TextStream
from streamguard.enforce.strikes.memory import StrikeMemory
from streamguard.errors import OutboxError, UsageError
from streamguard.signing import signing_key
from streamguard.worker.ack_metrics import AckMetrics
from streamguard.worker.complaints import Complaint
from streamguard.worker.enforcer_log import log_settled
from streamguard.worker.enforcer_metrics import EnforcerMetrics
from streamguard.worker.enforcing import desks_for, media_servers
from streamguard.worker.kill_terms import KillTerms, breaker_limits, strike_terms
from streamguard.worker.metrics import Metrics
from streamguard.worker.own_name import worker_name
from streamguard.worker.safety import log_trip
from streamguard.worker.safety_metrics import SafetyMetrics
from streamguard.worker.unanswered import Unanswered

AGAIN_EVERY_S = 30.0
"""How often a kill that nobody answered to is delivered again, until it expires."""
TELL_EVERY_S = 600.0
_LOOK_THERE = (
    "does the enforcer of their server run, on this Redis, with this key and that server's name? Its /readyz and log "
    "say so, and `streamguard doctor` on its machine"
)
_LOOK_HERE = "does the media server answer, and cut? See the lines media_server of the log"

log = structlog.get_logger()


def local_enforcer(
    config: Config, stdout: TextStream, *, metrics: Metrics, kill_terms: KillTerms | None = None
) -> LocalEnforcer:
    """What `watch --enforce` executes kills with; it follows the configuration by `kill_terms`. Raises UsageError: no
    media server, or a Redis as well.
    """
    if config.redis.url is not None:
        hint = "run `streamguard enforce` beside the media server, or name no Redis"
        raise UsageError("watch --enforce", "", "with a Redis, kills are for its enforcers", hint=hint)
    texts = [server.get_secret_value() for server in config.enforce.servers]
    for block in config.discover if not texts else ():
        head = block.kind if block.name is None else f"{block.kind}@{block.name}"
        texts.append(f"{head}={block.api.get_secret_value()}")
    if not texts:
        hint = "give --discover KIND=API_URL,PULL_URL, or enforce.servers in the config"
        raise UsageError("watch --enforce", "", "no media server is named", hint=hint)
    if config.enforce.hold.labels or config.enforce.webhooks:
        hint = "name a Redis and run `streamguard enforce`, or leave enforce.hold and enforce.webhooks out"
        raise UsageError("watch --enforce", "", "held kills and webhooks take a Redis", hint=hint)
    servers = media_servers(texts)
    kill_terms = kill_terms or KillTerms()
    counts = EnforcerMetrics(metrics.registry, servers=[server.name for server in servers])

    breaker = _memory(config, SafetyMetrics(metrics.registry))
    kill_terms.of(breaker)

    def book() -> StrikeMemory:
        strikes = StrikeMemory(terms=strike_terms(config))
        kill_terms.of(strikes)
        return strikes

    def settled(order: Order, end: Settled) -> None:
        counts.settled(end)
        if end.result is not Result.CANARY:
            log_settled(order, end)

    enforcer = LocalEnforcer(
        stdout,
        make_desks=lambda on_settled: desks_for(
            servers,
            book,
            lambda: breaker,
            by_address=config.gate.by_address,
            on_settled=on_settled,
        ),
        name=worker_name(config),
        on_settled=settled,
    )
    counts.under_way.set_function(lambda: enforcer.waiting)
    for name, desk in enforcer.desks.items():
        counts.server_up.labels(name).set_function(
            lambda desk=desk: desk.state.status is ServerStatus.OK  # type: ignore[misc]  # bound now, called later
        )
    return enforcer


def _memory(config: Config, metrics: SafetyMetrics) -> BreakerMemory:
    """The breaker of this process alone; a new start lifts it."""

    def tripped(scope: Scope, reference: str) -> None:
        metrics.trips.labels(scope.value).inc()
        log_trip(scope, reference)

    breaker = BreakerMemory(breaker_limits(config.enforce.breaker), on_trip=tripped)
    metrics.open.labels(Scope.ALL.value).set_function(lambda: breaker.standing().is_open)
    metrics.open.labels(Scope.REFERENCE.value).set_function(lambda: len(breaker.standing().quarantined))
    return breaker


def again_every_s(config: Config) -> float | None:
    """Where somebody may answer. A pipe never does."""
    return AGAIN_EVERY_S if config.redis.url is not None or config.enforce.in_watch else None


class Answers:
    """`start()` it when the outbox is open, `stop()` it before that is closed. Without a source it does nothing."""

    def __init__(
        self,
        config: Config,
        outbox: Outbox,
        transport: Transport,
        *,
        metrics: AckMetrics,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises UsageError, OutboxError."""
        self._metrics = metrics
        self._clock = clock
        self._trouble = Complaint("acks_unreadable", every_s=TELL_EVERY_S, clock=clock)
        self._untold = 0
        self._tell_at_s = -math.inf
        self._transport = transport
        source, key = self._source(config, outbox)
        self._follower = None if source is None else AckFollower(outbox, source, key=key, observer=self)
        is_local = isinstance(transport, LocalEnforcer)
        held = () if is_local else config.enforce.hold.labels
        self._unanswered = Unanswered(outbox, held=held, step=_LOOK_HERE if is_local else _LOOK_THERE, clock=now)
        metrics.awaiting.set_function(lambda: _number(outbox.awaiting_ack))

    def _source(self, config: Config, outbox: Outbox) -> tuple[AckSource | None, bytes | None]:
        if isinstance(self._transport, LocalEnforcer):
            return self._transport, None
        if config.redis.url is None:
            return None, None
        target = parse_redis_url(config.redis.url.get_secret_value())
        since = acks_since(outbox, now_unix_s=time.time())
        source = Follower(target, prefix=config.redis.prefix, since=since, stream="acks")
        return source, signing_key(config.signals)

    def change(self, config: Config) -> None:
        """Labels that are held now: their kills wait for a person, and not for an enforcer."""
        if not isinstance(self._transport, LocalEnforcer):
            self._unanswered.held = frozenset(config.enforce.hold.labels)

    def why_not_ready(self) -> list[str]:
        """In words, once it was started; what may pass by itself is no reason."""
        reasons = []
        if self._follower is not None and not self._follower.is_running:
            reasons.append("nobody reads enforcers' answers any more; this is a bug, restart the worker")
        if isinstance(self._transport, LocalEnforcer):
            states = [desk.state for desk in self._transport.desks.values()]
            reasons += [state.problem for state in states if state.status.needs_hand]
        return reasons

    def worth_a_look(self) -> list[str]:
        """What is no reason to restart this worker, and that somebody should look at all the same."""
        return [self._unanswered.reason] if self._unanswered.reason else []

    def start(self) -> None:
        if isinstance(self._transport, LocalEnforcer):
            self._transport.start()
        if self._follower is not None:
            self._follower.start()

    def stop(self, timeout_s: float) -> None:
        """What it was reading may be left behind: it is read again after the next start."""
        if isinstance(self._transport, LocalEnforcer):
            self._transport.close()
        if self._follower is None or not self._follower.stop(timeout_s):
            return
        while isinstance(self._transport, LocalEnforcer) and self._transport.has_unread and not self._follower.round():
            pass

    def acknowledged(self, outcome: Outcome, signal_id: str, why: str) -> None:
        self._metrics.acknowledged.labels(outcome.value).inc()
        if isinstance(self._transport, LocalEnforcer):  # its desks have said so
            return
        tell = log.error if outcome is Outcome.FAILED else log.info
        tell("acknowledged", id=signal_id, outcome=outcome.value, why=why)

    def ack_ignored(self) -> None:
        self._metrics.ignored.inc()

    def unacknowledged(self, *, for_server: bool) -> None:
        """Where no enforcer is used this is each kill: a line now and then says so."""
        self._metrics.unacknowledged.labels("server" if for_server else "url").inc()
        self._untold += 1
        if self._clock() >= self._tell_at_s:
            self._tell_at_s = self._clock() + TELL_EVERY_S
            note = "they expired; is an enforcer running? One that does not acknowledge: leave this line alone"
            log.warning("unacknowledged", kills=self._untold, note=note)
            self._untold = 0

    def acks(self, problem: str) -> None:
        self._metrics.readable.set(not problem)
        self._trouble.tell(problem)
        self._unanswered.look()


def _number(read: Callable[[], int]) -> float:
    """A gauge that raised would take the whole scrape with it."""
    try:
        return read()
    except OutboxError:
        return math.nan
