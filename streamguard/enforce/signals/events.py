"""A decision as a kill-signal: one CloudEvents 1.0 JSON object. Pure; docs/signals.md shows an example."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

from streamguard.types import Decision, Evidence, KillSignal, MediaTime, SessionId, StreamId, Trial, Verdict

EVIDENCE_SHOWN = 64
"""An event names at most so many keyframes, the newest: it must stay small whatever the rule collects."""

_LARGEST = 1e12


def kill_signal(  # noqa: PLR0913 - each is another thing of the caller's, passed by name, used once
    decision: Decision,
    *,
    stream: StreamId,
    session: SessionId,
    worker: str,
    library_version: str,
    now_unix_s: float,
    expires_after_s: float,
    server: str | None = None,
    streams_believed: int = 0,
) -> KillSignal:
    """The decision, addressed to whoever can cut `stream`: at the media server `server`, whose own name of the session
    `session` then is. The same decision of a session always has the same id. `streams_believed`: in how many streams
    its reference may kill, where an incident says so; 0: it is as the enforcer says.
    """
    # Milliseconds from here on: the event's `time` and the signature's timestamp must agree to the second.
    decided_ms = int(now_unix_s * 1000)
    expires_ms = decided_ms + int(expires_after_s * 1000)
    id_ = signal_id(decision, session=session)
    data = {
        **({} if server is None else {"server": as_text(server)}),
        **_decided(decision, library_version=library_version),
        **({"streams_believed": streams_believed} if streams_believed else {}),
        "expires_at": _rfc3339(expires_ms),
    }
    signal = KillSignal(
        id=id_,
        stream=StreamId(as_text(stream)),
        session=SessionId(as_text(session)),
        verdict=decision.verdict,
        event="",
        decided_unix_s=decided_ms / 1000,
        expires_unix_s=expires_ms / 1000,
    )
    return _with_event(signal, data, worker=worker)


CANARY_STREAM = StreamId("streamguard/canary")


def canary_signal(
    decision: Decision,
    *,
    session: SessionId,
    worker: str,
    library_version: str,
    now_unix_s: float,
    expires_after_s: float,
) -> KillSignal:
    """What the worker's own made stream earned, for the way of a kill-signal and for nothing else: its type is that of
    no verdict, and it names no media server. Small, for there is one every few minutes.
    """
    decided_ms = int(now_unix_s * 1000)
    expires_ms = decided_ms + int(expires_after_s * 1000)
    data = {
        "verdict": Trial.CANARY.value,
        "reference": as_text(decision.asset),
        "label": as_text(decision.label),
        "nats": _number(decision.nats),
        "at_s": _seconds(decision.at),
        "rule": as_text(decision.rule),
        "library_version": as_text(library_version),
        "expires_at": _rfc3339(expires_ms),
    }
    signal = KillSignal(
        id=_digest("can", [as_text(session), decision.at.session, decision.at.pts_us]),
        stream=CANARY_STREAM,
        session=SessionId(as_text(session)),
        verdict=Trial.CANARY,
        event="",
        decided_unix_s=decided_ms / 1000,
        expires_unix_s=expires_ms / 1000,
    )
    return _with_event(signal, data, worker=worker)


def _with_event(signal: KillSignal, data: Mapping[str, object], *, worker: str) -> KillSignal:
    """The signal with the object that says so, whose `data` is this and what the signal is about."""
    event = {
        "specversion": "1.0",
        "id": signal.id,
        "source": f"/streamguard/{quote(as_text(worker), safe='')}",
        "type": event_type(signal.verdict),
        "subject": signal.stream,
        "time": _rfc3339(round(signal.decided_unix_s * 1000)),
        "datacontenttype": "application/json",
        "data": {"stream": signal.stream, "session_id": signal.session, **data},
    }
    # ASCII only: what an operator's terminal or a log prints cannot be steered by a stream's name.
    return replace(signal, event=json.dumps(event, ensure_ascii=True, allow_nan=False, separators=(",", ":")))


def event_type(verdict: Verdict | Trial) -> str:
    """The `type` of an event that says this."""
    return f"org.streamguard.{verdict.value}.v1"


def _decided(decision: Decision, *, library_version: str) -> dict[str, object]:
    """What was decided, by what, and on what."""
    return {
        "verdict": decision.verdict.value,
        "reference": as_text(decision.asset),
        "label": as_text(decision.label),
        "nats": _number(decision.nats),
        "at_s": _seconds(decision.at),
        "reference_at_s": decision.reference_us / 1e6,
        "region": [[_number(x), _number(y)] for x, y in decision.region.corners()],
        "view": decision.view.label,
        "rule": as_text(decision.rule),
        "library_version": as_text(library_version),
        "evidence_id": evidence_id(decision),
        "evidence": [_keyframe(at, evidence) for at, evidence in decision.evidence[-EVIDENCE_SHOWN:]],
    }


def signal_id(decision: Decision, *, session: SessionId) -> str:
    """Of what was decided in a session, and when. A worker's own sessions are unique across workers and restarts. One
    of a media server may be watched by several connections, one after the other or at once: each decides for itself,
    and its number in `decision.at` is no other connection's.
    """
    parts = [as_text(session), decision.verdict.value, as_text(decision.asset), decision.at.session, decision.at.pts_us]
    return _digest("sig", parts)


def evidence_id(decision: Decision) -> str:
    """Names the whole evidence, also what the event has no room for."""
    return _digest("ev", [_keyframe(at, evidence) for at, evidence in decision.evidence])


def _digest(kind: str, value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"{kind}_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _keyframe(at: MediaTime, evidence: Evidence) -> dict[str, object]:
    return {
        "at_s": _seconds(at),
        "reference_at_s": evidence.place.middle_us / 1e6,
        **_measure(evidence),
        "nats": _number(evidence.nats),
        "view": evidence.view.label,
        "tells_when": evidence.tells_when,
    }


def _measure(evidence: Evidence) -> dict[str, int]:
    """How near it is: the bits by which PDQ hashes differ, or the number of local features that agree."""
    measures = {"distance_bits": evidence.distance_bits, "features": evidence.features}
    return {name: value for name, value in measures.items() if value is not None}


def _seconds(at: MediaTime) -> float:
    return at.pts_us / 1e6


def _number(value: float) -> float:
    """JSON has no infinity and no NaN, and no decision may be lost for one. (`max` takes NaN only as its first.)"""
    return round(min(_LARGEST, max(-_LARGEST, float(value))), 6)


def as_text(value: str) -> str:
    """Names from the command line may hold bytes that are no UTF-8, as lone surrogates: SQLite takes none of them."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _rfc3339(unix_ms: int) -> str:
    """UTC with milliseconds, cut off, not rounded: rounding up would change the second that is signed."""
    moment = datetime.fromtimestamp(unix_ms // 1000, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_ms % 1000:03d}Z"
