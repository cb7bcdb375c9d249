"""streamguard.thread_turns: turns are short for as long as they must be."""

import sys

import pytest

from streamguard.thread_turns import turns_of


def test_turns_are_as_long_as_before_afterwards() -> None:
    """However it ends: whoever runs a worker in a process of their own has theirs again."""
    before_s = sys.getswitchinterval()
    within_s: list[float] = []

    @turns_of(before_s / 4)
    def fails() -> None:
        within_s.append(sys.getswitchinterval())
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert within_s == pytest.approx([before_s / 4])
    assert sys.getswitchinterval() == before_s


def test_each_call_has_short_turns() -> None:
    """The second as well."""
    before_s = sys.getswitchinterval()

    @turns_of(before_s / 2)
    def within() -> float:
        return sys.getswitchinterval()

    assert [within(), within()] == pytest.approx([before_s / 2] * 2)
    assert sys.getswitchinterval() == before_s


def test_who_ends_first_leaves_the_others_theirs() -> None:
    """Two that run beside each other, in either order: the last one leaves what was before the first."""
    before_s = sys.getswitchinterval()
    for order in ([0, 1], [1, 0]):
        both = [turns_of(before_s / 4), turns_of(before_s / 2)]
        for one in both:
            one.__enter__()
        assert sys.getswitchinterval() == pytest.approx(before_s / 4)
        both[order[0]].__exit__(None, None, None)
        assert sys.getswitchinterval() == pytest.approx(before_s / (2 if order[0] == 0 else 4))
        both[order[1]].__exit__(None, None, None)
        assert sys.getswitchinterval() == before_s
