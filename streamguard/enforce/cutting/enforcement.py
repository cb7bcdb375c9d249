"""From the stream of kill-signals to acknowledgements: what an enforcer does all day.

The caller's thread reads and judges, each server's desk executes, one more thread acknowledges. An entry is taken off
the group's list only with its acknowledgement: until then the next enforcer gets it, however this one ends.
"""

import queue
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamguard.core.backoff import delay_s
from streamguard.enforce.cutting.desk import MOST_ORDERS, Desk
from streamguard.enforce.cutting.set_aside import SetAside
from streamguard.enforce.orders.enforcer import Order, Result, Settled, Terms, ack_of, judge
from streamguard.enforce.signals.acks import signed
from streamguard.enforce.signals.follow import Entry
from streamguard.enforce.signals.received import ReceivedSignal, read_signal
from streamguard.errors import SignalNotUnderstood, SignalsError

READ_FOR_S = 1.0
LOOK_AGAIN_S = 0.05
"""While there is no room for some, whether there is by now."""
CARE_EVERY_S = 5.0
"""How often others are told what is under way here, and what they left is looked for."""
IDLE_S = 20.0
"""What nobody has touched for so long was left by an enforcer that is dead, or stands still."""
MOST_OPEN = 5000
RETRY_FIRST_S = 0.2
RETRY_CAP_S = 5.0
_END = None
_REPLAYED = Settled(Result.REPLAYED, "it was settled before")


class SignalSource(Protocol):
    """The consumer group, as far as it is read here; each call may raise SignalsUnreachable and SignalsRejected."""

    def read(self, *, at_most_s: float) -> tuple[Entry, ...]: ...

    def read_again(self) -> None: ...

    def done_with(self, entry_ids: Sequence[str]) -> None: ...

    def is_done(self, signal_id: str) -> bool: ...

    def keep(self, entry_ids: Sequence[str]) -> None: ...

    def claim(self, *, idle_s: float, leave: Collection[str] = ()) -> None: ...

    def leave(self, entry_ids: Collection[str], *, idle_s: float) -> None: ...


class AckSink(Protocol):
    """Where acknowledgements go."""

    def settle(self, entry_id: str, *, signal_id: str, event: str, signature: str) -> bool: ...


class Observer(Protocol):
    """Who is told; called from several threads, and must neither block for long nor raise."""

    def settled(self, order: Order, settled: Settled, event: str) -> None:
        """A signal came to its end, and this acknowledgement is in the stream."""

    def ignored(self, end: Settled, order: Order | None) -> None:
        """An entry that nothing was done for, nor said. Of what the order says nothing need be true; None: there is
        none in it.
        """

    def reading(self, error: SignalsError | None) -> None:
        """After each attempt to read."""

    def acknowledging(self, error: SignalsError | None) -> None:
        """After each attempt to acknowledge."""


@dataclass(frozen=True, slots=True)
class EnforcerIdentity:
    """What stands in acknowledgements, and the key that they are signed with."""

    name: str
    key: bytes | None


class _Open:
    """Signals that are not settled yet, each with its entries: the same signal may stand in the stream twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, list[str]] = {}
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, entry_id: str) -> bool:
        return entry_id in self._known

    def add(self, signal_id: str, entry_id: str) -> bool:
        """False: the signal is open already; its new entry waits with it."""
        with self._lock:
            self._known.add(entry_id)
            is_new = signal_id not in self._entries
            self._entries.setdefault(signal_id, []).append(entry_id)
        return is_new

    def forget(self, signal_id: str) -> None:
        with self._lock:
            self._known -= set(self._entries.pop(signal_id, []))

    def next_entry(self, signal_id: str) -> str | None:
        """One that is still to be acknowledged; None: that was all of them, and the signal is closed."""
        with self._lock:
            entries = self._entries.get(signal_id, [])
            if entries:
                return entries[0]
            self._entries.pop(signal_id, None)
            return None

    def acknowledged(self, signal_id: str, entry_id: str) -> None:
        with self._lock:
            self._entries[signal_id].remove(entry_id)
            self._known.discard(entry_id)

    def entry_ids(self) -> list[str]:
        with self._lock:
            return list(self._known)


class Enforcement:
    """`run()` in a thread of its own; `stop()` from anywhere, then it drains. Desks are made by `desks(on_settled)`."""

    def __init__(  # noqa: PLR0913 - the parts it joins, each passed by name
        self,
        source: SignalSource,
        sink: AckSink,
        *,
        make_desks: Callable[[Callable[[Order, Settled], None]], Sequence[Desk]],
        terms: Terms,
        identity: EnforcerIdentity,
        observer: Observer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._sink = sink
        self._terms = terms
        self._identity = identity
        self._observer = observer
        self._clock = clock
        self._open = _Open()
        self._aside = SetAside()
        self._settled: queue.SimpleQueue[tuple[Order, Settled] | None] = queue.SimpleQueue()
        self.desks: Mapping[str, Desk] = {desk.name: desk for desk in make_desks(self._on_settled)}
        self._put_off: set[str] = set()
        self._stopping = threading.Event()
        self._gives_up = threading.Event()
        self._failures = 0
        self._care_at_s = 0.0
        self._acknowledger = threading.Thread(target=self._acknowledge_all, name="acknowledger", daemon=True)
        self.beat_at_s = time.monotonic()

    @property
    def under_way(self) -> int:
        """Entries that are read and not settled."""
        return len(self._open)

    @property
    def is_whole(self) -> bool:
        """Whether all threads live, once they were started."""
        return self._acknowledger.ident is None or self._acknowledger.is_alive()

    @property
    def key_doubt(self) -> str:
        """Why our key may not be the one that signals are signed with; empty while nothing speaks for that."""
        return self._aside.doubt

    def stop(self) -> None:
        """Read no more; `run` ends when what is under way is finished, or its time is up."""
        self._stopping.set()

    def run(self, *, drain_s: float) -> None:
        """Until `stop()`. What is not settled `drain_s` after that stays for the next enforcer."""
        self._acknowledger.start()
        for desk in self.desks.values():
            desk.start()
        try:
            while not self._stopping.is_set():
                self.round(at_most_s=READ_FOR_S)
        finally:
            ends_at_s = time.monotonic() + drain_s
            # Desks first: what they still settle is acknowledged after that.
            for desk in self.desks.values():
                desk.stop(max(0.0, ends_at_s - time.monotonic()))
            self._settled.put(_END)
            self._acknowledger.join(max(0.0, ends_at_s - time.monotonic()))
            self._gives_up.set()
            self._acknowledger.join(1.0)

    def round(self, *, at_most_s: float) -> None:
        """Reads once, and takes what comes."""
        self.beat_at_s = time.monotonic()
        try:
            self._care()
            if len(self._open) >= MOST_OPEN:
                self._stopping.wait(LOOK_AGAIN_S)
                return
            self._take(self._source.read(at_most_s=LOOK_AGAIN_S if self._put_off else at_most_s))
        except SignalsError as error:
            self._failures += 1
            self._observer.reading(error)
            self._stopping.wait(_pause_s(self._failures))
        else:
            self._failures = 0
            self._observer.reading(None)

    def _care(self) -> None:
        """For what others left, for what others should leave to us, and for what there was no room for."""
        # One server's room is enough: what waits for another one, which may be down, is put off once more.
        if any(self.desks[name].waiting <= MOST_ORDERS // 2 for name in self._put_off):
            self._put_off.clear()
            self._source.read_again()
        if self.beat_at_s >= self._care_at_s:
            self._source.keep(self._open.entry_ids())
            self._source.claim(idle_s=IDLE_S, leave=self._aside.entry_ids)
            self._end_aside(self._aside.over(now_unix_s=self._clock()))
            self._care_at_s = self.beat_at_s + CARE_EVERY_S

    def _take(self, entries: Sequence[Entry]) -> None:
        ignored: dict[str, tuple[Settled, Order | None]] = {}
        for entry in entries:
            known = self._open.knows(entry.id) or entry.id in self._aside.entry_ids
            if not known and (judged := self._judged(entry)) is not None:
                ignored[entry.id] = judged
        aside = [entry.id for entry in entries if entry.id in self._aside.entry_ids]
        self._source.leave(aside, idle_s=IDLE_S)
        self._source.done_with(tuple(ignored.keys() - set(aside)))
        self._end_aside(self._aside.over(now_unix_s=self._clock()) if aside else ())
        for end, order in ignored.values():
            self._observer.ignored(end, order)

    def _end_aside(self, entry_ids: Sequence[str]) -> None:
        self._source.done_with(entry_ids)
        self._aside.forget(entry_ids)

    def _judged(self, entry: Entry) -> tuple[Settled, Order | None] | None:
        """How it ended here and now, without a word to anybody; None: it is being worked on, or comes again."""
        try:
            signal = read_signal(entry.fields)
        except SignalNotUnderstood as error:
            return Settled(Result.NOT_UNDERSTOOD, entry.problem or error.problem), None
        order, end = judge(signal, self._terms, now_unix_s=self._clock())
        self._mind_key(entry, signal, end)
        if end is not None and end.result.outcome is None:
            return end, order
        if not self._open.add(order.id, entry.id):
            return None
        try:
            is_done = self._source.is_done(order.id)
        except SignalsError:
            self._open.forget(order.id)
            raise
        if is_done:
            self._open.forget(order.id)
            return _REPLAYED, order
        if end is not None:
            self._settled.put((order, end))
        elif not self.desks[order.server].submit(order):
            # It stays on our list in Redis, and is read again when there is room.
            self._open.forget(order.id)
            self._put_off.add(order.server)
        return None

    def _mind_key(self, entry: Entry, signal: ReceivedSignal, end: Settled | None) -> None:
        if end is not None and end.result is Result.FORGED:
            size_bytes = sum(map(len, entry.fields.values()))
            expires_unix_s, now_unix_s = signal.expires_at.timestamp(), self._clock()
            self._aside.misfit(entry.id, size_bytes=size_bytes, expires_unix_s=expires_unix_s, now_unix_s=now_unix_s)
        elif end is None or end.result not in {Result.UNSIGNED, Result.NOT_UNDERSTOOD}:
            self._aside.fits()

    def _on_settled(self, order: Order, settled: Settled) -> None:
        self._settled.put((order, settled))

    def _acknowledge_all(self) -> None:
        while (item := self._settled.get()) is not _END:
            if not self._acknowledge(*item):
                return

    def _acknowledge(self, order: Order, settled: Settled) -> bool:
        """Tries until it is written. False: there is no time left, and the next enforcer gets the signal."""
        ack = ack_of(order, settled)
        if ack is None:  # nothing that a desk says
            return True
        event = ack.event(enforcer=self._identity.name, now_unix_s=self._clock())
        signature = signed(event, key=self._identity.key)
        failures = 0
        while (entry_id := self._open.next_entry(order.id)) is not None:
            try:
                is_first = self._sink.settle(entry_id, signal_id=order.id, event=event, signature=signature)
            except SignalsError as error:
                failures += 1
                self._observer.acknowledging(error)
                if self._gives_up.wait(_pause_s(failures)):
                    return False
                continue
            self._observer.acknowledging(None)
            self._open.acknowledged(order.id, entry_id)
            if is_first:
                self._observer.settled(order, settled, event)
            else:
                self._observer.ignored(_REPLAYED, order)
        return True


def _pause_s(failures: int) -> float:
    jitter = random.random()  # noqa: S311 - spreads enforcers, guards nothing
    return delay_s(failures, first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S, jitter=jitter)
