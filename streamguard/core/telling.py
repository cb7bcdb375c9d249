"""Can known footage earn a kill at all? Only with two moments of it that tell *when* in the footage we are.

Footage whose every moment looks like its others (a locked-off camera on a still scene) is a case for review by nature:
whatever a stream shows of it, the same camera may show on any other day.
"""

from collections.abc import Iterator
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import FeatureWeights
from streamguard.core.geometry import Geometry
from streamguard.types import (
    TELLS_WHEN_BITS,
    USUAL_COPY_BITS,
    MediaKind,
    Place,
    Places,
    Reference,
    ReferenceFrame,
)

_GEOMETRY, _WEIGHTS = Geometry(), FeatureWeights()

_OF_A_KILL = ceil(BUILT_IN_RULE.kill_nats / BUILT_IN_RULE.min_keyframes / _WEIGHTS.nats_a_telling_feature)
_OF_ALL_A_COPY_SHOWS_ONE_IN = 7

LEAST_FEATURES = _OF_A_KILL * _OF_ALL_A_COPY_SHOWS_ONE_IN
"""A poor copy shows one in seven of a moment's telling features, the rest is noise: two moments with so many are worth
a kill. In doubt it is a review. Measured on 24 made films of a camera that stands still, nothing to large things moving
before it, and 3 of one that moves, of 12 s each, and `check` of a copy at 240 x 136 and 300 kb/s: those whose second
best moment had 6 to 31 were reviewed (13), those with 35 to 234 killed (13), and one with 31 was killed, too.
"""

_CORNERS_OF_AN_AREA = 3


def review_only(reference: Reference) -> bool:
    """Whether it can earn a review at most: no two moments of it tell when that two keyframes may show."""
    if reference.kind is MediaKind.IMAGE:  # it has no other moment; of a list whose source is not trusted it is said
        return bool(reference.prints) and not any(look.nearest_elsewhere_bits for look in reference.prints)
    places = np.array([(place.from_us, place.to_us) for place in _telling_places(reference)], np.int64).reshape(-1, 2)
    places = places[np.argsort(places[:, 1])]
    since_us, until_us = places.T
    # Of those that end before another begins, the one that began first is the farthest from it.
    earlier = np.searchsorted(until_us, since_us)
    later = np.flatnonzero(earlier)
    firsts_us = np.minimum.accumulate(since_us)[earlier[later] - 1]
    return not bool(np.any(until_us[later] - firsts_us >= BUILT_IN_RULE.apart_s * 1e6))


def _telling_places(reference: Reference) -> Iterator[Place]:
    """Of looks that are far enough from all other moments for a usual copy, and of frames with enough to see."""
    for look in reference.prints:
        if look.nearest_elsewhere_bits >= TELLS_WHEN_BITS + USUAL_COPY_BITS:
            yield look.place
    for frame in reference.frames:
        if _tells_when(frame):
            yield frame.place


def _tells_when(frame: ReferenceFrame) -> bool:
    places = frame.features.places[frame.seen_elsewhere <= _GEOMETRY.telling_elsewhere]
    distinct = np.unique((places // _GEOMETRY.distinct_px).astype(np.int64), axis=0)  # some stand there in both forms
    size_px = frame.features.width_px * frame.features.height_px
    return len(distinct) >= LEAST_FEATURES and _area_px(places) >= _WEIGHTS.least_spread * size_px


def _area_px(places: Places) -> float:
    hull: NDArray[np.float32] = np.asarray(cv2.convexHull(places.reshape(-1, 1, 2)), np.float32)
    return float(cv2.contourArea(hull)) if len(hull) >= _CORNERS_OF_AN_AREA else 0.0
