"""The configuration's file while a process runs by it: read anew when it changes, and on SIGHUP.

What it says counts as a whole or not at all: a file that is wrong changes nothing, and the reason is told. Of one that
is right everything counts but what takes a restart, which is told by its name.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from streamguard.config import Config, LogConfig
from streamguard.config.changes import Change, changes, in_force
from streamguard.config.effects import Effect, Process
from streamguard.errors import StreamGuardError, counted
from streamguard.worker.own_thread import OwnThread
from streamguard.worker.reload_metrics import Outcome, ReloadMetrics
from streamguard.worker.reload_words import KILLS_MORE, keys_of, kills_more

LOOK_EVERY_TURNS = 4
TURN_S = 0.25
"""So soon a SIGHUP counts; the file is looked at once a second."""
MOST_LINES = 50
"""Of one reading; whoever exchanges a thousand labels gets no thousand lines."""

log = structlog.get_logger()

Mark = tuple[int, int, int, int] | None
"""By which a changed file is known; None: there is none. A file that is renamed into its place has another one."""


def mark_of(path: Path) -> Mark:
    """Links are followed, as those of a mounted ConfigMap lead elsewhere after a change."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """`read`: the file, the environment and the command line, found right or ConfigError and UsageError. `set_up_logs`:
    where what is said of logs has changed.
    """

    path: Path
    read: Callable[[], Config]
    set_up_logs: Callable[[LogConfig], None] = lambda _config: None


@dataclass(frozen=True, slots=True)
class ReloadState:
    """How it stands; other threads may read it. `problem`: why the file does not count. `waiting`: which options count
    after a restart.
    """

    loaded_unix_s: float
    problem: str = ""
    waiting: tuple[str, ...] = ()


class Reloading:
    """`connect()` it to what runs, start its `thread`, `ask()` from a signal handler, stop its thread."""

    def __init__(
        self,
        source: ConfigSource,
        process: Process,
        *,
        config: Config,
        mark: Mark,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`config` is what runs, and `mark` the file's from before it was read."""
        self._source = source
        self._process = process
        self._clock = clock
        self._mark = self._seen = mark
        self._apply: Callable[[Config], None] = lambda _config: None
        self._metrics: ReloadMetrics | None = None
        self._asked = False
        self.thread = OwnThread(self._run, name="config")
        self.config = config
        """What runs: the newest file, but for what takes a restart."""
        self.state = ReloadState(clock())

    def connect(self, metrics: ReloadMetrics, apply: Callable[[Config], None]) -> None:
        """`apply` makes it count: all of it, or none and a StreamGuardError. It is called in the thread."""
        self._metrics = metrics
        self._apply = apply
        self._show()

    def ask(self) -> None:
        """Read it anew now, whether the file has changed or not. For signal handlers: it takes no lock."""
        self._asked = True

    def detail(self) -> dict[str, object]:
        """As `/readyz` shows it."""
        state = self.state
        return {"problem": state.problem, "needs_restart": list(state.waiting), "loaded_unix_s": state.loaded_unix_s}

    def worth_a_look(self) -> list[str]:
        """In words; what runs goes on as it was, so it is no reason to restart."""
        if self.thread.is_lost:
            return ["nobody looks at the configuration any more; this is a bug, restart the process"]
        return [f"the configuration's file does not count: {self.state.problem}"] if self.state.problem else []

    def look(self) -> None:
        """Read it anew if it has changed, and stands still since the last look: somebody may be writing it."""
        mark = mark_of(self._source.path)
        is_still, self._seen = mark == self._seen, mark
        if is_still and mark != self._mark:
            self.reload()

    def reload(self) -> Outcome:
        """Read it anew, and make it count."""
        # Before reading: what changes meanwhile is a change.
        self._mark = self._seen = mark_of(self._source.path)
        try:
            new = self._source.read()
            found = changes(self.config, new, self._process)
            live = [change for change in found if change.effect is not Effect.RESTART]
            runs = in_force(self.config, new, self._process)
            if live:
                self._apply(runs)
            if runs.log != self.config.log:
                self._source.set_up_logs(runs.log)
        except StreamGuardError as error:
            return self._refused(str(error))
        self.config = runs
        waiting = tuple(change.option for change in found if change.effect is Effect.RESTART)
        return self._loaded(live, waiting=waiting)

    def _loaded(self, live: list[Change], *, waiting: tuple[str, ...]) -> Outcome:
        before = self.state
        self.state = ReloadState(self._clock(), waiting=waiting)
        for change in sorted(live, key=lambda one: not kills_more(one))[:MOST_LINES]:
            tell, note = (log.warning, {"note": KILLS_MORE}) if kills_more(change) else (log.info, {})
            tell("config_changed", option=change.option, takes_effect=change.effect.value, **keys_of(change), **note)
        if waiting and waiting != before.waiting:
            log.warning("config_needs_restart", options=", ".join(waiting), note="all else of the file counts now")
        changed = "nothing" if not live else counted(len(live), "option")
        log.info("config_reloaded", changed=changed, file=str(self._source.path))
        if waiting and (live or waiting != before.waiting):
            return self._counted(Outcome.NEEDS_RESTART)
        return self._counted(Outcome.APPLIED if live else Outcome.UNCHANGED)

    def _refused(self, problem: str) -> Outcome:
        before = self.state
        self.state = ReloadState(before.loaded_unix_s, problem, before.waiting)
        note = "nothing has changed: the configuration from before goes on; mend the file"
        log.error("config_refused", problem=problem, file=str(self._source.path), note=note)
        return self._counted(Outcome.REFUSED)

    def _counted(self, outcome: Outcome) -> Outcome:
        if self._metrics is not None:
            self._metrics.reloads.labels(outcome.value).inc()
        self._show()
        return outcome

    def _show(self) -> None:
        if self._metrics is not None:
            self._metrics.loaded.set(self.state.loaded_unix_s)
            self._metrics.refused.set(bool(self.state.problem))
            self._metrics.waiting.set(len(self.state.waiting))

    def _run(self) -> None:
        turns = 0
        while not self.thread.rest(TURN_S):
            turns += 1
            if self._asked:
                self._asked = False
                self.reload()
            elif turns % LOOK_EVERY_TURNS == 0:
                self.look()
