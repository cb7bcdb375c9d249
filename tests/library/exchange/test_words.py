"""streamguard.library.exchange.words: columns and kinds as others name them."""

import pytest

from streamguard.library.exchange.hashes import HashKind, Remarks
from streamguard.library.exchange.words import code_of, quality_of, row_of, shown, tags_of

PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"hash": PDQ}, HashKind.PDQ),
        ({"hash": PDQ[:32]}, HashKind.MD5),
        ({"sha256": PDQ}, HashKind.SHA256),
        ({"signal_str": PDQ, "signal_type": "pdq"}, HashKind.PDQ),
        ({"indicator": PDQ, "type": "HASH_SHA256"}, HashKind.SHA256),
        ({"hashvalue": PDQ[:32], "signaltype": "VideoMD5"}, HashKind.MD5),
    ],
)
def test_the_kind_is_the_types_then_the_columns_then_the_lengths(values: dict[str, object], kind: HashKind) -> None:
    """As ThreatExchange, StopNCII and plain lists name them."""
    assert row_of(values, kind=None).kind is kind


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"hash": ""}, "no hash in it"),
        ({"hash": PDQ, "type": "photodna"}, "a kind of hash that is not used here: 'photodna'"),
        ({"hash": PDQ, "type": "md5"}, "no md5 hash"),
        ({"hash": PDQ, "quality": "-1"}, "no quality"),
        ({"hash": PDQ, "agree": "many"}, "no number of opinions: 'many'"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(values: dict[str, object], problem: str) -> None:
    """And nothing is guessed."""
    with pytest.raises(ValueError, match=problem):
        row_of(values, kind=None)


def test_numbers_of_opinions_go_before_a_category() -> None:
    """Ours are written with both."""
    row = row_of({"hash": PDQ, "category": "POSITIVE_CLASS", "agree": "0", "disagree": 2, "seen": ""}, kind=None)
    assert row.remarks == Remarks(disagree=2)
    assert row_of({"hash": PDQ, "status": "NON_MALICIOUS"}, kind=None).remarks == Remarks(disagree=1)


def test_tags_are_few_short_and_harmless() -> None:
    """A list cannot fill the book with them, nor drive a terminal by one."""
    assert tags_of("b a b") == ("a", "b")
    assert tags_of(["one word\x1b[2J"]) == ("one word?[2J",)
    assert len(tags_of([f"tag{number}" for number in range(1000)])) == 32
    assert len(tags_of(["x" * 10_000])[0]) == 100
    assert tags_of(None) == ()


def test_hashes_and_qualities_are_read_strictly() -> None:
    """Other digits than hexadecimal ones, and other numbers, are none."""
    assert code_of(PDQ.upper(), HashKind.PDQ) == bytes.fromhex(PDQ)
    for text in (PDQ[:-1] + "g", " " + PDQ[1:], PDQ + "00", ""):
        with pytest.raises(ValueError, match="no pdq hash"):
            code_of(text, HashKind.PDQ)
    assert [quality_of(text) for text in ("0", "100")] == [0, 100]
    for text in ("101", "1.5", "٣", "9" * 5000):
        with pytest.raises(ValueError, match="no quality"):
            quality_of(text)


def test_what_is_shown_is_short() -> None:
    """Whatever stood there."""
    assert shown("x" * 1000) == repr("x" * 40 + "...")
