"""streamguard.core.variant_context: a studio and a slate are told from footage."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from streamguard.core import variant_context
from streamguard.core.variant_context import Run, context_in, is_blank, stands_still
from streamguard.demo.scenes import Flat, StillScene
from streamguard.types import Features, Fingerprints, MediaTime
from tests.core.made_looks import keyframe
from tests.live_keyframes import live_keyframes
from tests.made_features import made_features


def run(*looks: int, from_s: float, every_s: float = 2.0, session: int = 1) -> Run:
    """Keyframes that show these pictures, by number."""
    return Run(tuple(keyframe(one, at_s=from_s + every_s * n, session=session) for n, one in enumerate(looks)))


def context(*runs: Run, first_known_s: float = 100.0) -> set[float]:
    """When, in seconds, whatever the session."""
    found = context_in(runs, first_known_us={1: round(first_known_s * 1e6)})
    return {at.pts_us / 1e6 for at in found}


def test_what_stands_on_both_sides_is_context() -> None:
    """A studio before and after the footage; what is new between them is not."""
    before, after = run(7, 7, 7, 7, from_s=92.0), run(1, 2, 3, 7, 7, 7, from_s=110.0)
    assert context(before, after) == {92.0, 94.0, 96.0, 98.0, 116.0, 118.0, 120.0}


def test_what_was_on_long_before_is_context_when_it_comes_again() -> None:
    """Be it for one keyframe; what was on long before and never again is not."""
    long_before = run(7, 8, 9, from_s=40.0, every_s=20.0)
    assert context(long_before, run(7, 1, 2, from_s=110.0)) == {110.0}


def test_a_film_that_is_shown_over_and_over_is_none() -> None:
    """Each of its pictures comes again, and none stands; also in another session."""
    runs = [run(1, 2, 3, 4, from_s=90.0), run(1, 2, 3, 4, from_s=110.0), run(1, 2, 3, 4, from_s=5.0, session=2)]
    assert context(*runs) == set()


def test_a_studio_of_an_earlier_session_is_context() -> None:
    """Whoever connects again sits where they sat."""
    assert context(run(7, 7, 7, from_s=10.0, session=2), run(7, 1, from_s=95.0)) == {95.0}


def test_a_camera_that_stands_is_the_same_whoever_moves_before_it() -> None:
    """The hashes of its pictures are far apart, and its corners stand where they stood."""
    studio = live_keyframes(StillScene(51, actors=2, actor_px=250.0), seconds=24)
    assert stands_still(studio[:5])
    assert context_in([Run(tuple(studio[:5])), Run(tuple(studio[8:]))], first_known_us={}) == {
        one.at for one in (*studio[:5], *studio[8:])
    }
    assert not stands_still([keyframe(number, at_s=2.0 * number) for number in range(8)])
    assert not stands_still([])


def test_black_is_no_context() -> None:
    """It is nothing to recognise anything by."""
    black: list[Fingerprints] = live_keyframes(Flat(), seconds=12)
    assert all(map(is_blank, black))
    assert context_in([Run(tuple(black[:3])), Run(tuple(black[3:]))], first_known_us={1: 200_000_000}) == frozenset()
    assert not is_blank(keyframe(1, at_s=0.0))


def test_who_is_recognised_now_and_then_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many pairs of pictures are compared by their corners, however many runs there are."""
    pairs: list[int] = []

    def same_place(one: Features, _other: Features) -> NDArray[np.bool_]:
        pairs.append(1)
        return np.zeros(len(one), np.bool_)

    monkeypatch.setattr(variant_context, "same_place", same_place)
    monkeypatch.setattr(variant_context, "_MAYBE_ALIKE_BITS", 256)
    monkeypatch.setattr(variant_context, "_MOST_PAIRS", 500)
    runs = [
        Run(tuple(replace(one, features=made_features(1)) for one in looks.keyframes))
        for looks in (run(2 * n, 2 * n + 1, from_s=6.0 * n, every_s=4.0) for n in range(20))
    ]
    assert context_in([Run(one.keyframes[:1]) for one in runs], first_known_us={}) == frozenset()
    assert not pairs  # none of these is on for a while
    assert context_in(runs, first_known_us={}) == frozenset()
    assert len(pairs) == 500
    assert context_in([*runs, run(7, 7, 7, from_s=200.0)], first_known_us={}) == {MediaTime(1, 22_000_000)}
