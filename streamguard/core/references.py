"""Known footage, condensed: a look for each time the picture has moved on, and how much each look tells about *when*.

The industry's rule matches one frame against one frame, and so takes the same camera at another time for the footage.
A look that many other moments of its own footage share says where the camera stood, not what it filmed.
"""

from collections.abc import Iterable

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

MOVED_BITS = 8
"""A frame this far from the last look kept is a new look; nearer ones stretch that look's place."""

ALIKE_BITS = 44
"""Moments of one's own footage this close look the same. Wider than a match (31 bits), so that the same camera at
another time does not pass for this time: benchmarks/time_blindness.py measures what each width costs and saves."""

APART_S = 1.5
APART_SHARE = 0.15
"""Moments nearer than 1.5 s, or 15 % of a short clip, are neighbours, and always look alike."""

_MOMENTS = 512

Look = tuple[int, Fingerprint]


def condense(frames: Iterable[Fingerprints], *, kind: MediaKind) -> Reference:
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
    prints = [look for track in (whole, inside) for look in _condense_track(track, last_us=last_us, kind=kind)]
    return Reference(
        kind=kind,
        duration_us=0 if kind is MediaKind.IMAGE else last_us,
        frames_seen=seen,
        blank_share=blank / seen if seen else 0.0,
        prints=tuple(prints),
    )


def _condense_track(track: list[Look], *, last_us: int, kind: MediaKind) -> list[ReferencePrint]:
    if not track:
        return []
    runs: list[tuple[Place, Fingerprint]] = []
    for at_us, look in track:
        if runs and pdq.distance_bits(runs[-1][1].codes[View.UPRIGHT], look.codes[View.UPRIGHT]) <= MOVED_BITS:
            runs[-1] = Place(runs[-1][0].from_us, at_us), runs[-1][1]
        else:
            runs.append((Place(at_us, at_us), look))
    shares = _alike_shares(runs, track, duration_us=last_us) if kind is MediaKind.VIDEO else np.zeros(len(runs))
    return [
        ReferencePrint(place, look.codes[View.UPRIGHT], look.quality, float(share))
        for (place, look), share in zip(runs, shares, strict=True)
    ]


def _alike_shares(runs: list[tuple[Place, Fingerprint]], track: list[Look], *, duration_us: int) -> NDArray[np.float64]:
    """For each run, the share of the other moments of its footage that look like it; 1 where there are no others."""
    sampled = [track[i] for i in np.unique(np.linspace(0, len(track) - 1, _MOMENTS).astype(int))]
    moments_us = np.array([at_us for at_us, _ in sampled])
    moments = _words([look.codes[View.UPRIGHT] for _, look in sampled])
    apart_us = min(APART_S * 1e6, APART_SHARE * duration_us)
    shares = np.ones(len(runs))
    for i, (place, look) in enumerate(runs):
        elsewhere = (moments_us < place.from_us - apart_us) | (moments_us > place.to_us + apart_us)
        if not elsewhere.any():
            continue
        code = _words([look.codes[View.UPRIGHT]])
        bits = np.bitwise_count(moments[elsewhere] ^ code).sum(axis=1)
        shares[i] = np.mean(bits <= ALIKE_BITS)
    return shares


def _words(codes: list[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(codes), np.uint64).reshape(len(codes), -1)
