"""streamguard.servers.names: keys of streams, and addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.servers.names import MAX_KEY_CHARS, ip_address, path_key, stream_key, why_unwatchable

TEXT = st.text(max_size=30) | st.text("a\x1b\u202e?~/", max_size=6)


def test_an_ordinary_name_is_its_own_key() -> None:
    """Letters of any script and spaces, too."""
    assert stream_key("live", "cam") == "live/cam"
    assert stream_key("live", "\u6620\u753b caf\u00e9") == "live/\u6620\u753b caf\u00e9"


def test_a_steering_name_is_made_harmless_and_stays_apart() -> None:
    """Two of them that look alike then are still two."""
    first, second = stream_key("live", "cam\x1b[2J"), stream_key("live", "cam\u202e[2J")
    assert first.startswith("live/cam?[2J~")
    assert first != second


@given(TEXT, TEXT)
def test_different_names_have_different_keys(first: str, second: str) -> None:
    """And all are printable, and short."""
    assert (stream_key("live", first) == stream_key("live", second)) == (first == second)
    assert "\x1b" not in stream_key("live", first)
    assert len(stream_key("live", first * 100)) <= MAX_KEY_CHARS


@given(TEXT, st.integers(1, 100))
def test_what_a_key_had_to_change_cannot_be_watched(name: str, times: int) -> None:
    """So who knows the key alone, as the gate does, refuses no fewer than those who know the name."""
    path = f"live/{name * times}"
    key = path_key(path)
    if why_unwatchable(path) or key != path:
        assert why_unwatchable(key)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:5678", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]:1935", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("unix:/run/nginx.sock", ""),
        ("203.0.113.9, 198.51.100.1", ""),
        ("localhost", ""),
        ("\x00", ""),
    ],
)
def test_an_address_is_the_same_however_it_is_written(text: str, address: str) -> None:
    """What is none is empty: nobody is struck by it."""
    assert ip_address(text) == address
