"""How many streams should a decoder child carry? CPU and memory of the same streams in as many children, in fewer,
in one: each stream a thread, doing all that a child does with it.

A real nginx-rtmp gets N publishers of made footage (1080p30, 6 Mb/s, a keyframe every 2 s). For each number of streams
a child, as many children as that takes are forked from one process that has everything imported, as a worker's are;
CPU and PSS are measured over --seconds once they have settled. The first is measured again at the end.

    python benchmarks/streams_a_child.py [--streams 12] [--each 1 3 12] [--seconds 40] [--json]

One stream a child costs what this prints, and buys this: a stream that crashes, hangs or takes over its decoder has
that decoder alone. Needs nginx with its RTMP module, and ffmpeg.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from benchmarks.a_child import watch_all
from benchmarks.rtmp_streams import ENCODING, FOOTAGE_S, cpu_s, memory_mib
from benchmarks.studio import published
from streamguard.demo.encode import film, write_video
from streamguard.demo.scenes import Scene
from streamguard.worker.forkserver import telling_nothing
from tests.programs import need

SETTLING_S = 20.0


@dataclass(frozen=True, slots=True)
class Line:
    """Percent of a core, and MiB, a stream."""

    streams_a_child: int
    percent: float
    pss_mib: float


@contextmanager
def children(urls: Sequence[str], *, each: int) -> Iterator[list[int]]:
    """The processes that watch all of them."""
    context = multiprocessing.get_context("forkserver")
    running = [context.Process(target=watch_all, args=(urls[at : at + each],)) for at in range(0, len(urls), each)]
    with telling_nothing():  # or each child would import this file, and all that it imports
        for process in running:
            process.start()
    try:
        yield [process.pid for process in running if process.pid is not None]
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.join()


def measure(urls: Sequence[str], *, each: int, seconds: float) -> Line:
    """One number of streams a child."""
    with children(urls, each=each) as pids:
        time.sleep(SETTLING_S)
        before_s, began_s = sum(map(cpu_s, pids)), time.monotonic()
        time.sleep(seconds)
        used_s, took_s = sum(map(cpu_s, pids)) - before_s, time.monotonic() - began_s
        pss_mib = sum(memory_mib(pid)[0] for pid in pids)
    return Line(each, round(used_s / took_s / len(urls) * 100, 3), round(pss_mib / len(urls), 1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=12)
    parser.add_argument("--each", type=int, nargs="+", default=[1, 3, 12])
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    need("nginx", "ffmpeg")
    multiprocessing.get_context("forkserver").set_forkserver_preload(["benchmarks.a_child"])
    with tempfile.TemporaryDirectory() as name:
        footage = film(Scene(61), seconds=FOOTAGE_S, fps=30, size_px=(1920, 1080))
        written = write_video(Path(name) / "footage.mp4", footage, ENCODING)
        with published(Path(name) / "nginx", written, streams=options.streams) as studio:
            lines = []
            for each in (*options.each, options.each[0]):
                print(f"{each} streams a child, {options.seconds:.0f} s", file=sys.stderr, flush=True)
                lines.append(measure(studio.urls, each=each, seconds=options.seconds))
    if options.json:
        print(json.dumps([asdict(line) for line in lines]))
        return
    print("| streams a child | CPU a stream | PSS a stream |\n|---|---|---|")
    for line in lines:
        print(f"| {line.streams_a_child} | {line.percent:.2f} % | {line.pss_mib:.1f} MiB |")


if __name__ == "__main__":
    main()
