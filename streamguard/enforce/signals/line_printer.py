"""Lines for somebody who may have stopped reading: a thread of its own writes them, and nobody's cut waits for it."""

import queue
import threading
from dataclasses import dataclass, field

from streamguard.enforce.signals.stdout_lines import TextStream
from streamguard.errors import SignalsRejected

MOST_WAITING = 1000
PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Handed:
    """A line that was handed in."""

    text: str
    is_written: threading.Event = field(default_factory=threading.Event)


class LinePrinter:
    """`hand_in` lines, in order. More than MOST_WAITING are left out, and counted in `left_out`."""

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream
        self._lines: queue.Queue[Handed] = queue.Queue(MOST_WAITING)
        self._is_stuck = False
        self._problem = ""
        self.left_out = 0
        threading.Thread(target=self._run, name="lines", daemon=True).start()

    def hand_in(self, text: str) -> Handed:
        """Returns at once."""
        line = Handed(text)
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.left_out += 1
        return line

    def wait(self, line: Handed) -> None:
        """Until it is written, but not for somebody who does not read. Raises SignalsRejected: nobody ever will."""
        if not self._is_stuck and not line.is_written.wait(PATIENCE_S):
            self._is_stuck = True
        if self._problem:
            hint = "streams are cut all the same; start again with a reader"
            raise SignalsRejected("write line to", "standard output", self._problem, hint=hint)

    def close(self) -> None:
        """Gives what waits a moment. The thread may be left behind."""
        if not self._is_stuck:
            self.hand_in("").is_written.wait(PATIENCE_S)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            try:
                if line.text and not self._problem:
                    self._stream.write(f"{line.text}\n")
                    self._stream.flush()
            except (OSError, ValueError) as error:
                closed = isinstance(error, BrokenPipeError | ValueError)
                self._problem = "closed by its reader" if closed else str(error)
            self._is_stuck = False
            line.is_written.set()
