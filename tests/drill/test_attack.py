"""Moments: what an edit is told of where in the stream we are."""

import numpy as np

from streamguard.demo.scenes import Scene
from streamguard.drill.attack import Attack, Family, Moment

PICTURE = Scene(1).frame(1.0, 320, 180)


def test_an_attack_does_nothing_but_what_it_is_given() -> None:
    """Without an edit, a time map or a bit rate the footage is shown as it is."""
    plain = Attack("plain", Family.RECODING, "as it is")
    assert plain.edit(PICTURE, Moment(0.0, 1, Scene(2))) is PICTURE
    assert plain.when(3.5, 10.0) == 3.5


def test_randomness_hangs_on_moment_and_seed_alone() -> None:
    """The same moment gives the same numbers, another moment or another seed gives others."""
    drawn = [Moment(t_s, seed, Scene(2)).randomness().random() for t_s, seed in ((1, 5), (1, 5), (2, 5), (1, 6))]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_what_runs_behind_goes_on_in_the_footages_size() -> None:
    """The unrelated picture is of the size of the one given, and another one a second later."""
    one, later = (Moment(t_s, 5, Scene(2)).picture_behind(PICTURE) for t_s in (1.0, 2.0))
    assert one.shape == later.shape == PICTURE.shape
    assert not np.array_equal(one, later)
