"""The heat-map: each result has its place and its colour."""

import numpy as np
import pytest

from streamguard.demo.textures import Picture
from streamguard.drill import heat_map
from streamguard.drill.attacks import ATTACKS, chosen
from streamguard.drill.heat_map import colour_of, draw
from streamguard.drill.score import Outcome, Result, Target
from streamguard.types import AssetId

ATTACKED = chosen(["grey", "mirror", "flip"])


def result(item: str, attack: str, outcome: Outcome, *, after_s: float | None = None) -> Result:
    return Result(Target(AssetId(item), "terror", review_only=False), attack, outcome, 7.0, after_s, None)


def has(picture: Picture, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=2).sum())


def test_colours_tell_outcomes_apart() -> None:
    """Each outcome has its own; kills go from one end to the other with the time they took, and no further."""
    outcomes = [result("a", "grey", outcome, after_s=3.0) for outcome in Outcome]
    assert len({colour_of(one) for one in outcomes}) == len(Outcome)
    soon, later, late, too_late = (
        colour_of(result("a", "grey", Outcome.KILLED, after_s=after_s)) for after_s in (1.0, 6.0, 16.0, 60.0)
    )
    assert soon[0] < later[0] < late[0]
    assert late == too_late


def test_each_result_is_drawn() -> None:
    """A cell of its colour for each, none for what was not tried; families stand apart."""
    results = [
        result("a", "grey", Outcome.MISSED),
        result("a", "mirror", Outcome.REVIEWED, after_s=4.0),
        result("b", "mirror", Outcome.FALSE_KILL, after_s=-2.0),
    ]
    picture = draw(results, ATTACKED, title="Drill")
    below = picture[heat_map._TOP_PX :]  # the legend has the colours as well
    counts = [has(below, colour_of(one)) for one in results]
    assert all(500 < count <= 33 * 23 for count in counts), counts
    assert has(below, colour_of(result("a", "flip", Outcome.KILLED, after_s=0.0))) == 0


@pytest.mark.parametrize("items", [1, 40, 3000])
def test_it_fits_however_much_there_is(items: int) -> None:
    """All attacks across; rows get thinner where there are many."""
    results = [result(f"item-{number}", "grey", Outcome.MISSED) for number in range(items)]
    picture = draw(results, ATTACKS, title="Drill of a library whose name is long")
    assert picture.dtype == np.uint8
    assert items * 3 < picture.shape[0] < 21_000
    assert 2000 < picture.shape[1] < 3000
    assert has(picture[heat_map._TOP_PX :], colour_of(results[0])) >= items * 2 * 30 - items * 40


def test_a_long_name_stays_in_its_row() -> None:
    """It is cut short, and leaves the cells free."""
    results = [result("x" * 128, "grey", Outcome.MISSED)]
    long, short = draw(results, ATTACKED, title=""), draw([result("x", "grey", Outcome.MISSED)], ATTACKED, title="")
    assert np.array_equal(long[:, heat_map._NAMES_PX :], short[:, heat_map._NAMES_PX :])
