"""What look-ups wait while a library grows, beside the same readers while nothing is added.

READERS processes follow a library of LOOKS codes as workers do, and look keyframes up all the time, each with 300 local
features, --pause seconds apart. First nothing is added; then this process adds --adds items, one by one; then nothing
again. p50, p99 and most of a look-up in milliseconds by the clock, and in brackets the most without the time in which
others had the cores. The last two columns are what counts: the slowest hundredth and the slowest look-up while items
are added, by those of the same readers when nothing is added any more, as both look through as much then.

"Computed": what the reader's process computed during one look-up, p99 and most, that of its other threads included. It
is what the look-up would take where the process had one core of its own, and says more on a busy machine than a clock.

Where readers, their threads and the writer are more than there are cores, look-ups wait for each other in any case:
four readers that search all the time leave nothing of two cores. So both are printed, and the ratio.

    python benchmarks/lookup_waits.py [--looks 1000 1000000 10000000] [--readers 1 4] [--adds 1000] [--pause 0.02]
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.library_change import (
    NEW_LOOKS,
    SWITCH_INTERVAL_S,
    Reader,
    Times,
    added_one_by_one,
    lookups,
    make_library,
    new_codes,
    quantile,
    started,
    told,
)
from streamguard.types import PDQ_BYTES

LONGEST_MS = 50.0
"""What is promised: issue 7."""

MOST_S = 60.0
"""So long after the last addition a reader may need to show it."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Of all readers together. `above`: how many look-ups took longer than promised."""

    looks: int
    readers: int
    before: Times
    during: Times
    after: Times
    above: int
    failed: int
    adds: int
    adds_s: float
    cpu_s: float
    computed_p99_ms: float
    computed_most_ms: float


class Timed:
    """A reader's look-ups."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.computed_ms: list[float] = []

    def says_of(self, code: bytes) -> str | None:
        """As the reader."""
        before_s = time.process_time()
        said = self.reader.says_of(code)
        self.computed_ms.append((time.process_time() - before_s) * 1e3)
        return said


def search(path: Path, pipe: Connection, *, reload_every_s: float, pause_s: float) -> None:
    """A reader's process: looks up all the time, and tells when it is asked."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    reader = Reader(path, reload_every_s=reload_every_s)
    timed = Timed(reader)
    pipe.send("ready")
    while True:
        while not pipe.poll(pause_s):
            timed.says_of(bytes(PDQ_BYTES))
        match pipe.recv():
            case ("until", int(number)):
                code = new_codes(number)[NEW_LOOKS // 2].tobytes()
                deadline_s = time.monotonic() + MOST_S
                while timed.says_of(code) != "new" and time.monotonic() < deadline_s:
                    time.sleep(pause_s)
                if time.monotonic() >= deadline_s:
                    reader.failed += 1
                pipe.send("shown")
            case "times":
                pipe.send((reader.times_ms, reader.failed))
                reader.times_ms, timed.computed_ms = [], []
            case "computed":
                pipe.send(timed.computed_ms)
            case "cpu":
                pipe.send(time.process_time())
            case _:
                return


def measure(looks: int, readers: int, options: argparse.Namespace) -> Waits:
    """One size of library, and so many readers of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library"
        make_library(path, looks, with_features=options.features)
        timing = {"reload_every_s": options.reload_every, "pause_s": options.pause}
        running, pipes = started(search, path, readers=readers, **timing)
        time.sleep(1)
        before, _, _ = quiet(pipes, options.quiet)
        cpu_s = cpu(pipes)
        adds_s, _ = added_one_by_one(path, adds=options.adds)
        told(pipes, ("until", 100_000 + options.adds - 1))
        computed_ms = [each for one in told(pipes, "computed") for each in one]  # type: ignore[attr-defined]
        during, failed, above = waits(pipes)
        cpu_s = cpu(pipes) - cpu_s
        after, failed_later, _ = quiet(pipes, options.quiet)
        for pipe in pipes:
            pipe.send("end")
        for one in running:
            one.join()
    return Waits(
        looks=looks,
        readers=readers,
        before=before,
        during=during,
        after=after,
        above=above,
        failed=max(failed, failed_later),
        adds=options.adds,
        adds_s=adds_s,
        cpu_s=cpu_s,
        computed_p99_ms=quantile(computed_ms, 0.99),
        computed_most_ms=max(computed_ms),
    )


def quiet(pipes: Sequence[Connection], seconds: float) -> tuple[Times, int, int]:
    """While nothing is added."""
    told(pipes, "times")
    time.sleep(seconds)
    return waits(pipes)


def waits(pipes: Sequence[Connection]) -> tuple[Times, int, int]:
    """(times since it was last asked, look-ups that failed so far, those that took longer than promised)."""
    return lookups(pipes, longest_ms=LONGEST_MS)


def cpu(pipes: Sequence[Connection]) -> float:
    """Seconds that the readers have computed, all of their threads."""
    return sum(map(float, told(pipes, "cpu")))  # type: ignore[arg-type]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=int, nargs="+", default=[1000, 1_000_000, 10_000_000], metavar="N")
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 4], metavar="N")
    parser.add_argument("--adds", type=int, default=1000, metavar="N")
    parser.add_argument("--features", action="store_true", help="As many local features as looks from the beginning.")
    parser.add_argument("--quiet", type=float, default=10.0, metavar="SECONDS", help="While nothing is added.")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="Between two look-ups.")
    parser.add_argument("--reload-every", type=float, default=0.25, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = [measure(looks, readers, options) for readers in options.readers for looks in options.looks]
    if options.json:
        print(json.dumps([asdict(one) for one in measured], indent=1))
        return
    print("| readers | looks | nothing is added | items are added | nothing any more | above 50 ms | failed", end=" ")
    print("| an addition | readers' CPU | computed | p99, by that after | most, by that after |\n|" + "---|" * 12)
    for one in measured:
        during, after = one.during, one.after
        print(
            f"| {one.readers} | {one.looks:,} | {one.before} | {during} | {after} | {one.above} of {during.count} "
            f"| {one.failed} | {one.adds_s / one.adds * 1e3:.0f} ms | {one.cpu_s:.1f} s "
            f"| {one.computed_p99_ms:.1f}, {one.computed_most_ms:.1f} ms "
            f"| {during.p99_ms / after.p99_ms:.1f} | {during.most_ms / after.most_ms:.1f} |"
        )


if __name__ == "__main__":
    main()
