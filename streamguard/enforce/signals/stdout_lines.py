"""Kill-signals as JSON lines on standard output, when no Redis is named."""

import os
import select
import threading
from typing import Protocol

from streamguard.errors import SignalsRejected
from streamguard.types import KillSignal, Trial


class TextStream(Protocol):
    """Where the lines go: a text file, or `Unbuffered`."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


class Unbuffered:
    """A file descriptor as a text stream that threads can share: one's text does not come in the middle of another's.

    A thread that a stuck reader holds up can be left behind. Of `sys.stdout` it would keep the lock, and Python waits
    for that before it ends.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, text: str, /) -> None:
        """Returns when the operating system has all of it. Raises OSError."""
        rest = memoryview(text.encode())
        with self._lock:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # whoever shares the pipe with us made it so
                    select.select([], [self._descriptor], [])

    def flush(self) -> None:
        """Nothing is kept back."""


class StdoutLines:
    """A Transport (see delivery.py): one line a signal, the CloudEvents object itself.

    Unsigned: whoever reads the pipe is whom the operator gave it to.
    """

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream

    def deliver(self, signal: KillSignal) -> None:
        """Returns when the line was handed to the operating system. Raises SignalsRejected.

        A canary is no line: whoever reads the pipe asked for kill-signals.
        """
        if signal.verdict is Trial.CANARY:
            return
        try:
            # One write: another thread's line must not come between the object and its end of line.
            self._stream.write(f"{signal.event}\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            problem = "closed by its reader" if isinstance(error, (BrokenPipeError, ValueError)) else str(error)
            hint = "the outbox keeps the signal; start again with a reader, or name a Redis"
            raise SignalsRejected("write signal to", "standard output", problem, hint=hint) from error

    def check(self) -> None:
        """A pipe shows only when written to whether somebody reads it."""
