"""The demo from end to end, by the real parts: library, decoder child, matcher, decision, outbox, delivery."""

import io
import shutil
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streamguard.config import Config, EvidenceConfig, HttpConfig, LibraryConfig, SignalsConfig, WorkerConfig
from streamguard.demo import footage
from streamguard.demo.encode import write_image
from streamguard.demo.footage import DemoFootage, DemoPlan
from streamguard.demo.live import Broadcast, LiveServer
from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemRecord
from streamguard.library.store import Library
from streamguard.review.drawing import draw
from streamguard.review.explanation import load
from streamguard.types import AssetId, Evidence, KillSignal, StreamId, Verdict
from streamguard.worker import indexing
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.matcher import Matched
from streamguard.worker.outcomes import Failed, Job
from streamguard.worker.service import WatchService
from streamguard.worker.streams import Stream, StreamSpec, StreamState, StreamStatus
from streamguard.worker.watcher import Watcher

STREAM = StreamId("live/demo")
ASSET = AssetId("known-footage")
_LABEL = "demo"
_EVIDENCE = "evidence"
MARK = ".made-by-streamguard-demo"
_ON_AIR_ALREADY = 2
"""Segments that there are when the watching begins: it begins in the middle of a stream, as in real life."""

_GRACE_S = 6.0


class Teller(Protocol):
    """Who tells the story. Moments are seconds since the watching began; called in the worker's loop: be quick."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """Something that takes a while begins, and ends with the block."""
        ...

    def live(self, url: str) -> None: ...

    def state(self, at_s: float, stream: Stream) -> None: ...

    def look(self, at_s: float, *, stream_s: float, between: bool, evidence: tuple[Evidence, ...]) -> None:
        """At a keyframe, or at a picture between two."""
        ...

    def on_air(self, at_s: float) -> None: ...

    def signal(self, at_s: float, signal: KillSignal) -> None: ...


@dataclass(frozen=True, slots=True)
class Caught:
    """How it ended well. `time_to_kill_s`: from the moment the footage's first frame could be had until the signal was
    durable in the outbox.
    """

    signal: KillSignal
    time_to_kill_s: float
    keyframes: int
    evidence: Path


class _Watch:
    """Passes on what the supervisor sees, and notes when the kill-signal was durable."""

    def __init__(self, teller: Teller, broadcast: Broadcast, *, first_segment: int) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.kill: KillSignal | None = None
        self.durable_s = 0.0
        self.keyframes = 0
        self.began_s = time.monotonic()
        self._teller = teller
        self._untold: deque[tuple[float, KillSignal]] = deque()
        self._on_air_s: float | None = broadcast.offered_s(first_segment)

    def durable(self, signal: KillSignal) -> None:
        """The outbox has it, whose thread says so. The first kill ends the watching."""
        now_s = time.monotonic()
        self._untold.append((now_s - self.began_s, signal))
        if signal.verdict is Verdict.KILL and self.kill is None:
            self.kill, self.durable_s = signal, now_s
            self.stop()

    @property
    def watcher(self) -> Watcher:
        """What the supervisor tells it."""
        return Watcher(keyframe=self._keyframe, state_changed=self._state_changed, tick=self._tick)

    def _keyframe(self, _stream: Stream, matched: Matched) -> None:
        self.keyframes += not matched.between
        stream_s, evidence = matched.observation.at.pts_us / 1e6, matched.observation.evidence
        self._teller.look(self._now_s(), stream_s=stream_s, between=matched.between, evidence=evidence)
        self._tell_signals()

    def _state_changed(self, stream: Stream) -> None:
        self._teller.state(self._now_s(), stream)
        if stream.state is StreamState.ENDED:
            self.stop()

    def _tick(self, _statuses: tuple[StreamStatus, ...]) -> None:
        self._now_s()
        self._tell_signals()

    def _tell_signals(self) -> None:
        """After the keyframe that they come from, which the supervisor tells of last."""
        while self._untold:
            self._teller.signal(*self._untold.popleft())

    def _now_s(self) -> float:
        """Seconds since the watching began; what happened before now is told first."""
        now_s = time.monotonic()
        if self._on_air_s is not None and now_s >= self._on_air_s:
            self._teller.on_air(self._on_air_s - self.began_s)
            self._on_air_s = None
        return now_s - self.began_s


def run(folder: Path, teller: Teller, *, plan: DemoPlan) -> tuple[Caught, ...]:
    """Make, serve, watch, catch; leaves footage, library, outbox, evidence and `evidence.png` in `folder`. Nothing when
    nothing was caught before the stream was over.

    Raises UsageError when the folder cannot be used; other StreamGuardErrors as the parts do.
    """
    start_forkserver()
    _make_room(folder)
    with teller.step(f"Film {plan.known_s:.0f} s of footage, which shall be the known footage"):
        known = footage.make_known(folder, plan)
    with teller.step("Put it into a library"):
        _add(folder / "library", known)
    with teller.step(f"Prepare a stream: {plan.lead_in_s:.0f} s of something else, then the footage in disguise"):
        made = footage.make_stream(folder / "stream", known, plan)
    return _watch(folder, made, teller)


def _watch(folder: Path, made: DemoFootage, teller: Teller) -> tuple[Caught, ...]:
    """Watch the stream live, until it is caught or over."""
    broadcast = Broadcast(made.segments, started_s=time.monotonic() - made.segments[_ON_AIR_ALREADY].from_s)
    with LiveServer(broadcast) as server:
        teller.live(server.url)
        watch = _Watch(teller, broadcast, first_segment=made.first_segment)
        service = WatchService(
            _config(folder),
            [StreamSpec(stream=STREAM, url=server.url, public_url=server.url, once=False)],
            stdout=io.StringIO(),  # the teller tells of signals
            watchers=(watch.watcher,),
            on_durable=watch.durable,
        )
        watch.stop = service.stop
        service.run(stop_after_s=broadcast.ends_s + _GRACE_S - time.monotonic())
    if watch.kill is None:
        return ()
    evidence = write_image(folder / "evidence.png", draw(load(folder / _EVIDENCE / f"{watch.kill.id}.json")))
    time_to_kill_s = watch.durable_s - broadcast.offered_s(made.first_segment)
    return (Caught(watch.kill, time_to_kill_s, watch.keyframes, evidence),)


def _config(folder: Path) -> Config:
    """As `watch` would run without a configuration, but for where its files are. The environment is left out of it."""
    return Config(
        library=LibraryConfig(path=folder / "library"),
        signals=SignalsConfig(outbox=folder / "outbox.sqlite"),
        evidence=EvidenceConfig(directory=folder / _EVIDENCE),
        http=HttpConfig(port=0),
        worker=WorkerConfig(name="demo"),
    )


def _add(path: Path, known: Path) -> ItemRecord:
    """As `streamguard library add` does it."""
    with Library.open(path, create=True) as library:
        jobs = [Job(known, _LABEL, ASSET)]
        for outcome in indexing.index(library, jobs, limits=indexing.Limits(at_once=1), news=lambda _job, _news: None):
            if isinstance(outcome, Failed):
                raise outcome.error
            return outcome.item
    raise UsageError("add", known, "nothing came of it", hint="this is a bug")


def _make_room(folder: Path) -> None:
    """An empty folder, or one that an earlier demo filled, which is emptied. Never one that holds other things."""
    mark = folder / MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not mark.exists():
            raise UsageError("make demo in", folder, "it holds other things", hint="name a new folder with --dir")
        mark.touch()
        for name in ("library", "stream", _EVIDENCE):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("known.mp4", "evidence.png", "outbox.sqlite", "outbox.sqlite-wal", "outbox.sqlite-shm"):
            (folder / name).unlink(missing_ok=True)
        (folder / "stream").mkdir()
    except OSError as error:
        problem = error.strerror or str(error)
        raise UsageError("make demo in", folder, problem, hint="name another folder with --dir") from error
