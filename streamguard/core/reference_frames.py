"""The local features of known footage: a frame for each time the picture has moved on, and how much each feature tells
about *when*.

A corner that the footage's other moments show at the same place says where the camera stood: the background of a room,
a channel's logo, a caption. Somebody else's stream may show it too. Only what comes and goes tells the moment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.stillness import same_place
from streamguard.types import Features, MediaKind, Place, ReferenceFrame

EVERY_S = 1.0
SOONER_S = 0.25
MOVED_BITS = 64
"""A picture that changes by more than this has a frame of its own, however soon after the last."""

NEW_FEATURES = 20
NEW_SHARE = 0.1
NEW_SHARE_OF_FEW = 0.2
"""With fewer features that the last frame kept does not have, a frame only prolongs that one's place; where there are
few at all, with fewer than a fifth of them.
"""

APART_S = 1.5
APART_SHARE = 0.15
"""Moments nearer than 1.5 s, or 15 % of a short clip, are neighbours, and always look alike."""

_NEIGHBOURS = 2
_SPREAD = 12
_ALL = 255


@dataclass(frozen=True, slots=True)
class Sampled:
    """A frame that was sampled: the features to keep, and all that can be seen in it."""

    at_us: int
    features: Features
    surroundings: Features
    thumbnail: bytes = b""


@dataclass(slots=True)
class FrameSampler:
    """Says which frames of a clip, in order, are worth the cost of their features."""

    _at_us: int | None = None
    _code: bytes = b""

    def wants(self, at_us: int, code: bytes) -> bool:
        """`code` is the PDQ hash of the whole picture, upright."""
        if self._at_us is not None:
            passed_s = (at_us - self._at_us) / 1e6
            moved = pdq.distance_bits(code, self._code) > MOVED_BITS
            if passed_s < (SOONER_S if moved else EVERY_S):
                return False
        self._at_us, self._code = at_us, code
        return True


def reference_frames(
    frames: Sequence[Sampled], *, kind: MediaKind, duration_us: int, on_frame: Callable[[], None]
) -> tuple[ReferenceFrame, ...]:
    """What the library keeps of a clip's sampled frames, in order of time.

    Each is compared with a dozen other moments and more, near and far; `on_frame` is called after each.
    """
    kept: list[ReferenceFrame] = []
    times_us = np.array([frame.at_us for frame in frames], np.int64)
    apart_us = min(APART_S * 1e6, APART_SHARE * duration_us)
    blank = False
    for number, frame in enumerate(frames):
        at_us, found = frame.at_us, frame.features
        on_frame()
        if not len(found):
            blank = True
            continue
        # What comes back after the picture was empty for a while is another place.
        came_back = blank and bool(kept) and at_us - kept[-1].place.to_us > APART_S * 1e6
        blank = False
        if kept and not came_back and not _moved_on(found, kept[-1].features):
            last = kept[-1]
            kept[-1] = replace(last, place=Place(last.place.from_us, at_us))
            continue
        if kind is MediaKind.IMAGE:
            elsewhere = np.zeros(len(found), np.uint8)
        else:
            others = [frames[other].surroundings for other in _others(times_us, number, apart_us=apart_us)]
            elsewhere = _seen_elsewhere(found, others)
        kept.append(ReferenceFrame(Place(at_us, at_us), found, elsewhere, frame.thumbnail))
    return tuple(kept)


def _moved_on(found: Features, last: Features) -> bool:
    new = len(found) - np.count_nonzero(same_place(found, last))
    return bool(new >= max(NEW_SHARE * len(found), min(NEW_FEATURES, NEW_SHARE_OF_FEW * len(found))))


def _others(times_us: NDArray[np.int64], number: int, *, apart_us: float) -> list[int]:
    """Moments that are no neighbours: the nearest on each side, and a dozen spread over the rest.

    The nearest show what one shot shows all along, the far ones what comes back.
    """
    before = np.flatnonzero(times_us <= times_us[number] - apart_us)
    after = np.flatnonzero(times_us >= times_us[number] + apart_us)
    rest = np.concatenate([before, after])
    if not len(rest):
        return []
    spread = rest[np.unique(np.linspace(0, len(rest) - 1, _SPREAD).round().astype(np.int64))]
    near = np.concatenate([before[-_NEIGHBOURS:], after[:_NEIGHBOURS]])
    return [int(other) for other in np.unique(np.concatenate([spread, near]))]


def _seen_elsewhere(found: Features, others: Sequence[Features]) -> NDArray[np.uint8]:
    """For each feature the share of the others that have it, 0 to 255. Without others nothing tells when."""
    if not others:
        return np.full(len(found), _ALL, np.uint8)
    seen = np.sum([same_place(found, other) for other in others], axis=0, dtype=np.int64)
    # In whole numbers: rounded up, 255.00000000000003 would be 256, and that 0.
    return np.asarray(-(-seen * _ALL // len(others)), np.uint8)
