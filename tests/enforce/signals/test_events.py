"""streamguard.enforce.signals.events: a decision as a CloudEvents object."""

import json
import math
from typing import Any

import pytest

from streamguard.enforce.signals.events import EVIDENCE_SHOWN
from streamguard.enforce.signals.received import read_signal
from streamguard.types import Verdict
from tests.kill_signals import NOW_UNIX_S, a_canary, a_decision, addressed


def event_of(**options: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a_decision takes
    event: dict[str, Any] = json.loads(addressed(a_decision(**options)).event)
    return event


def test_the_event_is_a_cloudevents_object_with_everything_an_enforcer_needs() -> None:
    """Type, subject, times and data stand where docs/signals.md says."""
    event = event_of()
    data = event.pop("data")
    evidence = data.pop("evidence")
    assert event == {
        "specversion": "1.0",
        "id": event["id"],
        "source": "/streamguard/worker-1",
        "type": "org.streamguard.kill.v1",
        "subject": "cam-7",
        "time": "2023-11-14T22:13:20.250Z",
        "datacontenttype": "application/json",
    }
    assert data == {
        "stream": "cam-7",
        "session_id": "session-1",
        "verdict": "kill",
        "reference": "clip-1",
        "label": "terror",
        "nats": 31.25,
        "at_s": 14.0,
        "reference_at_s": 5.0,
        "region": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
        "view": "mirrored",
        "rule": "two-keyframes",
        "library_version": "v1",
        "evidence_id": data["evidence_id"],
        "expires_at": "2023-11-14T22:18:20.250Z",
    }
    assert evidence[0] == {
        "at_s": 12.0,
        "reference_at_s": 5.0,
        "distance_bits": 8,
        "nats": 12.5,
        "view": "mirrored",
        "tells_when": True,
    }


def test_the_same_decision_has_the_same_id_whenever_it_is_sent() -> None:
    """Sending again is recognised, also by another process at another time."""
    assert addressed(a_decision()).id == addressed(a_decision(), now_unix_s=NOW_UNIX_S + 99).id


def test_another_decision_has_another_id() -> None:
    """Session, verdict, asset and time each tell decisions apart."""
    signals = [
        addressed(a_decision()),
        addressed(a_decision(), session="session-2"),
        addressed(a_decision(verdict=Verdict.REVIEW)),
        addressed(a_decision(asset="clip-2")),
        addressed(a_decision(pts_us=1)),
    ]
    assert len({signal.id for signal in signals}) == len(signals)


@pytest.mark.parametrize("verdict", [Verdict.KILL, Verdict.REVIEW, Verdict.LIMIT])
def test_each_verdict_has_its_type(verdict: Verdict) -> None:
    """A consumer can choose by the type alone."""
    assert event_of(verdict=verdict)["type"] == f"org.streamguard.{verdict.value}.v1"


def test_what_is_written_can_be_read_by_our_own_consumer() -> None:
    """The consumer finds what the decision said, also from bytes that are no UTF-8 and a name full of escapes."""
    signal = addressed(a_decision(), stream="cam\udcff\x1b[2J\n7", expires_after_s=60)
    assert signal.event.isascii()
    assert signal.event.isprintable()
    read = read_signal({b"event": signal.event.encode()})
    assert (read.id, read.stream, read.verdict) == (signal.id, signal.stream, "kill")
    assert read.sent_at.timestamp() == signal.decided_unix_s == NOW_UNIX_S
    assert read.expires_at.timestamp() == signal.expires_unix_s == NOW_UNIX_S + 60


@pytest.mark.parametrize("nats", [math.inf, -math.inf, math.nan])
def test_numbers_that_json_lacks_lose_no_decision(nats: float) -> None:
    """Infinite nats become a large number."""
    assert math.isfinite(event_of(nats=nats)["data"]["nats"])


def test_the_event_stays_small_however_much_evidence_there_is() -> None:
    """The newest keyframes are named, and the evidence id stands for all of them."""
    many, more = event_of(keyframes=1000), event_of(keyframes=1001)
    assert len(many["data"]["evidence"]) == EVIDENCE_SHOWN
    assert many["data"]["evidence"][-1]["at_s"] == 12.999
    assert many["data"]["evidence_id"] != more["data"]["evidence_id"]


def test_a_canary_is_no_kill_by_any_word_of_it() -> None:
    """Its type is that of no verdict, it names no media server, and it expires; what it says is small."""
    event = json.loads(a_canary().event)
    assert (event["type"], event["subject"]) == ("org.streamguard.canary.v1", "streamguard/canary")
    assert event["data"]["verdict"] == "canary"
    assert "server" not in event["data"]
    assert event["data"]["expires_at"] == "2023-11-14T22:14:20.250Z"
    assert '"kill"' not in a_canary().event
    assert ".kill." not in a_canary().event
    assert len(a_canary().event) < 800
    assert a_canary().id.startswith("can_")
    assert a_canary().id != a_canary(1).id
