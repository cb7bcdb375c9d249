"""Edits: each does to a picture what its name says, and leaves the original alone."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.demo import edits
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture

PICTURE = Scene(1).frame(1.0, 320, 180)


@pytest.mark.parametrize(
    "edit", [edits.mirrored, edits.recoloured, edits.negative, edits.letterboxed, edits.pillarboxed]
)
def test_same_size_new_picture(edit: Callable[[Picture], Picture]) -> None:
    """An edit gives a picture of the same size and type, and does not touch its input."""
    before = PICTURE.copy()
    after = edit(PICTURE)
    assert after.shape == PICTURE.shape
    assert after.dtype == np.uint8
    assert not np.array_equal(after, before)
    assert np.array_equal(PICTURE, before)


def test_mirrored_and_negative_undo_themselves() -> None:
    """Twice mirrored, or twice negative, is the picture again."""
    assert np.array_equal(edits.mirrored(edits.mirrored(PICTURE)), PICTURE)
    assert np.array_equal(edits.negative(edits.negative(PICTURE)), PICTURE)


def test_bars_are_black_and_as_wide_as_asked() -> None:
    """Bars take their share of the picture, half of it on each side."""
    letterboxed = edits.letterboxed(PICTURE, share=0.2)
    assert letterboxed[:18].max() == 0
    assert letterboxed[-18:].max() == 0
    assert letterboxed[18:162].any(axis=2).mean() > 0.9
    pillarboxed = edits.pillarboxed(PICTURE, share=0.25)
    assert pillarboxed[:, :40].max() == 0
    assert pillarboxed[:, 40:280].any(axis=2).mean() > 0.9


def test_cropped_shows_the_middle_larger() -> None:
    """A crop keeps the size and drops the edges."""
    cropped = edits.cropped(PICTURE, share=0.5)
    assert cropped.shape == PICTURE.shape
    assert np.abs(edits.resized(cropped, width_px=160, height_px=90).astype(int) - PICTURE[45:135, 80:240]).mean() < 8


def test_recoloured_is_plain_to_see_and_known_to_pdq() -> None:
    """Other colours are far off for the eye, and within the match distance for PDQ."""
    codes = [
        int.from_bytes(pdq.from_luma(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint8))[0])
        for picture in (PICTURE, edits.recoloured(PICTURE))
    ]
    assert np.abs(edits.recoloured(PICTURE).astype(int) - PICTURE).mean() > 15
    assert (codes[0] ^ codes[1]).bit_count() <= 31


def test_sped_up_skips_pictures() -> None:
    """Twice as fast shows every second picture."""
    pictures = [np.full((2, 2, 3), level, np.uint8) for level in range(6)]
    assert [int(picture[0, 0, 0]) for picture in edits.sped_up(pictures, factor=2)] == [0, 2, 4]
