"""What a live stream has shown, as known footage: a reference made of its keyframes' fingerprints, without a picture.

It knows less than one that is made of a file: only keyframes, read as streams are, and of each only the corners that
were sent. Footage that another stream shows from other keyframes on is found by its local features.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamguard.core.features import STREAM
from streamguard.core.reference_frames import Sampled
from streamguard.core.references import condense
from streamguard.types import Features, Fingerprints, MediaKind, MediaTime, Reference


def sessions(keyframes: Sequence[Fingerprints]) -> tuple[tuple[Fingerprints, ...], ...]:
    """Each session's keyframes in order of time, the first session first: their clocks have nothing in common, and who
    comes back may show another part of the footage. Two keyframes of one moment count once.
    """
    found: dict[int, dict[int, Fingerprints]] = {}
    for keyframe in keyframes:
        found.setdefault(keyframe.at.session, {})[keyframe.at.pts_us] = keyframe
    return tuple(tuple(times[pts_us] for pts_us in sorted(times)) for times in found.values())


def as_reference(keyframes: Sequence[Fingerprints]) -> Reference:
    """Of one session's keyframes, in order of time; its own time begins with the first. Without looks where all of them
    are black, flat or fading.
    """
    first_us = keyframes[0].at.pts_us if keyframes else 0
    moved = [
        replace(keyframe, at=MediaTime(keyframe.at.session, keyframe.at.pts_us - first_us)) for keyframe in keyframes
    ]
    sampled = [
        Sampled(keyframe.at.pts_us, features, surroundings=features)
        for keyframe in moved
        for features in [_of_a_reference(keyframe.features)]
    ]
    return condense(moved, kind=MediaKind.VIDEO, samples={STREAM: sampled})


def _of_a_reference(features: Features) -> Features:
    """What stood still in that stream is told by the other keyframes."""
    return replace(features, still=np.zeros(len(features), np.bool_))
