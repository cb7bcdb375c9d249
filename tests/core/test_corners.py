"""streamguard.core.corners: corners all over a picture, of more than enough the strongest of each place and size."""

from itertools import groupby

import numpy as np
import pytest

from streamguard.core.corners import LEVELS, MARGIN_PX, SCALE, Corners, find, spread
from streamguard.demo.scenes import Scene
from tests.pictures import luma_of

SHAPE = (360, 640)
CELL_PX = (80, 72)
SIZES_A_GROUP = 2


def made_corners(count: int, *, seed: int = 0) -> Corners:
    """Most of them in one corner of the picture, no two equally strong."""
    rng = np.random.default_rng(seed)
    crowded = rng.random((count, 2)) ** 3
    return Corners(
        places=(crowded * (SHAPE[1] - 1, SHAPE[0] - 1)).astype(np.float32),
        angles_deg=rng.uniform(0, 360, count).astype(np.float32),
        strengths=rng.permutation(count).astype(np.float32),
        levels=rng.integers(0, LEVELS, count),
    )


def strengths(corners: Corners) -> list[float]:
    return sorted(corners.strengths.tolist())


def spread_slowly(corners: Corners, *, most: int) -> list[float]:
    """How strong those are that are kept: of each cell and group of sizes all that are strongest, in no order of cells,
    then all that are second, and so on; of the last who still has room is the strongest.
    """
    rows = [
        ((int(x // CELL_PX[0]), int(y // CELL_PX[1]), level // SIZES_A_GROUP), strength)
        for (x, y), level, strength in zip(
            corners.places.tolist(), corners.levels.tolist(), corners.strengths.tolist(), strict=True
        )
    ]
    ranked = [
        (rank, -strength)
        for _, alike in groupby(sorted(rows, key=lambda row: (row[0], -row[1])), key=lambda row: row[0])
        for rank, (_, strength) in enumerate(alike)
    ]
    return sorted(-negative for _, negative in sorted(ranked)[:most])


@pytest.mark.parametrize("most", [1, 40, 200, 450, 599])
def test_the_strongest_of_each_place_and_size_come_first(most: int) -> None:
    """As many as were asked for; whoever is second in its own place waits for all that are first in theirs."""
    corners = made_corners(600)
    kept = spread(corners, shape=SHAPE, most=most)
    assert len(kept.places) == most
    assert strengths(kept) == spread_slowly(corners, most=most)


def test_few_corners_are_all_kept_as_they_are() -> None:
    """In their order, each with its own turn and size."""
    corners = made_corners(50)
    for most in (50, 51, 450):
        kept = spread(corners, shape=SHAPE, most=most)
        for name in ("places", "angles_deg", "strengths", "levels"):
            assert np.array_equal(getattr(kept, name), getattr(corners, name)), name
    assert len(spread(corners.take(np.arange(0)), shape=SHAPE, most=450).places) == 0


def test_corners_keep_their_distance_from_the_edge_of_their_level() -> None:
    """The grid around each is in the picture then, however it is turned."""
    found = find(luma_of(Scene(1)))
    assert found is not None
    assert set(found.levels.tolist()) == set(range(LEVELS))
    places = found.places / SCALE ** found.levels[:, None]
    ends = np.array(SHAPE[::-1]) / SCALE ** found.levels[:, None]
    assert (places >= MARGIN_PX - 1).all()
    assert (places <= ends - MARGIN_PX + 1).all()


def test_a_patch_of_noise_leaves_corners_elsewhere() -> None:
    """It has the strongest of all; what is dark beside it is searched all the same."""
    picture = luma_of(Scene(1)) // 8
    picture[72:216, 80:240] = np.random.default_rng(0).integers(0, 256, (144, 160), np.uint8)
    found = find(picture)
    assert found is not None
    x, y = found.places.T
    outside = (x < 60) | (x > 260) | (y < 52) | (y > 236)
    assert np.count_nonzero(outside) >= 100


def test_a_flat_picture_has_none() -> None:
    """None, and not an empty set of them."""
    assert find(np.full(SHAPE, 128, np.uint8)) is None
