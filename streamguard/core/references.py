"""Known footage, condensed: a look for each time the picture has moved on, and how much each look tells about *when*.

The industry's rule matches one frame against one frame, and so takes the same camera at another time for the footage.
A look that many other moments of its own footage share says where the camera stood, not what it filmed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.types import (
    WHOLE_PICTURE,
    Fingerprint,
    Fingerprints,
    MediaKind,
    Place,
    Reference,
    ReferencePrint,
    View,
)


@dataclass(frozen=True, slots=True)
class AlikeRule:
    """When two moments of one's own footage look the same.

    A frame more than `moved_bits` from the last look kept is a new look; nearer ones stretch that look's place, unless
    for `apart_s` there was nothing to see. Moments within `alike_bits` look alike: wider than a match (31 bits), so
    that the same camera at another time does not pass for this time; docs/recognition.md says what each width costs
    and saves. Moments nearer than `apart_s`, or `apart_share` of a short clip, are neighbours, and always look alike.
    """

    moved_bits: int = 8
    alike_bits: int = 44
    apart_s: float = 1.5
    apart_share: float = 0.15

    def apart_us(self, duration_us: int) -> float:
        return min(self.apart_s * 1e6, self.apart_share * duration_us)


BUILT_IN_ALIKE = AlikeRule()

_MOMENTS = 512

Look = tuple[int, Fingerprint]


def condense(frames: Iterable[Fingerprints], *, kind: MediaKind, alike: AlikeRule = BUILT_IN_ALIKE) -> Reference:
    """All that the library keeps of a clip, from its frames in order (12 a second find every keyframe's neighbour).

    Frames below the least quality (black, flat, fades) are not kept; `blank_share` says how many those were.
    Footage between black bars is kept with and without them.
    """
    whole: list[Look] = []
    inside: list[Look] = []
    seen = blank = last_us = 0
    for frame in frames:
        seen += 1
        last_us = frame.at.pts_us
        telling = [look for look in frame.prints if look.quality >= pdq.MIN_QUALITY]
        blank += not telling
        for look in telling:
            (whole if look.region == WHOLE_PICTURE else inside).append((last_us, look))
    duration_us = 0 if kind is MediaKind.IMAGE else last_us
    prints = [look for track in (whole, inside) for look in _condense_track(track, duration_us, kind=kind, alike=alike)]
    return Reference(
        kind=kind,
        duration_us=duration_us,
        frames_seen=seen,
        blank_share=blank / seen if seen else 0.0,
        prints=tuple(prints),
    )


def _condense_track(track: list[Look], duration_us: int, *, kind: MediaKind, alike: AlikeRule) -> list[ReferencePrint]:
    if not track:
        return []
    runs = _runs(track, alike)
    shares = np.zeros(len(runs)) if kind is MediaKind.IMAGE else _alike_shares(runs, track, duration_us, alike=alike)
    return [
        # Rounded as the library keeps it, so that a look on the edge tells the same before and after.
        ReferencePrint(place, look.codes[View.UPRIGHT], look.quality, float(np.float32(share)))
        for (place, look), share in zip(runs, shares, strict=True)
    ]


def _runs(track: list[Look], alike: AlikeRule) -> list[tuple[Place, Fingerprint]]:
    """The looks to keep, each the first of its place."""
    runs: list[tuple[Place, Fingerprint]] = []
    for at_us, look in track:
        if runs:
            place, first = runs[-1]
            bits = pdq.distance_bits(first.codes[View.UPRIGHT], look.codes[View.UPRIGHT])
            if bits <= alike.moved_bits and at_us - place.to_us <= alike.apart_s * 1e6:
                runs[-1] = Place(place.from_us, at_us), first
                continue
        runs.append((Place(at_us, at_us), look))
    return runs


def _alike_shares(
    runs: list[tuple[Place, Fingerprint]], track: list[Look], duration_us: int, *, alike: AlikeRule
) -> NDArray[np.float64]:
    """For each run, the share of the other moments of its footage that look like it; 1 where there are no others.

    Others are counted from the middle of the run: a look that is held long has seen its own time pass, and tells less.
    """
    sampled = [track[i] for i in np.unique(np.linspace(0, len(track) - 1, _MOMENTS).astype(int))]
    moments_us = np.array([at_us for at_us, _ in sampled])
    moments = _words([look.codes[View.UPRIGHT] for _, look in sampled])
    apart_us = alike.apart_us(duration_us)
    shares = np.ones(len(runs))
    for i, (place, look) in enumerate(runs):
        elsewhere = np.abs(moments_us - place.middle_us) > apart_us
        if elsewhere.any():
            bits = np.bitwise_count(moments[elsewhere] ^ _words([look.codes[View.UPRIGHT]])).sum(axis=1)
            shares[i] = np.mean(bits <= alike.alike_bits)
    return shares


def _words(codes: list[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(codes), np.uint64).reshape(len(codes), -1)
