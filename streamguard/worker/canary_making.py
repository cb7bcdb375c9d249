"""The canary's footage and its reference, made once by a child process, in a folder for temporary files.

The reference is a library of its own: the operator's has neither another item nor another version for it.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamguard.library.loading import load_snapshot
from streamguard.types import AssetId
from streamguard.worker.canary_metrics import Stage
from streamguard.worker.forkserver import forkserver_must_answer
from streamguard.worker.matcher import Searchable
from streamguard.worker.task_child import TaskChild
from streamguard.worker.watchdog import Watchdog

ASSET = AssetId("streamguard-canary")
LABEL = "streamguard-canary"
CLIP = "canary.mp4"
LIBRARY = "library"
MADE, FAILED = b"m", b"e"
"""How the child's last message begins; with the second one the problem follows. Others say that it is busy."""

Make = Callable[..., None]
"""The child's main function: its end of a pipe, the folder to fill with CLIP and LIBRARY, and its `memory_mib`."""

_WITHIN_S = 120.0
_START_S = 10.0
_MEMORY_MIB = 2048
_MOST_BYTES = 1 << 16
_MESSAGES_A_TURN = 64
_PREFIX = "streamguard-canary-"


@dataclass(frozen=True, slots=True)
class Failure:
    """How far it came, and why no farther."""

    stage: Stage
    problem: str


@dataclass(frozen=True, slots=True)
class Made:
    """What the canary shows, and what it must be recognised by."""

    clip: Path
    reference: Searchable


class Making:
    """Started with its child; then `turn()` now and again, from the same thread, and `end()` once."""

    def __init__(self, make: Make) -> None:
        """Raises OSError: no folder, or no process can be had."""
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._watchdog = Watchdog()
        try:
            self._watchdog.start()
            with forkserver_must_answer(_START_S):
                self._child = TaskChild(
                    make, str(self.folder), memory_mib=_MEMORY_MIB, silence_s=_WITHIN_S, watchdog=self._watchdog
                )
        except OSError:
            self._watchdog.close()
            remove(self.folder)
            raise

    def turn(self) -> Made | Failure | None:
        """None: not yet. Never waits. Raises LibraryError where what was made cannot be read."""
        for _ in range(_MESSAGES_A_TURN):
            if not self._child.connection.poll(0):
                return None
            try:
                message = self._child.receive(most_bytes=_MOST_BYTES)
            except (EOFError, OSError):
                how = f"took over {_WITHIN_S:.0f} s" if self._child.timed_out else "ended without a word"
                return Failure(Stage.MAKE, f"the process that makes its footage {how}")
            if message.startswith(FAILED):
                problem = message.removeprefix(FAILED).decode("utf-8", "replace")
                return Failure(Stage.MAKE, f"its footage could not be made: {problem}")
            if message == MADE:
                return Made(self.folder / CLIP, load_snapshot(self.folder / LIBRARY))
        return None

    def end(self) -> None:
        """Of the child; what it made stays, until it is removed."""
        self._child.end()
        self._watchdog.close()


def remove(folder: Path) -> None:
    """With all that is in it; what cannot be removed is left."""
    shutil.rmtree(folder, ignore_errors=True)
