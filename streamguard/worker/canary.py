"""The canary: a made stream that must be recognised every few minutes, through the whole path, and cuts nothing.

It goes through a decoder child, the matcher, the rule, the outbox and the delivery, as a stream with known footage
does, in the supervisor's own loop, a little at a time. It is on no list of streams: leases, coverage, counters of
decisions, evidence and capacity know nothing of it. Whatever becomes of it, the watching goes on.
"""

import math
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from streamguard.config import Config
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.enforce.outbox.delivery import DeliveryState, DeliveryStatus
from streamguard.enforce.signals.events import CANARY_STREAM, canary_signal
from streamguard.errors import StreamGuardError
from streamguard.types import SessionId
from streamguard.worker.canary_making import Failure, Made, Make, Making, remove
from streamguard.worker.canary_metrics import CanaryMetrics, Stage
from streamguard.worker.canary_post import CanaryPost, CanaryQueue, Posted
from streamguard.worker.canary_run import CanaryLibrary, CanaryRun, Recognised
from streamguard.worker.children import Decoder
from streamguard.worker.complaints import Complaint
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.matcher import Matcher, Searchable
from streamguard.worker.own_name import worker_name
from streamguard.worker.streams import RunningDecoder, StreamStatus
from streamguard.worker.supervisor import SupervisorOptions
from streamguard.worker.unprivileged import ids_for_decoders
from streamguard.worker.watcher import Watcher

FIRST_AFTER_S = 60.0
"""A worker that starts has better things to do."""
AGAIN_AFTER_S = 60.0
"""After one that failed, so that what has passed is soon seen to have."""
MADE_WITHIN_S = 150.0
SEEN_WITHIN_S = 60.0
DELIVERED_WITHIN_S = 60.0
"""It expires with this, too."""
UNREADY_AFTER = 2
"""One that failed may be chance: a moment in which the machine had no memory, say."""

_TELL_EVERY_S = 600.0
_LAST_DECODER_S = 0.5
_LAST_ROW_S = 0.5
_OURS = frozenset({Stage.DECODER, Stage.RECOGNITION, Stage.FAULT})
"""What says that streams would not be recognised either."""

log = structlog.get_logger()


class CanaryDelivery(Protocol):
    """Who empties the outbox."""

    @property
    def state(self) -> DeliveryState: ...

    def wake(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CanaryWay:
    """Where it goes: the library that serves, which is asked as well, then the outbox, then the delivery."""

    outbox: CanaryQueue
    delivery: CanaryDelivery
    live: Callable[[], Searchable]


@dataclass(frozen=True, slots=True)
class CanaryState:
    """How it went, by the loop's clock. `failed`: in a row; `failure`: the last one of them."""

    since_s: float
    ever: bool = False
    failed: int = 0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Sent:
    """It was recognised, and is on its way through the outbox."""


class Canary:
    """`start()` it, give its `watcher` to the supervisor, in whose loop it runs, and `stop()` it after that. Other
    threads may ask how it stands.
    """

    def __init__(  # noqa: PLR0913 - the parts it joins, each passed by name
        self,
        config: Config,
        way: CanaryWay,
        *,
        make: Make | None,
        options: SupervisorOptions,
        metrics: CanaryMetrics,
        start: Callable[[DecoderJob], RunningDecoder] = Decoder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`make`: the main function of the child that makes its footage; None: there is no canary. Raises ConfigError
        for a user of decoders that does not exist.
        """
        self._way = way
        self._post = CanaryPost(way.outbox, wake=way.delivery.wake)
        self._make = make
        self._options = options
        # Once, as for streams: whoever knows the machine's users may be a server that does not answer.
        self._ids = ids_for_decoders(options.decoder_user)
        self._worker = worker_name(config)
        self._period_s = 0.0 if make is None else config.canary.period_s
        self._expires_after_s = min(config.signals.expires_after_s, DELIVERED_WITHIN_S)
        self._metrics = metrics
        self._start = start
        self._clock = clock
        self._trouble = Complaint("canary", every_s=_TELL_EVERY_S, clock=clock)
        self._doing: Making | CanaryRun | _Sent | None = None
        self._until_s = math.inf
        self._due_s = clock() + min(self._period_s, FIRST_AFTER_S)
        self._made: Made | None = None
        self._ended: list[RunningDecoder] = []
        run = uuid.uuid4().hex[:12]
        self._run_id, self._first_number, self._sessions = f"canary-{run}", int(run[:8], 16) << 20, 0
        self.state = CanaryState(clock())
        """Other threads may read it."""
        if self._period_s:
            metrics.period.set(self._period_s)
            metrics.since_success.set_function(lambda: self._clock() - self.state.since_s)

    @property
    def watcher(self) -> Watcher:
        return Watcher(tick=self._tick) if self._period_s else Watcher()

    def start(self) -> None:
        if self._period_s:
            self._post.start()

    def change(self, options: SupervisorOptions) -> None:
        """Its next decoder is started as those of streams are. In the loop."""
        self._options = options

    def stop(self) -> None:
        """Nothing of it is left: no process, no file, no row in the outbox. Never raises for its sake."""
        with suppress(OSError):
            self._stop_doing()
        for decoder in self._ended:
            decoder.gone(within_s=_LAST_DECODER_S)
        self._ended.clear()
        if self._made is not None:
            remove(self._made.clip.parent)
            self._made = None
        self._post.stop(_LAST_ROW_S)

    def detail(self) -> dict[str, object]:
        """As `/readyz` shows it; empty where there is none."""
        if not self._period_s:
            return {}
        state = self.state
        since_s = round(self._clock() - state.since_s, 1)
        failure = state.failure
        return {
            "since_success_s": since_s if state.ever else None,
            "failed_in_a_row": state.failed,
            "stage": "" if failure is None else failure.stage.value,
            "problem": "" if failure is None else failure.problem,
        }

    def why_not_ready(self) -> list[str]:
        """In words: a worker that does not recognise its own canary recognises nothing."""
        state = self.state
        if state.failure is None or state.failed < UNREADY_AFTER or state.failure.stage not in _OURS:
            return []
        return [self._in_words(state, state.failure)]

    def worth_a_look(self) -> list[str]:
        """What is no reason to restart this worker, and that somebody should look at all the same."""
        state = self.state
        if state.failure is None or state.failed < UNREADY_AFTER or state.failure.stage in _OURS:
            return []
        return [self._in_words(state, state.failure)]

    @staticmethod
    def _in_words(state: CanaryState, failure: Failure) -> str:
        times = f"{state.failed} canaries in a row did not come all the way ({failure.stage.value})"
        return f'{times}: {failure.problem}; see "Canary" in docs/operations.md'

    def _tick(self, _statuses: tuple[StreamStatus, ...]) -> None:
        now_s = self._clock()
        self._ended = [decoder for decoder in self._ended if not decoder.gone(within_s=0.0)]
        try:
            self._turn(now_s)
        except (OSError, StreamGuardError) as error:
            self._fail(Failure(self._stage(), str(error)))
        except Exception:  # as around a stream's run: its fault, whatever it is, must not end the watching
            log.exception("canary_fault")
            self._fail(Failure(Stage.FAULT, "the worker failed on it: see the log"))

    def _stage(self) -> Stage:
        """Where it was when something was raised."""
        if isinstance(self._doing, CanaryRun):
            return Stage.RECOGNITION
        return Stage.MAKE if self._made is None else Stage.DECODER

    def _turn(self, now_s: float) -> None:
        doing = self._doing
        end: Made | Recognised | Failure | None = None
        match doing:
            case None:
                if now_s >= self._due_s:
                    self._begin(now_s)
                return
            case Making() | CanaryRun():
                end = doing.turn()
            case _Sent():
                posted = self._post.ask()
                if posted.is_delivered:
                    self._succeed()
                    return
                end = Failure(Stage.OUTBOX, posted.problem) if posted.problem else None
        if end is None and now_s >= self._until_s:
            end = self._too_late()
        match end:
            case Failure():
                self._fail(end)
            case Made():
                self._made = end
                self._stop_doing()
                self._begin(now_s)
            case Recognised():
                self._stop_doing()
                self._send(end, now_s)

    def _begin(self, now_s: float) -> None:
        if self._make is None:
            return
        if self._made is not None and not self._made.clip.exists():  # there are programs that clean up /tmp
            remove(self._made.clip.parent)
            self._made = None
        if self._made is None:
            self._doing, self._until_s = Making(self._make), now_s + MADE_WITHIN_S
            return
        self._sessions += 1
        options, made = self._options, self._made
        number = self._first_number + self._sessions
        job = DecoderJob(CANARY_STREAM, str(made.clip), number, options.source, options.decoder_memory_mib, self._ids)
        matcher = Matcher(lambda: CanaryLibrary(made.reference, self._way.live()), rule=BUILT_IN_RULE)
        session = SessionId(f"{self._run_id}-{self._sessions}")
        self._doing = CanaryRun(job, session=session, matcher=matcher, start=self._start)
        self._until_s = now_s + SEEN_WITHIN_S

    def _send(self, seen: Recognised, now_s: float) -> None:
        signal = canary_signal(
            seen.decision,
            session=seen.session,
            worker=self._worker,
            library_version=seen.library_version,
            now_unix_s=time.time(),
            expires_after_s=self._expires_after_s,
        )
        self._post.send(signal)
        self._doing, self._until_s = _Sent(), now_s + DELIVERED_WITHIN_S

    def _too_late(self) -> Failure:
        match self._doing:
            case _Sent():
                return self._undelivered(self._post.ask(), self._way.delivery.state)
            case CanaryRun():
                return Failure(Stage.DECODER, f"its decoder had not shown it within {SEEN_WITHIN_S:.0f} s")
            case _:
                return Failure(Stage.MAKE, f"its footage was not made within {MADE_WITHIN_S:.0f} s")

    @staticmethod
    def _undelivered(posted: Posted, delivery: DeliveryState) -> Failure:
        if not posted.is_durable:
            problem = posted.waits_for or f"its disk has not answered for {DELIVERED_WITHIN_S:.0f} s"
            return Failure(Stage.OUTBOX, problem)
        # A delivery that is in trouble with Redis says so, and that is the reason whoever else has the outbox.
        if posted.waits_for and delivery.status in {DeliveryStatus.OK, DeliveryStatus.OUTBOX}:
            what = f"it is durable, but whether it was delivered within {DELIVERED_WITHIN_S:.0f} s could not be read"
            return Failure(Stage.OUTBOX, f"{what}: {posted.waits_for}")
        problem = delivery.problem or "the delivery does not say why"
        return Failure(Stage.DELIVERY, f"it was not delivered within {DELIVERED_WITHIN_S:.0f} s: {problem}")

    def _succeed(self) -> None:
        now_s = self._clock()
        self.state = CanaryState(now_s, ever=True)
        self._doing, self._due_s = None, now_s + self._period_s
        self._trouble.tell("")
        self._post.drop()

    def _fail(self, failure: Failure) -> None:
        self._stop_doing()
        self._metrics.failures.labels(failure.stage.value).inc()
        self.state = replace(self.state, failed=self.state.failed + 1, failure=failure)
        self._due_s = self._clock() + min(self._period_s, AGAIN_AFTER_S)
        self._trouble.tell(failure.problem, stage=failure.stage.value)
        self._post.drop()  # what waits there has expired

    def _stop_doing(self) -> None:
        doing, self._doing = self._doing, None
        match doing:
            case CanaryRun():
                self._ended.append(doing.end())
            case Making():
                doing.end()
                if self._made is None:
                    remove(doing.folder)
