"""streamguard.worker.private_words: no name, key or token of a stream stays in what people wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.worker.private_words import long_words_of, without, words_of


def cleaned(text: str, *names: str) -> str:
    return without(text, names=names, words=frozenset[str]().union(*map(words_of, names)))


@pytest.mark.parametrize(
    ("name", "secrets"),
    [
        ("rtmp://h/app/key?token=x", {"key", "x", "h"}),
        ("app/key", {"key"}),
        ("live/live", {"live"}),
        ("http://h:8080/key/index.m3u8", {"key", "h"}),
        ("http://h/hls/key.m3u8", {"key"}),
        ("srt://h:9000?streamid=publish:app/key", {"key"}),
        ("rtmp://user:pass@h/app/key#part", {"user", "pass", "key", "part"}),
        ("app/a%20key", {"a key", "a%20key"}),
        ("app/a key", {"a key", "a%20key"}),
    ],
)
def test_each_part_of_a_name_is_private(name: str, secrets: set[str]) -> None:
    """A key stands in different places of an address; what all of them begin with is no secret."""
    assert secrets | {name} <= words_of(name)
    assert "rtmp" not in words_of(name)
    for secret in secrets:
        assert cleaned(f"({secret.upper()}), seen", name) == "(...), seen"


def test_an_address_goes_whole() -> None:
    """With the password and the token that no name has."""
    assert cleaned("see rtmps://u:p@h/app/key?t=1 now", "app/key") == "see ... now"
    assert cleaned("see app/key?t=1 now", "app/key") == "see ... now"
    assert cleaned("is it key? yes", "app/key") == "is it ...? yes"


def test_a_long_key_is_found_within_a_word() -> None:
    """Of a short one the letters stand in any."""
    assert cleaned("old_s3cret-key2, donkey, live now", "live/s3cret-key", "live/key") == "old_...2, donkey, live now"


def test_of_a_file_short_parts_are_words_as_any() -> None:
    """One that was called after a stream has its key."""
    words = long_words_of("/rec/a/s3cret-key.flv")
    assert {"s3cret-key.flv", "s3cret-key"} <= words
    assert not words & {"rec", "a"}


@given(st.text(min_size=1, max_size=20), st.text(max_size=40), st.text(max_size=40))
def test_no_name_is_left(name: str, before: str, after: str) -> None:
    """Whatever somebody has called a stream, and whatever was written around it."""
    left = cleaned(f"{before} {name} {after}", name)
    assert name not in left.replace("...", "").split(" ") or set(name) <= set(". ")
