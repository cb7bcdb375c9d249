"""Scenes: the same picture from the same seed, alike at once, unlike after seconds, unrelated between seeds."""

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.demo.scenes import Flat, Footage, Photo, Scene, StillScene, TextSlides, same_camera
from streamguard.demo.textures import Picture


def _pdq(picture: Picture) -> tuple[bytes, int]:
    return pdq.from_luma(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False))


def _apart(one: Picture, other: Picture) -> int:
    """Bits between two pictures."""
    return (int.from_bytes(_pdq(one)[0]) ^ int.from_bytes(_pdq(other)[0])).bit_count()


@pytest.mark.parametrize(
    "make", [lambda: Scene(5), lambda: StillScene(5), lambda: Photo(5), lambda: TextSlides(5), lambda: Flat(90)]
)
def test_same_seed_same_picture(make: Callable[[], Footage]) -> None:
    """A moment shows the same picture whatever was asked for before, in the size asked for."""
    fresh, used = make(), make()
    for t_s in (30.0, 2.0, 9.5):
        used.frame(t_s, 160, 90)
    picture = fresh.frame(7.3, 320, 180)
    assert picture.shape == (180, 320, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, used.frame(7.3, 320, 180))


def test_neighbours_alike_seconds_apart_unlike() -> None:
    """A tenth of a second changes a few bits, three seconds change the picture beyond recognition."""
    scene = Scene(11)
    moments_s = np.arange(0.0, 12.0, 0.7)
    near = [_apart(scene.frame(t_s), scene.frame(t_s + 0.1)) for t_s in moments_s]
    far = [_apart(scene.frame(t_s), scene.frame(t_s + 3.0)) for t_s in moments_s]
    assert np.median(near) <= 16
    assert min(far) > 60


def test_seeds_are_unrelated() -> None:
    """No moment of one seed resembles any moment of another."""
    one, other = Scene(1), Scene(2)
    moments_s = [0.5 + 2.0 * i for i in range(6)]
    assert min(_apart(one.frame(a), other.frame(b)) for a in moments_s for b in moments_s) > 80


def test_scenes_carry_plenty_to_recognise() -> None:
    """Every picture has a high PDQ quality and hundreds of corners."""
    orb = cv2.ORB.create(1000)
    for t_s in (0.0, 5.0, 10.0):
        picture = Scene(3).frame(t_s)
        assert _pdq(picture)[1] >= 80
        assert len(orb.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))) > 300


def test_cuts_come_every_few_seconds() -> None:
    """Twenty seconds hold three to seven cuts, where one frame and the next are different places."""
    scene = Scene(8)
    pictures = [scene.frame(i / 10, 160, 90) for i in range(200)]
    assert 3 <= sum(_apart(a, b) > 60 for a, b in pairwise(pictures)) <= 7


def test_still_scene_stays() -> None:
    """A locked-off camera's pictures are within the industry's match distance at any time, yet something moves."""
    still = StillScene(4)
    assert max(_apart(still.frame(0.0), still.frame(t_s)) for t_s in range(3, 30, 3)) <= 31
    assert not np.array_equal(still.frame(0.0), still.frame(3.0))


def test_same_camera_at_another_time() -> None:
    """Two recordings of one camera match by PDQ although other people are in them."""
    one, other = same_camera(4)
    assert _apart(one.frame(2.0), other.frame(2.0)) <= 31
    assert not np.array_equal(one.frame(2.0), other.frame(2.0))


def test_flat_carries_nothing() -> None:
    """A black picture has no PDQ quality."""
    assert _pdq(Flat().frame(1.0))[1] == 0
