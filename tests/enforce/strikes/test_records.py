"""Strikes as JSON: what we write is read as it was, and nothing else is ever an exception."""

import json

from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.strikes import Lift, Standing, StrikeRecord, standing
from streamguard.enforce.strikes.records import MOST_BYTES, audit_json, read_audit, read_records, records_json
from streamguard.enforce.strikes.strike import AuditEntry
from streamguard.types import SessionId, StreamId

TEXTS = st.text(max_size=500)
MOMENTS = st.integers(0, 1 << 53)
LIFTS = st.none() | st.builds(Lift, TEXTS, TEXTS, MOMENTS)
RECORDS = st.builds(
    StrikeRecord, TEXTS, TEXTS.map(StreamId), TEXTS.map(SessionId), TEXTS, TEXTS, TEXTS, MOMENTS, MOMENTS, LIFTS
)
ENTRIES = st.builds(
    AuditEntry, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, MOMENTS,
    st.lists(RECORDS, max_size=3).map(lambda records: standing(records, now_unix_ms=0)),
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
A_RECORD = {
    **dict.fromkeys(("signal", "stream", "session", "reference", "reason", "who"), "x"),
    "at_unix_ms": 1,
    "until_unix_ms": 2,
    "lifted": None,
}


@given(st.lists(RECORDS, max_size=4))
def test_records_are_read_as_they_were_written(records: list[StrikeRecord]) -> None:
    """Whatever names are in them."""
    assert read_records(records_json(tuple(records)).encode("utf-8", "surrogatepass")) == tuple(records)


@given(ENTRIES)
def test_the_audit_is_read_as_it_was_written(entry: AuditEntry) -> None:
    """How the key stands since is in it."""
    assert read_audit(audit_json(entry).encode("utf-8", "surrogatepass")) == entry


def test_no_record_is_no_strike() -> None:
    """A key that nothing is remembered against."""
    assert read_records(None) == ()


@given(st.binary(max_size=200) | st.text(max_size=20) | st.integers())
def test_bytes_of_any_kind_are_not_understood(raw: object) -> None:
    """They cost no exception."""
    assert read_records(raw) is None
    assert read_audit(raw) is None


@given(st.sampled_from(sorted(A_RECORD)), ANYTHING)
def test_one_wrong_field_makes_a_record_unfit(name: str, value: object) -> None:
    """Unless it happens to be one of ours."""
    tree = {"strikes": [{**A_RECORD, name: value}]}
    found = read_records(json.dumps(tree).encode())
    assert found is None or json.loads(records_json(found)) == tree


@given(st.sampled_from(["action", "key", "who", "why", "signal", "at_unix_ms", "count", "until_unix_ms"]), ANYTHING)
def test_one_wrong_field_makes_an_audit_entry_unfit(name: str, value: object) -> None:
    """And a lost one, too."""
    entry = AuditEntry("add", "stream:live/cam", "w", "y", "s", 1, Standing(0, 0, None, ()))
    tree = json.loads(audit_json(entry))
    found = read_audit(json.dumps({**tree, name: value}).encode())
    assert found is None or json.loads(audit_json(found)) == {**tree, name: value}
    del tree[name]
    assert read_audit(json.dumps(tree).encode()) is None


def test_what_is_too_long_is_not_read() -> None:
    """Before any of it is parsed."""
    assert read_records(b'{"strikes": []' + b" " * MOST_BYTES + b"}") is None
