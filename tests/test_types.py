"""streamguard.types: what the values themselves promise."""

import re
import sys
import unicodedata
from dataclasses import replace

import numpy as np
import pytest

from streamguard.types import STEERING, MediaKind, Place, Reference
from tests.made_features import made_frame


def test_no_name_holds_what_steers() -> None:
    """Every control and format character that this Python knows, and no letter, digit, mark or emoji."""
    steering = re.compile(f"[{STEERING}]")
    for number in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(number))
        if category in {"Cc", "Cf", "Zl", "Zp"}:
            assert steering.match(chr(number)), hex(number)
        elif category not in {"Cn", "Co", "Cs"}:
            assert not steering.match(chr(number)), hex(number)


@pytest.mark.parametrize("text", ["cam-7", "Ümläut", "\N{CJK UNIFIED IDEOGRAPH-4E2D}", "\N{PILE OF POO}"])
def test_ordinary_names_are_names(text: str) -> None:
    """In every script."""
    assert re.search(f"[{STEERING}]", text) is None


def test_frames_are_equal_by_what_they_hold() -> None:
    """Made twice, they and the references that hold them are equal and have one hash; any part that differs tells."""
    frame, again = made_frame(1), made_frame(1)
    one, other = (Reference(MediaKind.VIDEO, 1, 1, 0.0, (), (each,)) for each in (frame, again))
    assert (frame, one) == (again, other)
    assert (hash(frame), len({one, other})) == (hash(again), 1)
    others = [
        made_frame(2),
        made_frame(1, count=41),
        replace(frame, place=Place(0, 1)),
        replace(frame, seen_elsewhere=np.full(40, 1, np.uint8)),
        replace(frame, thumbnail=b"x"),
    ]
    assert frame not in others
    assert frame != "a frame"
