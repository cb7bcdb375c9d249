"""What the keyframes of a stream were recognised as when they came, as a worker tells it and others read it.

Beside the fingerprints (worker.shown), which say nothing of it: a keyframe has the same name in both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from streamguard.core.variants import MOST_RECOGNISED, Recognised
from streamguard.library.segments import ID_PATTERN
from streamguard.types import AssetId
from streamguard.worker.part_ids import MARK_PATTERN, mark_of
from streamguard.worker.shown import MOST_OF_A_STREAM, Shown

_MOST_US = 1 << 62


@dataclass(frozen=True, slots=True)
class LookedUp:
    """`ago_s`: how long ago the keyframe was seen; `known` as in core.variants."""

    ago_s: float
    known: tuple[Recognised, ...] | None


def to_tree(keyframes: Iterable[Shown], *, now_s: float) -> dict[str, object]:
    """For JSON."""
    return {
        "keyframes": [
            {
                "mark": mark_of(one.packed),
                "ago_s": round(max(0.0, now_s - one.seen_s), 3),
                "known": None if one.known is None else [_tree(known) for known in one.known],
            }
            for one in keyframes
        ]
    }


def from_json(body: bytes) -> dict[str, LookedUp]:
    """By the names of the keyframes. Raises ValueError for anything that no worker says."""
    try:
        read = _Keyframes.model_validate_json(body)
    except ValidationError as error:
        raise ValueError("not what a worker says of keyframes") from error
    return {
        one.mark: LookedUp(one.ago_s, None if one.known is None else tuple(_recognised(known) for known in one.known))
        for one in read.keyframes
    }


def _tree(known: Recognised) -> dict[str, object]:
    return {
        "reference": known.asset,
        "nats": round(known.nats, 2),
        "tells_when": known.tells_when,
        "reference_at_us": known.reference_us,
    }


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)


class _Known(_Record):
    reference: Annotated[str, Field(pattern=ID_PATTERN)]
    nats: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    tells_when: bool
    reference_at_us: Annotated[int, Field(ge=0, le=_MOST_US)]


class _Keyframe(_Record):
    mark: Annotated[str, Field(pattern=rf"^{MARK_PATTERN}$")]
    ago_s: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    known: Annotated[tuple[_Known, ...], Field(max_length=MOST_RECOGNISED)] | None


class _Keyframes(_Record):
    keyframes: Annotated[tuple[_Keyframe, ...], FailFast(), Field(max_length=MOST_OF_A_STREAM)]


def _recognised(known: _Known) -> Recognised:
    return Recognised(AssetId(known.reference), known.nats, known.tells_when, known.reference_at_us)
