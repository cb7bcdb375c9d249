"""The thread that brings kill-signals from the outbox to their transport, for as long as it takes."""

import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from streamguard.core.backoff import delay_s
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import OutboxError, SignalRefused, SignalsRejected, SignalsUnreachable, StreamGuardError
from streamguard.types import KillSignal, Trial

PAGE = 64
MOST_SUSPECTS = 1024
PATIENCE = 5


class Transport(Protocol):
    """Where signals go. Every implementation passes tests/contract/test_transport.py."""

    def deliver(self, signal: KillSignal) -> None:
        """Returns when the signal has arrived; sending it again is harmless.

        Raises SignalsUnreachable, SignalsRejected, or SignalRefused when this one signal is the trouble.
        """

    def check(self) -> None:
        """What can be told without sending a signal, which is less than whether the next one arrives.

        Raises SignalsUnreachable, SignalsRejected.
        """


class DeliveryStatus(Enum):
    OK = "ok"
    UNREACHABLE = "unreachable"
    REJECTED = "rejected"
    OUTBOX = "outbox"
    """The outbox itself fails: a full disk, say."""
    FAILED = "failed"
    """The thread is dead by a mistake of ours: restart the worker. Nothing is lost, the outbox keeps it."""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How it goes; `problem` is empty while ok, and never holds credentials. Totals count from the start."""

    status: DeliveryStatus
    since_unix_s: float
    problem: str = ""
    delivered_total: int = 0
    failed_attempts_total: int = 0
    parked_total: int = 0
    parked_why: str = ""
    """Of the last one that was parked."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Waits between attempts, and how often an idle transport is checked, so that trouble shows before it matters.

    A kill that nobody acknowledged is delivered again at the start, and every `again_every_s` until it expires: the
    transport may have lost it. None: nobody acknowledges.
    """

    retry_first_s: float = 0.2
    retry_cap_s: float = 15.0
    check_every_s: float = 10.0
    again_every_s: float | None = None


class Delivery:
    """`start()` it, `wake()` it after each append; `flush()`, then `stop()` it before the outbox is closed.

    Signals go in the order in which they were appended, one at a time. A signal that alone is refused lets the others
    pass, and is parked after some refusals. `on_change` is called by the thread when the status changes or a signal is
    parked; it must not raise.
    """

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        pace: Pace,
        clock: Callable[[], float] = time.time,
        on_change: Callable[[DeliveryState], None] = lambda _state: None,
    ) -> None:
        self._outbox = outbox
        self._transport = transport
        self._pace = pace
        self._clock = clock
        self._on_change = on_change
        self._changed = threading.Condition()
        self._woken = False
        self._flushing = 0
        self._stopping = False
        self._failures_in_row = 0
        self._suspects: set[str] = set()
        self._unmarked: dict[str, None] = {}
        """What has arrived, in order, and is not noted yet."""
        self._began_unix_s = clock()
        self._state = DeliveryState(DeliveryStatus.OK, self._began_unix_s)
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    @property
    def state(self) -> DeliveryState:
        return self._state

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the outbox."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Waits until nothing is left to deliver, trying more often meanwhile. False: not all. Raises OutboxError."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._outbox.depth() == 0 or not self._thread.is_alive(), timeout_s)
            finally:
                self._flushing -= 1
        return self._outbox.depth() == 0

    def stop(self, timeout_s: float) -> bool:
        """Ends the thread after the signal that it is busy with. False: it is still busy, and may be left behind."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        ended_well = False
        try:
            while not self._stopping:
                self._rest(self._attempt())
            ended_well = True
        finally:
            if not ended_well:
                # An exception that nobody foresaw: Python's thread hook prints it, the state shows it.
                problem = f"delivery ended by {type(sys.exception()).__name__}; this is a bug, restart the worker"
                self._become(DeliveryStatus.FAILED, problem)

    def _attempt(self) -> float:
        """One round through the outbox; returns the seconds to rest afterwards (a wake ends the rest early)."""
        try:
            rest_s = self._round()
        except SignalsUnreachable as error:
            return self._troubled(DeliveryStatus.UNREACHABLE, error)
        except SignalsRejected as error:
            return self._troubled(DeliveryStatus.REJECTED, error)
        except OutboxError as error:
            return self._troubled(DeliveryStatus.OUTBOX, error)
        self._become(DeliveryStatus.OK)
        return rest_s

    def _round(self) -> float:
        page = self._page()
        if not page:
            self._failures_in_row = 0
            self._transport.check()
            return self._idle()
        try:
            refused = self._deliver_page(page)
        finally:
            self._note_arrivals()
        if self._stopping:
            return 0.0
        if refused < len(page):
            self._failures_in_row = 0
            if len(page) >= PAGE:
                self._outbox.prune(now_unix_s=self._clock())
                return 0.0
            return self._idle()
        self._outbox.prune(now_unix_s=self._clock())
        self._failures_in_row += 1
        return self._backoff_s()

    def _deliver_page(self, page: tuple[KillSignal, ...]) -> int:
        """How many of them were refused."""
        others_pass = False
        refused = 0
        for signal in page:
            if self._stopping:
                break
            try:
                self._deliver(signal)
            except SignalsRejected as error:
                if not others_pass and not isinstance(error, SignalRefused):
                    # Either nothing passes or this one doesn't: the next round begins with another one, and so tells.
                    self._suspects.add(signal.id)
                    raise
                others_pass = False
                refused += 1
                self._refuse(signal, error)
            else:
                others_pass = True
        return refused

    def _idle(self) -> float:
        """What there is time for when nothing is pending."""
        sent = 0 if self._pace.again_every_s is None else self._deliver_again(self._pace.again_every_s)
        self._outbox.prune(now_unix_s=self._clock())
        return 0.0 if sent >= PAGE else self._pace.check_every_s

    def _deliver_again(self, again_every_s: float) -> int:
        """How many. Harmless where the first delivery is still there: each signal is in the stream once."""
        now_unix_s = self._clock()
        # What was delivered before this process began may have been in the hands of one that was killed: at once.
        delivered_by_unix_s = max(self._began_unix_s, now_unix_s - again_every_s)
        unanswered = self._outbox.unanswered(PAGE, delivered_by_unix_s=delivered_by_unix_s, now_unix_s=now_unix_s)
        for signal in unanswered:
            if self._stopping:
                break
            with suppress(SignalRefused):  # it alone: the others may pass
                self._transport.deliver(signal)
            self._outbox.delivered_again(signal.id, at_unix_s=now_unix_s)
        return len(unanswered)

    def _page(self) -> tuple[KillSignal, ...]:
        """The oldest pending signals; those that may be the cause of a rejection come last."""
        pending = self._outbox.pending(PAGE + len(self._suspects))
        for unfit in pending.unfit:
            self._outbox.park(unfit, at_unix_s=self._clock())
            self._parked(unfit.why)
        page = pending.signals
        trusted = [signal for signal in page if signal.id not in self._suspects]
        if not trusted or len(self._suspects) > MOST_SUSPECTS:
            # All were rejected, so it is none of them in particular: again from the oldest.
            self._suspects.clear()
            return page
        return (*trusted, *(signal for signal in page if signal.id in self._suspects))

    def _deliver(self, signal: KillSignal) -> None:
        # When only the note of its arrival failed (a full disk), it is not sent again.
        if signal.id in self._unmarked:
            return
        self._transport.deliver(signal)
        self._unmarked[signal.id] = None
        is_canary = signal.verdict is Trial.CANARY
        self._state = replace(self._state, delivered_total=self._state.delivered_total + (not is_canary))
        self._suspects.discard(signal.id)
        if self._state.status is not DeliveryStatus.OUTBOX:  # that passes with the note
            self._become(DeliveryStatus.OK)

    def _note_arrivals(self) -> None:
        """Together: a note for each would wait for the disk as often. Killed before it, all are sent again, which is
        harmless.
        """
        if self._unmarked:
            awaits_ack = self._pace.again_every_s is not None
            self._outbox.delivered(*self._unmarked, at_unix_s=self._clock(), awaits_ack=awaits_ack)
            self._unmarked.clear()
            with self._changed:
                self._changed.notify_all()

    def _refuse(self, signal: KillSignal, error: SignalsRejected) -> None:
        parked = self._outbox.refused(signal.id, why=str(error), at_unix_s=self._clock())
        self._state = replace(self._state, failed_attempts_total=self._state.failed_attempts_total + 1)
        if parked:
            self._suspects.discard(signal.id)
            self._parked(str(error))

    def _parked(self, why: str) -> None:
        self._state = replace(self._state, parked_total=self._state.parked_total + 1, parked_why=why)
        self._on_change(self._state)
        with self._changed:
            self._changed.notify_all()

    def _troubled(self, status: DeliveryStatus, error: StreamGuardError) -> float:
        self._failures_in_row += 1
        self._state = replace(self._state, failed_attempts_total=self._state.failed_attempts_total + 1)
        self._become(status, str(error))
        return self._backoff_s()

    def _backoff_s(self) -> float:
        jitter = random.random()  # noqa: S311 - spreads workers, guards nothing
        pace = self._pace
        return delay_s(self._failures_in_row, first_s=pace.retry_first_s, cap_s=pace.retry_cap_s, jitter=jitter)

    def _become(self, status: DeliveryStatus, problem: str = "") -> None:
        before = self._state
        since_unix_s = before.since_unix_s if before.status is status else self._clock()
        self._state = replace(before, status=status, since_unix_s=since_unix_s, problem=problem)
        if before.status is not status:
            self._on_change(self._state)
        with self._changed:
            self._changed.notify_all()

    def _rest(self, rest_s: float) -> None:
        """Waits, until woken: but after a failure at least the first backoff, lest appending hammer a sick Redis.

        After a rejection longer: it may be a wrong password, and logins are counted.
        """
        least_s = self._pace.retry_first_s if self._failures_in_row > 0 else 0.0
        if self._state.status is DeliveryStatus.REJECTED:
            least_s *= PATIENCE
        least_s = min(least_s, rest_s)
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, least_s)
            self._changed.wait_for(lambda: self._stopping or self._flushing > 0 or self._woken, rest_s - least_s)
            self._woken = False
