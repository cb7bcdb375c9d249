"""Tells one webhook of each genuine signal in one stream: once, and again until it is taken or the signal has expired.

A kill is told when it may be executed, and not before: while it is held the platform must not act on it either, and one
that was refused becomes a review, which is a notice of its own (notices.py).

It reads as a consumer group of its own, by a thread and connections of its own: no cut waits for it, nor does any other
webhook. What is not settled stays on the group's list in Redis: whoever tells next goes on with it. Killed between
telling and its mark in Redis, a signal is told twice, with the same webhook-id.
"""

import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from streamguard.core.backoff import delay_s
from streamguard.enforce.cutting.desk import ASK_AGAIN_S, ASKED_A_SECOND, PermitBook
from streamguard.enforce.orders.enforcer import is_sound, order_of
from streamguard.enforce.signals.follow import Entry
from streamguard.enforce.signals.received import ReceivedSignal, read_signal
from streamguard.errors import ServerError, SignalNotUnderstood, SignalsError
from streamguard.servers.webhook import Notice, Told
from streamguard.types import Verdict

READ_FOR_S = 1.0
CARE_EVERY_S = 5.0
IDLE_S = 20.0
MOST_OPEN = 64
"""More wait in Redis."""
MOST_HELD = 2000
"""Held kills beside these."""
AT_ONCE = 16
MOST_A_ROUND = 32
"""So that others are told in time what is under way here, also where each call takes its whole time-out."""
RETRY_FIRST_S = 0.5
RETRY_CAP_S = 15.0
_REDIS_RETRY_CAP_S = 5.0


class TellSource(Protocol):
    """The consumer group, as far as it is read here; each call may raise SignalsUnreachable and SignalsRejected."""

    def read(self, *, at_most_s: float) -> tuple[Entry, ...]: ...

    def read_again(self) -> None: ...

    def done_with(self, entry_ids: Sequence[str]) -> None: ...

    def is_done(self, signal_id: str) -> bool: ...

    def set_done(self, signal_id: str, *, keep_s: float) -> None: ...

    def keep(self, entry_ids: Sequence[str]) -> None: ...

    def claim(self, *, idle_s: float) -> None: ...


class Telling(Enum):
    """How it ended with one signal."""

    TOLD = "told"
    EXPIRED = "expired"
    """It was never taken."""
    REPEATED = "repeated"
    """It had been told before."""
    NOT_WANTED = "not_wanted"
    NOT_GENUINE = "not_genuine"
    REFUSED = "refused"
    """A kill that must not be executed: one of too many, rejected, undone."""


@dataclass(frozen=True, slots=True)
class TellTerms:
    """Which signals; `key` is what they are signed with, None: all pass."""

    verdicts: Collection[str]
    key: bytes | None
    keep_s: float
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class TellObserver(Protocol):
    """Called by the teller's thread; must neither block nor raise."""

    def ended(self, telling: Telling, signal_id: str) -> None: ...

    def trouble(self, error: SignalsError | ServerError | None) -> None:
        """After each attempt; None: it went well."""


@dataclass(slots=True)
class _Open:
    """A signal that is not taken yet. `told`: it is, and only Redis does not know."""

    signal: ReceivedSignal
    due_s: float
    tries: int = 0
    permitted: bool = False
    held: bool = False
    told: bool = False


class Teller:
    """`start()` it, and `stop()` it: what is open then stays for the next."""

    def __init__(
        self,
        source: TellSource,
        webhook: Told,
        terms: TellTerms,
        *,
        permits: PermitBook,
        observer: TellObserver,
    ) -> None:
        self._source = source
        self._webhook = webhook
        self._terms = terms
        self._permits = permits
        self._observer = observer
        self._clock = terms.clock
        self._monotonic = terms.monotonic
        self._open: dict[str, _Open] = {}
        self._care_at_s = 0.0
        self._failures = 0
        self._missed = False
        self._stopping = threading.Event()
        self._calls = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"tell-{webhook.name}")
        self._thread = threading.Thread(target=self._run, name=f"teller-{webhook.name}", daemon=True)

    @property
    def waiting(self) -> int:
        """Signals that were read and not taken yet."""
        return len(self._open)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Harmless when called twice."""
        self._stopping.set()

    def stop(self, timeout_s: float) -> bool:
        """False: it is still busy."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._calls.shutdown(wait=False, cancel_futures=True)
        return True

    def round(self, *, at_most_s: float = READ_FOR_S) -> None:
        """Reads what is there, and tells what is due."""
        try:
            self._care()
            due_in_s = min((one.due_s for one in self._open.values()), default=float("inf")) - self._monotonic()
            if self._has_room():
                self._take(self._source.read(at_most_s=max(0.001, min(at_most_s, due_in_s))))
            else:
                self._missed = True
                self._stopping.wait(max(0.0, min(at_most_s, due_in_s)))
            self._tell_due()
        except SignalsError as error:
            self._failures += 1
            self._observer.trouble(error)
            pause_s = delay_s(self._failures, first_s=RETRY_FIRST_S, cap_s=_REDIS_RETRY_CAP_S, jitter=_jitter())
            self._stopping.wait(pause_s)
        else:
            self._failures = 0

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.round()

    def _care(self) -> None:
        """For what others left, for what others should leave to us, and for what there was no room for."""
        if self._missed and self._has_room(half=True):
            self._missed = False
            self._source.read_again()
        now_s = self._monotonic()
        if now_s >= self._care_at_s:
            self._source.keep(list(self._open))
            self._source.claim(idle_s=IDLE_S)
            self._care_at_s = now_s + CARE_EVERY_S

    def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.id in self._open:
                continue
            if not self._has_room():
                self._missed = True
                return
            found = self._judged(entry)
            if isinstance(found, ReceivedSignal):
                self._open[entry.id] = _Open(found, self._monotonic())
            else:
                self._source.done_with([entry.id])
                self._observer.ended(found, "")

    def _has_room(self, *, half: bool = False) -> bool:
        """`half`: for half of all that may be open."""
        held = sum(one.held for one in self._open.values())
        return len(self._open) - held < MOST_OPEN // (2 if half else 1) and held < MOST_HELD

    def _judged(self, entry: Entry) -> ReceivedSignal | Telling:
        try:
            signal = read_signal(entry.fields)
        except SignalNotUnderstood:
            return Telling.NOT_GENUINE
        if not is_sound(order_of(signal)) or signal.checked(self._terms.key).doubtful:
            return Telling.NOT_GENUINE
        if signal.verdict not in self._terms.verdicts:
            return Telling.NOT_WANTED
        if any(one.signal.id == signal.id for one in self._open.values()) or self._source.is_done(signal.id):
            return Telling.REPEATED
        return signal

    def _tell_due(self) -> None:
        now_s = self._monotonic()
        due = [(id_, one) for id_, one in self._open.items() if one.due_s <= now_s]
        # Those that only wait for somebody's yes keep nobody waiting.
        due = sorted(due, key=lambda each: each[1].held)[:MOST_A_ROUND]
        for entry_id, one in due:
            if not one.told and one.signal.expired(now_unix_s=self._clock()):
                self._end(entry_id, one, Telling.EXPIRED)
            elif not one.permitted:
                self._ask(entry_id, one)
        calling = [(entry_id, one) for entry_id, one in due if entry_id in self._open and one.permitted]
        for (entry_id, one), error in zip(calling, self._calls.map(self._tell, calling), strict=True):
            self._observer.trouble(error)
            if error is None:
                self._end(entry_id, one, Telling.TOLD)
            else:
                one.tries += 1
                pause_s = delay_s(one.tries, first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S, jitter=_jitter())
                one.due_s = self._monotonic() + pause_s

    def _ask(self, entry_id: str, one: _Open) -> None:
        """Whether it may be told yet."""
        if one.signal.verdict != Verdict.KILL.value:
            one.permitted = True
            return
        try:
            permit = self._permits.ask(order_of(one.signal, is_vouched=self._terms.key is not None))
        except SignalsError as error:
            self._observer.trouble(error)
            one.due_s = self._monotonic() + RETRY_FIRST_S
            return
        one.held = permit.held
        if permit.result is not None:
            self._end(entry_id, one, Telling.REFUSED)
        elif permit.held or permit.problem:  # unlike a cut this can wait until Redis answers
            held = sum(each.held for each in self._open.values())
            one.due_s = self._monotonic() + max(ASK_AGAIN_S, held / ASKED_A_SECOND)
        else:
            one.permitted = True

    def _tell(self, calling: tuple[str, _Open]) -> ServerError | None:
        """Also what was refused is told again: whoever mends the other side within minutes misses nothing."""
        one = calling[1]
        if one.told:
            return None
        try:
            self._webhook.tell(Notice(one.signal.id, one.signal.payload))
        except ServerError as error:
            return error
        one.told = True  # here: where Redis goes, what became of the others of this round is not looked at any more
        return None

    def _end(self, entry_id: str, one: _Open, telling: Telling) -> None:
        if telling is Telling.TOLD:
            self._source.set_done(one.signal.id, keep_s=self._terms.keep_s)
        self._source.done_with([entry_id])
        del self._open[entry_id]
        self._observer.ended(telling, one.signal.id)


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads retries, guards nothing
