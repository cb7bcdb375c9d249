"""streamguard.types: what the values themselves promise."""

import re
import sys
import unicodedata

import pytest

from streamguard.types import STEERING


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
