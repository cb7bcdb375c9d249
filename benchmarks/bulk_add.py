"""How fast does a folder of clips get into a library, and what do all cores gain?

Made clips, the same for each turn, are added to a new library by one job and by a job a core in turn, so that other
processes on the machine cost both the same; then the last library is given the same folder again, as after an
interruption. Printed: clips and seconds of footage a second, the segments made, the parent's memory, and the ratio.

    python benchmarks/bulk_add.py [--clips N] [--seconds S] [--rounds N] [--folder DIR] [--ray ADDRESS]

`--folder` keeps the clips, or takes those that are there. `--ray` adds turns on the cores of a Ray cluster that was
started before (`ray start --head`); connecting to it, and what its workers do first, are in the time.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.library.live_set import SEGMENTS

SIZE_PX = (320, 180)
FIRST_SEED = 1000
ADD = (sys.executable, "-m", "streamguard", "library", "add")


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of `library add` over the folder."""

    wall_s: float
    parent_mib: float
    segments: int
    last_line: str


def make_clips(folder: Path, *, count: int, seconds: float) -> None:
    """So many clips that have nothing in common; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"clip-{number:05d}.mp4"
        if not path.exists():
            pictures = film(Scene(FIRST_SEED + number), seconds=seconds, size_px=SIZE_PX)
            write_video(folder / "making.mp4", pictures, Encoding(bit_rate_bps=400_000)).rename(path)


def add(folder: Path, library: Path, *, how: tuple[str, ...]) -> Turn:
    """Add the folder with these options; raises CalledProcessError where it fails."""
    began_s = time.monotonic()
    with tempfile.TemporaryFile("w+") as told:
        command = [*ADD, "--library", str(library), *how, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told) as adding:
            _, status, usage = os.wait4(adding.pid, 0)
            adding.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.monotonic() - began_s
        told.seek(0)
        lines = told.read().splitlines()
    if adding.returncode:
        raise subprocess.CalledProcessError(adding.returncode, command, stderr="\n".join(lines))
    segments = len(list((library / SEGMENTS).iterdir()))
    return Turn(wall_s, usage.ru_maxrss / 1024, segments, lines[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--ray", metavar="ADDRESS")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name, "clips")
        make_clips(folder, count=options.clips, seconds=options.seconds)
        clips = len(list(folder.glob("*.mp4")))
        footage_s = clips * options.seconds
        print(f"{clips} clips of {options.seconds} s at {SIZE_PX[0]}x{SIZE_PX[1]}, {cores} cores")
        print(f"{'jobs':>16} {'clips/s':>8} {'footage s/s':>12} {'segments':>9} {'parent MiB':>11}")
        hows = {str(jobs): ("--jobs", str(jobs)) for jobs in (1, cores)}
        if options.ray:
            hows["Ray"] = ("--ray", options.ray)
        rates: dict[str, list[float]] = {how: [] for how in hows}
        library = Path(name, "library")
        for jobs in [*rates] * options.rounds:
            shutil.rmtree(library, ignore_errors=True)
            turn = add(folder, library, how=hows[jobs])
            rates[jobs].append(clips / turn.wall_s)
            cells = f"{clips / turn.wall_s:>8.2f} {footage_s / turn.wall_s:>12.1f} {turn.segments:>9}"
            print(f"{jobs:>16} {cells} {turn.parent_mib:>11.0f}")
        again = add(folder, library, how=hows[str(cores)])
        if re.search(rf"\b{clips} already there", again.last_line) is None:
            raise SystemExit(f"the second run should have known all: {again.last_line}")
        print(f"{'once more':>16} {clips / again.wall_s:>8.2f} {'':>12} {again.segments:>9} {again.parent_mib:>11.0f}")
    one = statistics.median(rates["1"])
    for how in [*rates][1:]:
        words = "Ray" if how == "Ray" else "all cores"
        print(f"{words} beside one job: {statistics.median(rates[how]) / one:.2f}x, medians of {options.rounds}")


if __name__ == "__main__":
    main()
