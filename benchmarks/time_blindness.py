"""How much nearer than the footage's own other moments must a match be, so that another time is not taken for it?

Each clip's first half is the library, its second half the stream: the same camera, people and place, another time. So
every kill is a false one. The halves go through the product's own steps (condense, nearest looks, weigh, step), for a
grid of PdqWeights.tells_when_bits x DecisionRule.kill_nats, with a keyframe every 0.5, 1, 2, 3 and 5 s at five phases.

Printed for each: kills, clips with a kill, clips with a review, and the share of looks by which a usual copy would tell
when (what remains to kill by). Clips whose moving footage comes back on itself count too; one shot matters most.

    python benchmarks/time_blindness.py [CLIP...] [--tells-when-bits 8 16 ...] [--kill-nats 10 12 ...] [--json]

Without clips: cameras of our own that stand still or move, which shows the working and decides nothing.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import PdqWeights, weigh
from streamguard.core.fingerprints import fingerprints
from streamguard.core.references import condense
from streamguard.demo import encode
from streamguard.demo.scenes import Footage, Scene, StillScene
from streamguard.ingest import files
from streamguard.types import (
    DIHEDRAL_VIEWS,
    USUAL_COPY_BITS,
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
)

TELLS_WHEN_BITS = (0, 4, 8, 12, 16, 20, 24)
GOPS_S = (0.5, 1.0, 2.0, 3.0, 5.0)
PHASES = 5
APART_S = 1.5
MATCH_BITS = 31
PLACES_A_VIEW = 4

Keyframe = tuple[Fingerprints, tuple[Candidate, ...]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What is tried."""

    tells_when_bits: int
    kill_nats: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One stream of one clip under one setting."""

    clip: str
    verdicts: frozenset[Verdict]


@dataclass(frozen=True, slots=True)
class Figure:
    """What one setting does over all clips. Every kill is a false one."""

    tells_when_bits: int
    kill_nats: float
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
    """The two halves, a breath apart, of every frame, as `library add` looks at them."""
    frames = [fingerprints(frame) for frame in files.looks(clip, every_s=None)]
    middle_us = frames[-1].at.pts_us // 2
    known = [frame for frame in frames if frame.at.pts_us <= middle_us]
    return Halves(clip.stem, known, [frame for frame in frames if frame.at.pts_us > middle_us + APART_S * 1e6])


def measure(clips: Iterable[Halves], settings: Sequence[Setting]) -> list[Figure]:
    """Every setting over all clips."""
    outcomes: dict[Setting, list[Outcome]] = {setting: [] for setting in settings}
    nearest_elsewhere: list[NDArray[np.int64]] = []
    for clip in clips:
        reference = condense(clip.known, kind=MediaKind.VIDEO)
        if not reference.prints:
            continue
        nearest_elsewhere.append(np.array([look.nearest_elsewhere_bits for look in reference.prints]))
        for keyframes in streams_of(clip.stream, reference):
            for setting in settings:
                outcomes[setting].append(Outcome(clip.name, decided(keyframes, setting)))
    return [summed(setting, outcomes[setting], nearest_elsewhere) for setting in settings]


def summed(setting: Setting, outcomes: Sequence[Outcome], nearest_elsewhere: Sequence[NDArray[np.int64]]) -> Figure:
    """The sum of it. A look tells when to a copy that is a few bits away from it."""
    killed = [outcome.clip for outcome in outcomes if Verdict.KILL in outcome.verdicts]
    telling = [np.mean(bits >= setting.tells_when_bits + USUAL_COPY_BITS) for bits in nearest_elsewhere]
    return Figure(
        tells_when_bits=setting.tells_when_bits,
        kill_nats=setting.kill_nats,
        streams=len(outcomes),
        kills=len(killed),
        killed_clips=tuple(sorted(set(killed))),
        review_clips=len({outcome.clip for outcome in outcomes if Verdict.REVIEW in outcome.verdicts}),
        telling_share=float(np.mean(telling)) if telling else 0.0,
    )


def streams_of(frames: list[Fingerprints], reference: Reference) -> Iterator[list[Keyframe]]:
    """The stream's keyframes with their candidates, for each GOP length and phase."""
    known = _words(look.code for look in reference.prints)
    found: dict[int, tuple[Candidate, ...]] = {}
    for gop_s in GOPS_S:
        for phase in range(PHASES):
            due_us = (frames[0].at.pts_us if frames else 0) + phase * gop_s * 1e6 / PHASES
            keyframes = []
            for index, frame in enumerate(frames):
                if frame.at.pts_us >= due_us:
                    due_us += gop_s * 1e6
                    if index not in found:
                        found[index] = tuple(nearest(frame, reference.prints, known))
                    keyframes.append((frame, found[index]))
            yield keyframes


def nearest(frame: Fingerprints, looks: Sequence[ReferencePrint], known: NDArray[np.uint64]) -> Iterator[Candidate]:
    """The nearest looks within the match radius of every print in every view, as the library finds them."""
    for look in frame.prints:
        if look.quality < pdq.MIN_QUALITY:
            continue
        for view in View:
            bits = np.bitwise_count(known ^ _words([_code(look, view)])).sum(axis=1)
            within = np.flatnonzero(bits <= MATCH_BITS)
            for index in within[np.argsort(bits[within], kind="stable")[:PLACES_A_VIEW]]:
                near = looks[int(index)]
                yield Candidate(
                    asset=AssetId("first half"),
                    label="",
                    kind=MediaKind.VIDEO,
                    place=near.place,
                    nearest_elsewhere_bits=near.nearest_elsewhere_bits,
                    view=view,
                    region=look.region,
                    distance_bits=int(bits[index]),
                )


def decided(keyframes: list[Keyframe], setting: Setting) -> frozenset[Verdict]:
    """The verdicts that fall on a stream of the second half."""
    weights = PdqWeights(tells_when_bits=setting.tells_when_bits)
    rule = replace(BUILT_IN_RULE, kill_nats=setting.kill_nats)
    observations = [Observation(frame.at, weigh(candidates, weights)) for frame, candidates in keyframes]
    _, decisions = step(DecisionState(), observations, rule)
    return frozenset(decision.verdict for decision in decisions)


def made_clips(folder: Path) -> Iterator[Path]:
    """A few cameras of our own: one that moves, and three that stand still."""
    footage: list[Footage] = [Scene(1), StillScene(4), StillScene(5, actors=3, actor_px=120.0), StillScene(6, actors=6)]
    for number, scene in enumerate(footage):
        pictures = encode.film(scene, seconds=24.0, fps=12, size_px=(320, 180))
        yield encode.write_video(folder / f"made-{number}.mp4", pictures)


def _code(look: Fingerprint, view: View) -> bytes:
    code = look.codes[view % len(DIHEDRAL_VIEWS)]
    return code if view in DIHEDRAL_VIEWS else pdq.negative(code)


def _words(codes: Iterable[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(codes), np.uint64).reshape(-1, 4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--tells-when-bits", nargs="+", type=int, default=TELLS_WHEN_BITS)
    parser.add_argument("--kill-nats", nargs="+", type=float, default=(BUILT_IN_RULE.kill_nats,))
    parser.add_argument("--json", action="store_true", help="print one JSON object a setting")
    options = parser.parse_args()
    settings = [Setting(bits, nats) for nats in options.kill_nats for bits in options.tells_when_bits]
    with tempfile.TemporaryDirectory() as name:
        clips = options.clips or list(made_clips(Path(name)))
        figures = measure(map(halves, clips), settings)
    if options.json:
        for figure in figures:
            print(json.dumps(asdict(figure)))
        return
    print(f"{len(clips)} clips, the first half as the library, the second as the stream: every kill is a false one")
    print(f"{'bits':>4} {'nats':>5} {'streams':>8} {'kills':>6} {'review clips':>13} {'telling':>8}  killed clips")
    for figure in figures:
        print(
            f"{figure.tells_when_bits:>4} {figure.kill_nats:>5.1f} {figure.streams:>8} {figure.kills:>6} "
            f"{figure.review_clips:>13} {figure.telling_share:>8.1%}  {', '.join(figure.killed_clips)}"
        )


if __name__ == "__main__":
    main()
