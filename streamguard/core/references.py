"""Known footage, condensed: a look for each time the picture has moved on, and how much each look tells about *when*.

The industry's rule matches one frame against one frame, and so takes the same camera at another time for the footage.
A look that another moment of its own footage shares says where the camera stood, not what it filmed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.features import Extraction
from streamguard.core.reference_frames import APART_S, APART_SHARE, Sampled, reference_frames
from streamguard.types import (
    PDQ_BITS,
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
"""A frame farther than this from the last look kept is a new look; nearer ones stretch that look's place."""

_MOMENTS = 16_384
"""Of footage with more frames (nine minutes at 30 a second), so many at even steps are compared. Few will not do: a
title that comes back for three seconds an hour would be passed over, and tell when in every stream that shows it."""

NO_SAMPLES: Mapping[Extraction, Sequence[Sampled]] = MappingProxyType({})

Look = tuple[int, Fingerprint]


def condense(
    frames: Iterable[Fingerprints],
    *,
    kind: MediaKind,
    samples: Mapping[Extraction, Sequence[Sampled]] = NO_SAMPLES,
    on_look: Callable[[], None] = lambda: None,
) -> Reference:
    """All that the library keeps of a clip, from its frames in order: every frame, so that no keyframe falls between;
    and from `samples` of each reading, which may be filled while the frames are taken, the local features.

    Frames below the least quality (black, flat, fades) are not kept; `blank_share` says how many those were.
    Footage between black bars is kept with and without them. After the last frame each look is compared with all other
    moments, which takes minutes for hours of footage: `on_look` is called after each.
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
    prints = [
        look for track in (whole, inside) for look in _condense_track(track, duration_us, kind=kind, on_look=on_look)
    ]
    return Reference(
        kind=kind,
        duration_us=duration_us,
        frames_seen=seen,
        blank_share=blank / seen if seen else 0.0,
        prints=tuple(prints),
        frames=tuple(
            frame
            for shape in samples.values()
            for frame in reference_frames(shape, kind=kind, duration_us=duration_us, on_frame=on_look)
        ),
    )


def _condense_track(
    track: list[Look], duration_us: int, *, kind: MediaKind, on_look: Callable[[], None]
) -> list[ReferencePrint]:
    if not track:
        return []
    runs = _runs(track)
    if kind is MediaKind.IMAGE:
        # It has no other moments, so it can be taken for none of them.
        nearest = [PDQ_BITS] * len(runs)
    else:
        nearest = _nearest_elsewhere(runs, track, duration_us, on_look=on_look)
    return [
        ReferencePrint(place, look.codes[View.UPRIGHT], look.quality, bits)
        for (place, look), bits in zip(runs, nearest, strict=True)
    ]


def _runs(track: list[Look]) -> list[tuple[Place, Fingerprint]]:
    """The looks to keep, each the first of its place. A place ends where for `APART_S` there was nothing to see."""
    runs: list[tuple[Place, Fingerprint]] = []
    for at_us, look in track:
        if runs:
            place, first = runs[-1]
            bits = pdq.distance_bits(first.codes[View.UPRIGHT], look.codes[View.UPRIGHT])
            if bits <= MOVED_BITS and at_us - place.to_us <= APART_S * 1e6:
                runs[-1] = Place(place.from_us, at_us), first
                continue
        runs.append((Place(at_us, at_us), look))
    return runs


def _nearest_elsewhere(
    runs: list[tuple[Place, Fingerprint]], track: list[Look], duration_us: int, *, on_look: Callable[[], None]
) -> list[int]:
    """For each run, how many bits away the most similar other moment is; 0 where there is no other.

    Others are counted from the middle of the run: a look that is held long has seen its own time pass, and tells less.
    """
    sampled = [track[i] for i in np.unique(np.linspace(0, len(track) - 1, _MOMENTS).astype(int))]
    moments_us = np.array([at_us for at_us, _ in sampled])
    moments = np.ascontiguousarray(_words([look.codes[View.UPRIGHT] for _, look in sampled]).T)
    apart_us = min(APART_S * 1e6, APART_SHARE * duration_us)
    nearest = []
    for place, look in runs:
        until = np.searchsorted(moments_us, place.middle_us - apart_us, side="left")
        since = np.searchsorted(moments_us, place.middle_us + apart_us, side="right")
        code = _words([look.codes[View.UPRIGHT]])[0]
        bits = [_least_bits(moments[:, :until], code), _least_bits(moments[:, since:], code)]
        nearest.append(min((least for least in bits if least is not None), default=0))
        on_look()
    return nearest


def _least_bits(moments: NDArray[np.uint64], code: NDArray[np.uint64]) -> int | None:
    """How far the nearest of the moments (a column each) is; word by word, which is ten times as fast as by moment."""
    if not moments.shape[1]:
        return None
    bits = np.zeros(moments.shape[1], np.uint16)
    for words, word in zip(moments, code, strict=True):
        bits += np.bitwise_count(words ^ word)
    return int(bits.min())


def _words(codes: list[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(codes), np.uint64).reshape(len(codes), -1)
