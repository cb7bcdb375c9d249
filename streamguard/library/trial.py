"""Footage is tried as lists are (poison.py) before it counts: what somebody hands on in a bundle, and what is added in
an incident's haste. A bundle is hostile until shown otherwise; a stream's last two minutes may begin with a studio.

Only looks are tried: of harmless pictures a library keeps no local features. A moment whose look is poison goes with
its features; footage that is mostly so goes into quarantine as a whole, as it came.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise

import numpy as np
from numpy.typing import NDArray

from streamguard.library.common_pictures import common_pictures
from streamguard.library.faiss_flat import FlatIndex
from streamguard.library.pdq_index import MOST_BITS
from streamguard.library.poison import Known, Reason, flat, floods, keep_company, near_any, views_of
from streamguard.types import PDQ_BYTES, Codes, Place, Reference

_VIEWS = 16
"""Of a hash: see poison.views_of."""

_MOSTLY = 0.2
"""As of a film of a list: see exchange.taking."""

_MOSTLY_FLAT = 0.5
"""Symmetric pictures are flat by their bits, and footage may have some."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What counts of footage; `left_out` of its looks do not. With a `reason` it belongs into quarantine as it came."""

    reference: Reference
    reason: Reason = Reason.NONE
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Marks:
    """Of each look of all footage that is tried together."""

    flat: NDArray[np.bool_]
    common: NDArray[np.bool_]
    clash: NDArray[np.bool_]

    def of(self, own: slice) -> "_Marks":
        return _Marks(self.flat[own], self.common[own], self.clash[own])


def tried(references: Sequence[Reference], known: Known, *, of_others: bool) -> tuple[Tried, ...]:
    """Each of them. What we made of files and streams ourselves has no flat looks, is no flood, and is not judged by
    its company. The same is judged the same.
    """
    codes = _codes([look.code for one in references for look in one.prints])
    qualities = np.array([look.quality for one in references for look in one.prints], np.uint8)
    marks = _Marks(
        flat=flat(codes, qualities) if of_others else np.zeros(len(codes), np.bool_),
        common=near_harmless(codes, np.concatenate([known.benign, common_pictures()])),
        clash=near_any(codes, known.rivals),
    )
    starts = np.cumsum([0, *(len(one.prints) for one in references)]).tolist()
    each = [marks.of(slice(first, stop)) for first, stop in pairwise(starts)]
    reasons = np.array([_reason(one) for one in each], np.uint8)
    if of_others:
        # Moments of one film look alike. Films do not, so one look stands for each.
        middles = [one.prints[len(one.prints) // 2].code for one in references if one.prints]
        crowd = floods(_codes(middles)) if len(middles) == len(references) else np.zeros(len(references), np.bool_)
        reasons[crowd & (reasons == Reason.NONE)] = Reason.FLOOD
        keep_company(reasons)
    return tuple(
        _tried(reference, one, Reason(reason))
        for reference, one, reason in zip(references, each, reasons.tolist(), strict=True)
    )


def near_harmless(codes: Codes, harmless: Codes) -> NDArray[np.bool_]:
    """Which lie within the radius of a match of any view of these pictures. Of a few, their own views are looked up: a
    view moves all hashes alike, and nobody waits for 16 times 20,000 in a crisis.
    """
    if len(codes) >= len(harmless):
        return near_any(codes, views_of(harmless))
    hits = FlatIndex(harmless).within(views_of(codes), radius_bits=MOST_BITS)
    by_view: NDArray[np.bool_] = (np.diff(hits.starts) > 0).reshape(_VIEWS, len(codes))
    near: NDArray[np.bool_] = np.logical_or.reduce(by_view, axis=0)
    return near


def _reason(marks: _Marks) -> Reason:
    if not len(marks.flat):  # the library says what is wrong with it
        return Reason.NONE
    if marks.flat.mean() > _MOSTLY_FLAT:
        return Reason.FLAT
    if (marks.common | marks.clash).mean() > _MOSTLY:
        return Reason.COMMON if marks.common.sum() >= marks.clash.sum() else Reason.CLASH
    return Reason.NONE


def _tried(reference: Reference, marks: _Marks, reason: Reason) -> Tried:
    bad = marks.flat | marks.common | marks.clash
    if reason is not Reason.NONE or not bad.any():
        return Tried(reference, reason)
    places = [look.place for look in reference.prints]
    out = _meeting(places, [place for place, is_bad in zip(places, bad.tolist(), strict=True) if is_bad])
    if out.all():
        return Tried(reference, Reason.COMMON if marks.common.any() else Reason.FLAT)
    frames_out = _meeting([frame.place for frame in reference.frames], list(compress(places, out)))
    prints = tuple(compress(reference.prints, ~out))
    frames = tuple(compress(reference.frames, ~frames_out))
    return Tried(replace(reference, prints=prints, frames=frames), left_out=int(out.sum()))


def _meeting(places: Sequence[Place], others: Sequence[Place]) -> NDArray[np.bool_]:
    """Which share a moment with any of the others, of which there is one at least."""
    by_beginning = sorted(others, key=lambda place: place.from_us)
    firsts_us = np.array([place.from_us for place in by_beginning], np.int64)
    lasts_us = np.maximum.accumulate(np.array([place.to_us for place in by_beginning], np.int64))
    begun = np.searchsorted(firsts_us, np.array([place.to_us for place in places], np.int64), side="right")
    since_us = np.array([place.from_us for place in places], np.int64)
    meeting: NDArray[np.bool_] = (begun > 0) & (lasts_us[np.maximum(begun, 1) - 1] >= since_us)
    return meeting


def _codes(codes: Sequence[bytes]) -> Codes:
    return np.frombuffer(b"".join(codes), np.uint8).reshape(-1, PDQ_BYTES)
