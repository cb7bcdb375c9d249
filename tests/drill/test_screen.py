"""Filmed off a screen."""

import numpy as np

from streamguard.demo.edits import resized
from streamguard.demo.scenes import Flat, Scene
from streamguard.drill import screen
from streamguard.drill.attack import Moment

PICTURE = Scene(1).frame(1.0, 320, 180)
GREY = Flat(128).frame(0.0, 320, 180)


def moment(t_s: float = 0.0) -> Moment:
    return Moment(t_s, 7, Scene(2))


def test_the_screen_stands_in_a_dark_room() -> None:
    """Across the room its corners are the room's, and its middle is the picture's."""
    far = screen.filmed(GREY, moment(), camera=screen.FAR)
    assert far[:15].max() < 110
    assert far[85:95, 150:170].mean() > 110
    near = screen.filmed(GREY, moment(), camera=screen.NEAR)
    assert near.mean() > far.mean()


def test_a_flat_picture_has_moire_and_flicker() -> None:
    """What is one level on the screen is a pattern for the camera, and bands run through it."""
    one, later = (screen.filmed(GREY, moment(t_s), camera=screen.NEAR)[40:140, 60:260] for t_s in (0.0, 0.2))
    assert one.std() > 4
    assert np.abs(one.mean(axis=(1, 2)) - later.mean(axis=(1, 2))).max() > 3


def test_the_hand_shakes() -> None:
    """The screen's edge is elsewhere a moment later, by a percent or so."""
    edges = []
    for t_s in np.arange(0.0, 2.0, 0.1):
        row = screen.filmed(GREY, moment(float(t_s)), camera=screen.FAR)[90].mean(axis=1)
        edges.append(int(np.argmax(row > 90)))
    assert 1 <= np.ptp(edges) <= 12


def test_the_picture_is_still_there() -> None:
    """From afar it looks like what is on the screen, much less like anything else."""
    seen, shown, other = (
        resized(picture, width_px=16, height_px=9).astype(int)
        for picture in (screen.filmed(PICTURE, moment(), camera=screen.NEAR), PICTURE, Scene(2).frame(1.0, 320, 180))
    )
    assert np.abs(seen - shown).mean() < 0.6 * np.abs(seen - other).mean()
