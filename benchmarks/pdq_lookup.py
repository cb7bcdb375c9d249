"""Looking PDQ hashes up within 31 bits, in libraries of more and more of them, and opening such a library.

Libraries are of films that never were: each wanders through codes that are as uneven as those of the CLIPs (without
any, of scenes of our own) and whose bits hang together as theirs do, with a look for every few bits that it moved.
Beside them: codes that have nothing in common. Codes are asked 16 at a time, as a frame's views are: one is a look of
the library with 0 to 31 bits changed, the others are those of the CLIPs' pictures.

CPU milliseconds of one thread a query, beside FAISS's flat index, which looks at every code, in the same run. Opening
is timed in a process of its own, with two threads.

    python benchmarks/pdq_lookup.py [CLIP...] [--looks 10000 100000 1000000 10000000] [--open 10000000] [--json]
"""

import argparse
import hashlib
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.demo.scenes import Scene
from streamguard.ingest import files
from streamguard.library.durable import read_bounded
from streamguard.library.live_set import SEGMENTS, LiveSegment, LiveSet, publish
from streamguard.library.loading import load_snapshot
from streamguard.library.pdq_index import MOST_BITS, PdqIndex
from streamguard.library.segments import INDEX, PLACE, PLACES, SegmentRef, contents_of, read_segment, stage
from streamguard.types import PDQ_BITS, PDQ_BYTES, AssetId, Codes, MediaKind, Place, Reference, ReferencePrint, View

LOOKS = (10_000, 100_000, 1_000_000)
FILM_LOOKS = 500
FILMS_A_SEGMENT = 200
CUTS = 0.01
FRAMES = 128
FRAME_QUERIES = 16
FAR_BITS = 28
NUMBER_BYTES = 4
"""The number of a look's place, which a snapshot keeps beside PLACE."""

_MOST_FILE_BYTES = 1 << 31

Bits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lookup:
    """`found`: share of what flat finds; `found_far`: of that of it which is 28 to 31 bits away."""

    codes: str
    looks: int
    query_ms: float
    slowest_frame_ms: float
    flat_ms: float
    found: float
    found_far: float
    build_s: float
    bytes_a_look: float


@dataclass(frozen=True, slots=True)
class Opening:
    """`read_s` to `tables_s`: what parts of it take when done alone."""

    looks: int
    segments: int
    wall_s: float
    cpu_s: float
    mib: float
    read_s: float
    sha256_s: float
    other_checks_s: float
    tables_s: float


def known_bits(clips: Sequence[Path]) -> Bits:
    """The codes of up to 50 pictures of each clip, or of as many scenes; a line of 256 bits each."""
    codes: list[bytes] = []
    for clip in clips:
        prints = (pdq.fingerprint(frame.luma, levels=frame.levels) for frame in files.looks(clip, every_s=0.5))
        telling = (look for look in prints if look.quality >= pdq.MIN_QUALITY)
        codes += [look.codes[View.UPRIGHT] for look in islice(telling, 50)]
    for seed in range(0 if clips else 300):
        rgb = Scene(seed).frame(1.0, 320, 180)
        luma = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        codes.append(pdq.fingerprint(luma).codes[View.UPRIGHT])
    packed = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, PDQ_BYTES)
    return np.unpackbits(packed, axis=1).astype(np.float32)


def films(known: Bits, count: int, *, seed: int) -> Codes:
    """Codes of films of 500 looks: points that wander about a home, cut to another now and then, and are above or below
    their median in each bit. Half of how the bits of `known` hang together is kept: they are few.
    """
    rng = np.random.default_rng(seed)
    signs = known * 2 - 1
    together = 0.5 * np.cov(signs.T) + 0.5 * np.eye(PDQ_BITS)
    shape, mean = np.linalg.cholesky(together).T.astype(np.float32), signs.mean(axis=0)
    many = -(-count // FILM_LOOKS)

    def points(number: int) -> Bits:
        return rng.standard_normal((number, PDQ_BITS), np.float32) @ shape

    home = points(many) + mean
    now = home.copy()
    codes = np.empty((many, FILM_LOOKS, PDQ_BYTES), np.uint8)
    for look in range(FILM_LOOKS):
        now = home + (now - home) * 0.97 + points(many) * 0.1
        cut = rng.random(many) < CUTS
        home[cut] = now[cut] = points(int(cut.sum())) + mean
        codes[:, look] = np.packbits(now > np.median(now, axis=1, keepdims=True), axis=1)
    return codes.reshape(-1, PDQ_BYTES)[:count]


def frames(codes: Codes, others: Codes, *, seed: int) -> list[Codes]:
    """What frames ask: of 16 codes one is of the library, with 0 to 31 bits changed; half of them far away."""
    rng = np.random.default_rng(seed)
    asked = others[rng.integers(0, len(others), (FRAMES, FRAME_QUERIES))]
    for number, frame in enumerate(asked):
        bits = np.unpackbits(codes[rng.integers(len(codes))])
        away = rng.integers(0, MOST_BITS + 1) if number % 2 else rng.integers(FAR_BITS, MOST_BITS + 1)
        bits[rng.choice(PDQ_BITS, away, replace=False)] ^= 1
        frame[rng.integers(FRAME_QUERIES)] = np.packbits(bits)
    return list(asked)


def lookup(name: str, codes: Codes, others: Codes) -> Lookup:
    """One library."""
    began_s = time.perf_counter()
    index = PdqIndex.over(codes)
    build_s = time.perf_counter() - began_s
    asked = frames(codes, others, seed=3)
    flat = faiss.IndexBinaryFlat(PDQ_BITS)
    flat.add(codes)
    times_ms, flat_ms, found, exact = [], [], np.zeros(MOST_BITS + 1), np.zeros(MOST_BITS + 1)
    for queries in asked:
        began_s = time.thread_time()
        hits = index.within(queries, radius_bits=MOST_BITS)
        times_ms.append((time.thread_time() - began_s) * 1e3)
        began_s = time.thread_time()
        _, bits, _ = flat.range_search(queries, MOST_BITS + 1)
        flat_ms.append((time.thread_time() - began_s) * 1e3)
        found += np.bincount(hits.distances_bits, minlength=MOST_BITS + 1)
        exact += np.bincount(bits.astype(np.int64), minlength=MOST_BITS + 1)
    return Lookup(
        codes=name,
        looks=len(codes),
        query_ms=float(np.mean(times_ms)) / FRAME_QUERIES,
        slowest_frame_ms=max(times_ms),
        flat_ms=float(np.mean(flat_ms)) / FRAME_QUERIES,
        found=float(found.sum() / exact.sum()),
        found_far=float(found[FAR_BITS:].sum() / exact[FAR_BITS:].sum()),
        build_s=build_s,
        bytes_a_look=index.nbytes / len(codes) + PLACE.itemsize + NUMBER_BYTES,
    )


def write_library(path: Path, codes: Codes) -> tuple[SegmentRef, ...]:
    """A library of films of 500 looks, without local features, 200 films a segment as after a bulk addition."""
    (path / SEGMENTS).mkdir()
    refs = []
    size = FILM_LOOKS * FILMS_A_SEGMENT
    for number, start in enumerate(range(0, len(codes), size), start=1):
        items = [
            (AssetId(f"film-{number}-{film}"), "", film_of(codes[film : min(film + FILM_LOOKS, start + size)]))
            for film in range(start, min(start + size, len(codes)), FILM_LOOKS)
        ]
        refs.append(stage(path / SEGMENTS, contents_of(items)).put_in_place(number=number))
    live = tuple(LiveSegment(id=ref.id, manifest_sha256=ref.manifest_sha256) for ref in refs)
    publish(path, LiveSet(generation=1, changed_unix_s=1.0, segments=live))
    return tuple(refs)


def film_of(codes: Codes) -> Reference:
    """Ten looks a second."""
    prints = tuple(
        ReferencePrint(Place(at * 100_000, at * 100_000 + 99_999), code.tobytes(), 90, 100)
        for at, code in enumerate(codes)
    )
    return Reference(MediaKind.VIDEO, len(codes) * 100_000, len(codes), 0.0, prints)


def opened(path: Path) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, MiB that the process has afterwards) of loading the library."""
    before, began_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    snapshot = load_snapshot(path)
    wall_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s, snapshot.bytes_in_memory / (1 << 20)


def opening(codes: Codes) -> Opening:
    """Of a library whose files the system still has in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        refs = write_library(path, codes)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            wall_s, cpu_s, mib = pool.submit(opened, path).result()
        began_s = time.perf_counter()
        names = [path / SEGMENTS / ref.id / name for ref in refs for name in (INDEX, PLACES)]
        datas = [read_bounded(name, most_bytes=_MOST_FILE_BYTES) for name in names]
        read_s = time.perf_counter() - began_s
        for data in datas:
            hashlib.sha256(data).digest()
        sha256_s = time.perf_counter() - began_s - read_s
        del datas
        began_s = time.perf_counter()
        for ref in refs:
            read_segment(path / SEGMENTS, ref)
        segments_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    PdqIndex.over(codes)
    return Opening(
        looks=len(codes),
        segments=len(refs),
        wall_s=wall_s,
        cpu_s=cpu_s,
        mib=mib,
        read_s=read_s,
        sha256_s=sha256_s,
        other_checks_s=segments_s - read_s - sha256_s,
        tables_s=time.perf_counter() - began_s,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="*", metavar="CLIP")
    parser.add_argument("--looks", type=int, nargs="*", default=list(LOOKS), metavar="N")
    parser.add_argument("--open", type=int, metavar="N", help="make a library of so many looks, and open it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    known = known_bits(options.clips)
    others = np.packbits(known.astype(np.uint8), axis=1)
    most = max([*options.looks, options.open or 0])
    made = films(known, most, seed=1)
    libraries = {"films": made, "random": np.random.default_rng(2).integers(0, 256, made.shape, np.uint8)}
    lookups = [lookup(name, codes[:n], others) for name, codes in libraries.items() for n in sorted(options.looks)]
    libraries.pop("random")
    opens = opening(made[: options.open]) if options.open else None
    if options.json:
        document = {"lookup": [asdict(one) for one in lookups], "opening": asdict(opens) if opens else None}
        print(json.dumps(document, indent=1))
        return
    show(lookups, opens)


def show(lookups: Sequence[Lookup], opens: Opening | None) -> None:
    """As docs/performance.md has it."""
    print(
        "| codes | looks | a query | slowest frame | flat | times | found | at 28-31 bits | built in | bytes a look |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for one in lookups:
        print(
            f"| {one.codes} | {one.looks:,} | {one.query_ms:.3f} ms | {one.slowest_frame_ms:.1f} ms "
            f"| {one.flat_ms:.3f} ms | {one.flat_ms / one.query_ms:.1f} | {one.found:.2%} | {one.found_far:.2%} "
            f"| {one.build_s:.1f} s | {one.bytes_a_look:.0f} |"
        )
    if opens:
        print(f"\n{opens.looks:,} looks in {opens.segments} segments: opened in {opens.wall_s:.1f} s,", end=" ")
        print(f"{opens.cpu_s:.1f} s of CPU; {opens.mib:.0f} MiB. Alone: reading {opens.read_s:.2f} s,", end=" ")
        print(f"SHA-256 {opens.sha256_s:.2f} s, other checks {opens.other_checks_s:.2f} s,", end=" ")
        print(f"tables {opens.tables_s:.1f} s")


if __name__ == "__main__":
    main()
