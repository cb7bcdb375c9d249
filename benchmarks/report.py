"""What `make bench` has measured, kept in one JSON file, as tables for docs/performance.md."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from benchmarks import growth, peers
from benchmarks.conditions import Conditions
from benchmarks.figures import S_AN_HOUR, Fit, fit, table
from benchmarks.growth import Growth
from benchmarks.peers import Peer
from benchmarks.streams_beside_floor import HEAD, Case, Line, row

STREAMS, PEERS, LOOKUPS, SOAK = "streams", "peers", "lookups", "soak"
PARTS = (STREAMS, PEERS, LOOKUPS, SOAK)
LEAST_POINTS = 3
_TYPES: dict[str, type[Line] | type[Peer] | type[Growth]] = {STREAMS: Line, PEERS: Peer, LOOKUPS: Growth, SOAK: Line}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of it, and under which conditions; `left_out` says what was not measured, and why."""

    conditions: Conditions
    figures: Sequence[Line | Peer | Growth]
    left_out: Sequence[str] = ()

    @property
    def lines(self) -> list[Line]:
        return [one for one in self.figures if isinstance(one, Line)]

    @property
    def growth(self) -> list[Growth]:
        return [one for one in self.figures if isinstance(one, Growth)]

    @property
    def peers(self) -> list[Peer]:
        return [one for one in self.figures if isinstance(one, Peer)]


Results = dict[str, Part]


def read(path: Path) -> Results:
    """What was kept; nothing where there is no such file."""
    if not path.exists():
        return {}
    document: dict[str, Any] = json.loads(path.read_text())
    return {
        name: Part(Conditions(**part["conditions"]), [_TYPES[name](**one) for one in part["figures"]], part["left_out"])
        for name, part in document.items()
    }


def write(path: Path, results: Results) -> None:
    """All of it."""
    document = {name: asdict(part) for name, part in results.items()}
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(document, indent=1) + "\n")
    beside.rename(path)


def straight_lines(lines: Sequence[Line]) -> dict[str, dict[str, Fit]]:
    """By size: of the CPU that all streams take together (`ours`, `floor`; percent of a core), and of `pss` (MiB), over
    the number of streams. Only where there are three numbers of them.
    """
    found = {}
    for size in dict.fromkeys(line.size for line in lines):
        some = growing(lines, size)
        if len({line.streams for line in some}) >= LEAST_POINTS:
            found[size] = {
                "ours": fit((line.streams, line.ours_percent * line.streams) for line in some),
                "floor": fit((line.streams, line.floor_percent * line.streams) for line in some),
                "pss": fit((line.streams, line.pss_mib * line.streams) for line in some),
            }
    return found


def growing(lines: Sequence[Line], size: str) -> list[Line]:
    """Those of one size of which every keyframe was looked at."""
    some = [line for line in lines if line.size == size and not line.time_to_kill_s]
    return sorted(some, key=lambda line: line.streams)


def memory(line: Line, *, second_half: bool = False) -> Fit:
    """MiB of all processes over hours; in the second half of a long run nothing grows that only fills up."""
    samples = line.samples[len(line.samples) // 2 if second_half else 0 :]
    return fit((at_s / S_AN_HOUR, own_mib) for at_s, _, own_mib in samples)


def cpu(line: Line) -> Fit:
    """Percent of a core of all processes over hours."""
    return fit(cpu_percents(line))


def cpu_percents(line: Line) -> list[tuple[float, float]]:
    """(hours, percent of a core of all processes) between two samples each."""
    return [
        ((at_s + before_s) / 2 / S_AN_HOUR, (cpu_s - cpu_before_s) / (at_s - before_s) * 100)
        for (before_s, cpu_before_s, _), (at_s, cpu_s, _) in pairwise(line.samples)
    ]


def markdown(results: Results, figures: str) -> str:
    """Everything that was measured; `figures` is the folder of the plots, as seen from the text."""
    texts: dict[str, Callable[[Part], list[str]]] = {
        STREAMS: _streams, PEERS: _peers, LOOKUPS: _lookups, SOAK: _soak,
    }  # fmt: skip
    blocks: list[str] = []
    parts = [(name, results[name]) for name in PARTS if name in results]
    for (name, part), following in zip_longest(parts, parts[1:]):
        blocks += [*texts[name](part), f"![{_PLOTS[name]}]({figures}/{name}.png)"]
        if following is None or following[1].conditions != part.conditions:  # else it is of the same run
            blocks += [conditions(part.conditions)]
    return "\n\n".join(blocks)


_PLOTS = {
    STREAMS: "CPU and memory of all streams together, over their number",
    PEERS: "CPU of a stream, beside the floor and others",
    LOOKUPS: "Time of a look, over the size of the library",
    SOAK: "Memory and CPU over time",
}


def conditions(how: Conditions) -> str:
    """One paragraph."""
    versions = ", ".join(f"{name} {number}" for name, number in how.versions.items())
    quick = " **A quick run: its figures say little.**" if how.quick else ""
    busy = "" if how.is_quiet else " **The machine was busy with something else.**"
    return (
        f"{how.measured_at}, commit `{how.commit}`: {how.cores} cores of {how.processor}, {how.memory_gib:g} GiB, "
        f"Linux {how.kernel}; {versions}. Load at the start {how.load_at_start:g}, "
        f"{how.busy_percent_at_start:g} % busy.{quick}{busy}"
    )


def _streams(part: Part) -> list[str]:
    text = (
        "CPU in percent of a core a stream, every keyframe looked at unless it says quiet; the floor is "
        "`ffmpeg -skip_frame nokey -i URL -an -f null -` on the same streams, before and after, in the same run."
    )
    blocks = ["### Streams", text, table(HEAD, map(row, part.lines))]
    said = []
    for size, fits in straight_lines(part.lines).items():
        numbers = [line.streams for line in growing(part.lines, size)]
        ours, floor, pss = fits["ours"], fits["floor"], fits["pss"]
        said.append(
            f"- {size}, {numbers[0]} to {numbers[-1]} streams: {ours.intercept:z.1f} % + {ours.slope:.2f} % a stream "
            f"(no point farther from the line than {ours.worst_residual:.1f} %, R² {ours.r_squared:.4f}); the floor "
            f"{floor.intercept:z.1f} % + {floor.slope:.2f} %: our slope is {ours.slope / floor.slope:.2f} of its. "
            f"Memory {pss.intercept:z.0f} MiB + {pss.slope:z.1f} MiB a stream (within {pss.worst_residual:.0f} MiB, "
            f"R² {pss.r_squared:.4f})."
        )
    full = [str(Case(one.size, one.streams)) for one in part.lines if one.machine_busy_percent > FULL_PERCENT]
    said += [f"- {text}." for text in part.left_out]
    said += [f"- The machine was full, publishers and server included, at: {', '.join(full)}."] if full else []
    trouble = [f"{Case(one.size, one.streams)}: {one.reconnects} reconnects, {one.restarts} restarts"
               for one in part.lines if one.reconnects or one.restarts]  # fmt: skip
    said += [f"- Trouble: {'; '.join(trouble)}."] if trouble else []
    kills, wanted = sum(one.kills for one in part.lines), sum(one.kills_wanted for one in part.lines)
    slowest_s = max((one.slowest_kill_s for one in part.lines), default=0.0)
    how_soon = f"within {slowest_s:.1f} s of its publisher's start, the time to connect anew included"
    said += [f"- Known footage came on {wanted} times, and was killed {kills} times, {how_soon}."]
    return [*blocks, "\n".join(said)]


FULL_PERCENT = 85.0


def _peers(part: Part) -> list[str]:
    return ["### Beside what others do", table(peers.HEAD, map(peers.row, part.peers))]


def _lookups(part: Part) -> list[str]:
    said = []
    for what in dict.fromkeys(one.what for one in part.growth):
        some = [one for one in part.growth if one.what == what]
        if len(some) >= LEAST_POINTS:
            time = fit((one.size / 1e6, one.look_ms) for one in some)
            room = fit((one.size / 1e6, one.size * one.bytes_each / 1e6) for one in some)
            said.append(
                f"- {what}: {time.intercept:z.2f} ms + {time.slope:.3f} ms a million (no point farther from the line "
                f"than {time.worst_residual:.2f} ms, R² {time.r_squared:.3f}); memory {room.slope:.0f} MB a million "
                f"(within {room.worst_residual:.0f} MB)."
            )
    head = "CPU time of one thread: all 16 views of PDQ, or all features of one keyframe."
    return ["### Growth of the library", head, table(growth.HEAD, map(growth.row, part.growth)), "\n".join(said)]


def _soak(part: Part) -> list[str]:
    blocks = ["### Half an hour and more", table(HEAD, map(row, part.lines))]
    for line in part.lines:
        own, half, busy = memory(line), memory(line, second_half=True), cpu(line)
        minutes = line.samples[-1][0] / 60
        blocks.append(
            f"{Case(line.size, line.streams)} for {minutes:.0f} minutes, {len(line.samples)} samples: memory of "
            f"their own of all processes {own.intercept:.0f} MiB at the start, {own.slope:+z.1f} MiB an hour (within "
            f"{own.worst_residual:.0f} MiB of the line), {half.slope:+z.1f} MiB an hour in the second half; CPU "
            f"{busy.intercept:.1f} % of a core, {busy.slope:+z.1f} % an hour; {line.reconnects} reconnects, "
            f"{line.restarts} restarts."
        )
    return blocks
