"""An evidence file for people: what was decided, on what, and whether the same rule decides the same again."""

from datetime import UTC, datetime
from pathlib import Path

from streamguard.core.replay import differences, replay, running_nats
from streamguard.enforce.evidence.file import EvidenceFile, from_bytes
from streamguard.enforce.evidence.store import read_file
from streamguard.enforce.signals.events import evidence_id, signal_id
from streamguard.errors import counted
from streamguard.types import PDQ_BITS, Decision, Evidence, Verdict


def load(path: Path) -> EvidenceFile:
    """Raises EvidenceError for what cannot be read, or is no evidence file."""
    return from_bytes(read_file(path), subject=path)


def what_differs(file: EvidenceFile) -> tuple[str, ...]:
    """What the recorded rule makes of the recorded observations now, where that is not what was decided; nothing where
    it is the same.
    """
    fallen = replay(file.recording)
    named = {
        "evidence_id": (file.evidence_id, evidence_id(file.decision)),
        "id": (file.id, signal_id(file.decision, session=file.session)),
    }
    misnamed = tuple(f"{name}: {was} recorded, {now} now" for name, (was, now) in named.items() if was != now)
    return differences(file.decision, fallen) + misnamed


def summary(file: EvidenceFile) -> dict[str, object]:
    """Plain values, for JSON."""
    decision = file.decision
    return {
        "id": file.id,
        "evidence_id": file.evidence_id,
        "stream": file.stream,
        "session_id": file.session,
        "decided_at": decided_at(file),
        "verdict": decision.verdict.value,
        "reference": decision.asset,
        "label": decision.label,
        "at_s": decision.at.pts_us / 1e6,
        "reference_at_s": decision.reference_us / 1e6,
        "region": decision.region.corners(),
        "view": decision.view.label,
        "nats": round(decision.nats, 3),
        "allowed": file.recording.policy.verdict.value,
        "rule": decision.rule,
        "library_version": file.library_version,
        "streamguard": file.streamguard,
        "keyframes": _keyframes(file),
        "observations": len(file.recording.observations),
        "matched_points": len(file.points),
        "thumbnails": {"stream": bool(file.thumbnail), "reference": bool(file.reference_thumbnail)},
    }


def in_words(file: EvidenceFile) -> str:
    """`kill at 4.0 s: cam-7 shows fight [violence] from 2.0 s on, mirrored, 17.3 nats from 2 keyframes, 1 of
    which tells when; rule ...`.
    """
    decision = file.decision
    what = (
        f"{decision.verdict.value} at {decision.at.pts_us / 1e6:.1f} s: {file.stream} shows {decision.asset}"
        f" [{decision.label}] from {decision.reference_us / 1e6:.1f} s on, {decision.view.label},"
        f" {decision.nats:.1f} nats from {how_many(decision)}"
    )
    allowed = file.recording.policy.verdict
    if allowed is decision.verdict is not Verdict.KILL:
        what += f"; no more than a {allowed.value} was allowed, by its label, for its mistakes or as of a new sender"
    return f"{what}; rule {decision.rule}, library {file.library_version}, {decided_at(file)}"


def how_many(decision: Decision) -> str:
    """`2 keyframes, 1 of which tells when`: a kill takes only such as do, however many nats there are."""
    telling = sum(item.tells_when for _, item in decision.evidence)
    verb = "tells" if telling == 1 else "tell"
    return f"{counted(len(decision.evidence), 'keyframe')}, {telling or 'none'} of which {verb} when"


def how_near(evidence: Evidence) -> str:
    """`8 of 256 bits`, or `23 features`."""
    if evidence.distance_bits is not None:
        return f"{evidence.distance_bits} of {PDQ_BITS} bits"
    return counted(evidence.features or 0, "feature")


def decided_at(file: EvidenceFile) -> str:
    """UTC, to the second."""
    return f"{datetime.fromtimestamp(file.decided_unix_s, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def running(file: EvidenceFile) -> tuple[float, ...]:
    """The nats together at each keyframe of the decision."""
    return running_nats(file.decision.evidence, half_life_s=file.recording.rule.half_life_s)


def _keyframes(file: EvidenceFile) -> list[dict[str, object]]:
    return [
        {
            "at_s": at.pts_us / 1e6,
            "reference_at_s": evidence.place.middle_us / 1e6,
            "view": evidence.view.label,
            "distance_bits": evidence.distance_bits,
            "features": evidence.features,
            "tells_when": evidence.tells_when,
            "nats": round(evidence.nats, 3),
            "running_nats": round(total, 3),
        }
        for (at, evidence), total in zip(file.decision.evidence, running(file), strict=True)
    ]
