"""Many live streams at once: does the worker keep up, does it stay connected, and what does a stream cost?

A real nginx-rtmp gets N publishers, each an ffmpeg that copies made footage (1080p30, 6 Mb/s, a keyframe every 2 s) in
real time; one `streamguard watch --json` watches them all. One stream in four shows footage of the library. Once all
are watched, and have settled, its processes (parent, forkserver, decoders) are sampled every few seconds; PSS is memory
with what is shared counted once. Lag, reconnects and restarts are the worker's own summary, from its start to its end,
so they hold the rush of the start as well: `late` counts the keyframes with more than a second of lag after that.

    python benchmarks/rtmp_streams.py [--streams 20] [--seconds 120] [--looks 5000] [--in-step] [--json]

Keyframes of the streams are spread evenly over time, as chance would have it; --in-step has them all at once, which is
the worst case.

Issue 2 wants 20 streams for 2 minutes with no reconnect, no lag above 1 s, and memory flat. Everything runs on this
machine: a busy one measures itself, so the load is printed as well. Needs nginx with its RTMP module, and ffmpeg.
"""

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from streamguard.core.fingerprints import fingerprints
from streamguard.core.references import condense
from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.ingest import files
from streamguard.library.catalogue import NewItem
from streamguard.library.store import Library
from streamguard.types import PDQ_BYTES, AssetId, MediaKind, Place
from tests.e2e.processes import descendants, forkservers
from tests.local_servers import RtmpServer, free_ports
from tests.programs import need
from tests.waiting import eventually

FOOTAGE_S = 6.0
SIZE_PX = (1920, 1080)
ENCODING = Encoding(fps=30, gop_s=2.0, bit_rate_bps=6_000_000)
KNOWN_EVERY = 4
APP = "patient"  # the one in which nginx does not write HLS segments as well
SETTLING_S = 30.0
SAMPLE_EVERY_S = 5.0
START_TIMEOUT_S = 120.0
MOST_LAG_S = 1.0
MOST_GROWTH = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line says."""

    streams: int
    seconds: float
    looks: int
    in_step: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes of the worker at one moment. `busy_s` is what every process of the machine has used so far.

    `anonymous_mib` is memory of their own; the rest of PSS is files, and changes with whoever else maps them.
    """

    at_s: float
    parent_cpu_s: float
    children_cpu_s: float
    busy_s: float
    parent_pss_mib: float
    forkserver_pss_mib: float
    decoders_pss_mib: float
    anonymous_mib: float
    late_keyframes: int

    @property
    def pss_mib(self) -> float:
        return self.parent_pss_mib + self.forkserver_pss_mib + self.decoders_pss_mib


@dataclass(frozen=True, slots=True)
class Report:
    """What came out."""

    streams: int
    steady_s: float
    looks: int
    lag_p50_s: float
    lag_p99_s: float
    lag_max_s: float
    late_keyframes: int
    reconnects: int
    restarts: int
    keyframes: int
    kills: int
    kills_wanted: int
    cpu_percent_a_stream: float
    parent_cpu_percent_a_stream: float
    pss_mib_a_stream: float
    parent_pss_mib: float
    decoder_pss_mib: float
    anonymous_mib_at_start: float
    anonymous_mib_at_end: float
    machine_busy_percent: float
    load_average_at_start: float
    load_average_at_end: float

    @property
    def held(self) -> bool:
        """Whether it is as issue 2 wants it."""
        is_flat = self.anonymous_mib_at_end <= self.anonymous_mib_at_start * (1 + MOST_GROWTH)
        return not self.reconnects and not self.restarts and self.lag_max_s <= MOST_LAG_S and is_flat


class Family:
    """A worker and its processes, as /proc has them."""

    def __init__(self, pid: int, *, port: int) -> None:
        self._pid = pid
        self._port = port
        self._cpu_s: dict[int, float] = {}

    def sample(self) -> Sample:
        """Processor time counts those that have ended as well."""
        (forkserver,) = forkservers(self._pid)
        memory: dict[int, tuple[float, float]] = {}
        for pid in (self._pid, *descendants(self._pid)):
            with suppress(FileNotFoundError, ProcessLookupError, KeyError):  # it ended while we looked
                self._cpu_s |= {pid: cpu_s(pid)}
                memory[pid] = memory_mib(pid)
        pss_mib = {pid: both[0] for pid, both in memory.items()}
        parent, shared = pss_mib.pop(self._pid), pss_mib.pop(forkserver)
        return Sample(
            at_s=time.monotonic(),
            parent_cpu_s=self._cpu_s[self._pid],
            children_cpu_s=sum(cpu_s for pid, cpu_s in self._cpu_s.items() if pid != self._pid),
            busy_s=_busy_s(),
            parent_pss_mib=parent,
            forkserver_pss_mib=shared,
            decoders_pss_mib=sum(pss_mib.values()),
            anonymous_mib=sum(both[1] for both in memory.values()),
            late_keyframes=_late_keyframes(self._port),
        )


def make_footage(folder: Path) -> tuple[Path, Path]:
    """The known footage, and another one."""
    known, other = (
        write_video(folder / f"{name}.mp4", film(Scene(seed), seconds=FOOTAGE_S, fps=30, size_px=SIZE_PX), ENCODING)
        for name, seed in (("known", 60), ("other", 61))
    )
    return known, other


def make_library(folder: Path, known: Path, *, looks: int) -> int:
    """The known footage, and random looks up to a number, as a large library has them; how many there are."""
    rng = np.random.default_rng(1)
    reference = condense(map(fingerprints, files.looks(known)), kind=MediaKind.VIDEO)
    others = tuple(
        replace(reference.prints[0], place=Place(i * 100_000, i * 100_000), code=rng.bytes(PDQ_BYTES))
        for i in range(looks)
    )
    filler = replace(reference, duration_us=looks * 100_000, frames_seen=looks, prints=others)
    with Library.open(folder, create=True) as library:
        library.add(NewItem(AssetId("known"), "made", "known.mp4", 1, "0" * 64), reference)
        if others:
            library.add(NewItem(AssetId("filler"), "made", "filler", 1, "1" * 64), filler)
        return library.stats().looks


@contextmanager
def watching(
    folder: Path, urls: list[str], *, port: int, library: Path | None = None, time_to_kill_s: float = 0.0
) -> Iterator["subprocess.Popen[bytes]"]:
    """The worker; its standard output goes to `out`. It looks at every keyframe, unless it is given a time to kill."""
    command = [sys.executable, "-m", "streamguard", "watch", "--json", "--http-port", str(port)]
    named = [f"cam-{number}={url}" for number, url in enumerate(urls)]
    stores = ["--library", str(library or folder / "library"), "--outbox", str(folder / "outbox.sqlite")]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        attention = {"SG__ATTENTION__TIME_TO_KILL_S": str(time_to_kill_s), "SG__ATTENTION__YOUNG_S": "5"}
        process = subprocess.Popen([*command, *stores, *named], stdout=out, stderr=err, env=os.environ | attention)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def measure(folder: Path, plan: Plan) -> Report:
    """Everything, from the footage to the report."""
    _say(f"making {2 * FOOTAGE_S:.0f} s of footage at 1080p30")
    known, other = make_footage(folder)
    looks = make_library(folder / "library", known, looks=plan.looks)
    (folder / "nginx").mkdir()
    server = RtmpServer(folder / "nginx").start()
    names = [f"cam-{number}" for number in range(plan.streams)]
    with ExitStack() as stack:
        stack.callback(server.stop)
        for number, name in enumerate(names):
            stack.enter_context(server.publish(name, other if number % KNOWN_EVERY else known, app=APP))
            time.sleep(0.0 if plan.in_step else ENCODING.gop_s / plan.streams)
        _say(f"waiting for {plan.streams} publishers")
        eventually(lambda: publishing(server) == plan.streams, timeout_s=START_TIMEOUT_S, what="all publishers")
        (port,) = free_ports(1)
        urls = [server.rtmp_url(name, app=APP) for name in names]
        worker = stack.enter_context(watching(folder, urls, port=port))
        eventually(lambda: watched(port) == plan.streams, timeout_s=START_TIMEOUT_S, what=f"all watched ({folder})")
        _say(f"all are watched; {SETTLING_S:.0f} s to settle, then {plan.seconds:.0f} s")
        time.sleep(SETTLING_S)
        load_at_start = os.getloadavg()[0]
        samples = steady(Family(worker.pid, port=port), seconds=plan.seconds)
        load = load_at_start, os.getloadavg()[0]
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(START_TIMEOUT_S)
    if status:
        raise SystemExit(f"error: the worker ended with {status}\n{(folder / 'err').read_text()}")
    lines = [json.loads(line) for line in (folder / "out").read_text().splitlines()]
    return _report(lines[-1], samples, streams=plan.streams, looks=looks, load=load)


def steady(family: Family, *, seconds: float) -> list[Sample]:
    """A sample now and then."""
    samples = [family.sample()]
    while samples[-1].at_s - samples[0].at_s < seconds:
        time.sleep(min(SAMPLE_EVERY_S, seconds))
        samples.append(family.sample())
    return samples


def _report(
    summary: dict[str, Any], samples: list[Sample], *, streams: int, looks: int, load: tuple[float, float]
) -> Report:
    first, last = samples[0], samples[-1]
    steady_s = last.at_s - first.at_s
    parent_cpu_s = last.parent_cpu_s - first.parent_cpu_s
    children_cpu_s = last.children_cpu_s - first.children_cpu_s
    tenth = max(1, len(samples) // 10)
    return Report(
        streams=streams,
        steady_s=round(steady_s, 1),
        looks=looks,
        lag_p50_s=summary["lag_s"]["p50"],
        lag_p99_s=summary["lag_s"]["p99"],
        lag_max_s=summary["lag_s"]["max"],
        late_keyframes=last.late_keyframes - first.late_keyframes,
        reconnects=summary["reconnects"],
        restarts=summary["restarts"],
        keyframes=summary["keyframes"],
        kills=sum(stream["verdict"] == "kill" for stream in summary["by_stream"]),
        kills_wanted=len(range(0, streams, KNOWN_EVERY)),
        cpu_percent_a_stream=round((parent_cpu_s + children_cpu_s) / steady_s / streams * 100, 3),
        parent_cpu_percent_a_stream=round(parent_cpu_s / steady_s / streams * 100, 3),
        pss_mib_a_stream=round(statistics.median(sample.pss_mib for sample in samples) / streams, 1),
        parent_pss_mib=round(statistics.median(sample.parent_pss_mib for sample in samples), 1),
        decoder_pss_mib=round(statistics.median(sample.decoders_pss_mib for sample in samples) / streams, 1),
        anonymous_mib_at_start=round(statistics.median(sample.anonymous_mib for sample in samples[:tenth]), 1),
        anonymous_mib_at_end=round(statistics.median(sample.anonymous_mib for sample in samples[-tenth:]), 1),
        machine_busy_percent=round((last.busy_s - first.busy_s) / steady_s / (os.cpu_count() or 1) * 100, 1),
        load_average_at_start=round(load[0], 2),
        load_average_at_end=round(load[1], 2),
    )


def publishing(server: RtmpServer) -> int:
    """Streams with a publisher; nginx says `publishing` of their clients too, but in the middle of a line."""
    return len(re.findall(r"^<publishing/>\s*$", get(server.http_port, "/stat"), re.MULTILINE))


def watched(port: int) -> int:
    try:
        streams = json.loads(get(port, "/api/streams"))["streams"]
    except OSError:
        return 0
    return sum(stream["state"] == "watching" for stream in streams)


def _late_keyframes(port: int) -> int:
    """Those that were decided on more than MOST_LAG_S after they arrived."""
    metrics = get(port, "/metrics")
    name = "streamguard_keyframe_lag_seconds"
    all_of_them = re.search(rf"^{name}_count (\S+)", metrics, re.MULTILINE)
    in_time = re.search(rf'^{name}_bucket{{le="{MOST_LAG_S}"}} (\S+)', metrics, re.MULTILINE)
    return round(float(all_of_them[1]) - float(in_time[1])) if all_of_them and in_time else 0


def get(port: int, path: str) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _busy_s() -> float:
    """All processors' time so far that was neither idle nor waiting for a disk."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def memory_mib(pid: int) -> tuple[float, float]:
    """PSS, and the anonymous part of it."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE)}
    return kib["Pss"] / 1024, kib["Pss_Anon"] / 1024


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print(report: Report) -> None:
    memory = f"{report.anonymous_mib_at_start:.0f} MiB at the start, {report.anonymous_mib_at_end:.0f} MiB at the end"
    print(f"{report.streams} streams for {report.steady_s:.0f} s, {report.looks} looks, {report.keyframes} keyframes")
    lag = f"p50 {report.lag_p50_s} s, p99 {report.lag_p99_s} s, max {report.lag_max_s} s"
    print(f"lag       {lag}; {report.late_keyframes} late")
    print(f"trouble   {report.reconnects} reconnects, {report.restarts} restarts")
    print(f"kills     {report.kills} of {report.kills_wanted}")
    parent = report.parent_cpu_percent_a_stream
    print(f"CPU       {report.cpu_percent_a_stream} % of a core a stream, {parent} of it the parent")
    print(f"memory    {report.pss_mib_a_stream} MiB a stream (a decoder {report.decoder_pss_mib}); of its own {memory}")
    print(f"machine   {report.machine_busy_percent} % busy, load {report.load_average_at_start} to "
          f"{report.load_average_at_end}, publishers and server included")  # fmt: skip
    print(f"No reconnect, no restart, no lag above {MOST_LAG_S} s, memory flat: {'yes' if report.held else 'NO'}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the steady state")
    parser.add_argument("--looks", type=int, default=5000, help="in the library, besides those of the known footage")
    parser.add_argument("--in-step", action="store_true", help="all keyframes at once")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    need("nginx", "ffmpeg")
    with tempfile.TemporaryDirectory() as name:
        report = measure(Path(name), Plan(options.streams, options.seconds, options.looks, options.in_step))
    if options.json:
        print(json.dumps(asdict(report) | {"held": report.held}))
    else:
        _print(report)


if __name__ == "__main__":
    main()
