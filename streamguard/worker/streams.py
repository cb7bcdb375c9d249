"""What the worker knows of each stream, and how an operator sees it."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from streamguard.core.decide import DecisionState
from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Pace
from streamguard.ingest.options import RtmpNames
from streamguard.types import AssetId, SessionId, StreamId, Verdict
from streamguard.worker.children import Rubbish
from streamguard.worker.messages import Message
from streamguard.worker.quarantine import Quarantine

MOST_LINES = 20
LINES_PERIOD_S = 60.0
MOST_KINDS = 20
_NUMBER = re.compile(r"\d+")


class StreamState(Enum):
    """Nothing is ever "clear" because it could not be watched: only `watching` means that somebody looks."""

    CONNECTING = "connecting"
    """No answer yet, or no picture so far. Until a new connection stands, the last one's end shows."""
    WATCHING = "watching"
    STALLED = "stalled"
    """Connected, but nothing new comes. Lasts until a keyframe does, or until connecting fails."""
    BLIND = "blind"
    """Connected, but nothing can be decoded; the reason says why. Lasts as `stalled` does."""
    ENDED = "ended"
    """The publisher left, or the file is over."""


class Restart(Enum):
    """Why a decoder was started again although its source did not end by itself."""

    CRASH = "crash"
    LIMIT = "limit"
    """It wanted more memory, processor time or looks than it may have."""
    HANG = "hang"
    RUBBISH = "rubbish"
    FAULT = "fault"
    """The worker's own code failed on this stream."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stream was discovered: the media server, and its own name of the publisher's session. `unwatchable`: why
    it cannot be pulled, if so.
    """

    server: str
    session: SessionId
    rtmp: RtmpNames | None = None
    unwatchable: str = ""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream to watch. `url` may hold credentials, `stream` and `public_url` never. `once`: a file, not retried.
    `origin`: only of one that was discovered; then this is one session of it, and the next one is another spec.
    """

    stream: StreamId
    url: str = field(repr=False)
    public_url: str
    once: bool
    origin: Origin | None = None

    @property
    def key(self) -> StreamId:
        """No other stream of the worker has it: two servers may have a stream of one name."""
        return self.stream if self.origin is None else StreamId(f"{self.origin.server}\0{self.stream}")


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream as `/api/streams`, the log and the summary show it. `failed`: given up before its end, or undecided.

    `verdict` is the session's; None while nobody sees it: that is not the same as clear. `passed_over` counts the
    keyframes that were not looked at, by the attention that it had then. `server`: of a stream that was discovered.
    """

    stream: StreamId
    server: str | None
    url: str
    state: StreamState
    reason: str
    session_id: SessionId | None
    sessions: int
    codec: str
    width_px: int
    height_px: int
    keyframes: int
    damaged: int
    seconds: float
    lag_s: float | None
    since_last_keyframe_s: float | None
    restarts: int
    attention: Attention
    passed_over: Mapping[Attention, int]
    verdict: Verdict | None
    decisions: int
    failed: bool

    @property
    def undecided(self) -> bool:
        """A file that was watched to its end, and is neither clear nor found: the reason says what it looks like."""
        return self.failed and self.state is StreamState.ENDED

    def as_json(self) -> dict[str, object]:
        """Plain values, for JSON."""
        rounded = {
            "seconds": round(self.seconds, 3),
            "lag_s": None if self.lag_s is None else round(self.lag_s, 4),
            "since_last_keyframe_s": None
            if self.since_last_keyframe_s is None
            else round(self.since_last_keyframe_s, 3),
        }
        plain = {name: getattr(self, name) for name in self.__slots__}
        words = {
            "state": self.state.value,
            "attention": self.attention.value,
            "passed_over": sum(self.passed_over.values()),
            "verdict": self.verdict and self.verdict.value,
        }
        return plain | words | rounded


class RunningDecoder(Protocol):
    """A decoder child, as far as the supervisor uses it; see worker.children."""

    def fileno(self) -> int: ...

    def received(self, *, most: int) -> Iterator[Message | Rubbish | None]: ...

    def steer(self, pace: Pace, /) -> bool: ...

    def ask_for_kept(self) -> bool: ...

    def exit_code(self) -> int | None: ...

    def end(self) -> None: ...

    def gone(self, *, within_s: float) -> bool: ...


@dataclass(slots=True)
class LineLimit:
    """So that one stream that flutters cannot flood the log: so many lines in a period, and the rest are counted."""

    began_s: float = -math.inf
    lines: int = 0
    left_out: int = 0

    def passes(self, now_s: float) -> bool:
        """Whether there may be another line now."""
        if now_s - self.began_s >= LINES_PERIOD_S:
            self.began_s, self.lines = now_s, 0
        if self.lines >= MOST_LINES:
            self.left_out += 1
            return False
        self.lines += 1
        return True

    def left_out_before(self) -> dict[str, int]:
        """What the next line must say of those before it."""
        left_out, self.left_out = self.left_out, 0
        return {"lines_left_out": left_out} if left_out else {}


@dataclass(slots=True)
class ToldStates:
    """So that a stream that fails in the same way again and again has one line for it, until its state changes."""

    state: StreamState | None = None
    kinds: set[str] = field(default_factory=set)

    def knows(self, state: StreamState, kind: str) -> bool:
        """Whether a reason of this kind was told of this state already. How many seconds it names is no other kind."""
        return state is self.state and _NUMBER.sub("#", kind) in self.kinds

    def note(self, state: StreamState, kind: str) -> None:
        """It has been told."""
        if state is not self.state or len(self.kinds) >= MOST_KINDS:
            self.state, self.kinds = state, set()
        self.kinds.add(_NUMBER.sub("#", kind))


@dataclass(slots=True)
class Stream:
    """The supervisor's own record of a stream. Only its loop changes it."""

    spec: StreamSpec
    state: StreamState = StreamState.CONNECTING
    reason: str = ""
    decoder: RunningDecoder | None = None
    session_id: SessionId | None = None
    """Of our connection to it."""
    sessions: int = 0
    earlier_sessions: int = 0
    """Of others who were discovered under this name before."""
    decision_state: DecisionState = field(default_factory=DecisionState)
    session_keyframes: int = 0
    unseen: str = ""
    """Why a part of it could not be watched, if so: such a file is not clear, whatever the rest shows."""
    looks_like: AssetId | None = None
    """What its last keyframe with any evidence was nearest to."""
    shown: int = 0
    """A hash of all that this session has shown; that of the last one to end is `shown_before`."""
    shown_before: int = 0
    same_in_row: int = 0
    failures_in_row: int = 0
    start_at_s: float = -math.inf
    began_at_s: float = -math.inf
    heard_at_s: float = 0.0
    seen_at_s: float = 0.0
    codec: str = ""
    width_px: int = 0
    height_px: int = 0
    keyframes: int = 0
    damaged: int = 0
    media_s: float = 0.0
    duration_s: float | None = None
    lag_s: float | None = None
    keyframe_at_s: float | None = None
    hid_at_s: float = -math.inf
    """When its decoder said last that something may hide between its keyframes."""
    pace: Pace = EVERY_KEYFRAME
    """What its decoder was told last."""
    may_rest_s: float = 0.0
    """What its decoder had been told when it last looked: a new pace does not call the pause before it a fault."""
    may_be_silent_s: float = math.inf
    """So long its decoder may say nothing, and so long show nothing: as that was started, whatever counts by now."""
    may_be_blind_s: float = math.inf
    passed_over: Counter[Attention] = field(default_factory=Counter)
    restarts: Counter[Restart] = field(default_factory=Counter)
    verdict: Verdict = Verdict.CLEAR
    decisions: int = 0
    finished: bool = False
    failed: bool = False
    line_limit: LineLimit = field(default_factory=LineLimit)
    told: ToldStates = field(default_factory=ToldStates)
    quarantine: Quarantine = field(default_factory=Quarantine)

    @property
    def session(self) -> SessionId | None:
        """As signals, logs and people call it: the server's own, where it was discovered, else our connection's."""
        return self.session_id if self.spec.origin is None else self.spec.origin.session

    def begin(self, session_id: SessionId, *, now_s: float) -> None:
        """Another connection, which knows nothing of the last one."""
        self.session_id = session_id
        self.sessions += 1
        self.session_keyframes = self.shown = 0
        self.decision_state = DecisionState()
        self.pace, self.may_rest_s = EVERY_KEYFRAME, 0.0
        self.hid_at_s = -math.inf
        self.verdict = Verdict.CLEAR
        self.began_at_s = self.heard_at_s = self.seen_at_s = now_s

    def status(self, *, now_s: float) -> StreamStatus:
        return StreamStatus(
            stream=self.spec.stream,
            server=None if self.spec.origin is None else self.spec.origin.server,
            url=self.spec.public_url,
            state=self.state,
            reason=self.reason,
            session_id=self.session,
            sessions=self.earlier_sessions + self.sessions,
            codec=self.codec,
            width_px=self.width_px,
            height_px=self.height_px,
            keyframes=self.keyframes,
            damaged=self.damaged,
            seconds=self.media_s,
            lag_s=self.lag_s,
            since_last_keyframe_s=None if self.keyframe_at_s is None else now_s - self.keyframe_at_s,
            restarts=self.restarts.total(),
            attention=self.pace.attention,
            passed_over=dict(self.passed_over),
            verdict=self._verdict_to_show(),
            decisions=self.decisions,
            failed=self.failed,
        )

    def _verdict_to_show(self) -> Verdict | None:
        is_seen = self.session_keyframes and not self.failed and self.state in (StreamState.WATCHING, StreamState.ENDED)
        return self.verdict if is_seen or self.verdict is not Verdict.CLEAR else None
