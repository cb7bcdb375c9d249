"""streamguard.servers.json_words: JSON that may be anything."""

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ServerNotUnderstood
from streamguard.servers.json_words import MAX_PARTS, MAX_TEXT_CHARS, Words

WORDS = Words("list publishers", "edge")
FIELDS = {
    "text": "a", "empty": "", "null": None, "number": 7, "true": True, "part": {"x": 1}, "parts": [{"x": 1}],
    "texts": ["a"],
}  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


def test_what_is_there_is_read() -> None:
    """Each as what it is."""
    fields = WORDS.fields(json.dumps(FIELDS).encode())
    assert (WORDS.text(fields, "text"), WORDS.whole(fields, "number")) == ("a", 7)
    assert (WORDS.part(fields, "part"), WORDS.parts(fields, "parts")) == ({"x": 1}, [{"x": 1}])
    assert (WORDS.all(fields, "texts"), WORDS.texts(fields, "texts")) == (["a"], ["a"])
    assert [WORDS.maybe_text(fields, name) for name in ("text", "empty", "null", "missing")] == ["a", "", "", ""]


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (WORDS.text, "empty"), (WORDS.text, "null"), (WORDS.text, "missing"), (WORDS.text, "number"),
        (WORDS.text, "long"),
        (WORDS.maybe_text, "number"), (WORDS.whole, "true"), (WORDS.whole, "text"), (WORDS.whole, "missing"),
        (WORDS.part, "parts"), (WORDS.part, "null"), (WORDS.parts, "part"), (WORDS.parts, "texts"), (WORDS.all, "text"),
        (WORDS.texts, "parts"), (WORDS.texts, "missing"),
    ],
)  # fmt: skip
def test_what_is_something_else_is_named(read: Callable[[dict[str, object], str], object], name: str) -> None:
    """The error says which field of which server's answer, and nothing of what stands in it."""
    with pytest.raises(ServerNotUnderstood, match=rf"^list publishers edge: what it says is odd: .*`{name}`"):
        read({**FIELDS, "long": "x" * (MAX_TEXT_CHARS + 1)}, name)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b'{"a":NaN}',
        b'{"a":',
        b"\xff",
        b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":[' + b"{}," * MAX_PARTS + b"{}]}",
    ],
)
def test_what_is_no_object_is_not_understood(body: bytes) -> None:
    """However deep, long or broken it is."""
    with pytest.raises(ServerNotUnderstood, match="edge"):
        WORDS.fields(body)


@given(ANY, st.sampled_from(["text", "maybe_text", "whole", "part", "parts", "all", "texts"]))
def test_any_value_is_read_or_an_error(value: object, how: str) -> None:
    """Nothing else is raised."""
    with suppress(ServerNotUnderstood):
        getattr(WORDS, how)({"a": value}, "a")
