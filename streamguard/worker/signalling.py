"""From decisions to durable kill-signals: into the outbox first, and then wake the delivery."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog

from streamguard.enforce.signals.events import kill_signal
from streamguard.errors import OutboxError
from streamguard.types import AssetId, Decision, KillSignal, Verdict
from streamguard.worker.watcher import Found, Watcher

MOST_WAITING = 10_000
_COMPLAIN_EVERY_S = 30.0

log = structlog.get_logger()


class DurableQueue(Protocol):
    """The outbox, as far as it is filled here."""

    def append(self, signal: KillSignal) -> bool: ...


class SignalCounts(Protocol):
    """What is counted of signals."""

    def signalled(self, found: Found, *, after_evidence_s: float, after_keyframe_s: float) -> None: ...

    def outbox_failed(self) -> None: ...

    def signal_lost(self) -> None: ...


class Signaller:
    """Makes each of the supervisor's decisions durable.

    While the outbox fails (a full disk), signals wait in memory, are counted, and are tried again every second:
    watching goes on. They are not sent before they are durable, so that no signal can be sent twice with two ids; the
    log names each at once, so that a person can cut the stream meanwhile.
    """

    def __init__(  # noqa: PLR0913 - the parts it joins, each passed by name
        self,
        outbox: DurableQueue,
        *,
        worker: str,
        expires_after_s: float,
        wake: Callable[[], None],
        counts: SignalCounts,
        on_durable: Callable[[KillSignal], None] = lambda _signal: None,
        streams_believed: Callable[[AssetId], int] = lambda _asset: 0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._worker = worker
        self._expires_after_s = expires_after_s
        self._wake = wake
        self._counts = counts
        self._on_durable = on_durable
        self._streams_believed = streams_believed
        self._clock = clock
        self._wall_clock = wall_clock
        self._waiting: deque[tuple[KillSignal, Found]] = deque()
        self._dropped = 0
        self._failures = 0
        self._complain_at_s = -math.inf
        self.problem = ""
        """Why signals wait, in words; empty while none does. Other threads may read it."""

    @property
    def waiting(self) -> int:
        """Signals that are not durable yet."""
        return len(self._waiting)

    @property
    def watcher(self) -> Watcher:
        return Watcher(found=self._found, tick=lambda _statuses: self._make_durable())

    def _found(self, found: Found) -> None:
        signal = kill_signal(
            found.decision,
            stream=found.spec.stream,
            session=found.session_id,
            worker=self._worker,
            library_version=found.library_version,
            now_unix_s=self._wall_clock(),
            expires_after_s=self._expires_after_s,
            server=None if found.spec.origin is None else found.spec.origin.server,
            streams_believed=self._believed(found.decision),
        )
        if len(self._waiting) >= MOST_WAITING:
            lost, _ = self._waiting.popleft()
            self._dropped += 1
            self._counts.signal_lost()
            log.critical("signal_lost", signal=lost.event)
        self._waiting.append((signal, found))
        self._make_durable()
        if self._waiting:  # and so this one, the newest, as well
            note = "not durable, not sent: cut by hand, see docs/media-servers.md"
            log.critical("signal_waits", **_in_words(signal, found.decision), note=note)

    def _believed(self, decision: Decision) -> int:
        return self._streams_believed(decision.asset) if decision.verdict is Verdict.KILL else 0

    def last_words(self) -> int:
        """Before the process ends: what still cannot be made durable goes into the log, whole. Returns how many signals
        were lost since the start: these, and those that there was no room for.
        """
        self._make_durable()
        for signal, _ in self._waiting:
            log.critical("signal_not_durable", signal=signal.event)
        return self._dropped + len(self._waiting)

    def _make_durable(self) -> None:
        while self._waiting:
            signal, found = self._waiting[0]
            try:
                # It may be there already, when an earlier attempt failed only after it was written.
                self._outbox.append(signal)
            except OutboxError as error:
                self._complain(error)
                return
            self.problem = ""
            self._waiting.popleft()
            self._wake()
            self._signalled(signal, found)
        if self._failures:
            log.warning("outbox_recovered", failures=self._failures)
            self._failures, self._complain_at_s = 0, -math.inf

    def _complain(self, error: OutboxError) -> None:
        """At once, and from then on now and again."""
        self._counts.outbox_failed()
        self.problem = str(error)
        self._failures += 1
        if self._clock() >= self._complain_at_s:
            self._complain_at_s = self._clock() + _COMPLAIN_EVERY_S
            log.critical("outbox_failed", problem=str(error), waiting=self.waiting, failures=self._failures)

    def _signalled(self, signal: KillSignal, found: Found) -> None:
        decision = found.decision
        after_keyframe_s = max(0.0, self._clock() - found.arrived_s)
        evidence_s = (decision.at.pts_us - decision.first_evidence.pts_us) / 1e6
        self._counts.signalled(found, after_evidence_s=evidence_s + after_keyframe_s, after_keyframe_s=after_keyframe_s)
        log.warning("signal", **_in_words(signal, decision))
        self._on_durable(signal)


def _in_words(signal: KillSignal, decision: Decision) -> dict[str, object]:
    """What a person needs who has to cut the stream, or to judge whether that was right."""
    return {
        "verdict": signal.verdict.value,
        "stream": signal.stream,
        "session_id": signal.session,
        "id": signal.id,
        "reference": decision.asset,
        "label": decision.label,
        "at_s": round(decision.at.pts_us / 1e6, 3),
        "reference_at_s": round(decision.reference_us / 1e6, 3),
        "nats": round(decision.nats, 1),
    }
