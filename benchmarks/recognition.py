"""What recognition costs a keyframe, and how that grows with the library.

Fingerprints: PDQ and local features of pictures of 640x360, beside what OpenCV's own ORB takes for as many features of
the same pictures as they are, mirrored, and as negatives: the three readings that our one stands for. They alternate.

Lookup: votes, geometry, evidence and decision for the pictures, half of which are in the library, in libraries of more
and more features. Those are read from CLIPs or, without any, from scenes of our own; beyond what these give, each code
is used again with 24 of its bits turned, as another picture's code might be. Beside it: looking at every code (flat).

CPU time, one thread, medians.

    python benchmarks/recognition.py [CLIP...] [--features 10000 100000 2000000] [--json]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import weigh_alignments
from streamguard.core.features import REFERENCE, STREAM, features
from streamguard.core.geometry import align
from streamguard.core.rules import BUILT_IN_WEIGHTS
from streamguard.demo.scenes import Scene
from streamguard.ingest import files
from streamguard.library.feature_votes import FeatureVotes, Footage
from streamguard.library.local_features import (
    FEATURE,
    FRAME,
    NEAREST,
    NEAREST_BITS,
    Asset,
    FeatureSearch,
    LocalFeatures,
)
from streamguard.types import FULL_RANGE, AssetId, Codes, Features, MediaKind, MediaTime, Observation

SIZE_PX = (640, 360)
PICTURES = 60
TURNED_BITS = 24
MOST_READ = 2_000_000
FEATURES = (10_000, 100_000, 1_000_000, 2_000_000)

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Fingerprinting:
    """Milliseconds a picture. `ratio`: how many times longer OpenCV's three readings take than our features."""

    pdq_ms: float
    features_ms: float
    together_ms: float
    orb_three_ways_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Lookup:
    """Milliseconds a picture; `recall` is the share of codes within the radius that flat search finds and ours too. A
    worker keeps each code twice, in the index and for the next shard.
    """

    features: int
    vote_ms: float
    decide_ms: float
    together_ms: float
    together_p90_ms: float
    flat_ms: float
    recall: float
    build_s: float
    bytes_a_feature: float


def pictures(clips: Sequence[Path]) -> Iterator[Picture]:
    """Moments of many scenes."""
    if clips:
        for clip in clips:
            for frame in files.looks(clip, every_s=0.22):
                luma = np.ascontiguousarray(frame.luma, np.uint8)
                yield np.asarray(cv2.resize(luma, SIZE_PX, interpolation=cv2.INTER_AREA), np.uint8)
        return
    seed = 0
    while True:
        scene = Scene(seed)
        for moment in range(40):
            rgb = scene.frame(moment * 1.1, *SIZE_PX)
            yield np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        seed += 1


def fingerprinting(shown: Sequence[Picture]) -> Fingerprinting:
    """All on the same pictures in turn."""
    orb = cv2.ORB.create(nfeatures=STREAM.most)

    def three_ways(luma: Picture) -> None:
        for picture in (luma, np.ascontiguousarray(luma[:, ::-1]), ~luma):
            orb.detectAndCompute(picture, None)

    def ours(luma: Picture) -> None:
        features(luma, levels=FULL_RANGE, how=STREAM)

    def both(luma: Picture) -> None:
        pdq.fingerprint(luma)
        ours(luma)

    times_ms = alternating({"pdq": pdq.fingerprint, "ours": ours, "both": both, "orb": three_ways}, shown)
    medians_ms = {name: statistics.median(values) for name, values in times_ms.items()}
    return Fingerprinting(
        medians_ms["pdq"],
        medians_ms["ours"],
        medians_ms["both"],
        medians_ms["orb"],
        medians_ms["orb"] / medians_ms["ours"],
    )


def alternating(
    readings: Mapping[str, Callable[[Picture], object]], shown: Sequence[Picture]
) -> dict[str, list[float]]:
    """CPU milliseconds of each reading of each picture, the better of two."""
    times_ms: dict[str, list[float]] = {name: [] for name in readings}
    for luma in shown:
        best_ms = dict.fromkeys(readings, float("inf"))
        for _ in range(2):
            for name, read in readings.items():
                began_s = time.thread_time()
                read(luma)
                best_ms[name] = min(best_ms[name], (time.thread_time() - began_s) * 1e3)
        for name, milliseconds in best_ms.items():
            times_ms[name].append(milliseconds)
    return times_ms


def library_codes(clips: Sequence[Path], count: int) -> Codes:
    """So many codes."""
    rng = np.random.default_rng(7)
    found: list[Codes] = []
    have = 0
    for luma in pictures(clips):
        codes = features(luma, levels=FULL_RANGE, how=REFERENCE).codes
        found.append(codes)
        have += len(codes)
        if have >= min(count, MOST_READ):
            break
    real = np.concatenate(found)
    while have < count:
        bits = rng.integers(0, 256, (len(real), TURNED_BITS), dtype=np.int64)
        masks = np.zeros((len(real), 256), np.uint8)
        np.put_along_axis(masks, bits, 1, axis=1)
        found.append(real ^ np.packbits(masks, axis=1))
        have += len(real)
    return np.concatenate(found)[:count]


def library(codes: Codes) -> LocalFeatures:
    """A library of one long item with those codes at random places."""
    rng = np.random.default_rng(8)
    rows = np.zeros(len(codes), FEATURE)
    rows["frame"] = np.arange(len(codes)) // REFERENCE.most
    rows["x"], rows["y"] = rng.integers(0, 32 * 280, (2, len(codes)))
    frames = np.zeros(int(rows["frame"][-1]) + 1, FRAME)
    frames["from_us"] = frames["to_us"] = np.arange(len(frames)) * 1_000_000
    frames["width_px"], frames["height_px"] = 512, 288
    return LocalFeatures(codes, rows, frames)


def lookup(codes: Codes, shown: Sequence[Features]) -> Lookup:
    """One size of library."""
    local = library(codes)
    began_s = time.perf_counter()
    search = FeatureSearch.over(local)
    build_s = time.perf_counter() - began_s
    assets = (Asset(AssetId("known"), "", MediaKind.VIDEO),)
    known = FeatureVotes.over([Footage(search, assets)])
    votes_ms, decide_ms = [], []
    state = DecisionState()
    for number, found in enumerate(shown):
        at = MediaTime(0, number * 2_000_000)
        began_s = time.thread_time()
        votes = known.vote(found)
        voted_s = time.thread_time()
        alignments = [one for vote in votes for one in align(vote, BUILT_IN_WEIGHTS.geometry)]
        evidence = weigh_alignments(alignments, BUILT_IN_WEIGHTS.features)
        state, _ = step(state, [Observation(at, evidence)], BUILT_IN_RULE)
        votes_ms.append((voted_s - began_s) * 1e3)
        decide_ms.append((time.thread_time() - voted_s) * 1e3)
    flat_ms, recall = beside_flat(codes, search, shown[:10])
    together_ms = [one + other for one, other in zip(votes_ms, decide_ms, strict=True)]
    return Lookup(
        features=len(codes),
        vote_ms=statistics.median(votes_ms),
        decide_ms=statistics.median(decide_ms),
        together_ms=statistics.median(together_ms),
        together_p90_ms=float(np.quantile(together_ms, 0.9)),
        flat_ms=flat_ms,
        recall=recall,
        build_s=build_s,
        bytes_a_feature=(search.nbytes + local.codes.nbytes) / len(codes),
    )


def beside_flat(codes: Codes, search: FeatureSearch, shown: Sequence[Features]) -> tuple[float, float]:
    """(milliseconds of looking at every code, share of what that finds which the library's search finds)."""
    flat = faiss.IndexBinaryFlat(256)
    flat.add(codes)
    times_ms, hits, all_of = [], 0, 0
    for found in shown:
        began_s = time.thread_time()
        flat_bits, _ = flat.search(found.codes, NEAREST)
        times_ms.append((time.thread_time() - began_s) * 1e3)
        within = np.count_nonzero(flat_bits <= NEAREST_BITS, axis=1)
        _, bits = search.nearest(found.codes)
        hits += int(np.minimum(within, np.count_nonzero(bits <= NEAREST_BITS, axis=1)).sum())
        all_of += int(within.sum())
    return statistics.median(times_ms), hits / all_of if all_of else 1.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="*", metavar="CLIP")
    parser.add_argument("--features", type=int, nargs="+", default=list(FEATURES), metavar="N")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    cv2.setNumThreads(1)
    codes = library_codes(options.clips, max(options.features))
    step_by = max(1, min(len(codes), MOST_READ) // REFERENCE.most // PICTURES)
    shown = list(islice(pictures(options.clips), 0, step_by * PICTURES, step_by))
    prints = fingerprinting(shown)
    seen = [features(luma, levels=FULL_RANGE, how=STREAM) for luma in shown]
    lookups = [lookup(codes[:count], seen) for count in sorted(options.features)]
    if options.json:
        print(json.dumps({"fingerprinting": asdict(prints), "lookup": [asdict(one) for one in lookups]}, indent=1))
        return
    print(
        f"PDQ {prints.pdq_ms:.2f} ms, features {prints.features_ms:.2f} ms, both {prints.together_ms:.2f} ms a picture"
    )
    print(f"OpenCV's ORB, three ways: {prints.orb_three_ways_ms:.2f} ms ({prints.ratio:.1f} times as long)\n")
    print("| features | votes | geometry, decision | both | p90 | flat | recall | built in | bytes a feature |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in lookups:
        print(
            f"| {one.features:,} | {one.vote_ms:.1f} ms | {one.decide_ms:.2f} ms | {one.together_ms:.1f} ms "
            f"| {one.together_p90_ms:.1f} ms | {one.flat_ms:.1f} ms | {one.recall:.1%} | {one.build_s:.1f} s "
            f"| {one.bytes_a_feature:.0f} |"
        )


if __name__ == "__main__":
    main()
