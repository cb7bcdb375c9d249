"""Threads that go on until they are asked to stop: what whoever has one needs to start it, rest, and end it in time."""

import threading
from collections.abc import Callable


class OwnThread:
    """`start()` it, `ask_to_stop()`, `stop()` it. What it runs asks `is_asked`, and rests by `rest`.

    Whoever has one and no more to do at its start and end shows it, as `thread`.
    """

    def __init__(self, run: Callable[[], None], *, name: str) -> None:
        self._stopping = threading.Event()
        # Whoever stops waits for it so long and no longer; nor does the end of the process.
        self._thread = threading.Thread(target=run, name=name, daemon=True)

    @property
    def is_asked(self) -> bool:
        """Whether it is to end."""
        return self._stopping.is_set()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_lost(self) -> bool:
        """It was started, is gone, and nobody asked for that."""
        return self._thread.ident is not None and not self.is_running and not self.is_asked

    def start(self) -> None:
        self._thread.start()

    def rest(self, seconds: float) -> bool:
        """Within the thread; True: it is to end, and that at once."""
        return self._stopping.wait(seconds)

    def ask_to_stop(self) -> None:
        """Does not wait, so that several end side by side."""
        self._stopping.set()

    def stop(self, timeout_s: float) -> None:
        """Harmless where it was never started."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)


class DueThread(OwnThread):
    """Takes a step each time that one is due, and a last one when it is to end: `call()` it for a step. Several calls
    while a step is taken are one.
    """

    def __init__(self, step: Callable[[], None], *, name: str) -> None:
        super().__init__(self._take_steps, name=name)
        self._step = step
        self._due = threading.Event()

    def call(self) -> None:
        """A step is due. Does not wait."""
        self._due.set()

    def ask_to_stop(self) -> None:
        """The last step is due at once."""
        super().ask_to_stop()
        self._due.set()

    def _take_steps(self) -> None:
        is_last = False
        while not is_last:
            self._due.wait()
            self._due.clear()
            # Asked after that: whoever wants the end says it first, so that no end is overlooked.
            is_last = self.is_asked
            self._step()
