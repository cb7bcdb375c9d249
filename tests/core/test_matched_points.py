"""streamguard.core.matched_points: few of the places that agree, for people."""

import numpy as np

from streamguard.core.evidence import FeatureWeights, weigh_alignments
from streamguard.core.geometry import Geometry, align
from streamguard.core.matched_points import MOST_POINTS, matched_points
from streamguard.types import AssetId, MediaKind, Place, Votes


def _votes(count: int) -> Votes:
    """A frame of 320 x 180 that stands on screen twice as large, 10 px to the right; its features at random."""
    frame = np.random.default_rng(count).uniform((5, 5), (315, 175), (count, 2)).astype(np.float32)
    return Votes(
        asset=AssetId("fight"),
        label="violence",
        kind=MediaKind.VIDEO,
        place=Place(0, 0),
        mirrored=False,
        stream_size_px=(650, 360),
        frame_size_px=(320, 180),
        stream_places=frame * np.float32(2) + np.array([10, 0], np.float32),
        frame_places=frame,
        seen_elsewhere=np.where(np.arange(count) % 5, 255, 0).astype(np.uint8),
        still=np.zeros(count, np.bool_),
        known_places=frame,
        moving_places=np.empty((0, 2), np.float32),
    )


def test_those_that_tell_when_come_first() -> None:
    """All of them where there is room, then others; never more than 32, none twice, and none that does not agree."""
    votes = _votes(100)
    agree = np.arange(100) < 90
    telling = np.arange(100) % 5 == 0
    points = matched_points(votes, agree, telling=telling)
    assert points.shape == (MOST_POINTS, 4)
    assert len(np.unique(points, axis=0)) == MOST_POINTS
    frames = votes.frame_places / np.array([320, 180], np.float32)
    rows = [int(np.flatnonzero((frames == point[2:]).all(axis=1))[0]) for point in points]
    assert rows[:18] == list(range(0, 90, 5))
    assert all(row % 5 and row < 90 for row in rows[18:])


def test_few_are_all_shown() -> None:
    """Where fewer agree than there is room for, all of them are kept; of none there are none."""
    votes = _votes(20)
    nobody = np.zeros(20, np.bool_)
    assert len(matched_points(votes, ~nobody, telling=nobody)) == 20
    assert matched_points(votes, nobody, telling=nobody).shape == (0, 4)


def test_evidence_has_them_as_shares_of_both_pictures() -> None:
    """From votes to evidence: the map takes each point of the frame to its point on the stream, in shares of each."""
    (alignment,) = align(_votes(60), Geometry())
    for evidence in weigh_alignments([alignment], FeatureWeights()):
        assert 0 < len(evidence.points) <= MOST_POINTS
        expected = (evidence.points[:, 2:] * (320, 180) * 2 + (10, 0)) / (650, 360)
        assert np.allclose(evidence.points[:, :2], expected, atol=1e-4)


def test_nothing_is_decided_by_them() -> None:
    """Evidence is the same with them and without."""
    (alignment,) = align(_votes(60), Geometry())
    one = weigh_alignments([alignment], FeatureWeights())
    (other,) = align(_votes(60), Geometry())
    assert one == weigh_alignments([other], FeatureWeights())
    assert len({item.points.tobytes() for item in one}) == 1
