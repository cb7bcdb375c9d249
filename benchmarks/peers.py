"""What others take for a second of the same footage, beside `streamguard check` and the floor.

From a file of 1080p, 30 frames a second, 6 Mb/s, a keyframe every 2 s; each goes through the same 12 s over and over,
copied, not encoded again. CPU of all its threads and processes, of a long file less that of a short one, so that
starting up and loading a library is in nobody's figure; all take turns, and medians count.

- the floor: `ffmpeg -skip_frame nokey -i FILE -an -f null -`, and the same with `-threads 1`
- StreamGuard: `streamguard check`, the pipeline of `watch`: PDQ and local features of every keyframe, looked up
- ffmpeg, decoding every frame, and `pdqhash` (the C++ reference for Python) on one a second; nothing is looked up
- `vpdq` (PyPI), one hash a second; nothing is looked up. It comes as source: `make bench` builds it where FFmpeg's
  headers are; without it, it is left out.

Then live, the same --streams of 1080p from nginx-rtmp in turn: the floor, `streamguard watch`, and ffmpeg with
`pdqhash`. `vpdq` reads files only.

    python benchmarks/peers.py
    python benchmarks/peers.py --streams 2 --rounds 1 --json
"""

import argparse
import ctypes
import importlib.util
import json
import os
import resource
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from subprocess import PIPE

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from benchmarks.conditions import FOLDER, told, work_folder
from benchmarks.figures import table
from benchmarks.made import FOOTAGE_S, SIZES, footage, library, longer
from benchmarks.streams_beside_floor import Case, Plan, measure
from benchmarks.studio import FLOOR, HASH_A_SECOND, decoded_and_hashed, every_frame, published, running
from benchmarks.worker_run import Say
from tests.programs import need

SIZE = SIZES["1080p"]
VPDQ = "import sys, vpdq; assert vpdq.computeHash(sys.argv[1], seconds_per_hash=1.0)"
THE_FLOOR = "floor: ffmpeg, keyframes alone"
ONE_THREAD = "the same with -threads 1"
OURS = "StreamGuard"
DECODED = "ffmpeg, every frame, and pdqhash on one a second"
VPDQ_NAME = "vpdq, one hash a second"
FILE, LIVE = "file", "live"
_PR_SET_CHILD_SUBREAPER = 36
KEYFRAMES_ALONE = (OURS, THE_FLOOR, ONE_THREAD)


@dataclass(frozen=True, slots=True)
class Rounds:
    """`long_s` is how long the file is for us and the floor, `hashed_s` for what decodes every frame."""

    count: int = 3
    long_s: float = 600.0
    hashed_s: float = 72.0


@dataclass(frozen=True, slots=True)
class Peer:
    """CPU in percent of a core for one stream, and how many times ours of the same footage, read the same way."""

    name: str
    how: str
    percent: float
    least_percent: float
    most_percent: float
    times_ours: float


def from_a_file(path: Path, known: Path, rounds: Rounds, *, say: Say) -> list[Peer]:
    """All of them in turn; `known` is the library that ours looks things up in."""
    names = [THE_FLOOR, ONE_THREAD, OURS, DECODED, *([VPDQ_NAME] if importlib.util.find_spec("vpdq") else [])]
    if VPDQ_NAME not in names:
        say("vpdq is not installed, and left out; `make .venv/.peers` builds it")
    percents: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds.count):
        for name in names:
            say(f"from a file, round {number + 1} of {rounds.count}: {name}")
            long_s = rounds.long_s if name in KEYFRAMES_ALONE else rounds.hashed_s
            used_s = [_cpu_s(name, film, known) for film in (path, longer(path, seconds=long_s))]
            percents[name].append((used_s[1] - used_s[0]) / (long_s - FOOTAGE_S) * 100)
    return _beside_ours(percents, how=FILE)


def live(folder: Path, known: Path, plan: Plan, *, streams: int, say: Say) -> list[Peer]:
    """The same streams pulled by the floor and us, and then decoded whole."""
    films = footage(folder, SIZE)
    with work_folder() as work:
        alone = replace(plan, rounds=0)  # nothing known comes on
        line = measure(work, Case(SIZE.name, streams), alone, say=say, films=films, known=known)
    say(DECODED)
    with work_folder() as work, published(work, films.other, streams=streams) as studio:
        size_px = SIZE.width_px, SIZE.height_px
        cost = decoded_and_hashed(studio.urls, size_px=size_px, settling_s=plan.settling_s, seconds=plan.seconds)
    return _beside_ours(
        {
            THE_FLOOR: [line.floor_before_percent, line.floor_after_percent],
            OURS: [line.ours_percent],
            DECODED: [cost.percent],
        },
        how=LIVE,
    )


def _beside_ours(percents: dict[str, list[float]], *, how: str) -> list[Peer]:
    medians = {name: statistics.median(some) for name, some in percents.items()}
    return [
        Peer(
            name=name,
            how=how,
            percent=round(medians[name], 3),
            least_percent=round(min(some), 3),
            most_percent=round(max(some), 3),
            times_ours=round(medians[name] / medians[OURS], 2),
        )
        for name, some in percents.items()
    ]


def _cpu_s(name: str, path: Path, known: Path) -> float:
    """Of one run over a file. Raises AssertionError where it fails."""
    python = [sys.executable, "-c"]
    commands = {
        THE_FLOOR: [["ffmpeg", *FLOOR, "-i", str(path), "-an", "-f", "null", "-"]],
        ONE_THREAD: [["ffmpeg", *FLOOR, "-threads", "1", "-i", str(path), "-an", "-f", "null", "-"]],
        OURS: [[sys.executable, "-m", "streamguard", "check", "--jobs", "1", "--library", str(known), str(path)]],
        DECODED: [every_frame(str(path)), [*python, HASH_A_SECOND, str(SIZE.width_px), str(SIZE.height_px)]],
        VPDQ_NAME: [[*python, VPDQ, str(path)]],
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with ExitStack() as stack:
        source = None
        programs = commands[name]
        for number, program in enumerate(programs, start=1):
            output = PIPE if number < len(programs) else None
            source = stack.enter_context(running(program, source=source, output=output))
        if source is None or source.wait():
            raise AssertionError(f"failed: {' '.join(programs[-1])}")
    _wait_for_orphans()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _adopt_orphans() -> None:
    """From now on the children of what we start are ours when their parent ends. Else nobody counts the decoders of
    `check`, as they are children of a forkserver that outlives it.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _wait_for_orphans() -> None:
    with suppress(ChildProcessError):
        while True:
            os.wait()


def measure_peers(folder: Path, plan: Plan, rounds: Rounds, *, streams: int, say: Say) -> list[Peer]:
    """From a file, and live."""
    _adopt_orphans()
    say("footage and library")
    films = footage(folder, SIZE)
    known = library(folder, films.known, looks=plan.looks, local_features=plan.features)
    return [
        *from_a_file(films.other, known, rounds, say=say),
        *live(folder, known, plan, streams=streams, say=told(say, f"live, {streams} streams")),
    ]


HEAD = ("1080p30, 6 Mb/s", "read", "CPU a stream", "least to most", "times StreamGuard")


def row(peer: Peer) -> list[str]:
    """Of the table."""
    spread = f"{peer.least_percent:.2f} to {peer.most_percent:.2f} %" if peer.least_percent < peer.most_percent else ""
    return [peer.name, peer.how, f"{peer.percent:.2f} %", spread, f"{peer.times_ours:.2f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=4, help="live; each takes a sixth of a core when decoded whole")
    parser.add_argument("--seconds", type=float, default=60.0, help="live")
    parser.add_argument("--rounds", type=int, default=3, help="from a file")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="keeps footage and library; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    options = parser.parse_args(arguments)
    need("nginx", "ffmpeg")
    options.folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(seconds=options.seconds, floor_seconds=options.seconds / 2)
    rounds = Rounds(options.rounds)
    found = measure_peers(options.folder, plan, rounds, streams=options.streams, say=told())
    print(json.dumps([asdict(peer) for peer in found]) if options.json else table(HEAD, map(row, found)))


if __name__ == "__main__":
    main()
