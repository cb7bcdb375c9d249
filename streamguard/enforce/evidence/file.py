"""Evidence files: all that it takes to show a decision to a person, and to run it again; see docs/evidence.md.

A file may come from anywhere: what is read is checked value by value, and pictures in it are not decoded here.
"""

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError

from streamguard.core.decision_rule import DecisionRule
from streamguard.core.matched_points import MOST_POINTS
from streamguard.core.policy import LabelPolicy
from streamguard.core.replay import Recording
from streamguard.core.thumbnails import MOST_BYTES, is_thumbnail
from streamguard.errors import EvidenceError
from streamguard.types import (
    STEERING,
    AssetId,
    Decision,
    Evidence,
    MediaKind,
    MediaTime,
    Observation,
    Outline,
    Place,
    Points,
    Quad,
    Region,
    SessionId,
    StreamId,
    Verdict,
    View,
)

FORMAT = 1
MOST_FILE_BYTES = 2 << 20
ID_PATTERN = r"sig_[0-9a-f]{32}"

_MOST_OBSERVATIONS = 1024
_MOST_ITEMS = 16 * len(View)
_MOST_US = 1 << 62
_MOST_NUMBER = 1e12
_YEAR_10000_UNIX_S = 253_402_300_800
_SHARE_DIGITS = 4
_VIEWS = {view.label: view for view in View}

_LEAST_BYTES_EACH = {b"{": 50, b"[": 20, b",": 5}
"""So many bytes a file has at least for each of them; its names may be made of them. Read whole, and each value told as
an error, a file of nothing else takes gigabytes, and most of a minute.
"""

_SLACK_BYTES = 500_000

_Number = Annotated[float, Field(ge=-_MOST_NUMBER, le=_MOST_NUMBER)]
_Us = Annotated[int, Field(ge=0, lt=_MOST_US)]
_Text = Annotated[str, Field(max_length=4096)]
_Name = Annotated[str, Field(max_length=200, pattern=rf"^[^{STEERING}]*$")]
_Count = Annotated[int, Field(ge=0, le=1_000_000)]
_Pair = tuple[_Number, _Number]
_Outline = tuple[_Number, _Number, _Number, _Number] | tuple[_Pair, _Pair, _Pair, _Pair]
_Picture = Annotated[str, Field(max_length=4 * MOST_BYTES // 3 + 4)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _all_of(kind: type[DecisionRule | LabelPolicy], tree: object) -> object:
    """What is missing would be filled in by a default that it was not decided by."""
    names = {field.name for field in dataclasses.fields(kind)}
    if missing := names - set(tree if isinstance(tree, dict) else ()):
        raise ValueError(f"no {min(missing)}: another StreamGuard made it")
    return tree


class _Head(BaseModel):
    """As much as is needed to tell a newer file from a broken one."""

    format: Annotated[int, Field(ge=1)]


class _Item(_Part):
    label: _Name
    kind: MediaKind
    from_us: _Us
    to_us: _Us
    view: str
    outline: _Outline
    nats: _Number
    distance_bits: _Count | None
    features: _Count | None
    tells_when: bool


class _Observation(_Part):
    at_us: _Us
    evidence: Annotated[tuple[_Item, ...], Field(min_length=1, max_length=_MOST_ITEMS), FailFast()]


class _Standing(_Part):
    verdict: Verdict
    at_us: _Us


class _Decision(_Part):
    verdict: Verdict
    reference: _Name
    label: _Name
    at_us: _Us
    reference_us: _Us
    outline: _Outline
    view: str
    nats: _Number
    rule: _Name
    first_evidence_us: _Us
    evidence: Annotated[
        tuple[tuple[_Count, _Count], ...], Field(min_length=1, max_length=_MOST_OBSERVATIONS), FailFast()
    ]
    """Observation and item of each keyframe that agrees, counted from 0."""


class _Document(_Part):
    format: Literal[1]
    id: Annotated[str, Field(pattern=f"^{ID_PATTERN}$")]
    evidence_id: Annotated[str, Field(pattern=r"^ev_[0-9a-f]{32}$")]
    streamguard: _Name
    stream: _Text
    session_id: _Text
    session: Annotated[int, Field(ge=0, lt=_MOST_US)]
    decided_unix_s: Annotated[float, Field(ge=0, lt=_YEAR_10000_UNIX_S)]
    library_version: _Name
    decision: _Decision
    rule: Annotated[DecisionRule, BeforeValidator(partial(_all_of, DecisionRule))]
    policy: Annotated[LabelPolicy, BeforeValidator(partial(_all_of, LabelPolicy))]
    weights: dict[str, dict[str, int | float]]
    standing: _Standing | None
    observations: Annotated[tuple[_Observation, ...], Field(min_length=1, max_length=_MOST_OBSERVATIONS), FailFast()]
    matched_points: Annotated[
        tuple[tuple[_Number, _Number, _Number, _Number], ...], Field(max_length=MOST_POINTS), FailFast()
    ]
    stream_thumbnail: _Picture
    reference_thumbnail: _Picture


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A decision with its evidence. Thumbnails are JPEGs by their heads, and empty where there is none."""

    id: str
    evidence_id: str
    streamguard: str
    stream: StreamId
    session: SessionId
    decided_unix_s: float
    library_version: str
    decision: Decision
    recording: Recording
    weights: Mapping[str, Mapping[str, float]]
    thumbnail: bytes
    reference_thumbnail: bytes

    @property
    def points(self) -> Points:
        """Where the stream's last keyframe and the reference frame look the same."""
        return self.decision.evidence[-1][1].points


def to_bytes(file: EvidenceFile) -> bytes:
    """The JSON document. Raises EvidenceError where it would be too large, or holds what is no number."""
    decision, recording = file.decision, file.recording
    places = {seen.at: (number, seen.evidence) for number, seen in enumerate(recording.observations)}
    document = {
        "format": FORMAT,
        "id": file.id,
        "evidence_id": file.evidence_id,
        "streamguard": file.streamguard,
        "stream": file.stream,
        "session_id": file.session,
        "session": decision.at.session,
        "decided_unix_s": file.decided_unix_s,
        "library_version": file.library_version,
        "decision": {
            **_decided(decision),
            "evidence": [[places[at][0], places[at][1].index(item)] for at, item in decision.evidence],
        },
        "rule": dataclasses.asdict(recording.rule),
        "policy": {**dataclasses.asdict(recording.policy), **_allowed(recording.policy)},
        "weights": file.weights,
        "standing": recording.standing
        and {"verdict": recording.standing[0].value, "at_us": recording.standing[1].pts_us},
        "observations": [
            {"at_us": seen.at.pts_us, "evidence": [_item(item) for item in seen.evidence]}
            for seen in recording.observations
        ],
        "matched_points": np.round(file.points.astype(np.float64), _SHARE_DIGITS).tolist(),
        "stream_thumbnail": base64.b64encode(file.thumbnail).decode(),
        "reference_thumbnail": base64.b64encode(file.reference_thumbnail).decode(),
    }
    try:
        data = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise EvidenceError("write evidence", file.id, str(error), hint="this is a bug: report it") from error
    if len(data) > MOST_FILE_BYTES:
        raise EvidenceError("write evidence", file.id, f"larger than {MOST_FILE_BYTES} bytes")
    return data


def from_bytes(data: bytes, *, subject: object) -> EvidenceFile:
    """What `to_bytes` made. Raises EvidenceError, which names `subject`, for anything that it would not make."""
    hint = "is it an evidence file of StreamGuard, and whole?"
    if any(data.count(mark) * least > len(data) + _SLACK_BYTES for mark, least in _LEAST_BYTES_EACH.items()):
        raise EvidenceError("read evidence", subject, "too many values for its length", hint=hint)
    try:
        if _Head.model_validate_json(data).format > FORMAT:
            problem = f"a format newer than {FORMAT}"
            raise EvidenceError("read evidence", subject, problem, hint="use the StreamGuard that made it, or newer")
        return _understand(_Document.model_validate_json(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        what = "not a possible text" if first["type"] == "string_pattern_mismatch" else first["msg"]
        raise EvidenceError("read evidence", subject, f"{where}: {what}", hint=hint) from error
    except ValueError as error:
        raise EvidenceError("read evidence", subject, str(error), hint=hint) from error


def _allowed(policy: LabelPolicy) -> dict[str, str]:
    return {"verdict": policy.verdict.value, "time_blind": policy.time_blind.value}


def _decided(decision: Decision) -> dict[str, object]:
    return {
        "verdict": decision.verdict.value,
        "reference": decision.asset,
        "label": decision.label,
        "at_us": decision.at.pts_us,
        "reference_us": decision.reference_us,
        "outline": _outline(decision.region),
        "view": decision.view.label,
        "nats": decision.nats,
        "rule": decision.rule,
        "first_evidence_us": decision.first_evidence.pts_us,
    }


def _item(evidence: Evidence) -> dict[str, object]:
    return {
        "label": evidence.label,
        "kind": evidence.kind.value,
        "from_us": evidence.place.from_us,
        "to_us": evidence.place.to_us,
        "view": evidence.view.label,
        "outline": _outline(evidence.region),
        "nats": evidence.nats,
        "distance_bits": evidence.distance_bits,
        "features": evidence.features,
        "tells_when": evidence.tells_when,
    }


def _outline(outline: Outline) -> list[Any]:
    """A rectangle is four numbers, anything else four corners."""
    if isinstance(outline, Region):
        return [outline.left, outline.top, outline.right, outline.bottom]
    return outline.corners()


def _understand(document: _Document) -> EvidenceFile:
    """Raises ValueError for values that are possible each, but not together."""
    _check_rule(document.rule)
    said = document.decision
    asset = AssetId(said.reference)
    thumbnails = [_picture(document.stream_thumbnail), _picture(document.reference_thumbnail)]
    observations = tuple(_observation(seen, document.session, asset) for seen in document.observations)
    times = [seen.at for seen in observations]
    if any(late <= early for early, late in pairwise(times)):
        raise ValueError("observations: not in order of time")
    chain = tuple(_chosen(observations, *place) for place in said.evidence)
    at, item = chain[-1]
    points = np.array(document.matched_points, np.float32).reshape(-1, 4)
    decision = Decision(
        verdict=said.verdict,
        asset=asset,
        label=said.label,
        at=MediaTime(document.session, said.at_us),
        reference_us=said.reference_us,
        region=_region(said.outline),
        view=_view(said.view),
        nats=said.nats,
        rule=said.rule,
        first_evidence=MediaTime(document.session, said.first_evidence_us),
        evidence=(*chain[:-1], (at, dataclasses.replace(item, points=points))),
    )
    before = document.standing
    standing = None if before is None else (before.verdict, MediaTime(document.session, before.at_us))
    return EvidenceFile(
        id=document.id,
        evidence_id=document.evidence_id,
        streamguard=document.streamguard,
        stream=StreamId(document.stream),
        session=SessionId(document.session_id),
        decided_unix_s=document.decided_unix_s,
        library_version=document.library_version,
        decision=decision,
        recording=Recording(document.rule, observations, standing, document.policy),
        weights=document.weights,
        thumbnail=thumbnails[0],
        reference_thumbnail=thumbnails[1],
    )


def _check_rule(rule: DecisionRule) -> None:
    """Raises ValueError for a rule that nothing can be computed by."""
    numbers = [value for value in dataclasses.asdict(rule).values() if isinstance(value, int | float)]
    if rule.half_life_s <= 0 or any(abs(number) > _MOST_NUMBER for number in numbers):
        raise ValueError("rule: numbers that no rule has")


def _observation(seen: _Observation, session: int, asset: AssetId) -> Observation:
    evidence = tuple(
        Evidence(
            asset=asset,
            label=item.label,
            kind=item.kind,
            place=_place(item.from_us, item.to_us),
            view=_view(item.view),
            region=_region(item.outline),
            nats=item.nats,
            distance_bits=item.distance_bits,
            tells_when=item.tells_when,
            features=item.features,
        )
        for item in seen.evidence
    )
    return Observation(MediaTime(session, seen.at_us), evidence)


def _chosen(observations: tuple[Observation, ...], number: int, item: int) -> tuple[MediaTime, Evidence]:
    if number >= len(observations) or item >= len(observations[number].evidence):
        raise ValueError("decision.evidence: names an observation that is not there")
    return observations[number].at, observations[number].evidence[item]


def _place(from_us: int, to_us: int) -> Place:
    if from_us > to_us:
        raise ValueError("observations: a place that ends before it begins")
    return Place(from_us, to_us)


def _view(label: str) -> View:
    if label not in _VIEWS:
        raise ValueError("view: not one of the sixteen")
    return _VIEWS[label]


def _region(outline: tuple[Any, ...]) -> Outline:
    return Quad(outline) if isinstance(outline[0], tuple) else Region(*outline)


def _picture(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("thumbnail: not base64") from error
    if data and not is_thumbnail(data):
        raise ValueError("thumbnail: no small grey JPEG")
    return data
