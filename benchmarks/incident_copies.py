"""How soon is a copy killed, by how closely the stream was looked at that its footage was taken from?

Eight made films are shown live, a keyframe every 2 s, and what a worker would remember of them is made known: of every
keyframe; of one in two; of those that a quiet stream is looked at by; and of these with what its decoder keeps of the
others. Then nine copies of each are shown: from between the remembered keyframes, poorly coded; three of them as they
are, three smaller and mirrored, three cropped by 15 %. Printed is when they were killed, after their first keyframe.

    python benchmarks/incident_copies.py [--films 8] [--keep-kib 2048] [--json]

The streams are not sent anywhere: a decoder's own eye (ingest.viewer) gets their packets, with the times of their
arrival. It takes some minutes.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av

from benchmarks.figures import quantile
from streamguard.core.attention import AttentionRule, pace_of
from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.sampling import Attention, Pace
from streamguard.core.shown import as_reference
from streamguard.core.stillness import StreamMemory
from streamguard.demo import edits
from streamguard.demo.encode import Encoding, encoded, film
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture
from streamguard.ingest.kept import Aside, KeptKeyframes
from streamguard.ingest.keyframes import PARSE_ONLY
from streamguard.ingest.options import SourceOptions, every_keyframe
from streamguard.ingest.viewer import Viewer
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import Fingerprints, Verdict
from streamguard.worker.matcher import Matcher
from tests.library.made import new_item

FIRST_SEED = 700
SHOWN_S, COPY_S = 60.0, 24.0
PHASES_S = (20.7, 23.0, 25.3)
"""Where in the film copies begin."""

SIZE_PX, SMALL_PX = (640, 360), (480, 270)
POOR = Encoding(fps=5, gop_s=2.0, bit_rate_bps=300_000, threads=1)
IN_TIME_S = 6.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Of all copies; seconds after their first keyframes, infinite where one was not killed."""

    remembered: str
    keyframes: float
    copies: int
    killed: int
    in_time: int
    median_s: float
    last_s: float


Edit = Callable[[Picture], Picture]
EDITS: tuple[Edit, ...] = (
    lambda picture: picture,
    lambda picture: edits.mirrored(edits.resized(picture, width_px=SMALL_PX[0], height_px=SMALL_PX[1])),
    partial(edits.cropped, share=0.15),
)


def quiet() -> Pace:
    return pace_of(Attention.QUIET, AttentionRule(), kill=BUILT_IN_RULE)


def shown_live(file: bytes, *, pace: Callable[[], Pace], keep_bytes: int) -> tuple[list[Fingerprints], int]:
    """What a worker has of a stream when it asks at its end, by time; and how many bytes were kept for it."""
    kept = KeptKeyframes(keep_bytes, for_s=120.0)
    viewer = Viewer("film", SourceOptions(), session=1, tell=lambda _: None, live=True)
    viewer.pace, viewer.aside = pace, Aside(kept)
    memory, found = StreamMemory(), []
    with av.open(BytesIO(file), "r", options=PARSE_ONLY) as container:
        video = viewer.open(container, position_s=0.0)
        for packet in container.demux(video):
            if packet.dts is None or packet.time_base is None:
                continue
            at_s = float(packet.dts * packet.time_base)
            looks = viewer.frames(packet, arrived_s=at_s, position_s=at_s)
            found += [memory.marked(fingerprints(look, local=STREAM)) for look in looks]
    size_bytes = kept.size_bytes
    while kept:
        frame = kept.taken()
        if frame is not None:
            found.append(fingerprints(frame, local=STREAM))
    return sorted(found, key=lambda one: one.at.pts_us), size_bytes


def known(folder: Path, keyframes: Sequence[Fingerprints]) -> Matcher:
    with Library.open(folder, create=True) as library:
        library.add(new_item("shown"), as_reference(keyframes))
    snapshot = load_snapshot(folder)
    return Matcher(lambda: snapshot, rule=BUILT_IN_RULE)


def killed_after_s(matcher: Matcher, keyframes: Sequence[Fingerprints]) -> float:
    state = DecisionState()
    for one in keyframes:
        matched = matcher.observe(state, one)
        state = matched.state
        if any(decision.verdict is Verdict.KILL for decision in matched.decisions):
            return (one.at.pts_us - keyframes[0].at.pts_us) / 1e6
    return math.inf


def copies(seed: int) -> Iterator[list[Fingerprints]]:
    for from_s in PHASES_S:
        pictures = list(film(Scene(seed), seconds=COPY_S, fps=POOR.fps, from_s=from_s, size_px=SIZE_PX))
        for edit in EDITS:
            yield shown_live(encoded(map(edit, pictures), POOR), pace=every_keyframe, keep_bytes=0)[0]


def measure(*, films: int, keep_kib: int) -> list[Figures]:
    ways = ("each keyframe, 2 s apart", "one every 4 s", "as of a quiet stream, nothing kept", "as of a quiet stream")
    seen: dict[str, list[tuple[int, float]]] = {way: [] for way in ways}
    for seed in range(FIRST_SEED, FIRST_SEED + films):
        file = encoded(film(Scene(seed), seconds=SHOWN_S, fps=POOR.fps, size_px=SIZE_PX), POOR)
        each, _ = shown_live(file, pace=every_keyframe, keep_bytes=0)
        alone, _ = shown_live(file, pace=quiet, keep_bytes=0)
        both, size_bytes = shown_live(file, pace=quiet, keep_bytes=keep_kib << 10)
        print(f"film {seed}: {len(both) - len(alone)} keyframes kept in {size_bytes >> 10} KiB", file=sys.stderr)
        shown = list(copies(seed))
        for way, remembered in zip(ways, (each, each[::2], alone, both), strict=True):
            with TemporaryDirectory() as folder:
                matcher = known(Path(folder) / "library", remembered)
                seen[way] += [(len(remembered), killed_after_s(matcher, copy)) for copy in shown]
    return [_figures(way, found) for way, found in seen.items()]


def _figures(way: str, found: Sequence[tuple[int, float]]) -> Figures:
    after_s = [seconds for _, seconds in found]
    return Figures(
        remembered=way,
        keyframes=sum(count for count, _ in found) / len(found),
        copies=len(found),
        killed=sum(seconds < math.inf for seconds in after_s),
        in_time=sum(seconds <= IN_TIME_S + 1e-6 for seconds in after_s),
        median_s=quantile(after_s, 0.5),
        last_s=max(after_s),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--keep-kib", type=int, default=2048, help="as incident.keep_kib")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    options = parser.parse_args()
    found = measure(films=options.films, keep_kib=options.keep_kib)
    if options.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
        return
    print("| remembered of the first stream | keyframes | killed after its first keyframe: median, last | within 6 s |")
    print("| --- | --- | --- | --- |")
    for one in found:
        times = f"{one.median_s:.0f} s, {one.last_s:.0f} s"
        print(f"| {one.remembered} | {one.keyframes:.0f} | {times} | {one.in_time} of {one.copies} |")


if __name__ == "__main__":
    main()
