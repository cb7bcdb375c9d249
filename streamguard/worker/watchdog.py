"""One thread for all that may take too long: in the middle of the work nothing depends on having another one."""

import itertools
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NewType, Self

DeadlineId = NewType("DeadlineId", int)


class Watchdog:
    """`start()` it, as often as you like; then each `after(...)` acts once, in its thread, unless it is cancelled."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: dict[DeadlineId, tuple[float, Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Harmless when it runs. Raises OSError where no thread can be had; the next call tries again."""
        with self._changed:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise BlockingIOError(f"no thread can be had ({error})") from error
            self._thread = thread

    def after(self, wait_s: float, act: Callable[[], None]) -> DeadlineId:
        """Have it act so much later. `act` must be quick, must not raise and must not call the watchdog."""
        with self._changed:
            number = DeadlineId(next(self._numbers))
            self._waiting[number] = time.monotonic() + wait_s, act
            self._changed.notify()
        return number

    def cancel(self, number: DeadlineId) -> None:
        """When it returns, it has acted or never will. Harmless when called twice."""
        with self._changed:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """End the thread; what is waiting never acts."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now_s = time.monotonic()
                for number, (due_s, act) in list(self._waiting.items()):
                    if due_s <= now_s:
                        del self._waiting[number]
                        act()
                next_s = min((due_s for due_s, _ in self._waiting.values()), default=None)
                self._changed.wait(None if next_s is None else max(0.0, next_s - time.monotonic()))
