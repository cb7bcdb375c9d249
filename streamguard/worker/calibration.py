"""Harmless footage through the very pipeline that watches streams, to see how near it comes to a verdict.

Files are decoded and streams pulled by the supervisor's confined children, as for `check` and `watch`; what is kept of
them are the near misses alone.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from streamguard.core.calibrate import Near, peaks
from streamguard.core.decide import DecisionState, step, strengths
from streamguard.core.features import REFERENCE, STREAM
from streamguard.core.rules import BUILT_IN_RULES
from streamguard.errors import UsageError
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.regular_files import open_regular
from streamguard.types import MediaTime, Observation, StreamId, Verdict
from streamguard.worker.calibration_state import Killed, Watched
from streamguard.worker.matcher import Matched, Matcher
from streamguard.worker.streams import Stream, StreamSpec, StreamState
from streamguard.worker.supervisor import Supervisor, SupervisorOptions
from streamguard.worker.watcher import Found, Watcher

MEASURE = hashlib.sha256(repr((BUILT_IN_RULES, STREAM, REFERENCE)).encode()).hexdigest()[:16]
"""Near misses are counted as the built-in rule and weights count, of features read as they are now; those of another
StreamGuard are not comparable.
"""

_BLOCK_S = 60.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Unusable:
    """An input that was not watched to its end, and why; the others go on."""

    input: str
    problem: str


Outcome = Watched | Unusable


@dataclass(frozen=True, slots=True)
class Harmless:
    """Footage that is said to hold nothing known."""

    spec: StreamSpec
    identity: str


def identity_of_file(path: Path) -> str:
    """By its content: another name or place changes nothing. Raises UsageError."""
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise UsageError("read", path, problem, hint="check the path") from error
    return f"sha256:{digest.hexdigest()}"


def library_to_calibrate(path: Path) -> Snapshot:
    """Without any rule of its own: it may be damaged, or what is to be replaced. Raises UsageError, LibraryError."""
    snapshot = load_snapshot(path)
    if not snapshot.items:
        problem = "nothing in it is enabled, so nothing could be mistaken for it"
        hint = f"streamguard library add --library {path} FILE..."
        raise UsageError("calibrate", path, problem, hint=hint)
    return snapshot


@dataclass(slots=True)
class _Session:
    """One connection's nearest to a verdict in each minute."""

    state: DecisionState = field(default_factory=DecisionState)
    first: MediaTime | None = None
    last: MediaTime | None = None
    keyframes: int = 0
    is_new: bool = False
    """What it shows now was not shown before."""
    kills: dict[int, Near] = field(default_factory=dict)
    reviews: dict[int, Near] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From its first keyframe to its last: rather less than it lasted than more, for hours make promises."""
        return 0.0 if self.first is None or self.last is None else (self.last.pts_us - self.first.pts_us) / 1e6


@dataclass(slots=True)
class Seen:
    """One input so far. A recording that is served as a live stream is seen again at each connection, and perhaps not
    to its end: what a connection showed before, from its start on, is no more footage.
    """

    shown: set[int] = field(default_factory=set)
    sessions: dict[int, _Session] = field(default_factory=dict)
    kills: list[Killed] = field(default_factory=list)

    def saw(self, observation: Observation, *, shown: int, between: bool = False) -> None:
        """A keyframe; `shown` is a hash of all that its connection has shown, this included. Or a picture `between`
        two, which is new where the keyframe before it is: which of these are looked at is by chance.
        """
        at = observation.at
        session = self.sessions.setdefault(at.session, _Session())
        if not between:
            session.is_new = shown not in self.shown
            self.shown.add(shown)
            if session.is_new:
                session.first, session.last = session.first or at, at
                session.keyframes += 1
        if session.is_new and observation.evidence:
            for strength in strengths(session.state, observation, BUILT_IN_RULES.rule):
                # One keyframe is never a kill, and worth less than any: but it says how often what looks alike comes.
                near_kill_nats = max(strength.kill_nats, strength.keyframe_nats)
                _keep(session.kills, Near(at.pts_us / 1e6, near_kill_nats, strength.asset))
                _keep(session.reviews, Near(at.pts_us / 1e6, strength.review_nats, strength.asset))
        session.state, _ = step(session.state, [observation], BUILT_IN_RULES.rule)

    def watched(self, harmless: Harmless) -> Watched:
        sessions = self.sessions.values()
        return Watched(
            input=harmless.spec.public_url,
            identity=harmless.identity,
            seconds=sum(session.seconds for session in sessions),
            keyframes=sum(session.keyframes for session in sessions),
            kills=tuple(self.kills),
            near_kills=tuple(near for session in sessions for near in peaks(session.kills.values())),
            near_reviews=tuple(near for session in sessions for near in peaks(session.reviews.values())),
        )


class Calibration:
    """Runs inputs, and hands out what each showed as soon as it is over."""

    def __init__(
        self,
        library: Snapshot,
        *,
        options: SupervisorOptions,
        outcome: Callable[[Outcome], None],
        progress: Callable[[Mapping[StreamId, float]], None] = lambda _shares: None,
    ) -> None:
        """`progress` is told the share of each input that runs, about once a second."""
        library = replace(library, rules=None)
        self._matcher = Matcher(lambda: library, rule=BUILT_IN_RULES.rule, weights=BUILT_IN_RULES.weights)
        self._options = options
        self._outcome = outcome
        self._progress = progress
        self._seen: dict[StreamId, Seen] = {}
        self._shares: dict[StreamId, float] = {}
        self._inputs: dict[StreamId, Harmless] = {}
        self._supervisor: Supervisor | None = None
        self._failed: Exception | None = None

    def run_files(self, inputs: Sequence[Harmless]) -> None:
        """Each to its end. Raises what `outcome` does."""
        self._run(inputs)

    def run_live(self, inputs: Sequence[Harmless], *, seconds: float) -> None:
        """All at once for so long, with as many sessions as it takes; what was seen until Ctrl-C counts, too."""
        try:
            self._run(inputs, seconds=seconds)
        finally:
            statuses = () if self._supervisor is None else self._supervisor.statuses
            reasons = {status.stream: status.reason for status in statuses}
            for name, harmless in self._inputs.items():
                seen = self._seen.get(name)
                if seen is None:
                    why = reasons.get(name) or "it is silent"
                    problem = f"no keyframe came in {seconds:g} s: {why}"
                    self._outcome(Unusable(harmless.spec.public_url, problem))
                else:
                    self._outcome(seen.watched(harmless))

    def _run(self, inputs: Sequence[Harmless], *, seconds: float | None = None) -> None:
        self._inputs = {harmless.spec.stream: harmless for harmless in inputs}
        watcher = Watcher(keyframe=self._keyframe, found=self._found, finished=self._finished, tick=self._tick)
        supervisor = Supervisor(
            [harmless.spec for harmless in inputs], matcher=self._matcher, watchers=(watcher,), options=self._options
        )
        self._supervisor = supervisor
        supervisor.run(stop_after_s=seconds)
        if self._failed is not None:
            raise self._failed

    def _keyframe(self, stream: Stream, matched: Matched) -> None:
        seen = self._seen.setdefault(stream.spec.stream, Seen())
        seen.saw(matched.observation, shown=stream.shown, between=matched.between)
        if stream.duration_s:
            self._shares[stream.spec.stream] = min(1.0, stream.media_s / stream.duration_s)

    def _found(self, found: Found) -> None:
        decision = found.decision
        if decision.verdict is Verdict.KILL:
            killed = Killed(decision.at.pts_us / 1e6, decision.nats, decision.asset, decision.reference_us / 1e6)
            self._seen.setdefault(found.spec.stream, Seen()).kills.append(killed)

    def _finished(self, stream: Stream) -> None:
        name = stream.spec.stream
        seen = self._seen.pop(name, Seen())
        self._shares.pop(name, None)
        harmless = self._inputs[name]
        # A file that is too short to be decided on was still seen whole.
        is_whole = not stream.failed or stream.state is StreamState.ENDED
        try:
            self._outcome(seen.watched(harmless) if is_whole else Unusable(harmless.spec.public_url, stream.reason))
        except Exception as error:  # noqa: BLE001 - we are in the supervisor's loop, which would take it for a stream's fault
            self._failed = self._failed or error
            if self._supervisor is not None:
                self._supervisor.stop()

    def _tick(self, _statuses: object) -> None:
        with suppress(OSError):  # a terminal that went away
            self._progress(self._shares)


def _keep(nearest: dict[int, Near], near: Near) -> None:
    """The nearest of its minute; what agrees with nothing is none."""
    block = int(near.at_s // _BLOCK_S)
    if near.nats > 0 and (block not in nearest or near.nats > nearest[block].nats):
        nearest[block] = near
