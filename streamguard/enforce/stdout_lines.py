"""Kill-signals as JSON lines on standard output, when no Redis is named."""

import threading
from contextlib import AbstractContextManager
from typing import TextIO

from streamguard.errors import SignalsRejected
from streamguard.types import KillSignal


class StdoutLines:
    """A Transport (see delivery.py): one line a signal, the CloudEvents object itself.

    Unsigned: whoever reads the pipe is whom the operator gave it to. `lock` is for sharing the stream with others.
    """

    def __init__(self, stream: TextIO, *, lock: AbstractContextManager[object] | None = None) -> None:
        self._stream = stream
        self._lock = lock or threading.Lock()

    def deliver(self, signal: KillSignal) -> None:
        """Returns when the line was handed to the operating system. Raises SignalsRejected."""
        try:
            # One write: another thread's line must not come between the object and its end of line.
            with self._lock:
                self._stream.write(f"{signal.event}\n")
                self._stream.flush()
        except (OSError, ValueError) as error:
            problem = "closed by its reader" if isinstance(error, (BrokenPipeError, ValueError)) else str(error)
            hint = "the outbox keeps the signal; start again with a reader, or name a Redis"
            raise SignalsRejected("write signal to", "standard output", problem, hint=hint) from error

    def check(self) -> None:
        """A pipe shows only when written to whether somebody reads it."""
