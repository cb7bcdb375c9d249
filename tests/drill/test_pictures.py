"""What is done to the picture itself."""

import numpy as np
import pytest

from streamguard.demo.edits import resized
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture
from streamguard.drill import pictures
from streamguard.drill.attack import Moment

PICTURE = Scene(1).frame(1.0, 320, 180)


def moment(t_s: float) -> Moment:
    return Moment(t_s, 7, Scene(2))


def detail(picture: Picture) -> float:
    """How much neighbours differ."""
    return float(np.abs(np.diff(picture.astype(int), axis=1)).mean())


def away(one: Picture, other: Picture) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize(
    "poorer",
    [
        pictures.low_resolution(PICTURE, width_px=60),
        pictures.blurred(PICTURE, share=0.01),
    ],
    ids=["low resolution", "blurred"],
)
def test_detail_is_lost(poorer: Picture) -> None:
    """What is fine is gone; what is large is still there."""
    assert detail(poorer) < 0.7 * detail(PICTURE)
    assert away(poorer, PICTURE) < 15


def test_pixelated_is_in_squares() -> None:
    """So many across, each of one colour."""
    squares = pictures.pixelated(PICTURE, width_px=40)
    assert (squares[:8, :8] == squares[0, 0]).all()
    assert away(squares, PICTURE) < 20


def test_a_jpeg_keeps_colours_in_their_places() -> None:
    """A bad JPEG is near what it was made from, in each channel."""
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    assert away(pictures.saved_as_jpeg(red, quality=9), red) < 6


def test_grey_gamma_and_contrast() -> None:
    """Grey has one level in all channels; gamma below 1 brightens, above it darkens; washed out has less contrast."""
    assert np.ptp(pictures.grey(PICTURE), axis=2).max() == 0
    assert pictures.gamma(PICTURE, power=0.5).mean() > PICTURE.mean() > pictures.gamma(PICTURE, power=2.0).mean()
    assert pictures.washed_out(PICTURE, contrast=0.5, lift=60).std() == pytest.approx(PICTURE.std() / 2, rel=0.1)


def test_noise_is_new_in_each_picture() -> None:
    """Of about the strength asked for, and not the same a moment later."""
    one, later = (pictures.noisy(PICTURE, moment(t_s), levels=10) for t_s in (1.0, 1.1))
    assert 6 < away(one, PICTURE) < 9
    assert away(one, later) > 6


def test_a_window_is_blown_up() -> None:
    """The upper left half of the picture comes to fill it."""
    corner = pictures.window(PICTURE, keep=0.5, at=(0.0, 0.0))
    assert away(corner[::2, ::2], PICTURE[:90, :160]) < 12


def test_stretched_and_squeezed_keep_the_middle() -> None:
    """The middle of the picture stays where it is; the outer parts of the long or the short side are gone."""
    for after in (pictures.stretched(PICTURE, share=0.25), pictures.squeezed(PICTURE, share=0.25)):
        assert away(after[88:92, 158:162], PICTURE[88:92, 158:162]) < 12
    assert away(pictures.stretched(PICTURE, share=0.25)[:, :2], PICTURE[:, 40:42]) < 12
    assert away(pictures.squeezed(PICTURE, share=0.25)[:2], PICTURE[22:24]) < 12


def test_inset_stands_where_it_is_told() -> None:
    """At half size in the lower right corner, with the ground untouched elsewhere."""
    ground = np.full_like(PICTURE, 9)
    laid = pictures.inset(PICTURE, ground, scale=0.5, at=(1.0, 1.0))
    assert (laid[:90] == 9).all()
    assert (laid[:, :160] == 9).all()
    assert away(laid[90:, 160:], PICTURE[::2, ::2]) < 12
    assert (ground == 9).all()


def test_boxes_keep_the_whole_picture() -> None:
    """Black all around, or itself out of focus; the footage in the middle in either case."""
    boxed = pictures.windowboxed(PICTURE, scale=0.5)
    assert boxed[:45].max() == 0
    assert away(boxed[45:135, 80:240], PICTURE[::2, ::2]) < 12
    blurred = pictures.on_its_own_blur(PICTURE, scale=0.5)
    assert np.array_equal(blurred[45:135, 80:240], boxed[45:135, 80:240])
    assert detail(blurred[:40]) < 0.5 * detail(PICTURE[:40])


def test_turns() -> None:
    """Flipped twice is the picture again, so is upside down; a quarter turn fits between bars."""
    assert np.array_equal(pictures.flipped(pictures.flipped(PICTURE)), PICTURE)
    assert np.array_equal(pictures.turned_upside_down(PICTURE), PICTURE[::-1, ::-1])
    turned = pictures.quarter_turned(PICTURE)
    assert turned[:, :100].max() == 0
    assert turned[:, -100:].max() == 0
    upright = np.rot90(turned[:, 110:211])
    assert away(upright, resized(PICTURE, width_px=180, height_px=101)) < 8


def test_tilted_leaves_black_corners() -> None:
    """The middle stays, the corners turn out of the picture."""
    tilted = pictures.tilted(PICTURE, degrees=8.0)
    assert tilted[0, 0].max() == 0
    assert away(tilted[88:92, 158:162], PICTURE[88:92, 158:162]) < 12


def test_zoom_pulses() -> None:
    """It is at its widest and at its nearest at different moments, and the same again after a period."""
    shown = [pictures.zoom_pulse(PICTURE, moment(t_s), most=1.5, period_s=4.0) for t_s in (3.0, 1.0, 7.0)]
    assert np.array_equal(shown[0], PICTURE)
    assert away(shown[1], PICTURE) > 10
    assert np.array_equal(shown[0], shown[2])
