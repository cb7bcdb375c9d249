"""How a decoder ended, and the rest that a stream gets which ends them again and again.

Each end costs the machine a new process, and a hostile stream may have found out how far it gets with the next one. A
stream that merely reconnects ends its decoder in good order, and is none of these.
"""

import math
import signal
from dataclasses import dataclass

from streamguard.core.backoff import delay_s

_FREE = 2
"""Bad luck: as soon again as after a lost connection."""

_FIRST_S, _CAP_S = 10.0, 300.0
_FORGIVEN_AFTER_S = 600.0
"""Longer than any rest: one that ended a decoder as soon as it was let out has not been good."""

_UNKNOWN = 255
"""What multiprocessing says of a process that its forkserver can tell nothing of any more."""

_LIMITS = {
    signal.SIGXCPU: "processor time for one look",
    signal.SIGXFSZ: "size of a file",
    signal.SIGSYS: "system calls",
}


@dataclass(slots=True)
class Quarantine:
    """Of one stream, whoever publishes it next. `decoders`: how many it has ended in a row."""

    decoders: int = 0
    last_s: float = -math.inf
    until_s: float = -math.inf

    def pause_s(self, now_s: float, *, jitter: float) -> float:
        """It has ended another: the least pause until the next one, 0 for none of its own."""
        self.decoders = 1 if now_s - self.last_s >= _FORGIVEN_AFTER_S else self.decoders + 1
        self.last_s = now_s
        if self.decoders <= _FREE:
            return 0.0
        pause_s = delay_s(self.decoders - _FREE, first_s=_FIRST_S, cap_s=_CAP_S, jitter=jitter)
        self.until_s = now_s + pause_s
        return pause_s

    def is_remembered(self, now_s: float) -> bool:
        """It has ended a decoder not long ago: the next one gets what the others leave."""
        return self.decoders > 0 and now_s - self.last_s < _FORGIVEN_AFTER_S

    def why(self, now_s: float) -> str:
        """Why nobody looks at it for now; empty where it has no rest."""
        if now_s >= self.until_s:
            return ""
        return f"it has ended {self.decoders} decoders in a row: in quarantine for {self.until_s - now_s:.0f} s"


def limit_of(code: int | None) -> str:
    """Which limit the kernel ended it for; empty: none that is known."""
    return "" if code is None or code >= 0 else _LIMITS.get(-code, "")  # type: ignore[call-overload]


def died_with_the_forkserver(code: int | None) -> bool:
    """No stream's doing. One that hangs up and lives on is: no decoder closes its line before its end, and whoever had
    taken one over would be let out again at once each time.
    """
    return code == _UNKNOWN


def how_it_ended(code: int | None) -> str:
    """In words."""
    if code is None:
        return "hung up"
    if limit := limit_of(code):
        return f"was ended by signal {-code}, at its limit: {limit}"
    return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
