"""From decisions to durable kill-signals: into the outbox first, and then wake the delivery.

A thread waits for the outbox's disk, so that no stream does: whatever is decided while the disk is at work is appended
together, and waits for it once.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import structlog

from streamguard.enforce.signals.events import kill_signal
from streamguard.errors import OutboxError
from streamguard.types import AssetId, Decision, KillSignal, Verdict
from streamguard.worker.own_thread import DueThread
from streamguard.worker.watcher import Found, Watcher

MOST_WAITING = 10_000
MOST_AT_ONCE = 256
"""Signals that wait for the disk together; the delivery, which needs the outbox as well, has its turn between."""

LATE_AFTER_S = 1.0
"""A disk that takes longer than this hangs, as far as anybody knows who has to cut a stream."""

_STEP_BACK_S = 0.02
_STEP_BACK_A_TICK_S = 0.1
"""So long the loop lets the thread go first, after a decision and in all between two ticks."""

_COMPLAIN_EVERY_S = 30.0

log = structlog.get_logger()


class DurableQueue(Protocol):
    """The outbox, as far as it is filled here."""

    def append(self, *signals: KillSignal) -> int: ...


class SignalCounts(Protocol):
    """What is counted of signals."""

    def signalled(self, found: Found, *, after_evidence_s: float, after_keyframe_s: float) -> None: ...

    def outbox_failed(self) -> None: ...

    def outbox_hung(self) -> None: ...

    def signal_lost(self) -> None: ...


@dataclass(slots=True)
class _Waiting:
    """A signal that is not durable yet, since when, and whether the log has it already."""

    signal: KillSignal
    found: Found
    since_s: float
    is_told: bool = False


class Signaller:
    """Makes each of the supervisor's decisions durable: `start` it, and have its `last_words` when no more can fall.

    While the outbox fails (a full disk) or does not answer, signals wait in memory, are counted, and are tried again
    every second: watching goes on. They are not sent before they are durable, so that no signal can be sent twice with
    two ids; the log names each at once, so that a person can cut the stream meanwhile.
    """

    def __init__(  # noqa: PLR0913 - the parts it joins, each passed by name
        self,
        outbox: DurableQueue,
        *,
        worker: str,
        expires_after_s: float,
        wake: Callable[[], None],
        counts: SignalCounts,
        on_durable: Callable[[KillSignal], None] = lambda _signal: None,
        streams_believed: Callable[[AssetId], int] = lambda _asset: 0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_durable` is called by the thread; it must not raise."""
        self._outbox = outbox
        self._worker = worker
        self._expires_after_s = expires_after_s
        self._wake = wake
        self._counts = counts
        self._on_durable = on_durable
        self._streams_believed = streams_believed
        self._clock = clock
        self._wall_clock = wall_clock
        self._changed = threading.Condition()
        """Held for what follows, and never while anybody waits for a disk."""
        self._waiting: deque[_Waiting] = deque()
        self._in_hand: tuple[_Waiting, ...] = ()
        """What the disk is at work on; older than all that waits."""
        self._asked_s = 0.0
        """When the disk was asked for that."""
        self._dropped = 0
        self._failures = 0
        self._failure = ""
        self._is_hanging = False
        self._step_back_s = _STEP_BACK_A_TICK_S
        self._complain_at_s = -math.inf
        self._thread = DueThread(self.make_durable, name="signals")

    @property
    def waiting(self) -> int:
        """Signals that should be durable and are not: they are as long as the outbox fails, or hangs. Any thread may
        ask.
        """
        with self._changed:
            return len(self._in_hand) + len(self._waiting) if self._problem() else 0

    @property
    def problem(self) -> str:
        """Why they wait, in words; empty while none does. Any thread may ask."""
        with self._changed:
            return self._problem()

    @property
    def watcher(self) -> Watcher:
        return Watcher(found=self._found, tick=lambda _statuses: self._look_after())

    def start(self) -> None:
        self._thread.start()

    def last_words(self, within_s: float) -> int:
        """Before the process ends: what still cannot be made durable in so long goes into the log, whole. Returns how
        many signals were lost since the start: these, and those that there was no room for.
        """
        self._thread.stop(within_s)
        with self._changed:
            left = (*self._in_hand, *self._waiting)
        for one in left:
            log.critical("signal_not_durable", signal=one.signal.event)
        return self._dropped + len(left)

    def make_durable(self) -> None:
        """One attempt at all that waits, in order; it takes as long as the disk does. Whatever fails stays."""
        while batch := self._take():
            try:
                # They may be there already, when an earlier attempt failed only after they were written.
                self._outbox.append(*(one.signal for one in batch))
            except OutboxError as error:
                self._failed(error)
                return
            self._done()
            self._wake()
            for one in batch:
                self._signalled(one)

    def _found(self, found: Found) -> None:
        signal = kill_signal(
            found.decision,
            stream=found.spec.stream,
            session=found.session_id,
            worker=self._worker,
            library_version=found.library_version,
            now_unix_s=self._wall_clock(),
            expires_after_s=self._expires_after_s,
            server=None if found.spec.origin is None else found.spec.origin.server,
            streams_believed=self._believed(found.decision),
        )
        lost = None
        with self._changed:
            if self._waiting and len(self._in_hand) + len(self._waiting) >= MOST_WAITING:
                lost = self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(_Waiting(signal, found, self._clock()))
            is_late = bool(self._problem())
        self._thread.call()
        if lost is not None:
            self._counts.signal_lost()
            log.critical("signal_lost", signal=lost.signal.event)
        if is_late:
            self._tell_of_waiting()
        else:
            self._step_back()

    def _step_back(self) -> None:
        """The interpreter runs one thread at a time, and a loop that goes on matching takes its turns from the one that
        writes: where the disk is quick, to stand still for it is quicker, and where it is not, it is over soon.
        """
        if not self._thread.is_running:
            return
        with self._changed:
            began_s = time.monotonic()
            self._changed.wait_for(
                lambda: not (self._waiting or self._in_hand), timeout=min(_STEP_BACK_S, self._step_back_s)
            )
            self._step_back_s = max(0.0, self._step_back_s - (time.monotonic() - began_s))

    def _believed(self, decision: Decision) -> int:
        return self._streams_believed(decision.asset) if decision.verdict is Verdict.KILL else 0

    def _look_after(self) -> None:
        """In the loop, every second: what failed is tried again, and a disk that hangs is told of."""
        with self._changed:
            problem, is_hanging = self._problem(), self._hangs_for_s() >= LATE_AFTER_S
            began_hanging = is_hanging and not self._is_hanging
            self._is_hanging = is_hanging
            self._step_back_s = _STEP_BACK_A_TICK_S
            is_due = bool(self._waiting)
        if is_due:
            self._thread.call()
        if began_hanging:
            self._counts.outbox_hung()
        if problem:
            self._complain(problem)
            self._tell_of_waiting()

    def _problem(self) -> str:
        if self._failure:
            return self._failure
        oldest = next(iter(self._in_hand or self._waiting), None)
        if oldest is None:
            return ""
        late_s = self._clock() - oldest.since_s
        if late_s < LATE_AFTER_S:
            return ""
        if self._thread.is_lost:
            return "what makes them durable has died; the log says of what, and a restart helps"
        if (hangs_for_s := self._hangs_for_s()) >= LATE_AFTER_S:
            return f"the disk of the outbox has not answered for {hangs_for_s:.0f} s"
        return f"the oldest has waited {late_s:.0f} s for its turn at the outbox"

    def _hangs_for_s(self) -> float:
        """Since the disk was asked for what it is at work on; of what it has failed at nothing is in hand."""
        return self._clock() - self._asked_s if self._in_hand else 0.0

    def _take(self) -> tuple[_Waiting, ...]:
        with self._changed:
            self._in_hand = tuple(islice(self._waiting, MOST_AT_ONCE))
            for _ in self._in_hand:
                self._waiting.popleft()
            self._asked_s = self._clock()
            return self._in_hand

    def _failed(self, error: OutboxError) -> None:
        self._counts.outbox_failed()
        with self._changed:
            self._waiting.extendleft(reversed(self._in_hand))
            self._in_hand = ()
            self._failure = str(error)
            self._failures += 1
        self._complain(str(error))
        self._tell_of_waiting()

    def _done(self) -> None:
        with self._changed:
            self._in_hand = ()
            if self._waiting:
                return
            self._changed.notify_all()
            failures, was_told = self._failures, self._complain_at_s > -math.inf
            self._failures, self._failure, self._complain_at_s = 0, "", -math.inf
        if was_told:
            log.warning("outbox_recovered", failures=failures)

    def _complain(self, problem: str) -> None:
        """At once, and from then on now and again."""
        now_s = self._clock()
        with self._changed:
            is_due, failures = now_s >= self._complain_at_s, self._failures
            if is_due:
                self._complain_at_s = now_s + _COMPLAIN_EVERY_S
        if is_due:
            log.critical("outbox_failed", problem=problem, waiting=self.waiting, failures=failures)

    def _tell_of_waiting(self) -> None:
        """Each once."""
        with self._changed:
            untold = [one for one in (*self._in_hand, *self._waiting) if not one.is_told]
            for one in untold:
                one.is_told = True
        note = "not durable, not sent: cut by hand, see docs/media-servers.md"
        for one in untold:
            log.critical("signal_waits", **_in_words(one.signal, one.found.decision), note=note)

    def _signalled(self, one: _Waiting) -> None:
        found, decision = one.found, one.found.decision
        after_keyframe_s = max(0.0, self._clock() - found.arrived_s)
        evidence_s = (decision.at.pts_us - decision.first_evidence.pts_us) / 1e6
        self._counts.signalled(found, after_evidence_s=evidence_s + after_keyframe_s, after_keyframe_s=after_keyframe_s)
        log.warning("signal", **_in_words(one.signal, decision))
        self._on_durable(one.signal)


def _in_words(signal: KillSignal, decision: Decision) -> dict[str, object]:
    """What a person needs who has to cut the stream, or to judge whether that was right."""
    return {
        "verdict": signal.verdict.value,
        "stream": signal.stream,
        "session_id": signal.session,
        "id": signal.id,
        "reference": decision.asset,
        "label": decision.label,
        "at_s": round(decision.at.pts_us / 1e6, 3),
        "reference_at_s": round(decision.reference_us / 1e6, 3),
        "nats": round(decision.nats, 1),
    }
