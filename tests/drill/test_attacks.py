"""The catalogue of attacks: each does what it says to any picture, the same each time."""

import re

import numpy as np
import pytest

from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture
from streamguard.drill.attack import USUAL_BIT_RATE_BPS, Attack, Family, Moment, in_time
from streamguard.drill.attacks import ATTACKS, by_name, chosen
from streamguard.errors import UsageError

LANDSCAPE = Scene(1).frame(1.0, 320, 180)
PORTRAIT = Scene(1).frame(1.0, 182, 322)
TINY = Scene(1).frame(1.0, 64, 64)


def moment(t_s: float = 1.5) -> Moment:
    return Moment(t_s, seed=7, behind=Scene(2))


def edits_pictures(attack: Attack) -> bool:
    return attack.when is in_time and attack.bit_rate_bps == USUAL_BIT_RATE_BPS and not attack.hides


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
@pytest.mark.parametrize("picture", [LANDSCAPE, PORTRAIT, TINY], ids=["landscape", "portrait", "tiny"])
def test_size_and_type_stay_and_the_picture_given_too(attack: Attack, picture: Picture) -> None:
    """Whatever the picture's size, an attack gives one of the same size and leaves the one given alone."""
    before = picture.copy()
    after = attack.edit(picture, moment())
    assert after.shape == picture.shape
    assert after.dtype == np.uint8
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_same_each_time(attack: Attack) -> None:
    """An attack is a function of picture, moment and seed, and nothing else."""
    assert np.array_equal(attack.edit(LANDSCAPE, moment()), attack.edit(LANDSCAPE, moment()))
    assert attack.when(3.3, 9.0) == attack.when(3.3, 9.0)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_changes_something(attack: Attack) -> None:
    """A picture's levels by 1 on average at least; or when it is shown, in which pictures, or in how many bits."""
    change = np.abs(attack.edit(LANDSCAPE, moment()).astype(int) - LANDSCAPE).mean()
    if edits_pictures(attack):
        assert change > 1
    elif attack.hides:
        assert change == 0, "what it does to keyframes is the studio's to do"
    elif attack.when is not in_time:
        assert any(attack.when(t_s, 9.0) != t_s for t_s in (0.7, 1.7, 2.7, 8.7))
    else:
        assert attack.bit_rate_bps < USUAL_BIT_RATE_BPS


def test_no_two_do_the_same() -> None:
    """Every pair of attacks that edit pictures gives different ones."""
    seen: dict[bytes, str] = {}
    for attack in filter(edits_pictures, ATTACKS):
        other = seen.setdefault(attack.edit(LANDSCAPE, moment()).tobytes(), attack.name)
        assert other == attack.name


def test_names_families_and_lines() -> None:
    """Names are plain and occur once, none is a family's, each family has some, side by side, and each has one line."""
    names = [attack.name for attack in ATTACKS]
    assert len(names) >= 30
    assert len({*names, *(family.value for family in Family)}) == len(names) + len(Family)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    families = [attack.family for attack in ATTACKS]
    assert list(dict.fromkeys(families)) == list(Family)
    assert sorted(families, key=list(Family).index) == families
    assert all(0 < len(attack.about) <= 60 and "\n" not in attack.about for attack in ATTACKS)


def test_chosen_by_name_and_by_family() -> None:
    """In the order of the catalogue whatever the order asked for; all of them when none is named."""
    names = [attack.name for attack in chosen(["mirror", "crop", "grey", "crop-20"])]
    assert names == ["grey", "crop-10", "crop-20", "crop-33", "crop-50", "crop-corner", "mirror"]
    assert chosen([]) == ATTACKS


def test_an_unknown_name_is_told_with_what_was_meant() -> None:
    """A name that is neither an attack's nor a family's is an error with the next step."""
    with pytest.raises(UsageError, match="no attack 'miror', did you mean mirror"):
        chosen(["grey", "miror"])
    with pytest.raises(UsageError, match="--list"):
        by_name("qqqq")
