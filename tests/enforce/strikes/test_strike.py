"""What a publisher can be known by again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.enforce.strikes.strike import LONGEST_TEXT, fit, publisher_keys, read_key, record_of
from streamguard.errors import UsageError
from streamguard.types import StreamId
from tests.strikes import a_strike

STREAM = StreamId("live/cam")


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.9", "address:203.0.113.9"),
        ("::ffff:203.0.113.9", "address:203.0.113.9"),
        ("2001:db8:0:0:1::1", "address:2001:db8::/64"),
        ("2001:db8:0:1::1", "address:2001:db8:0:1::/64"),
    ],
)
def test_an_address_is_itself_or_its_network(address: str, key: str) -> None:
    """As a publisher's and as an operator's."""
    keys = publisher_keys(STREAM, address=address, arguments={}, by_address=True, account_argument=None)
    assert keys == ("stream:live/cam", key)
    assert read_key(f"address:{address}") == read_key(key) == key


def test_what_was_not_asked_for_is_no_key() -> None:
    """Nor an argument that is not there, or empty."""
    asked = {"address": "203.0.113.9", "arguments": {"user": ""}}
    assert publisher_keys(STREAM, **asked, by_address=False, account_argument="user") == ("stream:live/cam",)  # type: ignore[arg-type]
    assert publisher_keys(STREAM, arguments={}, by_address=True, account_argument="user") == ("stream:live/cam",)


@given(st.text(st.characters(), max_size=30))
def test_what_a_publisher_says_is_a_key_or_an_error(text: str) -> None:
    """A key is read as itself, however often."""
    for kind in ("stream", "address", "account", "x"):
        try:
            key = read_key(f"{kind}:{text}")
        except UsageError:
            continue
        assert read_key(key) == key
        assert key.encode()
        assert key.startswith(f"{kind}:")


def test_words_are_kept_short_and_harmless() -> None:
    """Reasons and names come from operators and signals."""
    assert fit("a\nb\x1b[2J\u202e") == "a b [2J "
    assert len(fit("x" * 5000)) == LONGEST_TEXT
    record = record_of(a_strike(), who="x" * 5000, now_unix_ms=1)
    assert len(record.who) == LONGEST_TEXT
