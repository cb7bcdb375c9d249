"""An enforcer as a service: Redis, media servers, strikes, metrics and health around cutting/enforcement.py."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import structlog
from prometheus_client import CollectorRegistry, Gauge

from streamguard import __version__
from streamguard.config import Config
from streamguard.core.roll_call import Role
from streamguard.enforce.cutting.desk import Desk, DeskOptions, PermitBook, StrikeBook
from streamguard.enforce.cutting.enforcement import Enforcement, EnforcerIdentity
from streamguard.enforce.cutting.listing import ServerState, ServerStatus
from streamguard.enforce.orders.enforcer import Order, Settled, Terms
from streamguard.enforce.redis.url import checked_target
from streamguard.enforce.signals.redis_consumer import AckWriter, GroupReader, group_of
from streamguard.enforce.strikes.ledger import open_ledger
from streamguard.errors import UsageError
from streamguard.servers.known import media_server
from streamguard.servers.server import MediaServer
from streamguard.servers.spec import read_spec
from streamguard.signing import signing_key
from streamguard.worker.enforcer_log import EnforcerLog
from streamguard.worker.enforcer_metrics import EnforcerMetrics
from streamguard.worker.health import Health, HealthServer
from streamguard.worker.kill_terms import KillTerms
from streamguard.worker.own_thread import OwnThread
from streamguard.worker.reload_metrics import ReloadMetrics
from streamguard.worker.reloading import Reloading
from streamguard.worker.roll_call import RollCall, disagreements_gauge
from streamguard.worker.safety import SafetyWatch, permit_books
from streamguard.worker.safety_metrics import SafetyMetrics
from streamguard.worker.webhooks import Webhooks

_BEAT_S = 60.0
"""Twice what a listing of OvenMediaEngine may take, which asks for each stream: a slow server is no dead thread."""
_LAST_S = 1.0

log = structlog.get_logger()


def media_servers(specs: Sequence[str]) -> tuple[MediaServer, ...]:
    """Those that an operator named, each under a name of its own. Raises UsageError; nothing has been asked yet."""
    servers = tuple(media_server(read_spec(spec)) for spec in specs)
    twice = [name for name, count in Counter(server.name for server in servers).items() if count > 1]
    if twice:
        hint = "give each a name: KIND@NAME=URL"
        raise UsageError("open media servers", twice[0], "two are called so", hint=hint)
    return servers


def desks_for(
    servers: Sequence[MediaServer],
    book_for: Callable[[], StrikeBook],
    permits_for: Callable[[], PermitBook],
    *,
    by_address: bool,
    on_settled: Callable[[Order, Settled], None],
) -> list[Desk]:
    """A desk for each, with books of its own: those are for one thread at a time."""
    options = DeskOptions(strike_addresses=by_address)
    return [
        Desk(server, book_for(), on_settled=on_settled, on_change=log_server, options=options, permits=permits_for())
        for server in servers
    ]


def log_server(name: str, state: ServerState) -> None:
    """A line for each change."""
    if state.status is ServerStatus.OK:
        log.info("media_server", server=name, status=state.status.value)
    else:
        tell = log.critical if state.status is ServerStatus.ENDED else log.warning
        tell("media_server", server=name, status=state.status.value, problem=state.problem)


class EnforceService:
    """Everything that `enforce` runs. Built whole or not at all; `run()` once; `stop()` from a signal handler."""

    def __init__(
        self,
        config: Config,
        *,
        accept_unsigned: bool = False,
        tell: Callable[[str], object],
        reloading: Reloading | None = None,
    ) -> None:
        """`tell` gets each acknowledgement as one JSON text. Raises UsageError: URL, key, port, servers."""
        self._config = config
        key = _key(config, accept_unsigned=accept_unsigned)
        specs = tuple(server.get_secret_value() for server in config.enforce.servers)
        if not specs:
            hint = "give --server nginx-rtmp=http://127.0.0.1:8080, or enforce.servers in the config"
            raise UsageError("enforce", "", "no media server is named", hint=hint)
        servers = media_servers(specs)
        self._names = tuple(server.name for server in servers)
        self._metrics = EnforcerMetrics(CollectorRegistry(), servers=self._names)
        self._safety = SafetyMetrics(self._metrics.registry)
        self._observer = EnforcerLog(self._metrics, servers=self._names, tell=tell)
        self._draining = False
        self._kill_terms = KillTerms()
        self._reloading = reloading
        reloads = ReloadMetrics(self._metrics.registry)
        if reloading is not None:
            reloading.connect(reloads, self._change)
        with ExitStack() as parts:
            self._enforcement = self._make_enforcement(servers, key, parts)
            self._webhooks = Webhooks(config, self._target, self._permits, key=key, metrics=self._safety)
            parts.callback(self._webhooks.close)
            gauge = disagreements_gauge(self._metrics.registry)
            self._roll_call = RollCall(config, Role.ENFORCER, gauge=gauge)
            watch = SafetyWatch(config, metrics=self._safety)
            self._beside: list[OwnThread | Webhooks] = [watch.thread, self._roll_call.thread, self._webhooks]
            if reloading is not None:
                self._beside.append(reloading.thread)
            self._connect_gauges()
            self._http = self._health_server()
            if self._http is not None:
                parts.callback(self._http.stop)
            self._parts = parts.pop_all()

    def _make_enforcement(self, servers: Sequence[MediaServer], key: bytes | None, parts: ExitStack) -> Enforcement:
        config = self._config
        if config.redis.url is None:
            hint = (
                "give --redis URL, or set SG__REDIS__URL; without Redis, watch --enforce does the same in one process"
            )
            raise UsageError("enforce", "", "no Redis named", hint=hint)
        prefix, group = config.redis.prefix, group_of(self._names)
        self._target = target = checked_target(config.redis.url.get_secret_value(), prefix=prefix)
        consumer = f"{config.enforce.name}@{socket.gethostname()}"
        reader = GroupReader(target, prefix=prefix, group=group, consumer=consumer)
        writer = AckWriter(
            target,
            prefix=prefix,
            group=group,
            timeout_s=config.redis.timeout_s,
            keep_s=config.redis.keep_signals_s,
        )
        parts.callback(reader.close)
        parts.callback(writer.close)

        self._permits = permit_books(config, target, key=key, metrics=self._safety, kill_terms=self._kill_terms)

        def book() -> StrikeBook:
            ledger = open_ledger(config)
            parts.callback(ledger.close)
            self._kill_terms.of(ledger)
            return ledger

        return Enforcement(
            reader,
            writer,
            make_desks=lambda on_settled: desks_for(
                servers,
                book,
                lambda: self._permits(parts),
                by_address=config.gate.by_address,
                on_settled=on_settled,
            ),
            terms=Terms(servers=self._names, key=key),
            identity=EnforcerIdentity(config.enforce.name, key),
            observer=self._observer,
        )

    @property
    def http_url(self) -> str | None:
        """Where metrics and health are served, if anywhere."""
        return None if self._http is None else self._http.url

    def stop(self) -> None:
        """Drain: read no more, finish what is under way and goes well, acknowledge it."""
        self._draining = True
        self._enforcement.stop()

    def run(self) -> None:
        """Until `stop()`."""
        if self._http is not None:
            self._http.start()
            log.info("serving", url=self._http.url)
        log.info("enforcing", streamguard=__version__, servers=",".join(self._names), name=self._config.enforce.name)
        for part in self._beside:
            part.start()
        try:
            self._enforcement.run(drain_s=max(0.0, self._config.enforce.drain_timeout_s - _LAST_S))
        finally:
            self._draining = True
            self._stop_beside()
            left = self._enforcement.under_way
            self._parts.close()
        log.info("stopped", left=left, note="the next enforcer gets what is left" if left else "")

    def _change(self, config: Config) -> None:
        """What can run at once does, from each part's next question on. Raises UsageError: nothing has changed."""
        self._webhooks.change(config)
        self._config = config
        self._kill_terms.change(config, desks=self._enforcement.desks.values())

    def _stop_beside(self) -> None:
        """All at once: what was not told yet stays in Redis for the next."""
        for part in self._beside:
            part.ask_to_stop()
        ends_at_s = time.monotonic() + _LAST_S
        for part in self._beside:
            part.stop(max(0.0, ends_at_s - time.monotonic()))

    def _connect_gauges(self) -> None:
        self._metrics.under_way.set_function(lambda: self._enforcement.under_way)
        for name, desk in self._enforcement.desks.items():
            self._metrics.server_up.labels(name).set_function(
                lambda desk=desk: desk.state.status is ServerStatus.OK  # type: ignore[misc]  # bound now, called later
            )
        redis_up = Gauge(
            "streamguard_redis_up", "1 while signals are read from Redis and acknowledged there, else 0.",
            registry=self._metrics.registry,
        )  # fmt: skip
        redis_up.set_function(lambda: not self._observer.trouble)

    def _health_server(self) -> HealthServer | None:
        port = self._config.enforce.http_port
        if not port:
            return None
        return HealthServer(
            self._config.http.host,
            port,
            registry=self._metrics.registry,
            health=self._health,
            statuses=None,
            setting="--http-port or [enforce] http_port",
        )

    def _health(self) -> Health:
        desks = self._enforcement.desks
        now_s = time.monotonic()
        beats = [self._enforcement.beat_at_s, *(desk.beat_at_s for desk in desks.values())]
        lives = self._enforcement.is_whole and all(
            desk.state.status is not ServerStatus.ENDED for desk in desks.values()
        )
        alive = self._draining or (lives and now_s - min(beats) < _BEAT_S)
        reasons = self._why_not_ready(alive=alive)
        return Health(
            alive=alive,
            ready=not reasons,
            detail={
                "reasons": [*reasons, *self._roll_call.worth_a_look(), *self._config_news()],
                "config": {} if self._reloading is None else self._reloading.detail(),
                "draining": self._draining,
                "redis_problem": self._observer.trouble,
                "under_way": self._enforcement.under_way,
                "servers": {
                    name: {"status": desk.state.status.value, "problem": desk.state.problem, "waiting": desk.waiting}
                    for name, desk in desks.items()
                },
            },
        )

    def _config_news(self) -> list[str]:
        return [] if self._reloading is None else self._reloading.worth_a_look()

    def _why_not_ready(self, *, alive: bool) -> list[str]:
        """In words, for people. What may pass by itself (a server or Redis that does not answer) is no reason."""
        reasons = []
        if not alive:
            reasons.append("a thread is dead, or stands still; restart the enforcer")
        if self._draining:
            reasons.append("it was asked to stop, and drains")
        reasons += self._observer.rejected
        if self._enforcement.key_doubt:
            reasons.append(self._enforcement.key_doubt)
        states = [desk.state for desk in self._enforcement.desks.values()]
        reasons += [state.problem for state in states if state.status.needs_hand]
        return reasons


def _key(config: Config, *, accept_unsigned: bool) -> bytes | None:
    key = signing_key(config.signals)
    if key is None and not accept_unsigned:
        hint = (
            "give --key-file FILE, or SG__SIGNALS__HMAC_KEY; whoever can write to Redis could cut streams without one"
        )
        raise UsageError("enforce", "", "no key to check signatures with", hint=hint)
    if key is not None and accept_unsigned:
        hint = "leave one of them out: with a key, signatures are checked"
        raise UsageError("enforce", "", "a key, and --accept-unsigned", hint=hint)
    return key
