"""What the demo shows and looks for: known footage as a file, and a stream that comes to show it in disguise."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from streamguard.demo import edits
from streamguard.demo.encode import Encoding, Segment, film, read_video, write_segments, write_video
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture

_KNOWN_SEED = 20
_LEAD_IN_SEED = 21
_KNOWN_PX = (640, 360)
_STREAM_PX = (480, 270)


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """How much footage there is, and how much of it the stream shows, from `shown_from_s` on.

    Nothing is made easy: the stream's keyframes are none of the file's, and the lead-in ends in the middle of a GOP, so
    that the first segment with known footage in it has no keyframe of it.
    """

    known_s: float = 20.0
    lead_in_s: float = 9.0
    shown_s: float = 12.0
    shown_from_s: float = 2.6


@dataclass(frozen=True, slots=True)
class DemoFootage:
    """Files of one demo. The segments show unrelated footage up to `footage_from_s`, then the known one."""

    known: Path
    segments: tuple[Segment, ...]
    footage_from_s: float

    @property
    def first_segment(self) -> int:
        """Which segment holds the known footage's first frame."""
        return next(i for i, segment in enumerate(self.segments) if segment.to_s > self.footage_from_s)


def make_known(folder: Path, plan: DemoPlan) -> Path:
    """Film the known footage into `folder`."""
    return write_video(folder / "known.mp4", film(Scene(_KNOWN_SEED), seconds=plan.known_s, size_px=_KNOWN_PX))


def make_stream(folder: Path, known: Path, plan: DemoPlan) -> DemoFootage:
    """Encode the stream ahead of time, so that nothing but watching happens while it is live."""
    segments = write_segments(folder, _stream(known, plan), Encoding(bit_rate_bps=900_000))
    return DemoFootage(known, segments, plan.lead_in_s)


def disguise(picture: Picture) -> Picture:
    """Smaller, mirrored, in other colours; encoding it anew does the rest."""
    smaller = edits.resized(picture, width_px=_STREAM_PX[0], height_px=_STREAM_PX[1])
    return edits.recoloured(edits.mirrored(smaller))


def _stream(known: Path, plan: DemoPlan) -> Iterator[Picture]:
    yield from film(Scene(_LEAD_IN_SEED), seconds=plan.lead_in_s, size_px=_STREAM_PX)
    fps = Encoding().fps
    first = round(plan.shown_from_s * fps)
    yield from map(disguise, islice(read_video(known), first, first + round(plan.shown_s * fps)))
