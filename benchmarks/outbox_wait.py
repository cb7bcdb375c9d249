"""How long streams wait for the outbox's disk: one append after the other, as the loop did, and by the signals' thread.

So many streams are decided on at one moment, again and again, in both ways turn about, in one process and on one disk.
"held" is how long whoever decides was kept from the next stream, all of them together; "durable" how long each signal
took from that moment. The last column is how often the disk was waited for. --sync-ms makes each wait longer: a disk
that others keep busy, or one over a network. Then one stream at a time, while whoever decides goes on matching, as the
loop does: the thread has to get its turns of the interpreter.

    python benchmarks/outbox_wait.py [--streams 60] [--rounds 20] [--sync-ms 0] [--folder DIR]
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the decisions are those of the tests

import structlog

from benchmarks.library_change import quantile
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.types import KillSignal, SessionId
from streamguard.worker.metrics import Metrics
from streamguard.worker.signalling import Signaller
from streamguard.worker.watcher import Found
from tests.kill_signals import a_decision
from tests.worker.fake_decoders import GROUNDS
from tests.worker.test_signalling import SPEC

LONE = 100
WAYS = ("one after the other", "by a thread")


class SlowDisk:
    """An outbox each of whose appends takes so much longer."""

    def __init__(self, outbox: Outbox, *, sync_s: float) -> None:
        self._outbox = outbox
        self._sync_s = sync_s
        self.appends = 0

    def append(self, *signals: KillSignal) -> int:
        self.appends += 1
        time.sleep(self._sync_s)
        return self._outbox.append(*signals)


class Way:
    """What came of one of them: milliseconds."""

    def __init__(self, disk: SlowDisk, *, has_thread: bool) -> None:
        self.disk = disk
        self.held_ms: list[float] = []
        self.durable_ms: list[float] = []
        self._left = 0
        self._all_durable = threading.Event()
        self._began_s = 0.0
        self._has_thread = has_thread
        self.signaller = Signaller(
            disk, worker="bench", expires_after_s=300.0, wake=lambda: None, counts=Metrics(), on_durable=self._durable
        )
        if has_thread:
            self.signaller.start()

    def decide(self, numbers: range, *, meanwhile: Callable[[], object] | None = None) -> None:
        """On so many streams, at one moment."""
        self._left = len(numbers)
        self._all_durable.clear()
        self._began_s = time.monotonic()
        tell = self.signaller.watcher.found
        for number in numbers:
            decision = a_decision(pts_us=14_000_000 + number)
            tell(Found(SPEC, SessionId("s-1"), decision, GROUNDS, "v1", arrived_s=self._began_s))
            if not self._has_thread:
                self.signaller.make_durable()
        self.held_ms.append((time.monotonic() - self._began_s) * 1e3)
        while meanwhile and not self._all_durable.is_set():
            meanwhile()
        self._all_durable.wait()

    def decide_and_match(self, number: int) -> None:
        """On one stream, a second after the last, and on with the next ones until it is durable."""
        self.signaller.watcher.tick(())
        self.decide(range(number, number + 1), meanwhile=matching)

    def _durable(self, _signal: KillSignal) -> None:
        self.durable_ms.append((time.monotonic() - self._began_s) * 1e3)
        self._left -= 1
        if not self._left:
            self._all_durable.set()


def matching() -> int:
    """Some 10 ms of Python, as between two keyframes that are matched."""
    return sum(number % 7 for number in range(200_000))


def outbox_wait(folder: Path, *, streams: int, rounds: int, sync_s: float) -> None:
    """Print both parts."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with Outbox.open(folder / "one.sqlite") as one, Outbox.open(folder / "thread.sqlite") as thread:
        disks = (SlowDisk(one, sync_s=sync_s), SlowDisk(thread, sync_s=sync_s))
        ways = [Way(disk, has_thread=name == WAYS[1]) for name, disk in zip(WAYS, disks, strict=True)]
        for number in range(rounds):
            for way in ways:
                way.decide(range(number * streams, (number + 1) * streams))
        print("ms | held p50, p95 | durable p50, p95 | waits for the disk")
        print(f"{streams} streams at one moment, {rounds} times")
        told(ways, rounds)
        for way in ways:
            way.held_ms, way.durable_ms, way.disk.appends = [], [], 0
        for number in range(rounds * streams, (rounds + LONE) * streams, streams):
            for way in ways:
                way.decide_and_match(number)
        print(f"one stream, {LONE} times, while others are matched")
        told(ways, LONE)
        for way in ways:
            way.signaller.last_words(10.0)


def told(ways: list[Way], rounds: int) -> None:
    """A line for each, and how many times as long the first takes."""
    for name, way in zip(WAYS, ways, strict=True):
        print(name, both(way.held_ms), both(way.durable_ms), f"{way.disk.appends / rounds:.1f}", sep=" | ")
    print(
        "times as long", *(f"{ratio(ways, of):.1f}" for of in (lambda w: w.held_ms, lambda w: w.durable_ms)), sep=" | "
    )


def both(times_ms: list[float]) -> str:
    return f"{quantile(times_ms, 0.5):.2f}, {quantile(times_ms, 0.95):.2f}"


def ratio(ways: list[Way], of: Callable[[Way], list[float]]) -> float:
    """Of the 95 percentiles."""
    first, second = (quantile(of(way), 0.95) for way in ways)
    return first / second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sync-ms", type=float, default=0.0)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured. Default: the usual one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        outbox_wait(Path(folder), streams=options.streams, rounds=options.rounds, sync_s=options.sync_ms / 1e3)


if __name__ == "__main__":
    main()
