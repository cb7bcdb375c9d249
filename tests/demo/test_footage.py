"""The demo's footage: nothing known in the lead-in, then the known footage, disguised and yet known to PDQ."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.demo import edits, footage
from streamguard.demo.encode import Encoding, read_video
from streamguard.demo.footage import DemoFootage, DemoPlan
from streamguard.demo.textures import Picture

PLAN = DemoPlan(known_s=7.0, lead_in_s=4.0, shown_s=4.0)


@pytest.fixture(scope="session")
def demo_footage(tmp_path_factory: pytest.TempPathFactory) -> DemoFootage:
    """The demo's own, but shorter."""
    folder = tmp_path_factory.mktemp("demo")
    return footage.make_stream(folder, footage.make_known(folder, PLAN), PLAN)


def _code(picture: Picture) -> int:
    return int.from_bytes(pdq.from_luma(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False))[0])


def _first_picture(path: Path) -> Picture:
    return next(iter(read_video(path)))


def _picture_at(path: Path, at_s: float) -> Picture:
    return next(islice(read_video(path), round(at_s * Encoding().fps), None))


def test_the_stream_turns_into_the_known_footage(demo_footage: DemoFootage) -> None:
    """Keyframes of the lead-in are far from the known footage, later ones near, once mirrored back."""
    for number, segment in enumerate(demo_footage.segments):
        shown_s = segment.from_s - demo_footage.footage_from_s
        known = _picture_at(demo_footage.known, max(0.0, shown_s) + PLAN.shown_from_s)
        apart = (_code(edits.mirrored(_first_picture(segment.path))) ^ _code(known)).bit_count()
        assert apart <= 28 if number >= demo_footage.first_segment else apart > 70


def test_the_stream_is_smaller_and_other_in_colour(demo_footage: DemoFootage) -> None:
    """The disguise is plain to see."""
    shown = _first_picture(demo_footage.segments[demo_footage.first_segment].path)
    known = _first_picture(demo_footage.known)
    assert shown.shape[0] < known.shape[0]
    assert abs(float(shown[..., 0].mean() / shown[..., 2].mean() - known[..., 0].mean() / known[..., 2].mean())) > 0.2


def test_first_segment_holds_the_first_frame(demo_footage: DemoFootage) -> None:
    """The footage begins within the segment that is called its first."""
    first = demo_footage.segments[demo_footage.first_segment]
    assert first.from_s <= demo_footage.footage_from_s < first.to_s
