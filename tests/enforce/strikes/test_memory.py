"""streamguard.enforce.strikes.memory: what is its own; the rest is in tests/contract/test_strike_book.py."""

import pytest

from streamguard.enforce.strikes import memory as strike_memory
from streamguard.enforce.strikes.memory import StrikeMemory
from tests.strikes import a_strike


def test_it_does_not_grow_with_the_names_that_publishers_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that enforces by itself runs for months: the keys that were struck longest ago are forgotten."""
    monkeypatch.setattr(strike_memory, "MOST_ENTRIES", 3)
    book = StrikeMemory()
    for number in range(3):
        book.add(a_strike(number, keys=(f"stream:live/{number}",)))
    book.add(a_strike(3, keys=("stream:live/0",)))
    book.add(a_strike(4, keys=("stream:live/4",)))
    assert {each.key for each in book.active()} == {"stream:live/2", "stream:live/0", "stream:live/4"}
