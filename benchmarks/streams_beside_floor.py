"""What does a stream cost, beside the floor: pulling its bytes and decoding one keyframe in each group of pictures?

A real nginx-rtmp gets N publishers, each an ffmpeg that copies made footage (1080p at 6 Mb/s, 720p at 3, 360p at 0.8;
30 frames a second, a keyframe every 2 s). The same N streams are pulled in one run, first by N times

    ffmpeg -skip_frame nokey -i URL -an -f null -

then by one `streamguard watch` with a library of --looks PDQ hashes and --features local features, then by ffmpeg
again; CPU and memory (PSS) are those of all their processes, children included, once all are watched and have settled.
Lag is from a keyframe's arrival to its decision, of each keyframe of that time. At the end some publishers come back,
with known footage: how soon after the deciding keyframe's arrival is the signal durable?

    python benchmarks/streams_beside_floor.py                        20 streams of 1080p
    python benchmarks/streams_beside_floor.py 360p:1 360p:30 360p:100
    python benchmarks/streams_beside_floor.py 1080p:20@10            quiet streams: 10 s to kill (attention)

All runs on this machine, publishers and server included: they are not counted, but take their share of it. Needs
nginx with its RTMP module, and ffmpeg. `make bench` runs this beside others, and puts it into tables and plots.
"""

import argparse
import json
import math
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from benchmarks.conditions import FOLDER, told, work_folder
from benchmarks.figures import bucket_quantile, fit, quantile, table
from benchmarks.made import SIZES, Footage, footage, library
from benchmarks.rtmp_streams import watching
from benchmarks.studio import Cost, floor, published
from benchmarks.worker_run import Opening, Say, Signals, Steady, Worker
from tests.local_servers import free_ports
from tests.programs import need

WITHIN_S = 0.1
MOST_BUSY_PERCENT = 95.0
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: so many streams of a size. No `time_to_kill_s`: every keyframe is looked at."""

    size: str
    streams: int
    time_to_kill_s: float = 0.0

    def __str__(self) -> str:
        how = f", quiet, {self.time_to_kill_s:g} s to kill" if self.time_to_kill_s else ""
        return f"{self.streams} x {self.size}{how}"


def case(text: str) -> Case:
    """`SIZE:STREAMS[@SECONDS]`. Raises ValueError."""
    found = re.fullmatch(r"(\w+):([1-9]\d*)(?:@(\d+(?:\.\d+)?))?", text)
    if not found or found[1] not in SIZES:
        raise ValueError(f"{text!r} is not SIZE:STREAMS or SIZE:STREAMS@SECONDS; sizes are {', '.join(SIZES)}")
    return Case(found[1], int(found[2]), float(found[3] or 0))


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how much is known. `rounds` is how often the publishers of known footage come back."""

    seconds: float = 60.0
    settling_s: float = 20.0
    looks: int = 1_000_000
    features: int = 1_500_000
    rounds: int = 4
    sample_every_s: float = 10.0
    floor_seconds: float = 30.0
    """Of each of the two."""


@dataclass(frozen=True, slots=True)
class Line:
    """One case. CPU in percent of a core a stream; the floor is the mean of before and after.

    `library_mib` is the library's share of the parent, which all streams share: PSS a stream is with it, and without.
    """

    size: str
    streams: int
    time_to_kill_s: float
    bit_rate_bps: int
    floor_percent: float
    floor_before_percent: float
    floor_after_percent: float
    floor_pss_mib: float
    ours_percent: float
    parent_percent: float
    ratio: float
    streams_a_core: float
    pss_mib: float
    pss_without_library_mib: float
    parent_pss_mib: float
    children_pss_mib: float
    library_mib: float
    lag_p50_s: float
    lag_p99_s: float
    lags: int
    library_opened_s: float
    half_opened_s: float
    all_opened_s: float
    signals: int
    signal_p50_s: float
    signal_p95_s: float
    signals_in_time: int
    kills: int
    kills_wanted: int
    slowest_kill_s: float
    reconnects: int
    restarts: int
    machine_busy_percent: float
    samples: list[tuple[float, float, float]] = field(default_factory=list)
    """(seconds, CPU seconds so far, MiB of their own) of all its processes. Files that are mapped are left out here:
    their part of PSS goes up and down with whoever else runs Python.
    """


def measure(folder: Path, what: Case, plan: Plan, *, say: Say, films: Footage, known: Path) -> Line:
    """One case: the floor, we, and the floor again. `known` is the library; `folder` must not be there."""
    with published(folder / "nginx", films.other, streams=what.streams) as studio:
        say("the floor")
        before = floor(studio.urls, settling_s=plan.settling_s, seconds=plan.floor_seconds)
        say("StreamGuard opens")
        (port,) = free_ports(1)
        began_s = time.monotonic()
        with watching(folder, studio.urls, port=port, library=known, time_to_kill_s=what.time_to_kill_s) as process:
            worker = Worker(process, folder, port=port, streams=what.streams)
            opening = worker.opened(began_s=began_s)
            say("StreamGuard settles")
            time.sleep(plan.settling_s)
            steady = worker.steady(seconds=plan.seconds, sample_every_s=plan.sample_every_s, say=say)
            say("known footage comes on")
            signals = worker.signals(studio, films.known, rounds=plan.rounds)
            worker.stop()
        say("the floor again")
        after = floor(studio.urls, settling_s=plan.settling_s, seconds=plan.floor_seconds)
    parts = _Parts((before, after), opening, steady, signals)
    return _line(what, parts, bit_rate_bps=films.bit_rate_bps)


@dataclass(frozen=True, slots=True)
class _Parts:
    floors: tuple[Cost, Cost]
    opening: Opening
    steady: Steady
    signals: Signals


def _line(what: Case, parts: _Parts, *, bit_rate_bps: int) -> Line:
    floors, steady, opening, signals = parts.floors, parts.steady, parts.opening, parts.signals
    parent, total = (percent / what.streams for percent in steady.cpu_percent())
    floor_percent = statistics.mean(cost.percent for cost in floors)
    first = steady.samples[0]
    pss_mib = statistics.median(sample.pss_mib for sample in steady.samples)
    return Line(
        **asdict(what),
        bit_rate_bps=bit_rate_bps,
        floor_percent=round(floor_percent, 3),
        floor_before_percent=round(floors[0].percent, 3),
        floor_after_percent=round(floors[1].percent, 3),
        floor_pss_mib=round(statistics.mean(cost.pss_mib for cost in floors), 1),
        ours_percent=round(total, 3),
        parent_percent=round(parent, 3),
        ratio=round(total / floor_percent, 3),
        streams_a_core=round(100 / total, 1),
        pss_mib=round(pss_mib / what.streams, 1),
        pss_without_library_mib=round((pss_mib - steady.library_mib) / what.streams, 1),
        parent_pss_mib=round(statistics.median(sample.parent_pss_mib for sample in steady.samples), 1),
        children_pss_mib=round(
            statistics.median(one.decoders_pss_mib + one.forkserver_pss_mib for one in steady.samples), 1
        ),
        library_mib=round(steady.library_mib, 1),
        lag_p50_s=quantile(steady.lags_s, 0.5),
        lag_p99_s=quantile(steady.lags_s, 0.99),
        lags=len(steady.lags_s),
        library_opened_s=round(opening.library_s, 2),
        half_opened_s=round(opening.half_s, 2),
        all_opened_s=round(opening.all_s, 2),
        signals=round(max(signals.counts.values(), default=0)),
        signal_p50_s=round(bucket_quantile(signals.counts, 0.5), 4),
        signal_p95_s=round(bucket_quantile(signals.counts, 0.95), 4),
        signals_in_time=round(signals.counts.get(WITHIN_S, 0)),
        kills=signals.kills,
        kills_wanted=signals.wanted,
        slowest_kill_s=round(signals.slowest_kill_s, 2),
        reconnects=steady.reconnects,
        restarts=steady.restarts,
        machine_busy_percent=round(steady.busy_percent, 1),
        samples=[
            (
                round(one.at_s - first.at_s, 1),
                round(one.parent_cpu_s + one.children_cpu_s, 2),
                round(one.anonymous_mib, 1),
            )
            for one in steady.samples
        ],
    )


HEAD = (
    "streams",
    "floor",
    "StreamGuard",
    "of it the parent",
    "ratio",
    "streams a core",
    "PSS a stream, without the library, of the children",
    "lag p50, p99",
    "all opened",
    "signal durable p50, p95",
)


def row(line: Line) -> list[str]:
    """Of the table."""
    floors = sorted((line.floor_before_percent, line.floor_after_percent))
    in_time = f"{line.signals_in_time} of {line.signals} within {WITHIN_S * 1000:.0f} ms"
    pss = f"{line.pss_mib:.1f}, {line.pss_without_library_mib:.1f}, {line.children_pss_mib / line.streams:.1f} MiB"
    return [
        str(Case(line.size, line.streams, line.time_to_kill_s)),
        f"{line.floor_percent:.2f} % ({floors[0]:.2f} to {floors[1]:.2f})",
        f"{line.ours_percent:.2f} %",
        f"{line.parent_percent:.2f} %",
        f"{line.ratio:.2f}",
        f"{line.streams_a_core:.0f}",
        f"{pss} (ffmpeg {line.floor_pss_mib:.1f})",
        f"{line.lag_p50_s * 1000:.0f}, {line.lag_p99_s * 1000:.0f} ms",
        f"{line.all_opened_s - line.library_opened_s:.1f} s",
        f"{line.signal_p50_s * 1000:.0f}, {line.signal_p95_s * 1000:.0f} ms; {in_time}",
    ]


def measure_all(
    folder: Path, cases: Sequence[Case], plan: Plan, *, say: Say
) -> Iterator[tuple[tuple[Line, ...], tuple[str, ...]]]:
    """After each case: (lines so far, what there is no line of and why, those to come included).

    A case that the machine has no room for is left out, and one that fails. `folder` keeps footage and library.
    """
    say("footage and library")
    films = footage(folder, SIZES["1080p"])
    known = library(folder, films.known, looks=plan.looks, local_features=plan.features)
    lines: list[Line] = []
    left_out: list[str] = []
    for number, one in enumerate(cases, start=1):
        busy = expected_busy_percent(one, lines)
        if busy > MOST_BUSY_PERCENT:
            left_out.append(
                f"{one}: no room, it would take {busy:.0f} % of the machine, publishers and server included"
            )
            say(left_out[-1])
        else:
            films = footage(folder, SIZES[one.size])
            try:
                with work_folder() as work:
                    lines.append(measure(work, one, plan, say=told(say, str(one)), films=films, known=known))
            except (AssertionError, OSError) as problem:  # the other cases need not wait for another night
                left_out.append(f"{one}: {FAILED}, {problem}")
                say(left_out[-1])
        yield tuple(lines), (*left_out, *(f"{later}: not measured, it was stopped before" for later in cases[number:]))


def expected_busy_percent(one: Case, lines: Sequence[Line]) -> float:
    """What it would take of the machine: on the line through those of its size so far; NaN of fewer than two."""
    busy = [(line.streams, line.machine_busy_percent) for line in lines if line.size == one.size]
    return fit(busy).at(one.streams) if len({streams for streams, _ in busy}) > 1 else math.nan


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=case, nargs="*", default=[Case("1080p", 20)], metavar="SIZE:STREAMS[@SECONDS]")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--looks", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=1_500_000)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="keeps footage and library; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    options = parser.parse_args()
    need("nginx", "ffmpeg")
    plan = Plan(
        seconds=options.seconds,
        floor_seconds=options.seconds / 2,
        looks=options.looks,
        features=options.features,
    )
    options.folder.mkdir(parents=True, exist_ok=True)
    *_, (lines, left_out) = measure_all(options.folder, options.cases, plan, say=told())
    if options.json:
        print(json.dumps([asdict(line) for line in lines]))
    else:
        print(table(HEAD, map(row, lines)))
    if left_out:
        raise SystemExit(f"error: {'; '.join(left_out)}")


if __name__ == "__main__":
    main()
