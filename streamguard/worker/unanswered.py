"""Kills that were delivered and that nobody answers to, told long before they expire: maybe nobody cuts."""

import json
import time
from collections.abc import Callable, Collection

import structlog

from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import OutboxError, counted

PATIENCE_S = 10.0
"""An enforcer answers within a second where all is well."""
_MOST_READ = 100

log = structlog.get_logger()


class Unanswered:
    """`look()` now and then, by one thread. Only kills that an enforcer could execute count, and none that is held for
    somebody's yes, whose label is in `held`.
    """

    def __init__(
        self, outbox: Outbox, *, held: Collection[str], step: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._outbox = outbox
        self.held = frozenset(held)
        """Other threads may exchange it."""
        self._step = step
        self._clock = clock
        self.reason = ""
        """In words, with the next step; empty while all is well."""

    def look(self) -> None:
        """A line in the log when it begins, and when it is over. What the outbox does not say changes nothing."""
        due_unix_s = self._clock() - PATIENCE_S
        try:
            kills = self._outbox.awaiting_since(decided_by_unix_s=due_unix_s, limit=_MOST_READ)
        except OutboxError:  # told by whoever delivers
            return
        delivered = [unix_s for event, unix_s in kills if _could_be_executed(event, self.held)]
        # What is delivered again begins anew: who has waited once waits until it is answered.
        waits = bool(delivered) if self.reason else any(unix_s <= due_unix_s for unix_s in delivered)
        if not waits:
            if self.reason:
                log.info("kills_unanswered", over=True)
            self.reason = ""
            return
        more = " or more" if len(kills) == _MOST_READ else ""
        kills_now = f"{counted(len(delivered), 'kill')}{more}"
        what = f"{kills_now} without an enforcer's answer for over {PATIENCE_S:.0f} s: not cut, perhaps"
        if not self.reason:
            log.warning("kills_unanswered", kills=len(delivered), problem=what, note=self._step)
        self.reason = f"{what}; {self._step}"


def _could_be_executed(event: str, held: Collection[str]) -> bool:
    try:
        data = json.loads(event)["data"]
        return bool(data.get("server")) and data.get("label") not in held
    except (ValueError, TypeError, LookupError, AttributeError):
        return False
