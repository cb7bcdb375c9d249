"""What does each kind of evidence catch, and what does each check of innocence cost and save?

Runs a gauntlet (a directory with truth.csv, references.csv and streams/) through the product's own steps, once with
everything and then with one thing left out at a time: caught share, false kills, reviews of innocents, delay. Streams
are looked up once; what was found is kept in a file (--cache) so that other settings take seconds.

With --halves, each clip's first half is known footage and its second half an innocent stream, with a keyframe every
0.5, 2 and 5 s: the same camera at another time at its hardest, as the shot goes on. Every kill there is a false one.

    python benchmarks/ablation.py GAUNTLET --library DIR [--cache FILE] [--halves CLIP...] [--json]

The library holds the references of the gauntlet: streamguard library add --library DIR --id ID FILE for each of them.
"""

import argparse
import csv
import hashlib
import json
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np

from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE, DecisionRule
from streamguard.core.evidence import weigh, weigh_alignments
from streamguard.core.features import STREAM, Extraction, readings, reference_features
from streamguard.core.fingerprints import fingerprints
from streamguard.core.geometry import align
from streamguard.core.reference_frames import FrameSampler, Sampled
from streamguard.core.references import condense
from streamguard.core.rules import BUILT_IN_WEIGHTS, Weights
from streamguard.core.stillness import StreamMemory
from streamguard.ingest import files
from streamguard.ingest.luma import luma_of
from streamguard.library.catalogue import NewItem
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from streamguard.types import (
    AssetId,
    Candidate,
    Decision,
    Fingerprints,
    Frame,
    MediaKind,
    MediaTime,
    Observation,
    Reference,
    Verdict,
    View,
    Votes,
)

CAUGHT_WITHIN_S = 10.0
GOPS_S = (0.5, 2.0, 5.0)

Looked = tuple[MediaTime, tuple[Candidate, ...], tuple[Votes, ...]]
"""What the library says of one keyframe."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to decide. `pdq`, `features`: whether that kind of evidence counts at all."""

    name: str
    weights: Weights = BUILT_IN_WEIGHTS
    rule: DecisionRule = BUILT_IN_RULE
    pdq: bool = True
    features: bool = True
    stream_stillness: bool = True


def variants() -> tuple[Variant, ...]:
    """Everything, each kind alone, and everything without one check of innocence at a time."""
    all_of = BUILT_IN_WEIGHTS
    endless = float("inf")
    return (
        Variant("everything"),
        Variant("PDQ alone", features=False),
        Variant("features alone", pdq=False),
        Variant("without: PDQ's margin", replace(all_of, pdq=replace(all_of.pdq, tells_when_bits=-256))),
        Variant(
            "without: still in the footage", replace(all_of, geometry=replace(all_of.geometry, telling_elsewhere=255))
        ),
        Variant("without: still in the stream", stream_stillness=False),
        Variant("without: spread", replace(all_of, features=replace(all_of.features, least_spread=0.0))),
        Variant("without: distinct places", replace(all_of, geometry=replace(all_of.geometry, distinct_px=1e-3))),
        Variant("without: time goes forward", rule=replace(BUILT_IN_RULE, speed_slack_s=endless)),
        Variant("without: stays where it is", rule=replace(BUILT_IN_RULE, steady_share=endless)),
        Variant(
            "without: forward, stays where it is",
            rule=replace(BUILT_IN_RULE, speed_slack_s=endless, steady_share=endless),
        ),
    )


def decisions(looked: Sequence[Looked], variant: Variant) -> tuple[Decision, ...]:
    """What falls on one stream."""
    return step(DecisionState(), [_observed(one, variant) for one in looked], variant.rule)[1]


def _observed(looked: Looked, variant: Variant) -> Observation:
    at, candidates, votes = looked
    weights = variant.weights
    if not variant.stream_stillness:
        votes = tuple(replace(vote, still=np.zeros_like(vote.still)) for vote in votes)
    found = [alignment for vote in votes for alignment in align(vote, weights.geometry)] if variant.features else []
    near = weigh(candidates, weights.pdq) if variant.pdq else ()
    return Observation(at, near + weigh_alignments(found, weights.features))


def look(frames: Iterable[Frame], library: Snapshot) -> list[Looked]:
    """Each keyframe as a worker looks it up."""
    memory = StreamMemory()
    marked = (memory.marked(fingerprints(frame, local=STREAM)) for frame in frames)
    radius_bits = BUILT_IN_WEIGHTS.pdq.radius_bits
    return [
        (keyframe.at, library.search(keyframe.prints, radius_bits=radius_bits), library.vote(keyframe.features))
        for keyframe in marked
    ]


@dataclass(frozen=True, slots=True)
class Stream:
    """A line of truth.csv. Without `reference` nothing known is in it; `onset_s` is when the footage begins."""

    file: str
    reference: str
    attack: str
    onset_s: float
    still_camera: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What one variant does. The delays are from the footage's onset to its verdict."""

    variant: str
    caught: float
    whole_attacks: int
    attacks: int
    false_kills: int
    reviews_of_innocents: int
    innocents: int
    delay_median_s: float
    delay_p95_s: float
    halves: int
    kills_in_halves: int
    clips_killed_in_halves: int


@dataclass(frozen=True, slots=True)
class Found:
    """Everything looked up: for each stream, and for each clip's second half at each GOP length."""

    streams: dict[str, list[Looked]]
    halves: dict[tuple[str, float], list[Looked]]


def truth(gauntlet: Path) -> list[Stream]:
    """What is in each stream."""
    with (gauntlet / "truth.csv").open(encoding="utf-8", newline="") as file:
        return [
            Stream(
                row["stream"], row["reference"], row["attack"], float(row["onset_s"] or 0), row["still_camera"] == "1"
            )
            for row in csv.DictReader(file)
        ]


def scored(streams: Sequence[Stream], looked: Found, variant: Variant) -> Figures:
    """As the gauntlet scores: caught is a kill for the right footage within 10 s of its onset, or a review where its
    camera stands still; a kill for anything else, or before the onset, is false.
    """
    caught: dict[str, list[bool]] = {}
    delays_s, false, reviews = [], 0, 0
    for stream in streams:
        fallen = decisions(looked.streams[stream.file], variant)
        kills = [decision for decision in fallen if decision.verdict is Verdict.KILL]
        if not stream.reference:
            false += bool(kills)
            reviews += bool(fallen) and not kills
            continue
        right = [decision for decision in (fallen if stream.still_camera else kills) if is_right(decision, stream)]
        false += bool(kills) and not is_right(kills[0], stream)
        delay_s = right[0].at.pts_us / 1e6 - stream.onset_s if right else float("inf")
        delays_s += [delay_s] if right else []
        caught.setdefault(stream.attack, []).append(delay_s <= CAUGHT_WITHIN_S)
    killed = [clip for (clip, _), keyframes in looked.halves.items() if _kills(keyframes, variant)]
    return Figures(
        variant=variant.name,
        caught=float(np.mean([one for group in caught.values() for one in group])),
        whole_attacks=sum(all(group) for group in caught.values()),
        attacks=len(caught),
        false_kills=false,
        reviews_of_innocents=reviews,
        innocents=sum(not stream.reference for stream in streams),
        delay_median_s=float(np.median(delays_s)) if delays_s else float("nan"),
        delay_p95_s=float(np.quantile(delays_s, 0.95)) if delays_s else float("nan"),
        halves=len(looked.halves),
        kills_in_halves=len(killed),
        clips_killed_in_halves=len(set(killed)),
    )


def is_right(decision: Decision, stream: Stream) -> bool:
    # A reference may stand in the library a second time, under an overlay.
    right = decision.asset.removesuffix("_with_overlay") == stream.reference
    return right and decision.at.pts_us / 1e6 >= stream.onset_s - 0.1


def _kills(keyframes: Sequence[Looked], variant: Variant) -> bool:
    return any(decision.verdict is Verdict.KILL for decision in decisions(keyframes, variant))


_LIBRARY: dict[Path, Snapshot] = {}
"""In a process of the pool: what it has loaded. FAISS and a fork do not go together, so each loads its own."""


def library_at(path: Path) -> Snapshot:
    if path not in _LIBRARY:
        _LIBRARY[path] = load_snapshot(path)
    return _LIBRARY[path]


def look_at_stream(path: Path, library: Path) -> list[Looked]:
    """Its keyframes."""
    return look(keyframes_of(path), library_at(library))


def keyframes_of(path: Path) -> Iterator[Frame]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        video.codec_context.skip_frame = "NONKEY"
        for frame in container.decode(video):
            luma, levels = luma_of(frame)
            at_us = round(float(frame.time or 0) * 1e6)
            yield Frame(MediaTime(0, at_us), at_us / 1e6, luma, levels)


def first_half(clip: Path) -> Reference:
    """As `library add` condenses it."""
    half_us = files.describe(clip).duration_s * 1e6 / 2
    samples: dict[Extraction, list[Sampled]] = {}
    sampler = FrameSampler()

    def looks() -> Iterator[Fingerprints]:
        for frame in files.looks(clip):
            if frame.at.pts_us >= half_us:
                return
            prints = fingerprints(frame)
            if sampler.wants(frame.at.pts_us, prints.prints[0].codes[View.UPRIGHT]):
                height, width = frame.luma.shape
                for how in readings(width, height):
                    kept, seen = reference_features(frame.luma, levels=frame.levels, how=how)
                    samples.setdefault(how, []).append(Sampled(frame.at.pts_us, kept, seen))
            yield prints

    return condense(looks(), kind=MediaKind.VIDEO, samples=samples)


def look_at_second_half(clip: Path, gop_s: float, library: Path) -> list[Looked]:
    """A stream that begins where the known half ends."""

    def keyframes() -> Iterator[Frame]:
        due_us = half_us = files.describe(clip).duration_s * 1e6 / 2
        for frame in files.looks(clip):
            if frame.at.pts_us >= due_us:
                due_us += gop_s * 1e6
                at_us = round(frame.at.pts_us - half_us)
                yield replace(frame, at=MediaTime(0, at_us), arrived_s=at_us / 1e6)

    return look(keyframes(), library_at(library))


def find(gauntlet: Path, streams: Sequence[Stream], *, library: Path, clips: Sequence[Path]) -> Found:
    """The long part: minutes."""
    with (
        ProcessPoolExecutor(mp_context=get_context("spawn")) as pool,
        tempfile.TemporaryDirectory(prefix="streamguard-ablation-") as folder,
    ):
        paths = [gauntlet / "streams" / stream.file for stream in streams]
        shown = pool.map(look_at_stream, paths, [library] * len(paths))
        known = Path(folder, "halves")
        with Library.open(known, create=True) as shelf:
            for clip, reference in zip(clips, pool.map(first_half, clips), strict=True):
                if reference.prints:
                    digest = hashlib.sha256(str(clip).encode()).hexdigest()
                    shelf.add(NewItem(AssetId(clip.stem), "", str(clip), clip.stat().st_size, digest), reference)
        jobs = [(clip, gop_s) for clip in clips for gop_s in GOPS_S]
        halves = pool.map(look_at_second_half, *zip(*jobs, strict=True), [known] * len(jobs)) if jobs else ()
        return Found(
            dict(zip((stream.file for stream in streams), shown, strict=True)),
            {(clip.stem, gop_s): found for (clip, gop_s), found in zip(jobs, halves, strict=True)},
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gauntlet", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--halves", type=Path, nargs="*", default=[], metavar="CLIP")
    parser.add_argument("--cache", type=Path, help="kept by this benchmark alone: it is read as Python's pickle")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    streams = truth(options.gauntlet)
    if options.cache and options.cache.exists():
        found = pickle.loads(options.cache.read_bytes())  # noqa: S301 - our own file
    else:
        found = find(options.gauntlet, streams, library=options.library, clips=options.halves)
        if options.cache:
            options.cache.write_bytes(pickle.dumps(found))
    figures = [scored(streams, found, variant) for variant in variants()]
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
        return
    print(
        "| | caught | attacks whole | false kills | innocents in review | delay median, p95 | kills in halves (clips) |"
    )
    print("|---|---|---|---|---|---|---|")
    for one in figures:
        print(
            f"| {one.variant} | {one.caught:.1%} | {one.whole_attacks} of {one.attacks} | {one.false_kills} "
            f"| {one.reviews_of_innocents} of {one.innocents} | {one.delay_median_s:.1f} s, {one.delay_p95_s:.1f} s "
            f"| {one.kills_in_halves} of {one.halves} ({one.clips_killed_in_halves}) |"
        )


if __name__ == "__main__":
    main()
