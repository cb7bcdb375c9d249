"""Black bars: found on either or both axes, in either range, through coding noise; a dark scene has none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from streamguard.core.bars import without_bars
from streamguard.demo import textures
from streamguard.types import FULL_RANGE, LIMITED_RANGE, Levels, Region

SIZE_PX = (640, 360)


def _picture(width_px: int, height_px: int) -> NDArray[np.uint8]:
    """A textured luma plane, brighter than any bar."""
    canvas = textures.canvas(np.random.default_rng(1), width_px, height_px)[..., 1]
    return (60 + canvas.astype(np.float32) * 0.7).astype(np.uint8)


def _framed(region: Region, *, black: int = 16, size_px: tuple[int, int] = SIZE_PX) -> NDArray[np.uint8]:
    """A picture standing in that region of a black frame."""
    width, height = size_px
    plane = np.full((height, width), black, np.uint8)
    left, right = round(region.left * width), round(region.right * width)
    top, bottom = round(region.top * height), round(region.bottom * height)
    plane[top:bottom, left:right] = _picture(right - left, bottom - top)
    return plane


LETTERBOX = Region(0.0, 0.125, 1.0, 0.875)
PILLARBOX = Region(0.25, 0.0, 0.75, 1.0)
WINDOWBOX = Region(0.1, 0.15, 0.9, 0.85)
LOPSIDED = Region(0.0, 0.0, 0.7, 0.9)


def _near(region: Region | None, expected: Region, *, share: float = 0.01) -> bool:
    return region is not None and np.allclose(region.corners(), expected.corners(), atol=share)


@pytest.mark.parametrize("region", [LETTERBOX, PILLARBOX, WINDOWBOX, LOPSIDED])
@pytest.mark.parametrize("size_px", [(320, 180), (640, 360), (1920, 1080), (405, 720), (3840, 2160)])
def test_picture_between_bars_is_found(region: Region, size_px: tuple[int, int]) -> None:
    """Letterbox, pillarbox, all four sides or one of each, at any size, to 1 % of a side."""
    assert _near(without_bars(_framed(region, size_px=size_px), levels=LIMITED_RANGE), region)


@pytest.mark.parametrize(("levels", "black"), [(LIMITED_RANGE, 16), (FULL_RANGE, 0)])
def test_levels_say_what_black_is(levels: Levels, black: int) -> None:
    """Black is 16 in limited range and 0 in full range, in bytes and in floats."""
    plane = _framed(LETTERBOX, black=black)
    assert _near(without_bars(plane, levels=levels), LETTERBOX)
    assert _near(without_bars(plane.astype(np.float32), levels=levels), LETTERBOX)


def test_coding_noise_in_bars_is_black() -> None:
    """Bars that a poor encoder left grainy, with a few bright specks, are still bars."""
    rng = np.random.default_rng(2)
    plane = _framed(WINDOWBOX)
    noisy = np.clip(plane + rng.normal(0, 4, plane.shape), 0, 255).astype(np.uint8)
    noisy[rng.random(plane.shape) < 0.003] = 255
    assert _near(without_bars(noisy, levels=LIMITED_RANGE), WINDOWBOX)


def test_picture_that_fills_the_frame_has_no_bars() -> None:
    """Nothing to trim: None, and not the whole picture once more."""
    assert without_bars(_picture(*SIZE_PX), levels=LIMITED_RANGE) is None


def test_thin_bars_are_left_alone() -> None:
    """A line or two of black, as encoders pad with, changes the hash little."""
    assert without_bars(_framed(Region(0.0, 0.01, 1.0, 0.99)), levels=LIMITED_RANGE) is None


def test_thin_bars_do_not_spoil_thick_ones() -> None:
    """Thin on the sides and thick above and below: only the thick ones are trimmed."""
    expected = Region(0.0, 0.125, 1.0, 0.875)
    assert _near(without_bars(_framed(Region(0.01, 0.125, 0.99, 0.875)), levels=LIMITED_RANGE), expected)


@pytest.mark.parametrize("level", [0, 16, 30, 255])
def test_flat_frames_have_no_bars(level: int) -> None:
    """All black, nearly black or all white: nothing stands between bars."""
    assert without_bars(np.full((360, 640), level, np.uint8), levels=LIMITED_RANGE) is None


def test_dark_scene_is_no_picture_between_bars() -> None:
    """A light in the dark fills too little of the frame to be a picture in bars."""
    assert without_bars(_framed(Region(0.45, 0.4, 0.55, 0.55)), levels=LIMITED_RANGE) is None


def test_dark_edges_of_a_lit_scene_are_not_cut_deep() -> None:
    """Where part of a picture is dark, the lines that hold its lit part stay."""
    plane = _picture(*SIZE_PX)
    plane[:120, :400] = 16
    assert without_bars(plane, levels=LIMITED_RANGE) is None


@pytest.mark.parametrize("shape", [(0, 0), (0, 640), (1, 1), (5, 5), (2, 1000)])
def test_any_size_is_answered(shape: tuple[int, int]) -> None:
    """Empty and tiny planes have no bars, and raise nothing."""
    assert without_bars(np.full(shape, 128, np.uint8), levels=FULL_RANGE) is None
