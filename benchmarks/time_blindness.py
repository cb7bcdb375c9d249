"""How wide must "looks the same" be, so that the same camera at another time is not taken for the footage?

Each clip's first half is the library, its second half the stream: the same camera, people and place, another time. So
every kill is a false one. The halves go through the product's own steps (condense, nearest looks, weigh, step), for a
grid of AlikeRule.alike_bits x PdqWeights.most_alike_share, with a keyframe every 1 and 2 s at three phases each.

Printed for each: kills, clips with a kill, clips with a review, and the share of looks that tell when (what remains
to kill by). Clips of moving footage that comes back on itself count as well; those of one shot matter most.

    python benchmarks/time_blindness.py [CLIP...] [--alike-bits 36 44 ...] [--shares 0.05 0.1 ...] [--json]

Without clips: cameras of our own that stand still or move, which shows the working and decides nothing.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.decide import BUILT_IN_RULE, DecisionState, step
from streamguard.core.evidence import PdqWeights, weigh
from streamguard.core.fingerprints import fingerprints
from streamguard.core.references import AlikeRule, condense
from streamguard.demo import encode
from streamguard.demo.scenes import Footage, Scene, StillScene
from streamguard.ingest import files
from streamguard.types import (
    DIHEDRAL_VIEWS,
    AssetId,
    Candidate,
    Fingerprint,
    Fingerprints,
    MediaKind,
    Observation,
    Reference,
    ReferencePrint,
    Verdict,
    View,
    tells_when,
)

ALIKE_BITS = (36, 40, 44, 52)
SHARES = (0.02, 0.05, 0.10)
SAMPLE_EVERY_S = 1 / 12
GOPS_S = (1.0, 2.0)
PHASES = 3
APART_S = 1.5
PLACES_A_VIEW = 4

Keyframe = tuple[Fingerprints, tuple[Candidate, ...]]


@dataclass(frozen=True, slots=True)
class Figure:
    """What one setting does over all clips. Every kill is a false one."""

    alike_bits: int
    share: float
    streams: int
    kills: int
    killed_clips: tuple[str, ...]
    review_clips: int
    telling_share: float


@dataclass(frozen=True, slots=True)
class Halves:
    """A clip's fingerprints: the library's half and the stream's."""

    name: str
    known: list[Fingerprints]
    stream: list[Fingerprints]


def halves(clip: Path) -> Halves:
    """The two halves, a breath apart."""
    frames = [fingerprints(frame) for frame in files.looks(clip, every_s=SAMPLE_EVERY_S)]
    middle_us = frames[-1].at.pts_us // 2
    known = [frame for frame in frames if frame.at.pts_us <= middle_us]
    return Halves(clip.stem, known, [frame for frame in frames if frame.at.pts_us > middle_us + APART_S * 1e6])


def measure(clips: Sequence[Halves], *, alike_bits: int, shares: Sequence[float]) -> list[Figure]:
    """One width of "alike" over all clips, at each share."""
    verdicts: dict[float, list[tuple[str, Verdict]]] = {share: [] for share in shares}
    telling: dict[float, list[float]] = {share: [] for share in shares}
    streams = 0
    for clip in clips:
        reference = condense(clip.known, kind=MediaKind.VIDEO, alike=AlikeRule(alike_bits=alike_bits))
        if not reference.prints:
            continue
        for share in shares:
            telling[share].append(telling_share(reference, share=share))
        for keyframes in streams_of(clip.stream, reference):
            streams += 1
            for share in shares:
                verdicts[share] += [(clip.name, verdict) for verdict in decided(keyframes, share=share)]
    return [
        Figure(
            alike_bits=alike_bits,
            share=share,
            streams=streams,
            kills=sum(verdict is Verdict.KILL for _, verdict in verdicts[share]),
            killed_clips=tuple(sorted({name for name, verdict in verdicts[share] if verdict is Verdict.KILL})),
            review_clips=len({name for name, verdict in verdicts[share] if verdict is Verdict.REVIEW}),
            telling_share=float(np.mean(telling[share])) if telling[share] else 0.0,
        )
        for share in shares
    ]


def telling_share(reference: Reference, *, share: float) -> float:
    """How many of its looks tell when."""
    return float(np.mean([tells_when(look.alike_share, most_alike_share=share) for look in reference.prints]))


def streams_of(frames: list[Fingerprints], reference: Reference) -> Iterator[list[Keyframe]]:
    """The stream's keyframes with their candidates, for each GOP length and phase."""
    known = _words(look.code for look in reference.prints)
    for gop_s in GOPS_S:
        for phase in range(PHASES):
            due_us = (frames[0].at.pts_us if frames else 0) + phase * gop_s * 1e6 / PHASES
            keyframes = []
            for frame in frames:
                if frame.at.pts_us >= due_us:
                    due_us += gop_s * 1e6
                    keyframes.append((frame, tuple(nearest(frame, reference.prints, known))))
            yield keyframes


def nearest(frame: Fingerprints, looks: Sequence[ReferencePrint], known: NDArray[np.uint64]) -> Iterator[Candidate]:
    """The nearest looks within the match radius of every print in every view, as the library finds them."""
    for look in frame.prints:
        if look.quality < pdq.MIN_QUALITY:
            continue
        for view in View:
            bits = np.bitwise_count(known ^ _words([_code(look, view)])).sum(axis=1)
            for index in np.argsort(bits, kind="stable")[:PLACES_A_VIEW]:
                near = looks[int(index)]
                yield Candidate(
                    asset=AssetId("first half"),
                    label="",
                    kind=MediaKind.VIDEO,
                    place=near.place,
                    alike_share=near.alike_share,
                    view=view,
                    region=look.region,
                    distance_bits=int(bits[index]),
                )


def decided(keyframes: list[Keyframe], *, share: float) -> list[Verdict]:
    """The verdicts that fall on a stream of the second half."""
    weights = PdqWeights(most_alike_share=share)
    observations = [Observation(frame.at, weigh(candidates, weights)) for frame, candidates in keyframes]
    _, decisions = step(DecisionState(), observations, BUILT_IN_RULE)
    return [decision.verdict for decision in decisions]


def made_clips(folder: Path) -> Iterator[Path]:
    """A few cameras of our own: one that moves, and three that stand still."""
    footage: list[Footage] = [Scene(1), StillScene(4), StillScene(5, actors=3, actor_px=120.0), StillScene(6, actors=6)]
    for number, scene in enumerate(footage):
        pictures = encode.film(scene, seconds=24.0, fps=12, size_px=(320, 180))
        yield encode.write_video(folder / f"made-{number}.mp4", pictures)


def _code(look: Fingerprint, view: View) -> bytes:
    code = look.codes[view % len(DIHEDRAL_VIEWS)]
    return code if view in DIHEDRAL_VIEWS else pdq.negative(code)


def _words(codes: Iterator[bytes] | list[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(codes), np.uint64).reshape(-1, 4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--alike-bits", nargs="+", type=int, default=ALIKE_BITS)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--json", action="store_true", help="print one JSON object a setting")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clips = [halves(clip) for clip in options.clips or made_clips(Path(name))]
    if not options.json:
        print(f"{len(clips)} clips, the first half as the library, the second as the stream: every kill is a false one")
        print(f"{'bits':>4} {'share':>6} {'streams':>8} {'kills':>6} {'review clips':>13} {'telling':>8}  killed clips")
    for alike_bits in options.alike_bits:
        for figure in measure(clips, alike_bits=alike_bits, shares=options.shares):
            if options.json:
                print(json.dumps(asdict(figure)))
                continue
            print(
                f"{figure.alike_bits:>4} {figure.share:>6.2f} {figure.streams:>8} {figure.kills:>6} "
                f"{figure.review_clips:>13} {figure.telling_share:>8.1%}  {', '.join(figure.killed_clips)}"
            )


if __name__ == "__main__":
    main()
