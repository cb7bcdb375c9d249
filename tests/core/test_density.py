"""streamguard.core.density: how closely a stream was seen, in numbers and words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.density import Stretch, in_words, stretches


def _agos_s(*paces: tuple[int, float], newest_s: float = 1.0) -> list[float]:
    """The newest first; of each (how many more, how far apart)."""
    agos_s = [newest_s]
    for count, apart_s in paces:
        agos_s += [agos_s[-1] + apart_s * number for number in range(1, count + 1)]
    return agos_s


def test_all_at_one_pace() -> None:
    """In whatever order they come."""
    agos_s = _agos_s((18, 2.0))
    assert stretches(agos_s) == stretches(agos_s[::-1]) == (Stretch(37.0, 2.0),)
    assert in_words(agos_s) == "19 keyframes, from 37 s to 1 s ago; one each 2.0 s"


def test_more_closely_of_late() -> None:
    """As of a quiet stream whose kept keyframes reach back so far."""
    agos_s = _agos_s((15, 2.0), (9, 6.0))
    assert stretches(agos_s) == (Stretch(31.0, 2.0), Stretch(85.0, 6.0))
    assert in_words(agos_s) == (
        "25 keyframes, from 85 s to 1 s ago; one each 2.0 s in the last 31 s, one each 6.0 s before"
    )


def test_less_closely_of_late() -> None:
    """As of one that was new, and quiet from then on."""
    assert stretches(_agos_s((4, 6.0), (10, 2.0))) == (Stretch(25.0, 6.0), Stretch(45.0, 2.0))


def test_looks_that_come_sooner_by_chance_are_no_other_pace() -> None:
    """As those at quiet streams do now and then."""
    agos_s, at_s = [0.0], 0.0
    for apart_s in (6, 6, 2, 6, 4, 6, 6, 6, 2, 6, 6, 4):
        at_s += apart_s
        agos_s.append(at_s)
    assert stretches(agos_s) == (Stretch(60.0, 5.0),)


@pytest.mark.parametrize(
    ("agos_s", "words"),
    [
        ([], "0 keyframes, from 0 s to 0 s ago"),
        ([4.0], "1 keyframe, from 4 s to 4 s ago"),
        ([3.0, 9.0], "2 keyframes, from 9 s to 3 s ago; one each 6.0 s"),
        ([3.0] * 9, "9 keyframes, from 3 s to 3 s ago; one each 0.0 s"),
    ],
)
def test_of_a_few_nothing_is_made_up(agos_s: list[float], words: str) -> None:
    """Nor of what came at one moment."""
    assert in_words(agos_s) == words


@given(agos_s=st.lists(st.floats(0, 1e6), max_size=40))
def test_whatever_is_told_has_words(agos_s: list[float]) -> None:
    """Whoever answers may say anything: it is one stretch or two, and they reach as far back as it does."""
    found = stretches(agos_s)
    assert len(found) <= 2
    if found:
        assert found[-1].from_s == max(agos_s)
    assert in_words(agos_s).startswith(f"{len(agos_s)} keyframe")
