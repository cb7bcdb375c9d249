"""Decoders that play a script on a clock of their own, for a supervisor that never waits."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.replay import Recording
from streamguard.core.rules import BUILT_IN_WEIGHTS, Rules
from streamguard.core.sampling import Pace
from streamguard.core.thumbnails import thumbnail
from streamguard.errors import StreamGuardError
from streamguard.ingest.sources import SourceOptions
from streamguard.types import (
    FULL_RANGE,
    NO_FEATURES,
    PDQ_BITS,
    WHOLE_PICTURE,
    AssetId,
    Candidate,
    Features,
    Fingerprint,
    Fingerprints,
    MediaKind,
    MediaTime,
    Place,
    StreamId,
    View,
    Votes,
)
from streamguard.worker.children import Rubbish
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.matcher import Grounds, Matched, Matcher
from streamguard.worker.messages import Failed, Kept, KeptTold, Message
from streamguard.worker.roster import Discovered, Roster
from streamguard.worker.streams import Restart, Stream, StreamSpec, StreamState, StreamStatus
from streamguard.worker.supervisor import Supervisor, SupervisorOptions
from streamguard.worker.watcher import Found, Watcher

STEP_S = 0.05
ANSWERS_AFTER_S = 0.2
LAST_FRAMES_S = 0.5
"""The metronome never has nothing to say, so stopping takes as long as it may."""

METRONOME = StreamId("metronome")
OPTIONS = SupervisorOptions(SourceOptions(blind_after_s=30.0), hang_timeout_s=45.0)

THUMBNAIL = thumbnail(np.full((180, 320), 90, np.uint8), levels=FULL_RANGE)
REFERENCE_THUMBNAIL = thumbnail(np.full((180, 320), 160, np.uint8), levels=FULL_RANGE)

GROUNDS = Grounds(Recording(BUILT_IN_RULE, (), None), BUILT_IN_WEIGHTS, b"", lambda: b"")
"""Of a decision that nobody asks about."""

Line = tuple[float, Message | Rubbish | None]
"""What a decoder says, and how many seconds after its start. None: it is gone."""

Script = Sequence[Line] | OSError
"""One session. An OSError: it cannot even be started."""


def keyframe(at_s: float, *, known_s: int | None = None, arrived_s: float = 0.0, poison: bool = False) -> Fingerprints:
    """A keyframe that shows second `known_s` of the known footage, or nothing that is known."""
    head = bytes([2]) if poison else bytes([0, 0]) if known_s is None else bytes([1, known_s])
    look = Fingerprint(WHOLE_PICTURE, 90, tuple(head.ljust(32, b"\0") for _ in range(8)))
    at = MediaTime(0, round(at_s * 1e6))
    return Fingerprints(at, arrived_s, 320, 180, (look,), thumbnail=THUMBNAIL)


def failing(error: StreamGuardError) -> list[Line]:
    """A session whose source fails at once."""
    return [(0.1, Failed(error))]


KNOWN: list[Line] = [(0.1 + 2 * n, keyframe(2.0 * n, known_s=2 * n)) for n in range(3)]
UNKNOWN: list[Line] = [(0.1 + 2 * n, keyframe(2.0 * n)) for n in range(30)]


class FakeLibrary:
    """Knows the footage `clip`, second by second."""

    version = "v1"
    rules: Rules | None = None
    fallen: frozenset[AssetId] = frozenset()
    hot: "FakeLibrary | None" = None
    in_incidents: frozenset[AssetId] = frozenset()

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:  # noqa: ARG002 - Searchable's
        mark, second, *_ = prints[0].codes[0]
        if mark == 2:
            raise RuntimeError("poisoned")
        if mark == 0:
            return ()
        place = Place(second * 1_000_000, second * 1_000_000 + 400_000)
        return (Candidate(AssetId("clip"), "terror", MediaKind.VIDEO, place, PDQ_BITS, View.UPRIGHT, WHOLE_PICTURE, 0),)

    def vote(self, features: Features, *, closely: bool) -> tuple[Votes, ...]:  # noqa: ARG002 - the library's
        assert features is NO_FEATURES
        return ()

    def picture(self, asset: AssetId, place: Place) -> bytes:
        assert (asset, place.to_us - place.from_us) == ("clip", 400_000)
        return REFERENCE_THUMBNAIL


@dataclass(slots=True)
class FakeClock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeDecoder:
    """Plays one script; always readable, so that nobody waits for it."""

    def __init__(self, job: DecoderJob, script: Sequence[Line], clock: FakeClock) -> None:
        self.job = job
        self.code: int | None = -11
        self.immortal = False
        self.deaf = False
        self.told: list[tuple[float, Pace]] = []
        self.asked_for_kept_s: list[float] = []
        self.answer: tuple[Message, ...] = (KeptTold(),)
        self.ended = False
        self.started_s = clock()
        self._clock = clock
        self._lines = list(script)
        self._file = os.eventfd(1)

    def fileno(self) -> int:
        return self._file

    def be_a_plain_file(self) -> None:
        """The kernel refuses to watch one, as it refuses anything when it is out of memory."""
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), self._file)

    def received(self, *, most: int) -> Iterator[Message | Rubbish | None]:
        for _ in range(most):
            if not self._lines or self._lines[0][0] > self._clock() - self.started_s:
                return
            message = self._lines.pop(0)[1]
            match message:
                case Fingerprints():
                    message = self._of_this_session(message)
                case Kept(keyframe):
                    message = Kept(self._of_this_session(keyframe))
            yield message

    def _of_this_session(self, keyframe: Fingerprints) -> Fingerprints:
        return replace(keyframe, at=MediaTime(self.job.session, keyframe.at.pts_us))

    def steer(self, pace: Pace, /) -> bool:
        """Told with the time since its start, unless it is deaf."""
        if not self.deaf:
            self.told.append((self._clock() - self.started_s, pace))
        return not self.deaf

    def ask_for_kept(self) -> bool:
        """It answers in a moment, and says nothing else before that."""
        if not self.deaf:
            self.asked_for_kept_s.append(self._clock() - self.started_s)
            at_s = self.asked_for_kept_s[-1] + ANSWERS_AFTER_S
            self._lines[:0] = [(at_s, message) for message in self.answer]
        return not self.deaf

    def exit_code(self) -> int | None:
        return self.code

    def end(self) -> None:
        assert not self.ended, "ended twice"
        self.ended = True

    def gone(self, *, within_s: float) -> bool:  # noqa: ARG002 - RunningDecoder's
        assert self.ended
        if not self.immortal:
            os.close(self._file)
        return not self.immortal


class Metronome(FakeDecoder):
    """Turns the clock a step each time it is listened to, and shows something unknown meanwhile."""

    def received(self, *, most: int) -> Iterator[Message | Rubbish | None]:  # noqa: ARG002 - RunningDecoder's
        self._clock.now_s += STEP_S
        seen = keyframe(self._clock() - 1000.0)
        yield Fingerprints(MediaTime(self.job.session, seen.at.pts_us), self._clock(), 320, 180, seen.prints)

    def ask_for_kept(self) -> bool:
        """It passes over nothing."""
        return False


@dataclass(slots=True)
class Stage:
    """A supervisor with streams that play their scripts, one after the other, the last one again and again."""

    scripts: Mapping[str, Sequence[Script]]
    once: bool = False
    options: SupervisorOptions = OPTIONS
    clock: FakeClock = field(default_factory=FakeClock)
    decoders: dict[str, list[FakeDecoder]] = field(default_factory=dict)
    starts: list[tuple[float, str, int]] = field(default_factory=list)
    states: list[tuple[float, str, StreamState, str]] = field(default_factory=list)
    keyframes: list[tuple[str, int]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    restarted: list[Restart] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    most_running: int = 0
    watchers: tuple[Watcher, ...] = ()
    exit_code: int | None = -11
    immortal: bool = False
    cannot_be_waited_for: str = ""
    """The stream whose decoders no selector takes."""
    library: FakeLibrary = field(default_factory=FakeLibrary)
    on_start: Callable[[FakeDecoder], None] = lambda _: None
    """For what a test changes of a decoder."""
    discovered: Discovered | None = None
    """Streams that come and leave; their scripts, too, go by their names."""

    def supervisor(self) -> Supervisor:
        named = list(self.scripts) if self.discovered is None else []
        names = [*named, METRONOME] if not self.once else named
        specs = [StreamSpec(StreamId(name), f"rtmp://u:p@h/{name}", f"rtmp://h/{name}", self.once) for name in names]
        own = Watcher(
            keyframe=self._keyframe, found=self.found.append, state_changed=self._state_changed,
            restarted=self.restarted.append, finished=lambda stream: self.finished.append(stream.spec.stream),
            tick=lambda _statuses: self.ticks.append(self.clock()),
        )  # fmt: skip
        return Supervisor(
            Roster(specs, discovered=self.discovered),
            matcher=Matcher(lambda: self.library, rule=BUILT_IN_RULE),
            watchers=(own, *self.watchers),
            options=self.options,
            start=self._start,
            clock=self.clock,
        )

    def run(self, seconds: float) -> dict[str, StreamStatus]:
        """How each stream stands after so many seconds."""
        statuses = self.supervisor().run(stop_after_s=seconds)
        return {status.stream: status for status in statuses if status.stream != METRONOME}

    def start_times(self, name: str) -> list[float]:
        """Of its sessions, from 0."""
        return [at_s - 1000.0 for at_s, started, _ in self.starts if started == name]

    def states_of(self, name: str) -> list[tuple[str, str]]:
        return [(state.value, reason) for _, stream, state, reason in self.states if stream == name]

    def _start(self, job: DecoderJob) -> FakeDecoder:
        number = sum(name == job.name for _, name, _ in self.starts)
        self.starts.append((self.clock(), job.name, job.session))
        if job.name == METRONOME:
            decoder: FakeDecoder = Metronome(job, (), self.clock)
        else:
            scripts = self.scripts[job.name]
            script = scripts[min(number, len(scripts) - 1)]
            if isinstance(script, OSError):
                raise script
            decoder = FakeDecoder(job, script, self.clock)
        decoder.code, decoder.immortal = self.exit_code, self.immortal
        self.on_start(decoder)
        if job.name == self.cannot_be_waited_for:
            decoder.be_a_plain_file()
        self.decoders.setdefault(job.name, []).append(decoder)
        running = sum(not one.ended for one in self.all_decoders())
        self.most_running = max(self.most_running, running)
        return decoder

    def all_decoders(self) -> list[FakeDecoder]:
        return [one for decoders in self.decoders.values() for one in decoders]

    def _keyframe(self, stream: Stream, matched: Matched) -> None:
        self.keyframes.append((stream.spec.stream, matched.observation.at.session))

    def _state_changed(self, stream: Stream) -> None:
        self.states.append((self.clock(), stream.spec.stream, stream.state, stream.reason))
