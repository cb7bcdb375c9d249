"""What does looking seldom at quiet streams cost in recognition? The gauntlet's streams, as if each had shown
nothing for more than a minute before: looked at as seldom as `[attention]` lets a worker, and closely from the first
evidence on.

`build.py` makes the streams and truth.csv (see the gauntlet's README), `streamguard library add` the library:

    python benchmarks/quiet_pace.py GAUNTLET --library DIR [--time-to-kill 10] [--phases 3] [--json]

Footage may come on right after a look, or right before one: so each stream is watched --phases times, after 0, 1, 2 ...
keyframes that were passed over. The first line is what looking at every keyframe gives. Caught is a kill for the right
footage (a review where its camera stands still) within 10 s of its onset, "at all" one at any time of
it; a kill for anything else is false. "looked
at" is the share of keyframes of streams that show nothing known.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when FAISS is imported
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.ablation import CAUGHT_WITHIN_S, Stream, is_right, keyframes_of, library_at, truth
from streamguard.core.attention import TELLING_S, AttentionRule, pace_of
from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Moment, Sampler
from streamguard.core.stillness import StreamMemory
from streamguard.types import Decision, Frame, Verdict
from streamguard.worker.matcher import Matcher

_RHYTHM = 30
"""Keyframes before the first, from which the sampler has learnt how they come."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What fell on one stream, and how many of its keyframes were looked at."""

    decisions: tuple[Decision, ...]
    looked: int
    keyframes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All streams at one pace; `phase`: keyframes between the last look and the first keyframe; None: all looked at."""

    phase: int | None
    caught: float
    caught_ever: float
    false_kills: int
    reviews_of_innocents: int
    delay_median_s: float
    delay_p95_s: float
    looked_share: float


def watch(path: Path, library: Path, *, time_to_kill_s: float, phase: int | None) -> Watched:
    """One stream, after a time in which it showed nothing."""
    frames = list(keyframes_of(path))
    matcher = Matcher(lambda: library_at(library), rule=BUILT_IN_RULE)
    rule = AttentionRule(time_to_kill_s=time_to_kill_s)
    quiet = pace_of(Attention.QUIET, rule, kill=BUILT_IN_RULE)
    sampler, memory, state = _after_a_quiet_time(frames, phase=phase or 0), StreamMemory(), DecisionState()
    told_s, alike_until_s, looked = math.inf, -math.inf, 0
    fallen: list[Decision] = []
    for frame in frames:
        now_s = frame.at.pts_us / 1e6
        is_close = phase is None or now_s >= told_s or now_s < alike_until_s
        if not sampler.due(Moment(now_s, now_s, now_s), pace=EVERY_KEYFRAME if is_close else quiet):
            continue
        sampler.looked()
        looked += 1
        matched = matcher.observe(state, memory.marked(fingerprints(frame, local=STREAM)))
        state = matched.state
        fallen += matched.decisions
        if matched.observation.evidence:
            told_s = min(told_s, now_s + TELLING_S)
        if matched.alike:
            alike_until_s = now_s + rule.alike_s
    return Watched(tuple(fallen), looked, len(frames))


def _after_a_quiet_time(frames: Sequence[Frame], *, phase: int) -> Sampler:
    sampler = Sampler()
    gaps_s = [(after.at.pts_us - before.at.pts_us) / 1e6 for before, after in pairwise(frames)]
    gap_s = float(np.median(gaps_s)) if gaps_s else 1.0
    for number in range(_RHYTHM, 0, -1):
        at_s = -number * gap_s
        sampler.due(Moment(at_s, at_s, at_s), pace=EVERY_KEYFRAME)
        if number > phase:
            sampler.looked()
    return sampler


def figures(streams: Sequence[Stream], watched: Sequence[Watched], *, phase: int | None) -> Figures:
    """As the gauntlet scores."""
    delays_of_all_s, false, reviews, shares = [], 0, 0, []
    for stream, one in zip(streams, watched, strict=True):
        kills = [decision for decision in one.decisions if decision.verdict is Verdict.KILL]
        if not stream.reference:
            false += bool(kills)
            reviews += bool(one.decisions) and not kills
            shares.append(one.looked / max(1, one.keyframes))
            continue
        false += bool(kills) and not is_right(kills[0], stream)
        right = [one for one in (one.decisions if stream.still_camera else kills) if is_right(one, stream)]
        delay_s = right[0].at.pts_us / 1e6 - stream.onset_s if right else math.inf
        delays_of_all_s.append(delay_s)
    delays_s = [delay_s for delay_s in delays_of_all_s if delay_s < math.inf]
    return Figures(
        phase=phase,
        caught=round(float(np.mean(np.array(delays_of_all_s) <= CAUGHT_WITHIN_S)), 4),
        caught_ever=round(len(delays_s) / len(delays_of_all_s), 4),
        false_kills=false,
        reviews_of_innocents=reviews,
        delay_median_s=round(float(np.median(delays_s)), 2),
        delay_p95_s=round(float(np.quantile(delays_s, 0.95)), 2),
        looked_share=round(float(np.mean(shares)), 3),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gauntlet", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--time-to-kill", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--phases", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    options = parser.parse_args()
    streams = truth(options.gauntlet)
    lines = []
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for phase in (None, *range(options.phases)):
            jobs = [
                pool.submit(
                    watch,
                    options.gauntlet / "streams" / stream.file,
                    options.library,
                    time_to_kill_s=options.time_to_kill,
                    phase=phase,
                )
                for stream in streams
            ]
            lines.append(figures(streams, [job.result() for job in jobs], phase=phase))
            print(f"{len(lines)} of {options.phases + 1}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
        return
    print("| passed over | caught | at all | false kills | innocents in review | delay: median, p95 | looked at |")
    print("|---|---|---|---|---|---|---|")
    for line in lines:
        when = "every keyframe is looked at" if line.phase is None else f"{line.phase} keyframes"
        print(
            f"| {when} | {line.caught:.1%} | {line.caught_ever:.1%} | {line.false_kills} | {line.reviews_of_innocents} "
            f"| {line.delay_median_s:.1f} s, {line.delay_p95_s:.1f} s | {line.looked_share:.0%} |"
        )


if __name__ == "__main__":
    main()
