"""The evidence picture: both frames in it, undistorted, and a verdict to see at once."""

from typing import Any

import cv2
import numpy as np
import pytest

from streamguard.demo import edits
from streamguard.demo.evidence_picture import Exhibit, draw
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture

KNOWN = Scene(1).frame(1.0)
WHOLE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


def _data(*, view: str = "mirrored", keyframes: int = 2) -> dict[str, Any]:
    look = {"at_s": 8.0, "reference_at_s": 2.6, "distance_bits": 10, "nats": 8.7, "view": view, "tells_when": True}
    return {
        "stream": "live/demo",
        "reference": "known-footage",
        "verdict": "kill",
        "at_s": 10.0,
        "reference_at_s": 4.6,
        "view": view,
        "nats": 15.5,
        "rule": "built-in-1",
        "library_version": "1-abc",
        "region": WHOLE,
        "evidence": [look] * keyframes,
    }


def _found(picture: Picture, shown: Picture) -> tuple[float, int]:
    """How well, and how far from the left, a picture is found within another at the size that it is drawn in."""
    scores = cv2.matchTemplate(
        picture, cv2.resize(shown, (740, 416), interpolation=cv2.INTER_CUBIC), cv2.TM_CCOEFF_NORMED
    )
    _, best, _, (left_px, _) = cv2.minMaxLoc(scores)
    return best, left_px


def test_both_frames_are_in_it() -> None:
    """The stream's frame is on the left, the reference frame on the right."""
    shown = edits.mirrored(KNOWN)
    picture = draw(Exhibit(shown, KNOWN, _data()))
    assert picture.dtype == np.uint8
    best, left_px = _found(picture, shown)
    assert best > 0.95
    assert left_px < 100
    best, left_px = _found(picture, KNOWN)
    assert best > 0.95
    assert left_px > 800


@pytest.mark.parametrize("view", ["upright", "mirrored", "rotated 90", "negative mirrored"])
def test_fingerprints_are_compared_in_the_view_that_matched(view: str) -> None:
    """Green cells outnumber red ones when the view is the right one, whichever of the sixteen it is."""
    square = edits.resized(KNOWN, width_px=360, height_px=360)
    turned = {
        "upright": square,
        "mirrored": edits.mirrored(square),
        "rotated 90": np.ascontiguousarray(np.rot90(square, -1)),
        "negative mirrored": edits.negative(edits.mirrored(square)),
    }
    picture = draw(Exhibit(turned[view], square, _data(view=view)))
    right = picture[640:, 1300:]
    green = np.count_nonzero((right == (92, 190, 132)).all(axis=2))
    red = np.count_nonzero((right == (226, 62, 62)).all(axis=2))
    assert green > 10 * red


def test_any_shape_and_any_number_of_keyframes() -> None:
    """Portrait frames and dozens of keyframes fit in as well."""
    portrait = edits.resized(KNOWN, width_px=180, height_px=320)
    assert draw(Exhibit(portrait, KNOWN, _data(keyframes=40))).shape == (920, 1600, 3)
