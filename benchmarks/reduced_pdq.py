"""What reading a large picture from the means of its pixels does to PDQ, and what it saves.

Frames of each clip, scaled to one large size, are hashed from the whole picture and from means (core.reducing). The
means are what local features are read from, so they are there anyway. Printed: how many of 256 bits differ, in the mean
and at most, by how much the quality does, and the CPU time of both ways in turn.

    python benchmarks/reduced_pdq.py [CLIP...] [--size 1920x1080]      without clips: made scenes
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.reducing import reduced
from streamguard.demo.scenes import Scene
from streamguard.ingest import files
from streamguard.types import FULL_RANGE, Fingerprint, Frame, MediaTime

MADE_SEEDS = range(1, 25)
A_CLIP = 8
EVERY_S = 1.5
TIMED, ROUNDS = 20, 9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--size", default="1920x1080")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    bits: list[int] = []
    qualities: list[int] = []
    timed: list[Frame] = []
    if reduced(np.zeros((height, width), np.uint8))[1] == 1:
        parser.error(f"pictures of {options.size} are read whole; try 1280x720, 1920x1080 or 3840x2160")
    for frame in frames(options.clips, size_px=(width, height)):
        whole = pdq.fingerprint(frame.luma, levels=frame.levels)
        if whole.quality < pdq.MIN_QUALITY:
            continue
        small = from_means(frame)
        bits.append(pdq.distance_bits(whole.codes[0], small.codes[0]))
        qualities.append(small.quality - whole.quality)
        timed = [*timed, frame][-TIMED:]
    print(f"{len(bits)} frames of {options.size}")
    print(f"bits that differ: {statistics.fmean(bits):.2f} in the mean, {max(bits)} at most")
    print(f"quality: {min(qualities):+d} to {max(qualities):+d}")
    whole_ms, taking_ms, hashing_ms = in_turn(timed)
    print(f"a frame: whole {whole_ms:.2f} ms; by means {hashing_ms:.2f} ms, and {taking_ms:.2f} ms for these")


def in_turn(some: list[Frame]) -> tuple[float, ...]:
    """Milliseconds of CPU a frame, in the median: the hashes of the whole picture, its means, the hashes by them."""
    spent_ms: list[tuple[float, ...]] = []
    for frame in some * ROUNDS:
        times_s = [time.thread_time()]
        pdq.fingerprint(frame.luma, levels=frame.levels)
        times_s.append(time.thread_time())
        means, each_px = reduced(frame.luma)
        times_s.append(time.thread_time())
        pdq.fingerprint(means, levels=frame.levels, mean_of_px=each_px)
        times_s.append(time.thread_time())
        spent_ms.append(tuple((after_s - before_s) * 1e3 for before_s, after_s in pairwise(times_s)))
    return tuple(statistics.median(each) for each in zip(*spent_ms, strict=True))


def from_means(frame: Frame) -> Fingerprint:
    """As a stream's frames are hashed."""
    means, each_px = reduced(frame.luma)
    return pdq.fingerprint(means, levels=frame.levels, mean_of_px=each_px)


def frames(clips: list[Path], *, size_px: tuple[int, int]) -> Iterator[Frame]:
    """Some of each clip, in that size."""
    for luma, frame in read(clips):
        large = cv2.resize(np.ascontiguousarray(luma), size_px, interpolation=cv2.INTER_CUBIC)
        yield Frame(frame.at, 0.0, np.asarray(large, np.uint8), frame.levels)


def read(clips: list[Path]) -> Iterator[tuple[NDArray[np.uint8], Frame]]:
    """Those of bytes."""
    for clip in clips:
        for number, frame in enumerate(files.looks(clip, every_s=EVERY_S)):
            if number == A_CLIP:
                break
            if frame.luma.dtype == np.uint8:
                yield frame.luma.astype(np.uint8, copy=False), frame
    for seed in () if clips else MADE_SEEDS:
        for number in range(A_CLIP):
            picture = Scene(seed).frame(number * EVERY_S, 960, 540)
            luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
            yield luma, Frame(MediaTime(1, 0), 0.0, luma, FULL_RANGE)


if __name__ == "__main__":
    main()
