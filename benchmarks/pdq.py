"""PDQ from the luma plane beside `pdqhash`, the C++ reference's Python package, on the same pictures in the same run.

`pdqhash` gets the RGB picture, as it wants it; ours the uint8 luma plane, as a decoder gives it. Both alternate, round
by round, so that a busy machine is busy for both; the figures are medians of CPU time, which counts every thread.

    python benchmarks/pdq.py [--rounds 15] [--json]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pdqhash

from streamguard.core import pdq
from streamguard.demo import textures

SIZES_PX = ((640, 360), (1280, 720), (1920, 1080))
TARGET_RATIO = 20.0
TARGET_HEIGHT_PX = 1080


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds for one picture, and how many times longer `pdqhash` takes for its hash."""

    width_px: int
    height_px: int
    pdqhash_ms: float
    hash_ms: float
    eight_views_ms: float
    hash_ratio: float
    eight_views_ratio: float
    bits_apart: int


def measure(width_px: int, height_px: int, *, rounds: int) -> Figure:
    """All three on one textured picture."""
    rgb = textures.canvas(np.random.default_rng(1), width_px, height_px)
    luma = np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    medians_ms = alternating(
        {
            "theirs": lambda: pdqhash.compute(rgb),
            "hash": lambda: pdq.from_luma(luma),
            "views": lambda: pdq.fingerprint(luma),
        },
        rounds=rounds,
    )
    bits, _ = pdqhash.compute(rgb)
    code, _ = pdq.from_luma(luma)
    return Figure(
        width_px=width_px,
        height_px=height_px,
        pdqhash_ms=medians_ms["theirs"],
        hash_ms=medians_ms["hash"],
        eight_views_ms=medians_ms["views"],
        hash_ratio=medians_ms["theirs"] / medians_ms["hash"],
        eight_views_ratio=medians_ms["theirs"] / medians_ms["views"],
        bits_apart=pdq.distance_bits(code, np.packbits(bits.astype(np.uint8)).tobytes()),
    )


def alternating(calls: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each call, one after the other in every round; the first round is not counted."""
    costs: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            began_s = time.process_time()
            call()
            costs[name].append((time.process_time() - began_s) * 1e3)
    return {name: statistics.median(cost[1:]) for name, cost in costs.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print one JSON object a size")
    options = parser.parse_args()
    figures = [measure(width_px, height_px, rounds=options.rounds) for width_px, height_px in SIZES_PX]
    if options.json:
        for figure in figures:
            print(json.dumps(asdict(figure)))
        return
    print(f"{'picture':>10} {'pdqhash':>9} {'hash':>9} {'ratio':>6} {'8 views':>9} {'ratio':>6} {'bits apart':>11}")
    for figure in figures:
        print(
            f"{figure.width_px:>5}x{figure.height_px:<4} {figure.pdqhash_ms:>6.2f} ms {figure.hash_ms:>6.2f} ms "
            f"{figure.hash_ratio:>6.1f} {figure.eight_views_ms:>6.2f} ms {figure.eight_views_ratio:>6.1f} "
            f"{figure.bits_apart:>11}"
        )
    reached = next(figure.eight_views_ratio for figure in figures if figure.height_px == TARGET_HEIGHT_PX)
    print(f"{TARGET_HEIGHT_PX}p, all eight views: {reached:.1f}x; target {TARGET_RATIO:.0f}x")


if __name__ == "__main__":
    main()
