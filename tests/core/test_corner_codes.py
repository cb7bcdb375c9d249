"""streamguard.core.corner_codes: what the codes of corners say, and that a mirror image and a negative say the same."""

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from streamguard.core.corner_codes import _PAIRS, GRID, canonical_lights, codes
from streamguard.core.corners import LEVELS, MARGIN_PX, SCALE, Corners
from streamguard.demo.scenes import Scene
from streamguard.types import CODE_BYTES
from tests.pictures import Grey, luma_of

WIDTH_PX, HEIGHT_PX = 640, 360
TURNS = 64
AROUND_PX = 2.3 * 4
LEANS_WITHIN_PX = 3.4 * 4
POINTS = [(int(x), int(y)) for x, y in GRID]

Lights = dict[tuple[int, int], int]
"""What is at each point of the grid, x and y in pixels from the corner along its axes."""


@pytest.fixture(scope="module")
def picture() -> Grey:
    return luma_of(Scene(1))


def made_corners(count: int, *, levels: int, seed: int = 0) -> Corners:
    """At whole pixels and whole turns, in no order, at so many levels."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, levels, count)
    margins = np.ceil((MARGIN_PX + 1) * SCALE**level)[:, None]
    places = np.floor(margins + rng.random((count, 2)) * ((WIDTH_PX, HEIGHT_PX) - 2 * margins))
    turns = rng.integers(0, TURNS, count)
    return Corners(
        places.astype(np.float32), (turns * 360 / TURNS).astype(np.float32), np.ones(count, np.float32), level
    )


def level_slowly(picture: Grey, level: int) -> Grey:
    """Made smaller step by step, and blurred."""
    smaller = picture
    for step in range(1, level + 1):
        size = (round(WIDTH_PX / SCALE**step), round(HEIGHT_PX / SCALE**step))
        smaller = np.asarray(cv2.resize(smaller, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.asarray(cv2.blur(smaller, (5, 5)), np.uint8)


def lights_slowly(picture: Grey, corners: Corners, row: int) -> Lights:
    level = int(corners.levels[row])
    blurred = level_slowly(picture, level)
    across, down = (round(float(place) / SCALE**level) for place in corners.places[row])
    turn = math.radians(float(corners.angles_deg[row]))
    return {
        (x, y): int(
            blurred[
                down + round(x * math.sin(turn) + y * math.cos(turn)),
                across + round(x * math.cos(turn) - y * math.sin(turn)),
            ]
        )
        for x, y in POINTS
    }


def lighter_slowly(lights: Lights) -> int:
    """Above zero where the middle is lighter than what is around it, below where it is darker."""
    around = [light for at, light in lights.items() if 0 < math.hypot(*at) <= AROUND_PX]
    return len(around) * lights[0, 0] - sum(around)


def lean_slowly(lights: Lights) -> int:
    """The moment xy; of a negative it is that of the picture."""
    moment = sum(x * y * light for (x, y), light in lights.items() if math.hypot(x, y) <= LEANS_WITHIN_PX)
    return -moment if lighter_slowly(lights) < 0 else moment


def bits_slowly(lights: Lights, *, mirrored: bool) -> list[int]:
    """Of each pair whether the second is the lighter one; of a negative, turned by half, whether it is not."""
    is_dark = lighter_slowly(lights) < 0
    across, down = (-1, -1) if is_dark else (1, 1)
    if mirrored:
        down = -down
    seen = [lights[across * x, down * y] for x, y in POINTS]
    return [int((seen[first] < seen[second]) != is_dark) for first, second in _PAIRS.tolist()]


def plain(picture: Grey, corners: Corners) -> Corners:
    """Those of which neither form is a matter of rounding."""
    lights = [lights_slowly(picture, corners, row) for row in range(len(corners.levels))]
    return corners.take(np.flatnonzero([bool(lighter_slowly(one)) and bool(lean_slowly(one)) for one in lights]))


def test_a_code_says_of_each_pair_which_is_lighter(picture: Grey) -> None:
    """At each level, read one by one in the form that the lights around the corner ask for."""
    corners = plain(picture, made_corners(60, levels=LEVELS))
    rows, mirrored, found = codes(picture, corners, both_ways=0.0)
    assert rows.tolist() == list(range(len(corners.levels)))
    assert found.shape == (len(rows), CODE_BYTES)
    assert set(mirrored.tolist()) == {True, False}
    assert {int(level) for level in corners.levels} == set(range(LEVELS))
    for row in rows.tolist():
        lights = lights_slowly(picture, corners, row)
        assert mirrored[row] == (lean_slowly(lights) < 0), row
        assert np.unpackbits(found[row]).tolist() == bits_slowly(lights, mirrored=bool(mirrored[row])), row


def test_those_that_lean_the_least_come_in_both_forms(picture: Grey) -> None:
    """So many as were asked for, after all the others, each in the form that it did not have."""
    corners = plain(picture, made_corners(80, levels=LEVELS))
    count = len(corners.levels)
    rows, mirrored, found = codes(picture, corners, both_ways=0.25)
    again = rows[count:].tolist()
    assert abs(len(again) - 0.25 * count) <= 1
    assert (mirrored[count:] == ~mirrored[again]).all()
    lights = [lights_slowly(picture, corners, row) for row in range(count)]
    leans = [abs(lean_slowly(one)) / (float(np.std(list(one.values()))) or math.inf) for one in lights]
    assert sorted(again) == sorted(np.argsort(leans)[: len(again)].tolist())
    for row, form, code in zip(again, mirrored[count:].tolist(), found[count:], strict=True):
        assert np.unpackbits(code).tolist() == bits_slowly(lights[row], mirrored=form), row


def seen_from_behind(corners: Corners) -> Corners:
    places = corners.places.copy()
    places[:, 0] = WIDTH_PX - 1 - places[:, 0]
    return Corners(places, (180 - corners.angles_deg) % 360, corners.strengths, corners.levels)


def turned_by_half(corners: Corners) -> Corners:
    """As ORB turns them in a negative: its centre of brightness lies on the other side."""
    return Corners(corners.places, (corners.angles_deg + 180) % 360, corners.strengths, corners.levels)


@pytest.mark.parametrize(
    ("edit", "moved", "is_mirrored"),
    [
        (lambda picture: picture[:, ::-1], seen_from_behind, True),
        (lambda picture: 255 - picture, turned_by_half, False),
        (lambda picture: 255 - picture[:, ::-1], lambda corners: turned_by_half(seen_from_behind(corners)), True),
    ],
    ids=["mirror image", "negative", "mirrored negative"],
)
def test_what_was_made_of_a_picture_has_its_codes(
    picture: Grey, *, edit: Callable[[Grey], Grey], moved: Callable[[Corners], Corners], is_mirrored: bool
) -> None:
    """To the last bit but those of two lights that are the same, at the same corners of the picture's own size."""
    corners = plain(picture, made_corners(120, levels=1))
    made, there = np.ascontiguousarray(edit(picture)), moved(corners)
    _, mirrored, known = codes(picture, corners, both_ways=0.0)
    _, also_mirrored, shown = codes(made, there, both_ways=0.0)
    assert ((mirrored != also_mirrored) == is_mirrored).all()
    lights = canonical_lights(picture, corners)
    differs = lights[:, _PAIRS[:, 0]] != lights[:, _PAIRS[:, 1]]
    assert differs.mean() > 0.5
    assert not np.unpackbits((known ^ shown), axis=1)[differs].any()
    # A negative's are counted from white.
    apart = canonical_lights(made, there) - lights
    assert (apart == apart[:, :1]).all()
