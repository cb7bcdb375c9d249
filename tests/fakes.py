"""Fakes for tests, not mocks: they do what the real thing does, and fail on a script."""

import threading
from collections.abc import Callable, Iterable

from streamguard.errors import SignalsError
from streamguard.types import KillSignal


class FakeTransport:
    """A Transport (streamguard.enforce.outbox.delivery) that keeps what it got, each signal once.

    `script` has one entry for each delivery: None passes, an error is raised; when it is over, all pass.
    `always` is asked for every signal and may give an error: a poison row, say.
    """

    def __init__(
        self,
        script: Iterable[SignalsError | None] = (),
        *,
        always: Callable[[KillSignal], Exception | None] = lambda _signal: None,
    ) -> None:
        self._script = iter(script)
        self._always = always
        self._lock = threading.Lock()
        self.attempts: list[str] = []
        self.received: list[KillSignal] = []
        self.checks = 0
        self.down: SignalsError | None = None

    def deliver(self, signal: KillSignal) -> None:
        with self._lock:
            self.attempts.append(signal.id)
            error = self.down or self._always(signal) or next(self._script, None)
            if error is not None:
                raise error
            if signal.id not in {known.id for known in self.received}:
                self.received.append(signal)

    def check(self) -> None:
        with self._lock:
            self.checks += 1
            if self.down is not None:
                raise self.down

    @property
    def ids(self) -> list[str]:
        with self._lock:
            return [signal.id for signal in self.received]
