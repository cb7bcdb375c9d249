"""streamguard.config.server_words: an operator's words for a media server, taken apart."""

import pytest

from streamguard.config.server_words import discover_block, split_head, split_urls


@pytest.mark.parametrize(
    ("head", "parts"),
    [("srs", ("srs", None)), ("srs@a", ("srs", "a")), ("srs@", ("srs", "")), ("a@b@c", ("a", "b@c")), ("", ("", None))],
)
def test_a_kind_may_have_a_name(head: str, parts: tuple[str, str | None]) -> None:
    """One that is empty is not none: somebody forgot it."""
    assert split_head(head) == parts


def test_a_comma_divides_before_a_url_alone() -> None:
    """It may stand in a password, and in a path."""
    assert split_urls("http://a:b,c@h/x,y") == ["http://a:b,c@h/x,y"]
    assert split_urls("http://h,rtmp://h,rtmp://h") == ["http://h", "rtmp://h", "rtmp://h"]


def test_a_block_has_what_was_said() -> None:
    """No more, so that its defaults hold."""
    assert discover_block("srs=http://h") == {"kind": "srs", "api": "http://h"}
    assert discover_block("srs@a=http://h,rtmp://h") == {
        "kind": "srs", "name": "a", "api": "http://h", "pull": "rtmp://h",
    }  # fmt: skip
    assert discover_block("srs=http://h,rtmp://h,rtmp://i")["pull"] == "rtmp://h,rtmp://i"
    assert discover_block("nonsense") == {"kind": "nonsense", "api": ""}
