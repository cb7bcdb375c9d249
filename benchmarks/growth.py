"""How looking things up grows with the library: PDQ codes and local features, from 10 thousand to 10 million.

The libraries and the questions are those of pdq_lookup.py and recognition.py; a straight line is fitted to the time a
look takes and to the memory, and its worst residual is told.

    python benchmarks/growth.py
    python benchmarks/growth.py --sizes 10000 100000 1000000 --json

CPU milliseconds of one thread. Ten million take some 6 GiB of memory.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import pdq_lookup, recognition
from benchmarks.conditions import told
from benchmarks.figures import table
from benchmarks.worker_run import Say
from streamguard.core.features import REFERENCE, STREAM, features
from streamguard.types import FULL_RANGE

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
PDQ, FEATURES = "PDQ", "features"


@dataclass(frozen=True, slots=True)
class Growth:
    """One size of library. A look asks for the 16 views of PDQ, or for all features of a keyframe; `found` is the share
    of what looking at every code finds, within 31 bits, or among the nearest codes within the features' radius.
    """

    what: str
    size: int
    look_ms: float
    flat_look_ms: float
    found: float
    bytes_each: float


def measure(sizes: tuple[int, ...], *, say: Say) -> list[Growth]:
    """Both kinds, smallest first."""
    faiss.omp_set_num_threads(1)
    cv2.setNumThreads(1)
    return [*_pdq(sizes, say=say), *_features(sizes, say=say)]


def _pdq(sizes: tuple[int, ...], *, say: Say) -> list[Growth]:
    say("looks of films that never were")
    known = pdq_lookup.known_bits([])
    others = np.packbits(known.astype(np.uint8), axis=1)
    codes = pdq_lookup.films(known, max(sizes), seed=1)
    found = []
    for size in sorted(sizes):
        say(f"PDQ, {size:,} looks")
        one = pdq_lookup.lookup("films", codes[:size], others)
        queries = pdq_lookup.FRAME_QUERIES
        found.append(
            Growth(PDQ, size, one.query_ms * queries, one.flat_ms * queries, one.found, round(one.bytes_a_look, 1))
        )
    return found


def _features(sizes: tuple[int, ...], *, say: Say) -> list[Growth]:
    say(f"local features of scenes, {max(sizes):,}")
    codes = recognition.library_codes([], max(sizes))
    step_by = max(1, min(len(codes), 2_000_000) // REFERENCE.most // recognition.PICTURES)
    shown = islice(recognition.pictures([]), 0, step_by * recognition.PICTURES, step_by)
    seen = [features(luma, levels=FULL_RANGE, how=STREAM) for luma in shown]
    found = []
    for size in sorted(sizes):
        say(f"local features, {size:,}")
        one = recognition.lookup(codes[:size], seen)
        found.append(Growth(FEATURES, size, one.vote_ms, one.flat_ms, one.recall, round(one.bytes_a_feature, 1)))
    return found


HEAD = ("fingerprints", "in the library", "a look", "looking at every code", "found", "bytes each")


def row(one: Growth) -> list[str]:
    """Of the table."""
    return [
        one.what,
        f"{one.size:,}",
        f"{one.look_ms:.2f} ms",
        f"{one.flat_look_ms:.2f} ms",
        f"{one.found:.1%}",
        f"{one.bytes_each:.0f}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    options = parser.parse_args()
    found = measure(tuple(options.sizes), say=told())
    print(json.dumps([asdict(one) for one in found]) if options.json else table(HEAD, map(row, found)))


if __name__ == "__main__":
    main()
