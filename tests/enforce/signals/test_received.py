"""streamguard.enforce.signals.received: what a consumer makes of whatever stands in the stream."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.enforce.signals.received import Signature, read_signal
from streamguard.errors import SignalNotUnderstood
from streamguard.signing import sign
from streamguard.types import Verdict
from tests.kill_signals import KEY, NOW_UNIX_S, a_canary, a_decision, a_signal, addressed

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
PLACES = [
    *((name,) for name in json.loads(a_signal().event)),
    *(("data", name) for name in json.loads(a_signal().event)["data"]),
]


def signed(event: str) -> dict[bytes, bytes]:
    signal = a_signal()
    signature = sign(KEY, id=signal.id, timestamp_s=int(signal.decided_unix_s), payload=event)
    return {b"event": event.encode(), b"sig": signature.encode()}


def test_a_signal_is_read_and_its_signature_checked() -> None:
    """With the key it is good, with another bad, without a key unchecked."""
    read = read_signal(signed(a_signal().event))
    assert (read.id, read.verdict, read.stream, read.session) == (a_signal().id, "kill", "cam-7", "session-1")
    assert (read.reference, read.label, read.nats, read.at_s) == ("clip-1", "terror", 31.25, 14.0)
    assert read.checked(KEY) is Signature.GOOD
    assert read.checked(b"another key, as long as it gets") is Signature.BAD
    assert read.checked(None) is Signature.UNCHECKED


def test_the_documented_example_is_a_signal() -> None:
    """docs/signals.md shows what our own consumer understands, with the fields that we send."""
    text = (Path(__file__).parents[3] / "docs/signals.md").read_text()
    example = text.partition("```json\n")[2].partition("```")[0]
    assert read_signal({b"event": example.encode()}).verdict == "kill"
    ours = json.loads(a_signal().event)
    assert json.loads(example).keys() == ours.keys()
    assert json.loads(example)["data"].keys() == ours["data"].keys()


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_has_its_type(verdict: Verdict) -> None:
    """What we send is understood as what it says; `clear` is the absence of a decision, and no signal."""
    event = addressed(a_decision(verdict=verdict)).event
    assert json.loads(event)["type"] == f"org.streamguard.{verdict.value}.v1"
    if verdict is Verdict.CLEAR:
        with pytest.raises(SignalNotUnderstood, match="unknown type"):
            read_signal({b"event": event.encode()})
    else:
        assert read_signal({b"event": event.encode()}).verdict == verdict.value


@pytest.mark.parametrize(
    ("value", "believed"),
    [(1, 1), (10_000, 10_000), (10_001, 0), (0, 0), (-5, 0), (True, 0), (50.0, 0), ("800", 0), (None, 0), (10**30, 0)],
)
def test_in_how_many_streams_an_incident_is_believed(value: object, believed: int) -> None:
    """A number that could be meant; anything else is as if it said nothing, and the kill is one all the same."""
    tree = json.loads(a_signal().event)
    assert read_signal(signed(json.dumps(tree))).streams_believed == 0
    tree["data"]["streams_believed"] = value
    read = read_signal(signed(json.dumps(tree)))
    assert (read.streams_believed, read.verdict) == (believed, "kill")


def test_a_missing_signature_is_not_a_good_one() -> None:
    """Neither an empty field nor none at all."""
    event = a_signal().event.encode()
    assert read_signal({b"event": event}).checked(KEY) is Signature.MISSING
    assert read_signal({b"event": event, b"sig": b""}).checked(KEY) is Signature.MISSING


def test_it_expires() -> None:
    """At the second that it names, not before."""
    read = read_signal(signed(a_signal().event))
    assert not read.expired(now_unix_s=NOW_UNIX_S + 300)
    assert read.expired(now_unix_s=NOW_UNIX_S + 300.01)


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda event: (event if name in event else event["data"]).pop(name)


def with_(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda event: (event if name in event else event["data"]).update({name: value})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without("id"), "`id`"),
        (without("data"), "`data`"),
        (without("stream"), "`stream`"),
        (with_("specversion", "2.0"), "CloudEvents"),
        (with_("type", "org.streamguard.reprieve.v1"), "unknown type"),
        (with_("verdict", "review"), "another verdict"),
        (with_("nats", "31"), "`nats` is no number"),
        (with_("nats", value=True), "`nats` is no number"),
        (with_("nats", 10**400), "`nats` is too large"),
        (with_("stream", "x" * 2000), "`stream`"),
        (with_("stream", ["cam"]), "`stream`"),
        (with_("session_id", ""), "`session_id`"),
        (with_("expires_at", "soon"), "`expires_at` is no time"),
        (with_("expires_at", 1_700_000_000), "`expires_at`"),
        (with_("expires_at", "2023-11-14T22:13:20"), "names no time zone"),
    ],
)
def test_a_wrong_field_is_named(change: Callable[[dict[str, Any]], None], problem: str) -> None:
    """The message is not understood, and the reason says where."""
    event = json.loads(a_signal().event)
    change(event)
    with pytest.raises(SignalNotUnderstood, match=problem):
        read_signal(signed(json.dumps(event)))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "no field"),
        ({b"other": b"{}"}, "no field"),
        ({b"event": b"\xff"}, "not UTF-8"),
        ({b"event": b"{}", b"sig": b"\xff"}, "not UTF-8"),
        ({b"event": b""}, "not JSON"),
        ({b"event": b"{"}, "not JSON"),
        ({b"event": b"[" * 100_000}, "not JSON"),
        ({b"event": b'{"a": NaN}'}, "not JSON"),
        ({b"event": b'{"a": [1e999]}'}, "a number is too large"),
        ({b"event": b'{"a": -1e999}'}, "a number is too large"),
        ({b"event": b"1" * 10_000}, "not JSON"),
        ({b"event": b"null"}, "no CloudEvents"),
        ({b"event": b"[]"}, "no CloudEvents"),
        ({b"event": b" " * 10_000_000}, "10000000 bytes"),
    ],
)
def test_what_is_no_signal_is_not_understood(fields: dict[bytes, bytes], problem: str) -> None:
    """Whatever it is, there is one documented error."""
    with pytest.raises(SignalNotUnderstood, match=problem):
        read_signal(fields)


@given(st.dictionaries(st.sampled_from([b"event", b"sig", b"x"]), st.binary(max_size=200)))
def test_any_bytes_are_understood_or_not_and_nothing_else(fields: dict[bytes, bytes]) -> None:
    """Rubbish raises nothing but SignalNotUnderstood."""
    with contextlib.suppress(SignalNotUnderstood):
        read_signal(fields)


@given(st.sampled_from(PLACES), JSON_VALUES)
def test_any_value_in_any_field_is_understood_or_not_and_nothing_else(place: tuple[str, ...], value: object) -> None:
    """A signal with one field replaced can be read and judged, or is not understood; changed, it is never good."""
    event = json.loads(a_signal().event)
    holder = event if len(place) == 1 else event["data"]
    original, holder[place[-1]] = holder[place[-1]], value
    fields = {b"event": json.dumps(event).encode(), b"sig": signed(a_signal().event)[b"sig"]}
    with contextlib.suppress(SignalNotUnderstood):
        read = read_signal(fields)
        read.expired(now_unix_s=NOW_UNIX_S)
        assert read.checked(KEY) is Signature.BAD or value == original


def test_a_canary_is_read_as_what_it_is() -> None:
    """One that calls itself a kill under a canary's type is nothing."""
    event = a_canary().event
    assert read_signal({b"event": event.encode()}).verdict == "canary"
    with pytest.raises(SignalNotUnderstood, match="another verdict than its type says"):
        read_signal({b"event": event.replace('"verdict":"canary"', '"verdict":"kill"').encode()})
