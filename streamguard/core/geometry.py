"""From votes to a place: which part of the stream's picture is which part of a known frame, if they hang together.

Features of strangers look alike now and then, but not at places that one affine map takes into each other. What one map
explains is counted by distinct places on both sides, so that a pattern which repeats, or letters, cannot add up.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core.matched_points import matched_points
from streamguard.types import Alignment, MediaKind, Places, Quad, Votes

_AFFINE = (2, 3)
"""The shape of what OpenCV finds; it says None, whatever its types say, where it finds nothing."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What an affine map may be. `reach_px` is how far off a place may be; `most_stretch` bounds how much more the map
    enlarges in one direction than in another, `least_scale` and `most_scale` how much at all.
    """

    least_votes: int = 6
    reach_px: float = 5.0
    rounds: int = 300
    most_stretch: float = 2.2
    least_scale: float = 0.15
    most_scale: float = 6.0
    distinct_px: float = 4.0
    telling_elsewhere: int = 40
    """Up to so many of 255 other moments with the same feature at the same place, it tells when: 16 %."""


def align(votes: Votes, how: Geometry) -> tuple[Alignment, ...]:
    """The frame laid over the picture, if one map explains enough of the votes; nothing otherwise. Deterministic."""
    if len(votes.stream_places) < how.least_votes:
        return ()
    # OpenCV seeds its random numbers anew for each call, so the same votes always give the same map.
    affine, inliers = cv2.estimateAffine2D(
        votes.frame_places,
        votes.stream_places,
        method=cv2.RANSAC,
        ransacReprojThreshold=how.reach_px,
        maxIters=how.rounds,
        confidence=0.99,
        refineIters=3,
    )
    found = np.asarray(affine, np.float64)
    if (
        found.shape != _AFFINE
        or not np.all(np.isfinite(found))
        or not _is_possible(found[:, :2], mirrored=votes.mirrored, how=how)
    ):
        return ()
    agree = np.asarray(inliers, np.bool_).ravel()
    # An image is still by nature.
    moving = agree & (~votes.still | (votes.kind is MediaKind.IMAGE))
    telling = moving & (votes.seen_elsewhere <= how.telling_elsewhere)
    features = _distinct(votes, agree, cell_px=how.distinct_px)
    if features < how.least_votes:
        return ()
    return (
        Alignment(
            asset=votes.asset,
            label=votes.label,
            kind=votes.kind,
            place=votes.place,
            mirrored=votes.mirrored,
            outline=_outline(found, votes),
            features=features,
            telling=_distinct(votes, telling, cell_px=how.distinct_px),
            spread=_spread(votes.frame_places[agree], votes.frame_size_px),
            moving_share=_moving_share(found, votes, alike=_distinct(votes, moving, cell_px=how.distinct_px)),
            points=matched_points(votes, agree, telling=telling),
        ),
    )


def _is_possible(linear: NDArray[np.float64], *, mirrored: bool, how: Geometry) -> bool:
    """Whether it turns, scales and stretches a picture as a copy is, and mirrors it just where the votes say so."""
    most, least = np.linalg.svd(linear, compute_uv=False)
    within = how.least_scale <= least and most <= how.most_scale
    return bool(np.isfinite(most) and within and most <= how.most_stretch * least) and (
        bool(np.linalg.det(linear) < 0) is mirrored
    )


def _distinct(votes: Votes, rows: NDArray[np.bool_], *, cell_px: float) -> int:
    """How many distinct places agree, on the side where they are fewer."""
    sides = (votes.stream_places[rows], votes.frame_places[rows])
    return min(len(np.unique((side // cell_px).astype(np.int64), axis=0)) for side in sides)


def _moving_share(found: NDArray[np.float64], votes: Votes, *, alike: int) -> float:
    """How much of what moves in the stream, where the frame stands, the frame has too; 0 where nothing moves there.

    Of a frame that is mostly cropped away few features are left to look like the stream's: then it is their share.
    """
    onto_frame = np.asarray(cv2.invertAffineTransform(found), np.float64)
    moving = _inside(votes.moving_places, onto_frame, size_px=votes.frame_size_px)
    known = _inside(votes.known_places, found, size_px=votes.stream_size_px)
    return alike / max(alike, min(moving, known), 1)


def _inside(places: Places, onto: NDArray[np.float64], *, size_px: tuple[int, int]) -> int:
    """How many of the places the map takes into a picture of that size."""
    mapped = places @ onto[:, :2].T + onto[:, 2]
    return int(np.count_nonzero(np.all((mapped >= 0) & (mapped <= size_px), axis=1)))


def _outline(found: NDArray[np.float64], votes: Votes) -> Quad:
    width, height = votes.frame_size_px
    corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)], np.float64)
    shares = corners @ found.T / np.array(votes.stream_size_px, np.float64)
    return Quad(tuple((float(x), float(y)) for x, y in shares))


def _spread(places: Places, size_px: tuple[int, int]) -> float:
    """The area that the places span, as a share of the frame's."""
    hull = cv2.convexHull(places.reshape(-1, 1, 2))
    return float(cv2.contourArea(hull)) / (size_px[0] * size_px[1])
