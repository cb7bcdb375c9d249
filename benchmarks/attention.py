"""What attention saves: quiet live streams, watched by two workers at once, one that looks at every keyframe.

Publishers, footage and server are those of rtmp_streams.py (1080p30, 6 Mb/s, a keyframe every 2 s), but no stream shows
anything known. Both workers pull every stream, in the same minutes of the same machine, so that their processor time
can be compared however busy it is; what is counted is their own processes (parent, forkserver, decoders).

    python benchmarks/attention.py [--streams 8] [--seconds 120] [--time-to-kill 10] [--json]

Needs nginx with its RTMP module, and ffmpeg.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from benchmarks.rtmp_streams import (
    APP,
    ENCODING,
    START_TIMEOUT_S,
    Family,
    Sample,
    get,
    make_footage,
    make_library,
    publishing,
    watched,
    watching,
)
from tests.local_servers import RtmpServer, free_ports
from tests.programs import need
from tests.waiting import eventually

SETTLING_S = 20.0
LOOKS = 5000


@dataclass(frozen=True, slots=True)
class Report:
    """Processor time in percent of a core for each stream, and keyframes, of the steady time."""

    streams: int
    steady_s: float
    time_to_kill_s: float
    every_percent: float
    every_parent_percent: float
    quiet_percent: float
    quiet_parent_percent: float
    every_looks: int
    quiet_looks: int
    passed_over: int
    shed: int
    """Of those: for overload. A run that has any says less."""

    @property
    def ratio(self) -> float:
        """What is left of the cost of looking at every keyframe."""
        return self.quiet_percent / self.every_percent


def measure(folder: Path, *, streams: int, seconds: float, time_to_kill_s: float) -> Report:
    """Everything, from the footage to the report."""
    known, other = make_footage(folder)
    make_library(folder / "library", known, looks=LOOKS)
    (folder / "nginx").mkdir()
    server = RtmpServer(folder / "nginx").start()
    names = [f"cam-{number}" for number in range(streams)]
    urls = [server.rtmp_url(name, app=APP) for name in names]
    with ExitStack() as stack:
        stack.callback(server.stop)
        for name in names:
            stack.enter_context(server.publish(name, other, app=APP))
            time.sleep(ENCODING.gop_s / streams)
        eventually(lambda: publishing(server) == streams, timeout_s=START_TIMEOUT_S, what="all publishers")
        workers = []
        for name, kill_s in (("every", 0.0), ("quiet", time_to_kill_s)):
            (port,) = free_ports(1)
            (folder / name).mkdir()
            worker = watching(folder / name, urls, port=port, library=folder / "library", time_to_kill_s=kill_s)
            workers.append((stack.enter_context(worker).pid, port))
        ports = [port for _, port in workers]
        eventually(
            lambda: all(watched(port) == streams for port in ports), timeout_s=START_TIMEOUT_S, what="all watched"
        )
        print(f"all are watched; {SETTLING_S:.0f} s to settle, then {seconds:.0f} s", file=sys.stderr)
        time.sleep(SETTLING_S)
        before = [_state(pid, port) for pid, port in workers]
        time.sleep(seconds)
        after = [_state(pid, port) for pid, port in workers]
    return _report(before, after, streams=streams, time_to_kill_s=time_to_kill_s)


def _state(pid: int, port: int) -> tuple[Sample, int, int, int]:
    """A worker's processes now, the keyframes that it has looked at, those that it has not, and of these the shed."""
    seen = json.loads(get(port, "/api/streams"))["streams"]
    looks, passed_over = (sum(stream[key] for stream in seen) for key in ("keyframes", "passed_over"))
    shed = re.search(r'^streamguard_looks_skipped_total{reason="shed"} (\S+)', get(port, "/metrics"), re.MULTILINE)
    return Family(pid, port=port).sample(), looks, passed_over, round(float(shed[1])) if shed else 0


def _report(
    before: list[tuple[Sample, int, int, int]],
    after: list[tuple[Sample, int, int, int]],
    *,
    streams: int,
    time_to_kill_s: float,
) -> Report:
    steady_s = after[0][0].at_s - before[0][0].at_s
    percent = 100 / steady_s / streams
    parents = [
        (late.parent_cpu_s - soon.parent_cpu_s) * percent for (soon, *_), (late, *_) in zip(before, after, strict=True)
    ]
    children = [
        (late.children_cpu_s - soon.children_cpu_s) * percent
        for (soon, *_), (late, *_) in zip(before, after, strict=True)
    ]
    return Report(
        streams=streams,
        steady_s=round(steady_s, 1),
        time_to_kill_s=time_to_kill_s,
        every_percent=round(parents[0] + children[0], 3),
        every_parent_percent=round(parents[0], 3),
        quiet_percent=round(parents[1] + children[1], 3),
        quiet_parent_percent=round(parents[1], 3),
        every_looks=after[0][1] - before[0][1],
        quiet_looks=after[1][1] - before[1][1],
        passed_over=after[1][2] - before[1][2],
        shed=after[1][3] - before[1][3],
    )


def _print(report: Report) -> None:
    every, quiet = (
        f"{percent} % of a core a stream, {parent} of it the parent"
        for percent, parent in (
            (report.every_percent, report.every_parent_percent),
            (report.quiet_percent, report.quiet_parent_percent),
        )
    )
    print(f"{report.streams} quiet streams for {report.steady_s:.0f} s, {report.time_to_kill_s:g} s to kill")
    print(f"every keyframe  {every}, {report.every_looks} looks")
    passed_over = f"{report.passed_over} keyframes passed over, {report.shed} of them shed"
    print(f"with attention  {quiet}, {report.quiet_looks} looks, {passed_over}")
    print(f"ratio           {report.ratio:.2f}, {100 / report.quiet_percent:.0f} streams a core")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the steady state")
    parser.add_argument("--time-to-kill", type=float, default=10.0, help="seconds, as attention.time_to_kill_s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    need("nginx", "ffmpeg")
    with tempfile.TemporaryDirectory() as name:
        report = measure(
            Path(name), streams=options.streams, seconds=options.seconds, time_to_kill_s=options.time_to_kill
        )
    if options.json:
        print(json.dumps(asdict(report) | {"ratio": round(report.ratio, 3)}))
    else:
        _print(report)


if __name__ == "__main__":
    main()
