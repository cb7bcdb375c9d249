"""How finely must references be sampled, so that a keyframe at any phase finds its neighbour?

Each clip is re-encoded smaller and poorer, as a stream would show it. Every frame of the copy is then looked up in the
reference condensed at several sampling steps: a keyframe may fall on any of them. Printed: the share of the copy's
frames that are within 31 bits of a kept look of the reference, the worst clip's share, looks kept a second of footage,
and the CPU time that fingerprinting took for a second of footage.

    python benchmarks/reference_sampling.py [CLIP...]      without clips: four made scenes
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from streamguard.core import pdq
from streamguard.core.fingerprints import fingerprints
from streamguard.core.references import condense
from streamguard.demo import encode
from streamguard.demo.scenes import Scene
from streamguard.ingest import files
from streamguard.types import Fingerprints, MediaKind, View

STEPS_S = (1.0, 0.5, 0.25, 1 / 6, 1 / 8, 1 / 12, 1 / 25, None)
MADE_SEEDS = (1, 2, 3, 5)
MADE_SECONDS = 20.0
MATCH_BITS = 31
COPY_HEIGHT_PX = 240
COPY_BITS_S = 250_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One clip at one step."""

    found_share: float
    looks_a_second: float
    cost: float


def poorer_copy(clip: Path, copy: Path) -> None:
    """Re-encode at 240 lines and 250 kb/s, every frame."""
    with av.open(str(clip)) as source, av.open(str(copy), "w") as target:
        video = source.streams.video[0]
        out = target.add_stream("libx264", rate=video.average_rate or 25)
        out.height = COPY_HEIGHT_PX
        out.width = round(video.width * COPY_HEIGHT_PX / video.height / 2) * 2
        out.pix_fmt = "yuv420p"
        out.bit_rate = COPY_BITS_S
        for frame in source.decode(video):
            small = cv2.resize(frame.to_ndarray(format="rgb24"), (out.width, out.height), interpolation=cv2.INTER_AREA)
            target.mux(out.encode(av.VideoFrame.from_ndarray(small.astype(np.uint8), format="rgb24")))
        target.mux(out.encode(None))


def codes_of(frames: list[Fingerprints]) -> np.ndarray:
    """The whole picture's codes, as 64-bit words, of frames that carry something."""
    codes = [f.prints[0].codes[View.UPRIGHT] for f in frames if f.prints[0].quality >= pdq.MIN_QUALITY]
    return np.frombuffer(b"".join(codes), np.uint64).reshape(-1, 4)


def measure(clip: Path, copy: Path) -> dict[float | None, Figure]:
    """Every step of one clip."""
    queries = codes_of([fingerprints(frame) for frame in files.looks(copy)])
    figures = {}
    for step_s in STEPS_S:
        started_s = time.process_time()
        reference = condense(map(fingerprints, files.looks(clip, every_s=step_s)), kind=MediaKind.VIDEO)
        cost = (time.process_time() - started_s) / (reference.duration_us / 1e6)
        kept = np.frombuffer(b"".join(look.code for look in reference.prints), np.uint64).reshape(-1, 4)
        nearest = np.array([np.bitwise_count(kept ^ query).sum(axis=1).min() for query in queries])
        found = float(np.mean(nearest <= MATCH_BITS))
        figures[step_s] = Figure(found, len(kept) / (reference.duration_us / 1e6), cost)
    return figures


def made_clips(folder: Path) -> list[Path]:
    """Moving scenes of our own."""
    paths = []
    for seed in MADE_SEEDS:
        pictures = encode.film(Scene(seed), seconds=MADE_SECONDS, fps=25, size_px=(640, 360))
        paths.append(encode.write_video(folder / f"scene-{seed}.mp4", pictures))
    return paths


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = options.clips or made_clips(folder)
        results = []
        for number, clip in enumerate(clips):
            copy = folder / f"copy-{number}.mp4"
            poorer_copy(clip, copy)
            results.append((clip, measure(clip, copy)))
    print(f"{len(results)} clips, every frame of a copy at {COPY_HEIGHT_PX} lines and {COPY_BITS_S / 1000:.0f} kb/s")
    print(f"{'every':>8} {'found':>8} {'worst clip':>28} {'looks/s':>8} {'CPU s/s':>8}")
    for step_s in STEPS_S:
        column = [(clip, figures[step_s]) for clip, figures in results]
        worst_clip, worst = min(column, key=lambda pair: pair[1].found_share)
        every = "frame" if step_s is None else f"{step_s:.3f} s"
        found = float(np.mean([figure.found_share for _, figure in column]))
        looks = float(np.mean([figure.looks_a_second for _, figure in column]))
        cost = float(np.mean([figure.cost for _, figure in column]))
        worst_text = f"{worst_clip.stem[:20]} {worst.found_share:.1%}"
        print(f"{every:>8} {found:>8.2%} {worst_text:>28} {looks:>8.1f} {cost:>8.3f}")


if __name__ == "__main__":
    main()
