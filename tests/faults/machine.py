"""How much of a machine's processor time somebody else took: a figure that was measured beside others says little."""

import os
from pathlib import Path

from tests.e2e.processes import descendants

_IDLE = (3, 4)
"""Columns of /proc/stat: idle, and waiting for a disk."""

_OWN_FROM, _OWN_TO = 11, 15
"""Of /proc/PID/stat behind its name: its own time, and that of children who are gone."""


class Machine:
    """From now on; all cores together are 1."""

    def __init__(self) -> None:
        self._all, self._busy = _machine()
        self._ours = ours()

    def others_share(self) -> float:
        """Of this process and all under it, what is left of the rest: children that nobody has waited for are others,
        for a moment.
        """
        every, busy = _machine()
        own = max(0, ours() - self._ours)
        return max(0.0, busy - self._busy - own) / max(1, every - self._all)


def _machine() -> tuple[int, int]:
    """All of its time, and what of it was not idle, in ticks."""
    columns = [int(column) for column in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(columns), sum(columns) - sum(columns[column] for column in _IDLE)


def ours() -> int:
    """Ticks of this process, and of all under it."""
    return sum(_ticks(pid) for pid in (os.getpid(), *descendants(os.getpid())))


def _ticks(pid: int) -> int:
    """0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[_OWN_FROM:_OWN_TO]))
