"""A thread that goes on until it is asked to stop: what whoever has one needs to start it, rest, and end it in time."""

import threading
from collections.abc import Callable


class OwnThread:
    """`start()` it, `ask_to_stop()`, `stop()` it. What it runs asks `is_asked`, and rests by `rest`."""

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
