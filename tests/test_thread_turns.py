"""streamguard.thread_turns: turns are short for as long as they must be."""

import sys

import pytest

from streamguard.thread_turns import turns_of


def test_turns_are_as_long_as_before_afterwards() -> None:
    """However it ends: whoever runs a worker in a process of their own has theirs again."""
    before_s = sys.getswitchinterval()
    with pytest.raises(KeyError), turns_of(before_s / 4):
        assert sys.getswitchinterval() == pytest.approx(before_s / 4)
        raise KeyError
    assert sys.getswitchinterval() == before_s


def test_it_decorates_functions() -> None:
    """Each call of them."""
    before_s = sys.getswitchinterval()

    @turns_of(before_s / 2)
    def within() -> float:
        return sys.getswitchinterval()

    assert [within(), within()] == pytest.approx([before_s / 2] * 2)
    assert sys.getswitchinterval() == before_s
