"""Everything that docs/performance.md says of cost, measured anew: `make bench`.

    python benchmarks/bench.py                        streams, peers and lookups: an hour
    python benchmarks/bench.py --quick                the same, small, in five minutes: does it work here?
    python benchmarks/bench.py peers lookups          only these
    python benchmarks/bench.py soak --minutes 30      60 streams of 1080p for so long: is memory flat?
    python benchmarks/bench.py soak --cases 360p:60   ... of 360p, where 1080p finds no room
    python benchmarks/bench.py streams --cases 1080p:20 1080p:20@10
    python benchmarks/bench.py streams --seconds 30   each case for half as long, in a third of an hour
    python benchmarks/bench.py --write                and put what is known into docs/: tables, plots, JSON
    python benchmarks/bench.py report --write         measure nothing, only do that

What was measured is kept in FOLDER/results.json, part by part, each with the machine, the versions, the commit, and how
busy the machine was before. --write refuses quick runs, and those of a machine that others kept busy, unless told
--even-so. A case that the machine has no room for beside its publishers is left out, and said to be.

Needs nginx with its RTMP module, and ffmpeg. Ctrl-C ends all that was started. The parts are streams_beside_floor.py
(soak, too), peers.py and growth.py, each of which runs by itself as well.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from benchmarks import growth
from benchmarks.conditions import FOLDER, TOP, Conditions, conditions, end_well_when_asked, told
from benchmarks.figures import put_between
from benchmarks.peers import Rounds, measure_peers
from benchmarks.plots import draw
from benchmarks.report import LOOKUPS, PARTS, PEERS, STREAMS, Part, Results, markdown, read, write
from benchmarks.streams_beside_floor import FAILED, Case, Plan, case, measure_all
from benchmarks.worker_run import Say
from tests.programs import need

REPORT = "report"
MARK = "bench"
DOCUMENT = TOP / "docs" / "performance.md"
FIGURES = TOP / "docs" / "figures"
CASES = (
    *("1080p:1", "1080p:10", "1080p:20", "1080p:30", "1080p:60", "1080p:100", "1080p:20@10", "720p:20"),
    *("360p:1", "360p:10", "360p:30", "360p:60", "360p:100"),
)
LEAST_S = 10.0
QUICK_CASES = ("1080p:4", "360p:4")
SOAK_CASES = ("1080p:60",)
QUICK_SIZES = (10_000, 30_000, 100_000)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is measured, and how thoroughly."""

    cases: tuple[Case, ...]
    soak_cases: tuple[Case, ...]
    plan: Plan
    soak_plan: Plan
    rounds: Rounds
    peer_streams: int
    sizes: tuple[int, ...]


def setup(*, quick: bool, minutes: float, seconds: float | None, cases: Sequence[Case]) -> Setup:
    """`cases` are instead of the usual ones, where there are any; `seconds` of each, where that is said."""
    usual = tuple(map(case, QUICK_CASES if quick else CASES))
    plan = Plan(12.0, settling_s=8.0, looks=100_000, features=150_000, rounds=1, sample_every_s=4.0, floor_seconds=6.0)
    plan = plan if quick else Plan()
    if seconds is not None:
        plan = replace(plan, seconds=seconds, settling_s=min(plan.settling_s, seconds / 2), floor_seconds=seconds / 2)
    return Setup(
        cases=tuple(cases) or usual,
        soak_cases=tuple(cases) or tuple(map(case, SOAK_CASES)),
        plan=plan,
        soak_plan=replace(plan, seconds=minutes * 60, sample_every_s=5.0),
        rounds=Rounds(1, 300.0, 24.0) if quick else Rounds(),
        peer_streams=2 if quick else 4,
        sizes=QUICK_SIZES if quick else growth.SIZES,
    )


def run(part: str, how: Setup, *, folder: Path, now: Conditions, say: Say) -> Iterator[Part]:
    """One part, as far as it is known, again and again until it is whole."""
    if part == PEERS:
        yield Part(now, measure_peers(folder, how.plan, how.rounds, streams=how.peer_streams, say=say))
    elif part == LOOKUPS:
        yield Part(now, growth.measure(how.sizes, say=say))
    else:
        cases, plan = (how.cases, how.plan) if part == STREAMS else (how.soak_cases, how.soak_plan)
        for lines, left_out in measure_all(folder, cases, plan, say=say):
            yield Part(now, lines, left_out)


def put_into_docs(results: Results, *, even_so: bool) -> None:
    """The tables between their marks, and the plots. Raises SystemExit where the figures should not be believed."""
    doubts = {
        "quick": [name for name, part in results.items() if part.conditions.quick],
        "measured on a busy machine": [name for name, part in results.items() if not part.conditions.is_quiet],
    }
    why = "; ".join(f"{doubt}: {', '.join(names)}" for doubt, names in doubts.items() if names)
    if why and not even_so:
        raise SystemExit(f"error: not written ({why}). Measure these again, or say --even-so")
    text = markdown(results, FIGURES.relative_to(DOCUMENT.parent).as_posix())
    DOCUMENT.write_text(put_between(DOCUMENT.read_text(), MARK, text))
    draw(results, FIGURES)
    write(FIGURES / "results.json", results)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parsing = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = [*PARTS, REPORT]
    parsing.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; all but soak and report if none"
    )
    parsing.add_argument("--quick", action="store_true", help="five minutes; shows that it works, not what it costs")
    parsing.add_argument("--minutes", type=float, default=30.0, help="of the soak; default: %(default)s")
    parsing.add_argument("--seconds", type=float, help="of each case of streams; default: 60")
    parsing.add_argument("--cases", type=case, nargs="+", default=[], metavar="SIZE:STREAMS[@SECONDS]")
    parsing.add_argument("--folder", type=Path, default=FOLDER, help="footage, library, results; default: %(default)s")
    parsing.add_argument("--write", action="store_true", help="into docs/performance.md and docs/figures/")
    parsing.add_argument("--even-so", action="store_true", help="write quick or busy figures, which say so")
    return parsing


def main() -> None:
    """Measure, keep, print."""
    options = parser().parse_args()
    if unknown := set(options.parts) - {*PARTS, REPORT}:
        parser().error(f"no such part: {', '.join(sorted(unknown))}")
    if options.minutes < 1:
        parser().error("--minutes: memory does not tell in less than one")
    if options.seconds is not None and options.seconds < LEAST_S:
        parser().error(f"--seconds: at least {LEAST_S:.0f}, as keyframes are 2 s apart")
    parts = options.parts or [STREAMS, PEERS, LOOKUPS]
    end_well_when_asked()
    options.folder.mkdir(parents=True, exist_ok=True)
    kept = options.folder / "results.json"
    how = setup(quick=options.quick, minutes=options.minutes, seconds=options.seconds, cases=options.cases)
    results, now, say = read(kept), conditions(quick=options.quick), told()
    try:
        need("nginx", "ffmpeg")
        for name in (part for part in PARTS if part in parts):
            for part in run(name, how, folder=options.folder, now=now, say=told(say, name)):
                results[name] = part
                write(kept, results)
    except (AssertionError, OSError, pytest.skip.Exception, pytest.fail.Exception) as problem:
        raise SystemExit(f"error: {problem}") from problem
    print(markdown({name: part for name, part in results.items() if name in parts or REPORT in parts}, "docs/figures"))
    say(f"kept in {kept}")
    if options.write:
        put_into_docs(results, even_so=options.even_so)
    if failed := [text for name in parts if name in results for text in results[name].left_out if FAILED in text]:
        raise SystemExit(f"error: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
