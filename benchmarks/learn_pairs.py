"""Learn which 256 pairs of lights around a corner tell the most, as core/corner_codes.py has them.

Greedy, as Rublee et al. do for ORB: pairs are tried in the order of how evenly they split corners (half of them lighter
here, half there), and taken where they agree with none taken before in more than a bound, which is raised until there
are 256. Corners are those of CLIPs at one picture a second, in their canonical form.

The table in corner_codes.py was learnt so from the 17 reference clips of the gauntlet. Other footage gives other pairs,
about as good; changing them makes every library's features worthless, so it takes a new format of the library.

    python benchmarks/learn_pairs.py CLIP... [--corners 20000]
"""

import argparse
import base64
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core import corner_codes, corners
from streamguard.ingest import files

PAIRS = 256
CORNERS_A_PICTURE = 200
LEAST_STEPS_APART = 1.4
LEAST_SHARE = 0.15
"""A pair that says the same of more than 85 % of corners tells little."""

Integers = NDArray[np.int64]


def lights_of(clip: Path) -> Iterator[NDArray[np.int16]]:
    """The lights around the corners of each picture, a line each, in canonical order and polarity."""
    for frame in files.looks(clip, every_s=1.0):
        height, width = frame.luma.shape
        scale = 512 / max(height, width)
        size_px = (round(width * scale), round(height * scale))
        picture = np.asarray(cv2.resize(np.ascontiguousarray(frame.luma, np.uint8), size_px), np.uint8)
        found = corners.find(picture)
        if found is not None:
            some = corners.spread(found, shape=picture.shape, most=CORNERS_A_PICTURE)
            yield corner_codes.canonical_lights(picture, some)


def learn(lights: NDArray[np.int16]) -> Integers:
    """The pairs, a row each: the numbers of two lights."""
    first, second = np.triu_indices(lights.shape[1], 1)
    apart_px = np.hypot(*(corner_codes.GRID[first] - corner_codes.GRID[second]).T)
    far = apart_px >= LEAST_STEPS_APART * corner_codes.STEP_PX
    first, second = first[far], second[far]
    bits = (lights[:, first] < lights[:, second]).astype(np.float32)
    shares = bits.mean(axis=0)
    even = (shares >= LEAST_SHARE) & (shares <= 1 - LEAST_SHARE)
    normal = (bits - shares) / (bits.std(axis=0) + np.float32(1e-6))
    alike = np.abs(normal.T @ normal) / len(normal)
    order = [number for number in np.argsort(np.abs(shares - 0.5)).tolist() if even[number]]
    for bound in np.arange(0.1, 1.0, 0.02):
        taken = _taken(order, alike, bound=float(bound))
        if len(taken) == PAIRS:
            print(f"no two pairs agree by more than {bound:.2f}")
            return np.stack([first[taken], second[taken]], axis=1)
    raise SystemExit("too little footage: there are no 256 pairs that differ")


def _taken(order: Sequence[int], alike: NDArray[np.float32], *, bound: float) -> list[int]:
    taken: list[int] = []
    for number in order:
        if not taken or alike[number, taken].max() < bound:
            taken.append(number)
            if len(taken) == PAIRS:
                break
    return taken


def main() -> None:
    """Learn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--corners", type=int, default=20_000, help="so many of the footage's, at random")
    options = parser.parse_args()
    lights = np.concatenate([some for clip in options.clips for some in lights_of(clip)])
    chosen = np.random.default_rng(0).permutation(len(lights))[: options.corners]
    pairs = learn(lights[chosen])
    print("\n".join(textwrap.wrap(base64.b85encode(pairs.astype(np.uint8).tobytes()).decode(), 100)))


if __name__ == "__main__":
    main()
