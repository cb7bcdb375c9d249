"""A worker for `make fuzz`: its loop, library, matching and decoder children are the real ones; what it watches are
healthy streams, all the time, and damaged ones, a few at once, each until it is over.

It says on standard output, as JSON lines, how it stands: at each second, and of each damaged stream when it is over.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from streamguard.cli.logs import set_up_logs
from streamguard.config import LogConfig
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.ingest.sources import SourceOptions
from streamguard.library.watch import SnapshotHolder
from streamguard.types import StreamId
from streamguard.worker.children import Decoder
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.matcher import Matched, Matcher
from streamguard.worker.roster import Roster
from streamguard.worker.streams import Stream, StreamSpec, StreamState, StreamStatus
from streamguard.worker.supervisor import Supervisor, SupervisorOptions
from streamguard.worker.watcher import Watcher
from tests.faults.mutators import Form
from tests.faults.streams import Seeded, numbered

GOP_S = 2.0
LONGEST_S = 15.0
"""A damaged playlist may be a live one that goes on for ever: by then it leaves, as publishers do."""
OPENS_WITHIN_S = 60.0
OPTIONS = SourceOptions(open_timeout_s=5.0, read_timeout_s=5.0, blind_after_s=10.0)


class Feed:
    """The damaged streams that are to be watched now; it ends the run some seconds after the last one."""

    def __init__(
        self, streams: Iterator[Seeded], *, at_once: int, folder: Path, base_url: str
    ) -> None:  # fmt: skip
        """`folder`: where somebody else makes them, by their names: it would hold the loop up."""
        self._streams = streams
        self._next = next(streams, None)
        self._at_once = at_once
        self._folder = folder
        self._base_url = base_url
        self._current: dict[StreamSpec, tuple[Seeded, float]] = {}
        self._over: list[tuple[StreamSpec, dict[str, object]]] = []
        self._now: frozenset[StreamSpec] = frozenset()
        self.ended_at_s: float | None = None

    def __call__(self) -> frozenset[StreamSpec]:
        """Asked in each turn of the loop."""
        now_s = time.monotonic()
        for spec, (_, began_s) in self._current.items():
            if now_s - began_s > LONGEST_S:
                self._over.append((spec, {"state": "went on", "restarts": {}}))
        over, self._over = self._over, []
        for spec, how in over:
            if (known := self._current.pop(spec, None)) is not None:
                say(damaged=known[0].form.value, name=known[0].name, **how)
                (self._folder / known[0].name).unlink(missing_ok=True)
        come = self._come(now_s)
        if over or come:
            self._now = frozenset(self._current)
        if not self._current and self._next is None and self.ended_at_s is None:
            self.ended_at_s = now_s
        return self._now

    def finished(self, stream: Stream) -> None:
        """The supervisor has done with it."""
        restarts = {why.value: count for why, count in stream.restarts.items() if count}
        how: dict[str, object] = {"state": stream.state.value, "keyframes": stream.keyframes, "restarts": restarts}
        self._over.append((stream.spec, how))

    def _come(self, now_s: float) -> bool:
        before = len(self._current)
        while len(self._current) < self._at_once and (one := self._next) is not None:
            path = self._folder / one.name
            if not path.exists():
                break
            self._next = next(self._streams, None)
            url = f"{self._base_url}/{one.name}.m3u8" if one.form is Form.PLAYLIST else str(path)
            spec = StreamSpec(StreamId(one.name), url, url, once=True)
            self._current[spec] = one, now_s
        return len(self._current) > before


class Healthy:
    """What became of the healthy streams' keyframes, by their own clock: each must be looked at."""

    def __init__(self) -> None:
        self._last_s: dict[str, tuple[object, float]] = {}
        self.looks = self.missed = 0
        self.longest_lag_s = 0.0

    def keyframe(self, stream: Stream, _matched: Matched | None) -> None:
        if stream.spec.once:
            return
        self.looks += 1
        self.longest_lag_s = max(self.longest_lag_s, stream.lag_s or 0.0)
        session, last_s = self._last_s.get(stream.spec.stream, (None, 0.0))
        if session == stream.session_id:
            self.missed += max(0, round((stream.media_s - last_s) / GOP_S) - 1)
        self._last_s[stream.spec.stream] = stream.session_id, stream.media_s

    def now(self, statuses: tuple[StreamStatus, ...]) -> dict[str, object]:
        healthy = [status for status in statuses if status.stream.startswith("healthy")]
        return {
            "watching": sum(status.state.value == "watching" for status in healthy),
            "looks": self.looks, "missed": self.missed, "longest_lag_s": self.longest_lag_s,
            "reconnects": sum(status.sessions for status in healthy) - len(healthy),
            "since_look_s": max((status.since_last_keyframe_s or 0.0 for status in healthy), default=0.0),
        }  # fmt: skip


class Loop:
    """How long the worker's loop took for one turn at most, and for one decoder's start: nobody is heard meanwhile."""

    def __init__(self) -> None:
        self._turned_s: float | None = None
        self.longest_turn_s = self.longest_start_s = 0.0

    def turns(self) -> None:
        """Asked once a turn."""
        now_s = time.monotonic()
        self.longest_turn_s = max(self.longest_turn_s, now_s - (self._turned_s or now_s))
        self._turned_s = now_s

    def start(self, job: DecoderJob) -> Decoder:
        began_s = time.monotonic()
        try:
            return Decoder(job)
        finally:
            self.longest_start_s = max(self.longest_start_s, time.monotonic() - began_s)

    def now(self) -> dict[str, object]:
        return {"longest_turn_s": self.longest_turn_s, "longest_start_s": self.longest_start_s}


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def held() -> dict[str, int]:
    """By this process: resident memory, open files, threads."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "rss_kib": int(status["VmRSS"].split()[0]), "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": int(status["Threads"]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--warm-up", type=float, required=True, help="seconds of healthy streams alone")
    parser.add_argument("--settle", type=float, required=True, help="the same, at the end")
    parser.add_argument("healthy", nargs="+")
    _watch(parser.parse_args())


def _watch(asked: argparse.Namespace) -> None:
    set_up_logs(LogConfig(level="error"))
    start_forkserver()
    library = SnapshotHolder(asked.library)
    feed = Feed(numbered(asked.streams), at_once=asked.at_once, folder=asked.folder, base_url=asked.base_url)
    specs = [StreamSpec(StreamId(f"healthy-{n}"), url, url, once=False) for n, url in enumerate(asked.healthy)]
    started_s, begins_s = time.monotonic(), math.inf
    nothing: frozenset[StreamSpec] = frozenset()
    healthy, loop = Healthy(), Loop()

    def discovered() -> frozenset[StreamSpec]:
        loop.turns()
        return feed() if time.monotonic() > begins_s else nothing

    def tick(statuses: tuple[StreamStatus, ...]) -> None:
        nonlocal begins_s
        if begins_s == math.inf and all(status.state is StreamState.WATCHING for status in statuses):
            begins_s = time.monotonic() + asked.warm_up
        elif begins_s == math.inf and time.monotonic() - started_s > OPENS_WITHIN_S:
            supervisor.stop()  # and what was not run is told as a problem
        if feed.ended_at_s is None or time.monotonic() < feed.ended_at_s + asked.settle:
            say(alone=time.monotonic() <= begins_s, **held(), **healthy.now(statuses), **loop.now())
        else:
            supervisor.stop()

    supervisor = Supervisor(
        Roster(specs, discovered=discovered),
        matcher=Matcher(lambda: library.snapshot, rule=BUILT_IN_RULE),
        watchers=(Watcher(keyframe=healthy.keyframe, finished=feed.finished, tick=tick),),
        options=SupervisorOptions(source=OPTIONS, hang_timeout_s=20.0),
        start=loop.start,
    )
    supervisor.run()
    say(ended=True)


if __name__ == "__main__":
    main()
