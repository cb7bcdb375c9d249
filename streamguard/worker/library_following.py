"""New versions of the library, taken up while streams are watched."""

import time
from collections.abc import Callable

import structlog

from streamguard.core.rules import BUILT_IN_RULES
from streamguard.library.in_threads import stand_back
from streamguard.library.watch import SnapshotHolder
from streamguard.worker.library_trial import LibraryTrial
from streamguard.worker.metrics import Metrics
from streamguard.worker.own_thread import OwnThread

_TRIAL_READY_AFTER_S = 5.0
"""A worker that ends before then, as a rehearsal may, has rarely seen a new version."""

log = structlog.get_logger()


class LibraryFollower:
    """Looks for them in its `thread`, every `every_s()`. Where that is lost, what serves grows stale."""

    def __init__(
        self, library: SnapshotHolder, trial: LibraryTrial, *, metrics: Metrics, every_s: Callable[[], float]
    ) -> None:
        self._library = library
        self._trial = trial
        self._metrics = metrics
        self._every_s = every_s
        self.thread = OwnThread(self._run, name="library")

    def look(self) -> None:
        """Once: what is new serves from then on, and what does not load is told and counted."""
        refreshed = self._library.refresh()
        snapshot = self._library.snapshot
        if refreshed.error is not None and not self.thread.is_asked:  # the trial's child may be gone by then
            self._metrics.library_refused(refreshed.error)
            log.error("library_not_loaded", problem=str(refreshed.error), serving=snapshot.version)
        if refreshed.changed:
            self._metrics.library_version(snapshot.version)
            rule = (snapshot.rules or BUILT_IN_RULES).rule.name
            log.info("library_loaded", version=snapshot.version, items=snapshot.items, looks=snapshot.looks, rule=rule)

    def _run(self) -> None:
        stand_back()
        self._metrics.library_version(self._library.snapshot.version)
        ready_at_s = time.monotonic() + _TRIAL_READY_AFTER_S
        while not self.thread.rest(self._every_s()):
            if time.monotonic() >= ready_at_s:
                self._trial.prepare()
            self.look()
