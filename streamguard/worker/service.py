"""The worker as a service: library, outbox, delivery, metrics and health around the supervisor's loop."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import structlog

from streamguard import __version__
from streamguard.config import Config
from streamguard.core.attention import AttentionRule
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.roll_call import Role
from streamguard.core.rules import BUILT_IN_RULES
from streamguard.enforce.cutting.local_enforcer import LocalEnforcer
from streamguard.enforce.outbox.delivery import Delivery, DeliveryState, DeliveryStatus, Pace, Transport
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.enforce.signals.stdout_lines import TextStream
from streamguard.errors import OutboxError, SignalsUnreachable
from streamguard.signing import signing_key
from streamguard.thread_turns import turns_of
from streamguard.types import KillSignal
from streamguard.worker.answers import Answers, again_every_s, local_enforcer
from streamguard.worker.attention import AttentionKeeper, coverage
from streamguard.worker.canary import Canary, CanaryWay
from streamguard.worker.canary_making import Make
from streamguard.worker.delivery_log import DeliveryLog
from streamguard.worker.discovering import discoveries_of
from streamguard.worker.evidence import EvidenceKeeper, evidence_store
from streamguard.worker.health import Health, HealthServer
from streamguard.worker.incidents import IncidentMode
from streamguard.worker.kill_terms import KillTerms
from streamguard.worker.library_following import LibraryFollower
from streamguard.worker.library_trial import LibraryTrial
from streamguard.worker.matcher import Matcher
from streamguard.worker.metrics import Metrics
from streamguard.worker.opinions import Opinions
from streamguard.worker.own_name import worker_name
from streamguard.worker.own_thread import OwnThread
from streamguard.worker.parts import attention_rule, library_trust, open_library, supervisor_options, transport
from streamguard.worker.policies import note_on, policy_of
from streamguard.worker.reconfiguring import Following, LiveParts, change
from streamguard.worker.roll_call import RollCall
from streamguard.worker.sharing import Share
from streamguard.worker.signalling import Signaller
from streamguard.worker.streams import StreamSpec, StreamStatus
from streamguard.worker.summary import Departures, Lags, Summary
from streamguard.worker.supervisor import Supervisor
from streamguard.worker.unprivileged import stays_root
from streamguard.worker.watcher import Watcher

_BEAT_S = 30.0
_DELIVERS_NOTHING = (DeliveryStatus.FAILED, DeliveryStatus.OUTBOX, DeliveryStatus.REJECTED)
"""What does not pass by itself: somebody must act. An unreachable Redis may come back."""

_LEAST_SIGNALS_S = 0.25
"""However little is left of the drain: a disk that is well takes milliseconds."""

_LAST_DELIVERY_S = 0.5
_LAST_LISTING_S = 0.1
_LAST_LEASE_S = 0.5
_TURN_S = 0.001
"""A look waits no longer than this for each turn of a thread that reads a new library; Python's own 5 ms add up."""

_FIRST_TRIAL_WITHIN_S = 60.0
"""A machine that comes up starts everything at once, and then nobody watches until the library is open."""

log = structlog.get_logger()


class WatchService:
    """Everything that `watch` runs. Built whole or not at all; `run()` once; `stop()` from a signal handler."""

    def __init__(  # noqa: PLR0913 - what it joins, each passed by name
        self,
        config: Config,
        specs: Sequence[StreamSpec],
        *,
        stdout: TextStream = sys.stdout,
        watchers: tuple[Watcher, ...] = (),
        on_durable: Callable[[KillSignal], None] = lambda _signal: None,
        make_canary: Make | None = None,
        following: Following | None = None,
    ) -> None:
        """Raises UsageError, LibraryError, OutboxError, SignalsRejected; an unreachable Redis is no reason to stop."""
        self._config = config
        self._following = following or Following()
        self._kill_terms = KillTerms()
        self._trial = LibraryTrial(user=config.worker.decoder_user, first_within_s=_FIRST_TRIAL_WITHIN_S)
        self._metrics = Metrics()
        self._incidents = IncidentMode(
            config, trust=library_trust(config), metrics=self._metrics.incidents,
            soon=lambda change: self._supervisor.between_turns(change),  # noqa: PLW0108 - it is not made yet
        )  # fmt: skip
        self._lags = Lags()
        self._departed = Departures()
        self._stream_count = len(specs)
        self._asked_to_stop_at_s: float | None = None
        self._draining = False
        with ExitStack() as parts:
            parts.callback(self._trial.close)
            self._library = open_library(config, trial=self._trial, read_hot=self._incidents.read_items)
            self._follower = LibraryFollower(
                self._library, self._trial, metrics=self._metrics,
                every_s=lambda: self._config.library.reload_every_s,
            )  # fmt: skip
            self._transport = self._make_transport(stdout)
            if isinstance(self._transport, RedisStreams | LocalEnforcer):
                parts.callback(self._transport.close)
            self._check_transport()
            self._outbox = parts.enter_context(Outbox.open(config.signals.outbox))
            self._answers = Answers(config, self._outbox, self._transport, metrics=self._metrics.acks)
            self._delivery = self._make_delivery()
            self._signaller = self._make_signaller(on_durable)
            self._evidence = EvidenceKeeper(evidence_store(config), counts=self._metrics)
            self._discoveries = discoveries_of(config, counts=self._metrics.discovery)
            self._share = Share(config, specs, discoveries=self._discoveries, metrics=self._metrics.leases)
            self._matcher = Matcher(lambda: self._library.snapshot, rule=BUILT_IN_RULE, policy=policy_of(config.policy))
            self._attention = self._attention_keeper()
            way = CanaryWay(self._outbox, self._delivery, live=lambda: self._library.snapshot)
            self._canary = Canary(
                config, way, make=make_canary, options=supervisor_options(config), metrics=self._metrics.canary
            )
            self._opinions = Opinions(config, metrics=self._metrics.opinions)
            self._roll_call = RollCall(config, Role.WORKER, gauge=self._metrics.disagreements)
            self._supervisor = self._make_supervisor(watchers)
            self._http = self._health_server()
            if self._http is not None:
                parts.callback(self._http.stop)
            self._connect_gauges()
            if self._following.reloading is not None:
                self._following.reloading.connect(self._metrics.reloads, self._change)
            self._parts = parts.pop_all()

    def _make_transport(self, stdout: TextStream) -> Transport:
        if self._config.enforce.in_watch:
            return local_enforcer(self._config, stdout, metrics=self._metrics, kill_terms=self._kill_terms)
        return transport(self._config, stdout)

    def _check_transport(self) -> None:
        try:
            self._transport.check()
        except SignalsUnreachable as error:
            log.warning("redis_unreachable", problem=str(error), note="watching goes on; the outbox keeps the signals")
        if self._config.redis.url is not None and signing_key(self._config.signals) is None:
            log.warning("signals_unsigned", note="set signals.hmac_key_file, so that consumers can verify them")

    def _make_delivery(self) -> Delivery:
        signals = self._config.signals
        pace = Pace(signals.retry_first_s, signals.retry_cap_s, again_every_s=again_every_s(self._config))
        return Delivery(self._outbox, self._transport, pace=pace, on_change=DeliveryLog())

    def _make_signaller(self, on_durable: Callable[[KillSignal], None]) -> Signaller:
        return Signaller(
            self._outbox,
            worker=worker_name(self._config),
            expires_after_s=self._config.signals.expires_after_s,
            wake=self._delivery.wake,
            counts=self._metrics,
            on_durable=on_durable,
            streams_believed=lambda asset: self._incidents.streams_believed(
                asset, unsaid=self._config.policy.incident.streams_believed
            ),
        )

    def _make_supervisor(self, watchers: tuple[Watcher, ...]) -> Supervisor:
        return Supervisor(
            self._share.roster(),
            matcher=self._matcher,
            watchers=(
                self._signaller.watcher,  # first: what is durable is sent, whatever else fails
                self._evidence.watcher if self._config.evidence.keep_days else Watcher(),
                self._attention.watcher,
                self._incidents.watcher,
                self._incidents.asker,
                self._metrics.watcher,
                self._discoveries.watcher,
                *self._share.watchers,
                self._departed.watcher,
                self._canary.watcher,
                Watcher(keyframe=self._lags.keep, tick=self._count_delivered),
                *watchers,
            ),
            options=supervisor_options(self._config),
        )

    def _attention_keeper(self) -> AttentionKeeper:
        return AttentionKeeper(
            attention_rule(self._config),
            always=self._config.attention.always,
            kill=lambda: (self._library.snapshot.rules or BUILT_IN_RULES).rule,
            busy_share=lambda: self._supervisor.busy_share,
            in_incident=self._incidents.is_open,
        )

    def _count_delivered(self, _statuses: tuple[StreamStatus, ...]) -> None:
        self._metrics.delivered(self._delivery.state.delivered_total)

    @property
    def was_asked_to_stop(self) -> bool:
        """Whether `stop()` ended it, and not its own end."""
        return self._asked_to_stop_at_s is not None

    @property
    def http_url(self) -> str | None:
        """Where metrics and health are served, if anywhere."""
        return None if self._http is None else self._http.url

    def stop(self) -> None:
        """Drain: no new streams, hand over what is shared, finish the frame, flush the outbox. `run` returns within the
        drain time-out.
        """
        if self._asked_to_stop_at_s is None:
            self._asked_to_stop_at_s = time.monotonic()
        self._draining = True
        self._share.hand_over(self._supervisor.stop)

    @turns_of(_TURN_S)
    def run(self, *, stop_after_s: float | None = None) -> Summary:
        """Watch until every stream is over, `stop()` is called, or the time is up."""
        began_s = time.monotonic()
        try:
            self._answers.start()
            self._delivery.start()
            self._signaller.start()
            self._canary.start()
            self._evidence.start()
            self._discoveries.start()
            self._share.start()
            for thread in self._threads:
                thread.start()
            if self._http is not None:
                self._http.start()
                log.info("serving", url=self._http.url)
            self._log_start()
            statuses = self._supervisor.run(stop_after_s=stop_after_s)
        finally:
            # The decoders are gone and no decision can fall any more; what was decided goes out before we do.
            self._draining = True
            for thread in self._threads:
                thread.ask_to_stop()
            self._canary.stop()
            # Before the outbox, which may take its time: what nobody has taken yet is watched by nobody now.
            self._share.stop(_LAST_LEASE_S)
            self._discoveries.stop(_LAST_LISTING_S)
            try:
                # The other half is the delivery's, of which nothing is lost.
                lost = self._signaller.last_words(max(_LEAST_SIGNALS_S, self._time_to_drain_s() / 2))
                undelivered = self._flush()
            finally:
                until_s = time.monotonic() + _LAST_DELIVERY_S
                self._delivery.stop(_LAST_DELIVERY_S)
                self._answers.stop(max(0.0, until_s - time.monotonic()))
                self._evidence.stop(max(0.0, until_s - time.monotonic()))
                for thread in self._threads:
                    thread.stop(max(0.0, until_s - time.monotonic()))
                self._parts.close()
        keyframes = self._departed.totals.keyframes + sum(status.keyframes for status in statuses)
        tell = log.critical if lost else log.info
        why = self._why_it_stopped(stop_after_s, seconds=time.monotonic() - began_s)
        tell("stopped", why=why, keyframes=keyframes, undelivered=undelivered, lost=lost)
        lags = self._lags
        return Summary(
            seconds=time.monotonic() - began_s,
            streams=statuses,
            departed=self._departed.totals,
            discovery=self._discoveries.states,
            lag_p50_s=lags.quantile(0.5),
            lag_p99_s=lags.quantile(0.99),
            lag_max_s=lags.most_s,
            undelivered=undelivered,
            lost=lost,
        )

    @property
    def _threads(self) -> tuple[OwnThread, ...]:
        """They end side by side while the outbox is emptied. The library's is the last that is waited for: it may be
        at a large one.
        """
        return (self._roll_call.thread, self._opinions.thread, *self._following.threads, self._follower.thread)

    def _why_it_stopped(self, stop_after_s: float | None, *, seconds: float) -> str:
        if self.was_asked_to_stop:
            return "asked to"
        return "the time is up" if stop_after_s is not None and seconds >= stop_after_s else "all streams are over"

    def _log_start(self) -> None:
        snapshot = self._library.snapshot
        log.info(
            "watching", streamguard=__version__, streams=self._stream_count, servers=len(self._discoveries),
            library=snapshot.version, items=snapshot.items, looks=snapshot.looks,
            outbox=str(self._config.signals.outbox),
            to="standard output" if self._config.redis.url is None else "redis", worker=worker_name(self._config),
            rule=(snapshot.rules or BUILT_IN_RULES).rule.name,
        )  # fmt: skip
        if note := note_on(snapshot.rules):
            log.info("built_in_rule" if snapshot.rules is None else "unsupported_rule", note=note)
        if stays_root(self._config.worker.decoder_user):
            log.warning("decoders_stay_root", note="root may become nobody else here: start the worker as another user")

    def _flush(self) -> int | None:
        """How many signals stay undelivered; None: the outbox does not say."""
        try:
            if not self._delivery.flush(self._time_to_drain_s()):
                note = "the outbox keeps them for the next start"
                log.warning("undelivered", signals=self._outbox.depth(), note=note)
            return self._outbox.depth()
        except OutboxError as error:
            log.critical("outbox_failed", problem=str(error))
            return None

    def _time_to_drain_s(self) -> float:
        """The time-out counts from the moment of being asked, and all that comes after the flush is in it."""
        timeout_s = max(0.0, self._config.worker.drain_timeout_s - _LAST_DELIVERY_S)
        if self._asked_to_stop_at_s is None:
            return timeout_s
        return max(0.0, timeout_s - (time.monotonic() - self._asked_to_stop_at_s))

    def _change(self, config: Config) -> None:
        """What can run at once does; raises UsageError where something is wrong, and changes nothing then."""
        parts = LiveParts(
            self._supervisor, self._matcher, self._attention, self._canary, self._discoveries, self._share,
            self._answers, self._transport, self._kill_terms,
        )  # fmt: skip
        change(parts, config, specs=self._following.name_streams(config))
        self._config = config

    def _health_server(self) -> HealthServer | None:
        http = self._config.http
        if not http.port:
            return None
        server = HealthServer(
            http.host,
            http.port,
            registry=self._metrics.registry,
            health=self._health,
            statuses=lambda: self._supervisor.statuses,
        )
        server.add(self._incidents.pages)
        return server

    def _health(self) -> Health:
        delivery = self._delivery.state
        library_problem = str(self._library.error or "")
        if self._has_nobody_looking:
            library_problem = "nobody looks for new versions any more; this is a bug, restart the worker"
        alive = self._draining or time.monotonic() - self._supervisor.beat_at_s < _BEAT_S
        reasons = self._why_not_ready(delivery, alive=alive)
        return Health(
            alive=alive,
            ready=not reasons,
            detail={
                "reasons": [*reasons, *self._worth_a_look()],
                "draining": self._draining,
                "library": self._library.snapshot.version,
                "library_problem": library_problem,
                "delivery": delivery.status.value,
                "delivery_problem": delivery.problem,
                "signals_not_durable": self._signaller.waiting,
                "discovery": self._discoveries.detail(),
                "sharing": self._share.detail(),
                "canary": self._canary.detail(),
                "config": self._following.detail(),
                "incidents": self._incidents.detail(),
            },
        )

    def _worth_a_look(self) -> list[str]:
        """What is no reason to restart this worker."""
        parts = (self._answers, self._canary, self._roll_call, self._opinions, self._following, self._incidents)
        return [reason for part in parts for reason in part.worth_a_look()]

    def _why_not_ready(self, delivery: DeliveryState, *, alive: bool) -> list[str]:
        """In words, for people; empty while it can do all of its job."""
        reasons = []
        if not alive:
            reasons.append(f"the loop has not gone round for {_BEAT_S:.0f} s; restart the worker")
        if self._draining:
            reasons.append("it was asked to stop, and drains")
        elif not self._follower.thread.is_running:
            reasons.append("nobody looks for new versions of the library")
        else:
            reasons += self._discoveries.why_not_ready() + self._share.why_not_ready()
            reasons += self._answers.why_not_ready() + self._canary.why_not_ready()
        if waiting := self._signaller.waiting:
            what = "a kill-signal waits" if waiting == 1 else f"{waiting} kill-signals wait"
            reasons.append(f"{what} in memory, to be lost with this process: {self._signaller.problem}")
        if delivery.status in _DELIVERS_NOTHING:
            reasons.append(f"kill-signals are not delivered: {delivery.problem}")
        return reasons

    def _connect_gauges(self) -> None:
        signals, library = self._metrics.signals, self._metrics.library
        signals.outbox_depth.set_function(lambda: self._outbox_number(self._outbox.depth))
        signals.not_durable.set_function(lambda: self._signaller.waiting)
        signals.outbox_parked.set_function(lambda: self._outbox_number(lambda: self._outbox.counts().parked))
        if self._config.redis.url is not None:
            signals.redis_up.set_function(lambda: self._delivery.state.status is DeliveryStatus.OK)
        self._metrics.streams.since_turn.set_function(lambda: max(0.0, time.monotonic() - self._supervisor.beat_at_s))
        self._metrics.attention.coverage.set_function(self._coverage)
        library.items.set_function(lambda: self._library.snapshot.items)
        library.looks.set_function(lambda: self._library.snapshot.looks)
        library.memory.set_function(lambda: self._library.snapshot.bytes_in_memory)
        hot_items = self._metrics.incidents.hot_items
        hot_items.set_function(lambda: 0 if (hot := self._library.snapshot.hot) is None else hot.items)
        library.created.set_function(lambda: self._library.snapshot.created_unix_s)
        library.stale.set_function(lambda: self._library.error is not None or self._has_nobody_looking)

    @property
    def _has_nobody_looking(self) -> bool:
        return self._follower.thread.is_lost and not self._draining

    def _coverage(self) -> float:
        within_s = self._config.attention.time_to_kill_s or AttentionRule().time_to_kill_s
        return coverage(self._supervisor.statuses, within_s=within_s)

    def _outbox_number(self, read: Callable[[], int]) -> float:
        """A gauge that raised would take the whole scrape with it, just when it is needed."""
        try:
            return read()
        except OutboxError:
            return math.nan
