"""Keeps the evidence of each decision, beside the work: a thread writes it, and no kill waits for it."""

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import structlog

from streamguard import __version__
from streamguard.config import Config
from streamguard.enforce.evidence.file import EvidenceFile, to_bytes
from streamguard.enforce.evidence.store import EvidenceStore
from streamguard.enforce.signals.events import as_text, evidence_id, signal_id
from streamguard.errors import EvidenceError
from streamguard.types import SessionId, StreamId
from streamguard.worker.watcher import Found, Watcher

MOST_WAITING = 1000
DIRECTORY = "streamguard-evidence"

_DAY_S = 86_400.0
_MIB = 1 << 20
_CLEAN_UP_EVERY_S = 3600.0
_COMPLAIN_EVERY_S = 30.0
_LEAST_S = 0.5

log = structlog.get_logger()


class EvidenceCounts(Protocol):
    """What is counted of evidence files."""

    def evidence_kept(self) -> None: ...

    def evidence_not_kept(self) -> None: ...


def evidence_directory(config: Config) -> Path:
    """Where evidence files go: where the configuration says, else beside the outbox."""
    return config.evidence.directory or config.signals.outbox.parent / DIRECTORY


def evidence_store(config: Config) -> EvidenceStore:
    """The store that the configuration asks for."""
    kept = config.evidence
    most_bytes = kept.most_mib * _MIB
    return EvidenceStore(evidence_directory(config), keep_s=kept.keep_days * _DAY_S, most_bytes=most_bytes)


def evidence_of(found: Found, *, stream: str, decided_unix_s: float) -> EvidenceFile:
    """The evidence of a decision, under the id that its kill-signal has; reads the reference's thumbnail from disk."""
    decision, grounds = found.decision, found.grounds
    return EvidenceFile(
        id=signal_id(decision, session=found.session_id),
        evidence_id=evidence_id(decision),
        streamguard=__version__,
        stream=StreamId(as_text(stream)),
        session=SessionId(as_text(found.session_id)),
        decided_unix_s=round(decided_unix_s, 3),
        library_version=found.library_version,
        decision=decision,
        recording=grounds.recording,
        weights=asdict(grounds.weights),
        thumbnail=grounds.thumbnail,
        reference_thumbnail=grounds.reference_thumbnail(),
    )


class EvidenceKeeper:
    """Watches for decisions; `start` it, and `stop` it when no more can fall.

    What cannot be kept, because the disk is full or the directory is not ours, is counted and told, and lost: a kill
    does not hang on it.
    """

    def __init__(
        self,
        store: EvidenceStore,
        *,
        counts: EvidenceCounts,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._counts = counts
        self._clock = clock
        self._wall_clock = wall_clock
        self._waiting: queue.Queue[tuple[Found, float] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._failures = 0
        self._complain_at_s = -math.inf

    @property
    def watcher(self) -> Watcher:
        return Watcher(found=self._found)

    def start(self) -> None:
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Write what waits, for so long, and for a moment at least. Harmless where it was never started."""
        if self._thread.ident is None:
            return
        within_s = max(within_s, _LEAST_S)  # whoever stops before us may have taken all the time there was
        until_s = self._clock() + within_s
        with contextlib.suppress(queue.Full):  # told below
            self._waiting.put(None, timeout=within_s)
        self._thread.join(max(0.0, until_s - self._clock()))
        if self._thread.is_alive():
            log.error("evidence_lost", files=self._waiting.qsize(), note="the disk was too slow")

    def _found(self, found: Found) -> None:
        if self._thread.ident is not None and not self._thread.is_alive():
            self._failed("what writes it has died; the log says of what, and a restart helps")
            return
        try:
            self._waiting.put_nowait((found, self._wall_clock()))
        except queue.Full:
            self._failed("too many wait: the disk is too slow, or hangs")

    def _run(self) -> None:
        self._clean_up()
        due_s = self._clock() + _CLEAN_UP_EVERY_S
        while True:
            try:
                one = self._waiting.get(timeout=max(0.0, due_s - self._clock()))
            except queue.Empty:
                self._clean_up()
                due_s = self._clock() + _CLEAN_UP_EVERY_S
                continue
            if one is None:
                return
            self._keep(*one)

    def _keep(self, found: Found, decided_unix_s: float) -> None:
        try:
            file = evidence_of(found, stream=found.spec.stream, decided_unix_s=decided_unix_s)
            self._store.write(file.id, to_bytes(file))
        except EvidenceError as error:
            self._failed(str(error))
            return
        self._counts.evidence_kept()
        if self._failures:
            log.warning("evidence_recovered", failures=self._failures)
            self._failures, self._complain_at_s = 0, -math.inf

    def _clean_up(self) -> None:
        try:
            removed = self._store.clean_up()
        except EvidenceError as error:
            log.error("evidence_not_cleaned_up", problem=str(error))  # noqa: TRY400 - the line says all there is to it
            return
        if removed:
            log.info("evidence_cleaned_up", removed=removed)

    def _failed(self, problem: str) -> None:
        """At once, and from then on now and again."""
        self._counts.evidence_not_kept()
        self._failures += 1
        if self._clock() >= self._complain_at_s:
            self._complain_at_s = self._clock() + _COMPLAIN_EVERY_S
            log.error("evidence_not_kept", problem=problem, failures=self._failures)
