"""Brings a canary to the outbox and asks what becomes of it: in a thread, for the loop waits for no disk."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from streamguard.errors import OutboxBusy, OutboxError
from streamguard.types import KillSignal
from streamguard.worker.own_thread import DueThread


class CanaryQueue(Protocol):
    """The outbox, as far as canaries need it; each call may raise OutboxError, and wait for the disk."""

    def append(self, *signals: KillSignal) -> int: ...

    def is_delivered(self, signal_id: str) -> bool: ...

    def drop_canaries(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Posted:
    """How far it has come; `problem`: the outbox failed on it; `waits_for`: who else has it, and it is tried again."""

    is_durable: bool = False
    is_delivered: bool = False
    problem: str = ""
    waits_for: str = ""


class CanaryPost:
    """`start` it, `send` one at a time and `ask` how far it is, then `drop` it; `stop` it at the end. None of these
    waits for the disk, but `stop`, for as long as it is told.
    """

    def __init__(self, outbox: CanaryQueue, *, wake: Callable[[], None]) -> None:
        """`wake`: there is something new in the outbox."""
        self._outbox = outbox
        self._wake = wake
        self._changing = threading.Lock()
        self._signal: KillSignal | None = None
        self._posted = Posted()
        self._thread = DueThread(self.step, name="canary_post")

    def start(self) -> None:
        self._thread.start()

    def send(self, signal: KillSignal) -> None:
        self._become(signal)

    def ask(self) -> Posted:
        """How far the last one that was sent was when it was last looked after, which it is now again."""
        self._thread.call()
        with self._changing:
            return self._posted

    def drop(self) -> None:
        """Nothing of it is to be left in the outbox."""
        self._become(None)

    def stop(self, within_s: float) -> None:
        """Drops it, in so long. Harmless where it was never started."""
        with self._changing:
            self._signal = None
        self._thread.stop(within_s)

    def step(self) -> None:
        """What is to be done next; it takes as long as the disk does."""
        with self._changing:
            signal, posted = self._signal, self._posted
        if signal is None:
            with suppress(OutboxError):  # the next one is tried again
                self._outbox.drop_canaries()
            return
        try:
            if not posted.is_durable:
                self._outbox.append(signal)
                self._wake()
                posted = Posted(is_durable=True)
            posted = Posted(is_durable=True, is_delivered=self._outbox.is_delivered(signal.id))
        except OutboxBusy as error:
            posted = replace(posted, waits_for=str(error))
        except OutboxError as error:
            posted = replace(posted, problem=str(error))
        with self._changing:
            if self._signal is signal:
                self._posted = posted

    def _become(self, signal: KillSignal | None) -> None:
        with self._changing:
            self._signal, self._posted = signal, Posted()
        self._thread.call()
