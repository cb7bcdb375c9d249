"""What does a stream cost, beside the floor: pulling its bytes and decoding one keyframe in each group of pictures?

A real nginx-rtmp gets N publishers, each an ffmpeg that copies made footage (1080p30, 6 Mb/s, a keyframe every 2 s; or
--size 1280x720, 640x360). The same N streams are pulled in one run, first by N times

    ffmpeg -skip_frame nokey -i URL -an -f null -

then by one `streamguard watch` with a library of --looks PDQ hashes and --features local features, then by ffmpeg
again; CPU and memory (PSS) are those of all their processes, children included, once all are watched and have settled.
--seconds is how long each part is measured. More than one N gives a line each: does it grow in a straight line?

With --peers also what others take for a second of the same footage, each alone: `ffmpeg` decoding every frame with
`pdqhash` on one a second, and `vpdq` (PyPI) with one hash a second, if that is installed.

    python benchmarks/streams_beside_floor.py [--streams 20 ...] [--looks N] [--features N] [--peers] [--json]

All runs on this machine, publishers and server included: they are not counted, but take their share of it. Needs
nginx with its RTMP module, and ffmpeg.
"""

import argparse
import importlib.util
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from benchmarks.rtmp_streams import (
    APP,
    ENCODING,
    FOOTAGE_S,
    START_TIMEOUT_S,
    Family,
    Sample,
    cpu_s,
    memory_mib,
    publishing,
    steady,
    watched,
    watching,
)
from streamguard.core.features import REFERENCE, features
from streamguard.core.fingerprints import fingerprints
from streamguard.core.references import condense
from streamguard.demo.encode import film, write_video
from streamguard.demo.scenes import Scene
from streamguard.ingest import files
from streamguard.library.catalogue import NewItem
from streamguard.library.store import Library
from streamguard.types import (
    CODE_BYTES,
    FULL_RANGE,
    PDQ_BYTES,
    AssetId,
    Features,
    MediaKind,
    Place,
    Reference,
    ReferenceFrame,
)
from tests.local_servers import RtmpServer, free_ports
from tests.pictures import luma_of
from tests.programs import need
from tests.waiting import eventually

SETTLING_S = 20.0
SCENES = 200
TURNED_BITS = 24
PEER_S = 20.0
LOOKS_AN_ITEM = 50_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line says."""

    seconds: float
    looks: int
    features: int
    size_px: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One number of streams. CPU in percent of a core a stream; the floor is the mean of before and after."""

    streams: int
    floor_percent: float
    floor_pss_mib: float
    ours_percent: float
    parent_percent: float
    ours_pss_mib: float
    parent_pss_mib: float
    ratio: float
    streams_a_core: float
    lag_p50_s: float
    lag_p99_s: float
    reconnects: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Peer:
    """CPU in percent of a core for one stream."""

    name: str
    percent: float


def make_library(folder: Path, known: Path, plan: Plan) -> None:
    """The known footage, and made-up looks and features as a large library has them."""
    rng = np.random.default_rng(1)
    reference = condense(map(fingerprints, files.looks(known)), kind=MediaKind.VIDEO)
    with Library.open(folder, create=True) as library:
        library.add(NewItem(AssetId("known"), "made", "known.mp4", 1, "0" * 64), reference)
        for number, some in enumerate(_fillers(reference, rng, plan)):
            library.add(NewItem(AssetId(f"filler-{number}"), "made", f"filler-{number}", 1, f"{number + 1:064x}"), some)


def _fillers(reference: Reference, rng: np.random.Generator, plan: Plan) -> Iterator[Reference]:
    """Items of so many looks and features; the codes are real ones with some of their bits turned."""
    items = max(1, -(-plan.looks // LOOKS_AN_ITEM))
    frames = -(-plan.features // REFERENCE.most // items)
    real = [features(luma_of(Scene(1000 + seed)), levels=FULL_RANGE, how=REFERENCE) for seed in range(SCENES)]
    for item in range(items):
        looks = range(min(LOOKS_AN_ITEM, plan.looks - item * LOOKS_AN_ITEM))
        prints = (replace(reference.prints[0], place=Place(i, i), code=rng.bytes(PDQ_BYTES)) for i in looks)
        some = (
            ReferenceFrame(Place(i * 1_000_000, i * 1_000_000), found, np.zeros(len(found), np.uint8))
            for i in range(frames)
            for found in [_turned(real[(item * frames + i) % SCENES], rng)]
        )
        yield replace(
            reference,
            duration_us=max(len(looks), frames * 1_000_000),
            frames_seen=len(looks),
            prints=tuple(prints),
            frames=tuple(some),
        )


def _turned(found: Features, rng: np.random.Generator) -> Features:
    masks = np.zeros((len(found), CODE_BYTES * 8), np.uint8)
    np.put_along_axis(masks, rng.integers(0, CODE_BYTES * 8, (len(found), TURNED_BITS)), 1, axis=1)
    return replace(found, codes=found.codes ^ np.packbits(masks, axis=1))


@contextmanager
def published(folder: Path, footage: Path, *, streams: int) -> Iterator[list[str]]:
    """So many publishers of it, spread over a group of pictures; their addresses."""
    folder.mkdir()
    server = RtmpServer(folder).start()
    names = [f"cam-{number}" for number in range(streams)]
    with ExitStack() as stack:
        stack.callback(server.stop)
        for name in names:
            stack.enter_context(server.publish(name, footage, app=APP))
            time.sleep(ENCODING.gop_s / streams)
        eventually(lambda: publishing(server) == streams, timeout_s=START_TIMEOUT_S, what="all publishers")
        yield [server.rtmp_url(name, app=APP) for name in names]


def floor(urls: Sequence[str], *, seconds: float) -> tuple[float, float]:
    """(percent of a core a stream, MiB a stream) of ffmpeg pulling all of them."""
    with ExitStack() as stack:
        pulls = [stack.enter_context(_pull(url)) for url in urls]
        time.sleep(SETTLING_S)
        before_s, began_s = sum(cpu_s(pull.pid) for pull in pulls), time.monotonic()
        time.sleep(seconds)
        used_s, took_s = sum(cpu_s(pull.pid) for pull in pulls) - before_s, time.monotonic() - began_s
        pss_mib = sum(memory_mib(pull.pid)[0] for pull in pulls)
        if any(pull.poll() is not None for pull in pulls):
            raise SystemExit("error: an ffmpeg that pulled ended before its time; is the machine too busy?")
    return used_s / took_s / len(urls) * 100, pss_mib / len(urls)


@contextmanager
def _pull(url: str) -> "Iterator[subprocess.Popen[bytes]]":
    command = ["ffmpeg", "-v", "error", "-nostdin", "-skip_frame", "nokey", "-i", url, "-an"]
    process = subprocess.Popen([*command, "-f", "null", "-"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ours(folder: Path, urls: list[str], *, seconds: float) -> tuple[list[Sample], dict[str, float]]:
    """(samples, the worker's own summary) of one `streamguard watch` that watches all of them."""
    (port,) = free_ports(1)
    with watching(folder, urls, port=port) as worker:
        what = f"all watched ({folder})"
        eventually(lambda: watched(port) == len(urls), timeout_s=START_TIMEOUT_S, what=what)
        time.sleep(SETTLING_S)
        samples = steady(Family(worker.pid, port=port), seconds=seconds)
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(START_TIMEOUT_S)
    if status:
        raise SystemExit(f"error: the worker ended with {status}\n{(folder / 'err').read_text()}")
    summary = json.loads((folder / "out").read_text().splitlines()[-1])
    return samples, {**summary["lag_s"], "reconnects": summary["reconnects"], "restarts": summary["restarts"]}


def measure(folder: Path, footage: Path, plan: Plan, *, streams: int) -> Line:
    """One number of streams: the floor, we, and the floor again."""
    with published(folder / f"nginx-{streams}", footage, streams=streams) as urls:
        _say(f"{streams} streams: the floor, {plan.seconds:.0f} s")
        before = floor(urls, seconds=plan.seconds / 2)
        _say(f"{streams} streams: StreamGuard, {plan.seconds:.0f} s")
        samples, summary = ours(folder, urls, seconds=plan.seconds)
        after = floor(urls, seconds=plan.seconds / 2)
    first, last = samples[0], samples[-1]
    percent = 100 / (last.at_s - first.at_s) / streams
    parent = (last.parent_cpu_s - first.parent_cpu_s) * percent
    total = parent + (last.children_cpu_s - first.children_cpu_s) * percent
    floor_percent = (before[0] + after[0]) / 2
    return Line(
        streams=streams,
        floor_percent=round(floor_percent, 3),
        floor_pss_mib=round((before[1] + after[1]) / 2, 1),
        ours_percent=round(total, 3),
        parent_percent=round(parent, 3),
        ours_pss_mib=round(last.pss_mib / streams, 1),
        parent_pss_mib=round(last.parent_pss_mib, 1),
        ratio=round(total / floor_percent, 3),
        streams_a_core=round(100 / total, 1),
        lag_p50_s=summary["p50"],
        lag_p99_s=summary["p99"],
        reconnects=int(summary["reconnects"]),
        restarts=int(summary["restarts"]),
    )


def peers(footage: Path) -> list[Peer]:
    """What others take for a second of this footage, one hash a second."""
    probe = "import sys, time, av, pdqhash\n"
    decode = (
        f"{probe}due = 0.0\nwith av.open(sys.argv[1]) as container:\n  for frame in container.decode(video=0):\n"
        "    if frame.time >= due:\n      due += 1.0\n      pdqhash.compute(frame.to_ndarray(format='rgb24'))\n"
    )
    vpdq = "import sys, vpdq\nvpdq.computeHash(sys.argv[1], seconds_per_hash=1)\n"
    found = []
    for name, script in {"every frame decoded, pdqhash": decode, "vpdq": vpdq}.items():
        module = "vpdq" if name == "vpdq" else "pdqhash"
        if importlib.util.find_spec(module) is None:
            _say(f"{name}: not installed, left out")
            continue
        used_s = _children_cpu_s([sys.executable, "-c", script, str(footage)])
        used_s -= _children_cpu_s([sys.executable, "-c", f"import av, {module}"])
        found.append(Peer(name, round(used_s / files.describe(footage).duration_s * 100, 1)))
    return found


def _children_cpu_s(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[20])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--looks", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=1_500_000)
    parser.add_argument("--size", default="1920x1080", metavar="WIDTHxHEIGHT")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    need("nginx", "ffmpeg")
    width, height = map(int, options.size.split("x"))
    plan = Plan(options.seconds, options.looks, options.features, (width, height))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _say(f"making footage, and a library of {plan.looks:,} looks and {plan.features:,} features")
        known, other = (
            write_video(
                folder / f"{title}.mp4", film(Scene(seed), seconds=FOOTAGE_S, fps=30, size_px=plan.size_px), ENCODING
            )
            for title, seed in (("known", 60), ("other", 61))
        )
        make_library(folder / "library", known, plan)
        lines = [measure(folder, other, plan, streams=streams) for streams in options.streams]
        others = peers(other) if options.peers else []
    if options.json:
        print(json.dumps({"streams": [asdict(line) for line in lines], "peers": [asdict(peer) for peer in others]}))
        return
    print("| streams | floor | StreamGuard | of it the parent | ratio | streams a core | PSS a stream | lag p50, p99 |")
    print("|---|---|---|---|---|---|---|---|")
    for line in lines:
        print(
            f"| {line.streams} | {line.floor_percent:.2f} % | {line.ours_percent:.2f} % | {line.parent_percent:.2f} % "
            f"| {line.ratio:.2f} | {line.streams_a_core:.0f} | {line.ours_pss_mib:.1f} MiB (ffmpeg "
            f"{line.floor_pss_mib:.1f}) | {line.lag_p50_s:.3f} s, {line.lag_p99_s:.3f} s |"
        )
    for peer in others:
        print(f"{peer.name}: {peer.percent:.1f} % of a core a stream")


if __name__ == "__main__":
    main()
