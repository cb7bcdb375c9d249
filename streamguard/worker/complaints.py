"""Troubles that repeat, in the log."""

import time
from collections.abc import Callable

import structlog

_COMPLAIN_EVERY_S = 60.0

log = structlog.get_logger()


class Complaint:
    """A trouble that repeats is a line at once, one a period after that, with how often it was, and one at its end."""

    def __init__(
        self, event: str, *, every_s: float = _COMPLAIN_EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._event = event
        self._every_s = every_s
        self._clock = clock
        self._count = 0
        self._again_at_s = 0.0
        self.problem = ""
        """Of the last time; empty while all is well."""

    def tell(self, problem: str, **keys: object) -> None:
        """Empty: it is over."""
        self.problem = problem
        if not problem:
            if self._count:
                log.info(self._event, over=True, times=self._count)
            self._count = 0
            return
        self._count += 1
        if self._count == 1 or self._clock() >= self._again_at_s:
            self._again_at_s = self._clock() + self._every_s
            log.warning(self._event, problem=problem, times=self._count, **keys)
