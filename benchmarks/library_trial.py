"""What the trial in a child, the signature and the canary query add to the way of a new segment into a worker.

A holder follows a small library, as a worker does, while items are added to it one by one; a refresh that brings one is
timed, and its computing too, the child's included. "bare" demands nothing; "signed" a signature; "tried" that, and that
a child opened the segment first. The child is ready, as it is in a worker that has run for five seconds; "started" is a
refresh for which it must be started. With over 10,000 features in all most of what is timed is their index, made anew.

    OMP_NUM_THREADS=1 python benchmarks/library_trial.py [--items 60] [--frames 3] [--json]
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from streamguard.library.ed25519 import Signer
from streamguard.library.loading import Demands
from streamguard.library.store import Library
from streamguard.library.watch import SnapshotHolder
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.library_trial import LibraryTrial
from tests.library.made import new_item, with_frames

STARTS = 10


@dataclass(frozen=True, slots=True)
class Refreshes:
    """How long those took that brought a new segment; and of computing, on average."""

    demands: str
    count: int
    cpu_ms: float
    median_ms: float
    p99_ms: float
    most_ms: float


class Bench:
    """A library that grows while it is followed."""

    def __init__(self, path: Path, *, frames: int) -> None:
        self._path = path
        self._frames = frames
        self._seeds = count(1)
        self._signer = Signer.new()
        self._trust = self._signer.trust
        self._add()

    def refreshes(self, demands: str, *, items: int) -> Refreshes:
        trial = LibraryTrial()
        trust = None if demands == "bare" else self._trust
        holder = SnapshotHolder(self._path, demands=Demands(trust, trial if demands in ("tried", "started") else None))
        times_ms, cpu_ms = [], []
        for _ in range(items):
            self._add()
            if demands == "started":
                trial.close()
            else:
                trial.prepare()
            computed_ms, began_s = _computed_ms(trial), time.perf_counter()
            refreshed = holder.refresh()
            times_ms.append((time.perf_counter() - began_s) * 1e3)
            cpu_ms.append(_computed_ms(trial) - computed_ms)
            if not refreshed.changed:
                raise SystemExit(f"nothing came of it: {refreshed.error}")
        trial.close()
        at_p99 = sorted(times_ms)[int(0.99 * (len(times_ms) - 1))]
        return Refreshes(demands, items, statistics.mean(cpu_ms), statistics.median(times_ms), at_p99, max(times_ms))

    def _add(self) -> None:
        seed = next(self._seeds)
        with Library.open(self._path, create=True, signer=self._signer) as library:
            library.add(new_item(f"item-{seed}"), with_frames(seed, frames=self._frames, looks=5 * self._frames))


def _computed_ms(trial: LibraryTrial) -> float:
    """By this process and its trial's child, so far."""
    own_ms = time.process_time() * 1e3
    if trial._child is None:  # noqa: SLF001 - only here somebody asks what it costs
        return own_ms
    pid = trial._child._process.pid  # noqa: SLF001 - as above
    return own_ms + int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--frames", type=int, default=3, help="of 40 features each, and five looks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    start_forkserver()
    found = []
    for demands in ("bare", "signed", "tried", "started"):
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder) / "library", frames=options.frames)
            found.append(bench.refreshes(demands, items=STARTS if demands == "started" else options.items))
    if options.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
        return
    print("| demands | segments | computing | median | p99 | most |\n|---|---|---|---|---|---|")
    for one in found:
        times = (one.cpu_ms, one.median_ms, one.p99_ms, one.most_ms)
        print(f"| {one.demands} | {one.count} |", " | ".join(f"{time_ms:.1f} ms" for time_ms in times), "|")


if __name__ == "__main__":
    main()
