"""Enforcing without Redis, in the worker's own process: kills from the outbox to the desks, acknowledgements back."""

import queue
import time
from collections.abc import Callable, Sequence

from streamguard.enforce.cutting.desk import Desk
from streamguard.enforce.orders.enforcer import Order, Result, Settled, Terms, ack_of, judge
from streamguard.enforce.signals.follow import Entry
from streamguard.enforce.signals.line_printer import LinePrinter
from streamguard.enforce.signals.received import read_signal
from streamguard.enforce.signals.stdout_lines import TextStream
from streamguard.errors import SignalNotUnderstood, SignalRefused, SignalsUnreachable
from streamguard.types import KillSignal, Trial

IDS_REMEMBERED = 10_000
STOP_TIMEOUT_S = 2.0


class LocalEnforcer:
    """A Transport (see delivery.py): prints each signal as a line, once, and executes it.

    It is a source of acknowledgements as well (see ack_follower.py): each is printed, too, and closes its signal in the
    outbox. Until then the outbox delivers it again, also after a restart: that is what survives a crash here.
    """

    def __init__(
        self,
        stream: TextStream,
        *,
        make_desks: Callable[[Callable[[Order, Settled], None]], Sequence[Desk]],
        name: str,
        on_settled: Callable[[Order, Settled], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._printer = LinePrinter(stream)
        self._name = name
        self._tell = on_settled
        self._clock = clock
        self._acks: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._printed: dict[str, None] = {}
        self._settled: dict[str, None] = {}
        self.desks = {desk.name: desk for desk in make_desks(self._on_settled)}
        # Nobody else can write to our own outbox: there is no signature to check.
        self._terms = Terms(servers=tuple(self.desks), key=None, are_own=True)

    def start(self) -> None:
        for desk in self.desks.values():
            desk.start()

    def deliver(self, signal: KillSignal) -> None:
        """Returns when it is on its desk, and printed if somebody reads. Raises SignalsUnreachable, SignalsRejected,
        and SignalRefused for one that no enforcer would understand.

        The cut does not wait for whoever reads the lines. A canary is judged and counted, and is no line.
        """
        line = None
        if signal.id not in self._printed and signal.verdict is not Trial.CANARY:
            line = self._printer.hand_in(signal.event)
            _remember(self._printed, signal.id)
        if signal.id not in self._settled:
            self._execute(signal)
        if line is not None:
            self._printer.wait(line)

    def check(self) -> None:
        """Desks look after their servers by themselves."""

    def read(self, *, at_most_s: float) -> tuple[Entry, ...]:
        """The next acknowledgements; none when none came for a while."""
        try:
            return (self._acks.get(timeout=at_most_s),)
        except queue.Empty:
            return ()

    def close(self) -> None:
        """Finishes what is under way and goes well. Harmless when called twice."""
        ends_at_s = time.monotonic() + STOP_TIMEOUT_S
        for desk in self.desks.values():
            desk.stop(max(0.0, ends_at_s - time.monotonic()))
        self._printer.close()

    @property
    def has_unread(self) -> bool:
        """Whether `read` has something at once."""
        return not self._acks.empty()

    @property
    def waiting(self) -> int:
        """Kills that are not settled yet."""
        return sum(desk.waiting for desk in self.desks.values())

    def _execute(self, signal: KillSignal) -> None:
        try:
            received = read_signal({b"event": signal.event.encode()})
        except SignalNotUnderstood as error:  # a name of a stream that is too long, say
            raise SignalRefused("execute signal", signal.id, error.problem) from error
        order, end = judge(received, self._terms, now_unix_s=self._clock())
        if end is not None:
            if end.result is not Result.NOT_A_KILL:
                self._on_settled(order, end)
        elif not self.desks[order.server].submit(order):
            raise SignalsUnreachable("execute signal at", order.server, "too many wait for it")

    def _on_settled(self, order: Order, settled: Settled) -> None:
        _remember(self._settled, order.id)
        self._tell(order, settled)
        ack = ack_of(order, settled)
        if ack is None:
            return
        event = ack.event(enforcer=self._name, now_unix_s=self._clock())
        self._acks.put(Entry("0-0", {b"event": event.encode(), b"sig": b""}))
        self._printer.hand_in(event)


def _remember(ids: dict[str, None], id_: str) -> None:
    ids[id_] = None
    if len(ids) > IDS_REMEMBERED:
        ids.pop(next(iter(ids)))
