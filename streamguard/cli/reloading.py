"""The configuration's file of a command that runs: read, and followed where there is one."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from streamguard.cli.logs import set_up_logs
from streamguard.config import Config
from streamguard.config.effects import Process
from streamguard.worker.reloading import ConfigSource, Reloading, mark_of


def follow_config(
    path: Path | None, read: Callable[[], Config], *, process: Callable[[Config], Process]
) -> tuple[Config, Reloading | None]:
    """What to run by, with its logs set up; and who reads it anew, when the file changes and on SIGHUP. Where there is
    no file nobody does, and SIGHUP ends the command as it ends others.

    Raises ConfigError and UsageError, as `read` does.
    """
    mark = None if path is None else mark_of(path)  # before it is read, so that no change is missed
    config = read()
    set_up_logs(config.log)
    if path is None:
        return config, None
    reloading = Reloading(ConfigSource(path, read, set_up_logs), process(config), config=config, mark=mark)

    def ask(_number: int, _frame: FrameType | None) -> None:
        reloading.ask()

    signal.signal(signal.SIGHUP, ask)
    return config, reloading
