"""streamguard.enforce.signals.acks: what an enforcer answers, and what a worker makes of what stands there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.enforce.signals.acks import MOST_ACK_BYTES, Ack, Outcome, ReceivedAck, read_ack, signed
from streamguard.errors import SignalNotUnderstood
from tests.kill_signals import KEY, NOW_UNIX_S

ACK = Ack("sig_1", Outcome.EXECUTED, "cut", "live/cam", "nginx-1", "nginx-rtmp", (("received", 0.01), ("gone", 0.05)))


def fields_of(ack: Ack, *, key: bytes | None = KEY, event: str | None = None) -> dict[bytes, bytes]:
    """As they stand in Redis; `event` takes the place of what was signed."""
    made = ack.event(enforcer="edge-1", now_unix_s=NOW_UNIX_S)
    return {b"event": (event or made).encode(), b"sig": signed(made, key=key).encode()}


def test_an_acknowledgement_is_one_object_that_says_what_became_of_which_signal() -> None:
    """As docs/signals.md shows it."""
    tree = json.loads(ACK.event(enforcer="edge 1", now_unix_s=NOW_UNIX_S))
    assert tree.pop("id").startswith("ack_")
    assert tree == {
        "specversion": "1.0",
        "source": "/streamguard/edge%201",
        "type": "org.streamguard.ack.v1",
        "subject": "live/cam",
        "time": "2023-11-14T22:13:20.250Z",
        "datacontenttype": "application/json",
        "data": {
            "signal_id": "sig_1",
            "outcome": "executed",
            "why": "cut",
            "server": "nginx-rtmp",
            "session_id": "nginx-1",
            "timings_s": {"received": 0.01, "gone": 0.05},
        },
    }


def test_a_genuine_one_is_read() -> None:
    """With the key it was signed with; without any key there is nothing to tell by."""
    assert read_ack(fields_of(ACK), key=KEY) == ReceivedAck("sig_1", Outcome.EXECUTED, "cut", genuine=True)
    assert read_ack(fields_of(ACK, key=None), key=None).genuine


def test_one_that_was_forged_or_altered_is_not_genuine() -> None:
    """Whoever can write to the key can write anything."""
    altered = ACK.event(enforcer="edge-1", now_unix_s=NOW_UNIX_S).replace("sig_1", "sig_2")
    for fields in (fields_of(ACK, key=None), fields_of(ACK, key=b"x" * 16), fields_of(ACK, event=altered)):
        assert not read_ack(fields, key=KEY).genuine


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"x" * (MOST_ACK_BYTES + 1),
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"specversion": "1.0", "type": "org.streamguard.kill.v1"}',
        b"[" * 16_000,
        b"1" * 5000,
    ],
)
def test_what_is_none_is_not_understood(event: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(SignalNotUnderstood):
        read_ack({b"event": event}, key=KEY)


@pytest.mark.parametrize(
    ("field", "value"),
    [("signal_id", 1), ("signal_id", "\ud800"), ("signal_id", "x" * 400), ("outcome", "well"), ("why", None)],
)
def test_a_field_that_cannot_be_one_is_not_understood(field: str, value: object) -> None:
    """A signal's id goes into a query."""
    tree = json.loads(ACK.event(enforcer="edge-1", now_unix_s=NOW_UNIX_S))
    tree["data"][field] = value
    with pytest.raises(SignalNotUnderstood):
        read_ack({b"event": json.dumps(tree).encode()}, key=None)


@given(st.text(), st.text(), st.text(max_size=2000))
def test_whatever_names_say_it_stays_small_and_can_be_read(stream: str, session: str, why: str) -> None:
    """Names come from publishers, reasons from servers."""
    ack = Ack("sig_1", Outcome.FAILED, why, stream[:1000], session[:1000], "nginx-rtmp")
    fields = fields_of(ack)
    assert fields[b"event"].isascii()
    assert len(fields[b"event"]) <= MOST_ACK_BYTES
    assert read_ack(fields, key=KEY).genuine


@given(st.dictionaries(st.sampled_from([b"event", b"sig"]), st.binary(max_size=200)))
def test_bytes_are_an_acknowledgement_or_a_documented_error(fields: dict[bytes, bytes]) -> None:
    """Fuzzed."""
    with pytest.raises(SignalNotUnderstood):
        read_ack(fields, key=KEY)
