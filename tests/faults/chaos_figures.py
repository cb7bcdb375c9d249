"""What a run of `make chaos` is judged by: what was written down while it went, and what follows from that."""

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

TAKEN_OVER_WITHIN_S = 10.0
MOST_GROWTH = 0.10
"""From the first third of the run to its last one: more is a leak, and less is what shares of streams make."""

LEAST_HELD = 3
"""So often what workers hold must have been looked at: a first third and a last one, and something between."""

A_FEW = {"mib": 24.0, "files": 12.0, "threads": 4.0, "processes": 3.0}
"""So many more are none, whatever the share."""

ANSWERED_WELL = frozenset({"executed", "already_gone"})


@dataclass(frozen=True, slots=True)
class StateLine:
    """A line `stream_state` of a worker's log; `run` is one life of a worker."""

    run: str
    stream: str
    state: str
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class Loss:
    """A worker that was killed or stood still, and the streams that it saw until then."""

    run: str
    at_unix_s: float
    streams: frozenset[str]


@dataclass(frozen=True, slots=True)
class Held:
    """What all workers and their decoders held at one moment, before the next thing was killed."""

    mib: float
    files: float
    threads: float
    processes: float


@dataclass(slots=True)
class Seen:
    """All that was written down."""

    killed: Counter[str] = field(default_factory=Counter)
    losses: list[Loss] = field(default_factory=list)
    states: list[StateLine] = field(default_factory=list)
    ended: dict[str, float] = field(default_factory=dict)
    """When a life of a worker was over, by Unix time."""
    held: list[Held] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    """Ids of signals that a worker's log calls durable: the detections that were acknowledged."""
    kept: dict[str, str | None] = field(default_factory=dict)
    """Of each signal in an outbox, what became of it: an enforcer's answer; None where none came, or none is due."""
    kills: set[str] = field(default_factory=set)
    """Of these, those that an enforcer must answer to."""
    cuts: Counter[str] = field(default_factory=Counter)
    """How often enforcers executed a kill of a session."""
    innocent_before: dict[str, str] = field(default_factory=dict)
    innocent_after: dict[str, str] = field(default_factory=dict)
    """By stream the session of those that showed nothing known."""
    on_air_s: list[float] = field(default_factory=list)
    """How long the sessions that showed known footage were on the air from its first picture."""


def takeovers_s(seen: Seen) -> list[float]:
    """For each stream of each loss, until another worker saw it; 0 where one did already, infinite where none does."""
    return [_seen_again_s(loss, stream, seen) for loss in seen.losses for stream in sorted(loss.streams)]


def _seen_again_s(loss: Loss, stream: str, seen: Seen) -> float:
    last: dict[str, str] = {}
    for line in sorted(seen.states, key=lambda line: line.at_unix_s):
        if line.stream != stream or line.run == loss.run or seen.ended.get(line.run, math.inf) <= loss.at_unix_s:
            continue
        if line.at_unix_s > loss.at_unix_s:
            if "watching" in last.values():
                return 0.0
            if line.state == "watching":
                return line.at_unix_s - loss.at_unix_s
        else:
            last[line.run] = line.state
    return 0.0 if "watching" in last.values() else math.inf


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share is not above; NaN of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def growth(held: Sequence[Held]) -> Mapping[str, tuple[float, float]]:
    """Of each thing the median in the first third of the run and in the last."""
    third = max(1, len(held) // 3)
    names = [each.name for each in fields(Held)] if held else []

    def middle(part: Sequence[Held], name: str) -> float:
        return float(statistics.median(getattr(one, name) for one in part))

    return {name: (middle(held[:third], name), middle(held[-third:], name)) for name in names}


def problems(seen: Seen) -> Iterator[str]:
    """In words; none where all promises held."""
    if lost := seen.said - seen.kept.keys():
        yield f"{len(lost)} acknowledged detections are in no outbox: {_some(lost)}"
    if unanswered := {id_ for id_ in seen.kills if seen.kept[id_] not in ANSWERED_WELL}:
        answers = Counter(str(seen.kept[id_]) for id_ in unanswered)
        yield f"{len(unanswered)} kills were not executed ({dict(answers)}): {_some(unanswered)}"
    if twice := {session for session, times in seen.cuts.items() if times > 1}:
        yield f"{len(twice)} sessions were cut twice: {_some(twice)}"
    if hit := {stream for stream, _ in seen.innocent_before.items() - seen.innocent_after.items()}:
        yield f"{len(hit)} innocent publishers are gone: {_some(hit)}"
    yield from _not_shown(seen)
    took_s = takeovers_s(seen)
    if took_s and not quantile(took_s, 0.99) <= TAKEN_OVER_WITHIN_S:
        yield f"takeovers took {quantile(took_s, 0.99):.1f} s (p99), {max(took_s):.1f} s at most"
    for what, (before, after) in growth(seen.held).items():
        if after > before * (1 + MOST_GROWTH) + A_FEW[what]:
            yield f"{what}: {before:.0f} in the first third, {after:.0f} in the last"


def _not_shown(seen: Seen) -> Iterator[str]:
    """What the run did not try: that is no proof of it."""
    if not seen.kills:
        yield "nothing was decided: the run shows nothing"
    if not any(loss.streams for loss in seen.losses):
        yield "no worker that was struck watched anything: of takeovers the run shows nothing"
    if len(seen.held) < LEAST_HELD:
        yield f"what workers hold was looked at {len(seen.held)} times: of growth the run shows nothing"


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:5])


def report(seen: Seen) -> list[str]:
    """The figures, and what is wrong with them."""
    answers = Counter(str(seen.kept[id_]) for id_ in seen.kills)
    lost = seen.said - seen.kept.keys()
    twice = sum(times > 1 for times in seen.cuts.values())
    gone = seen.innocent_before.items() - seen.innocent_after.items()
    killed = ", ".join(f"{what} {times}" for what, times in sorted(seen.killed.items()))
    lines = [
        f"killed: {seen.killed.total()} ({killed})",
        f"detections acknowledged: {len(seen.said)}, in the outboxes: {len(seen.kept)}, lost: {len(lost)}",
        f"kills: {len(seen.kills)} {dict(answers)}; sessions cut: {len(seen.cuts)}, twice: {twice}",
        f"innocent publishers: {len(seen.innocent_before)}, cut: {len(gone)}",
        _times("takeover of a stream", takeovers_s(seen)),
        _times("known footage on the air", seen.on_air_s),
    ]
    for what, (before, after) in growth(seen.held).items():
        lines.append(f"{what}: {before:.0f} in the first third, {after:.0f} in the last")
    found = [f"PROBLEM: {problem}" for problem in problems(seen)]
    return lines + (found or ["nothing lost, nothing cut twice, nothing grew"])


def _times(what: str, values_s: Sequence[float]) -> str:
    if not values_s:
        return f"{what}: never"
    shown = ", ".join(f"{name} {quantile(values_s, share):.1f} s" for name, share in (("p50", 0.5), ("p99", 0.99)))
    return f"{what}: {len(values_s)} times, {shown}, at most {max(values_s):.1f} s"
