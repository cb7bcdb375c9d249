"""streamguard.core.geometry: a frame is laid over the picture where one possible map explains enough votes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.geometry import Geometry, align
from streamguard.types import Alignment, AssetId, MediaKind, Place, Votes

HOW = Geometry()
FRAME_PX = (512, 288)
STREAM_PX = (640, 360)
SHIFT_PX = np.array([64.0, 36.0])
_MIRROR = np.diag([-1.0, 1.0])


def _linear(*, scale: float = 1.0, stretch: float = 1.0, angle_deg: float = 0.0, mirrored: bool = False) -> np.ndarray:
    turn = np.deg2rad(angle_deg)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ np.diag([scale * stretch, scale])
    return linear @ _MIRROR if mirrored else linear


def _votes(
    linear: np.ndarray,
    shift_px: tuple[float, float],
    *,
    agree: int = 30,
    strangers: int = 0,
    noise_px: float = 0.0,
    seed: int = 0,
) -> Votes:
    """So many features that the map takes into the picture, and so many at any two places, all of them telling."""
    rng = np.random.default_rng(seed)
    frame = rng.uniform((0, 0), FRAME_PX, (agree + strangers, 2))
    stream = frame @ linear.T + shift_px + rng.normal(0, noise_px, frame.shape)
    stream[agree:] = rng.uniform((0, 0), STREAM_PX, (strangers, 2))
    order = rng.permutation(len(frame))
    count = len(frame)
    return Votes(
        asset=AssetId("fight"),
        label="violence",
        kind=MediaKind.VIDEO,
        place=Place(3_000_000, 4_000_000),
        mirrored=bool(np.linalg.det(linear) < 0),
        stream_size_px=STREAM_PX,
        frame_size_px=FRAME_PX,
        stream_places=stream[order].astype(np.float32),
        frame_places=frame[order].astype(np.float32),
        seen_elsewhere=np.zeros(count, np.uint8),
        still=np.zeros(count, np.bool_),
        known_places=frame[order].astype(np.float32),
        moving_places=stream[order].astype(np.float32),
    )


def _outline(linear: np.ndarray, shift_px: tuple[float, float]) -> np.ndarray:
    width, height = FRAME_PX
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    return np.asarray((corners @ linear.T + shift_px) / STREAM_PX)


def _one(votes: Votes) -> Alignment:
    (alignment,) = align(votes, HOW)
    return alignment


@given(
    scale=st.floats(0.3, 3.0),
    stretch=st.floats(0.65, 1.6),
    angle_deg=st.floats(-180, 180),
    mirrored=st.booleans(),
    seed=st.integers(0, 50),
)
@settings(max_examples=60, deadline=None)
def test_a_known_map_is_found_among_strangers(
    *, scale: float, stretch: float, angle_deg: float, mirrored: bool, seed: int
) -> None:
    """However the frame is scaled, stretched, turned and mirrored, and with as many strangers as features that agree,
    it is laid where it stands.
    """
    linear = _linear(scale=scale, stretch=stretch, angle_deg=angle_deg, mirrored=mirrored)
    shift_px = (200.0, 150.0)
    found = _one(_votes(linear, shift_px, strangers=30, noise_px=0.5, seed=seed))
    assert found.mirrored is mirrored
    # A place is at most `reach_px` off; corners that are far out of what was seen may be farther.
    assert np.abs(np.array(found.outline.corners()) - _outline(linear, shift_px)).max() <= 0.03 * max(1.0, scale)
    assert 20 <= found.features <= 60
    assert found.telling == found.features


def test_an_alignment_names_what_it_is_of() -> None:
    """All that the votes say of the footage goes on into the alignment."""
    votes = replace(_votes(_linear(), (64.0, 36.0)), kind=MediaKind.IMAGE)
    found = _one(votes)
    for name in ("asset", "label", "kind", "place", "mirrored"):
        assert getattr(found, name) == getattr(votes, name)
    assert found.outline.corners() == [pytest.approx(point, abs=1e-3) for point in _outline(_linear(), (64.0, 36.0))]


def test_the_outline_reaches_beyond_the_picture_where_footage_is_cropped() -> None:
    """Its corners are those of the whole frame, as shares of the picture, from its own top left on."""
    found = _one(_votes(_linear(scale=2.5), (-320.0, -180.0)))
    expected = ((-0.5, -0.5), (1.5, -0.5), (1.5, 1.5), (-0.5, 1.5))
    assert found.outline.corners() == [pytest.approx(corner, abs=0.01) for corner in expected]


def test_a_mirrored_frame_is_outlined_from_its_own_top_left() -> None:
    """That stands at the picture's top right."""
    found = _one(_votes(_linear(scale=1.25, mirrored=True), (640.0, 0.0)))
    assert found.outline.corners()[0] == pytest.approx([1.0, 0.0], abs=0.01)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_map_that_mirrors_otherwise_than_the_votes_is_refused(*, mirrored: bool) -> None:
    """Votes for a mirror image are explained by a map that mirrors, and by no other."""
    votes = _votes(_linear(mirrored=mirrored), (320.0, 36.0))
    assert len(align(votes, HOW)) == 1
    assert align(replace(votes, mirrored=not mirrored), HOW) == ()


@pytest.mark.parametrize(
    ("linear", "possible"),
    [
        (_linear(stretch=2.0), True),
        (_linear(scale=0.5, stretch=2.4), False),
        (_linear(scale=1.5, stretch=1 / 2.4), False),
        (_linear(scale=0.2), True),
        (_linear(scale=0.12), False),
        (_linear(scale=5.5), True),
        (_linear(scale=6.5), False),
        (np.array([[1.0, 0.0], [0.0, 0.0]]), False),
        (np.array([[1.0, 2.5], [0.0, 1.0]]), False),
    ],
    ids=["2.0", "2.4", "1/2.4", "small", "too small", "large", "too large", "a line", "sheared"],
)
def test_what_no_copy_is_is_refused(linear: np.ndarray, *, possible: bool) -> None:
    """Stretched by more than 2.2, sheared, flattened to a line, tiny or enormous: that is chance."""
    assert bool(align(_votes(linear, (10.0, 10.0), agree=60), HOW)) is possible


@given(seed=st.integers(0, 300), count=st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_strangers_hardly_ever_hang_together(seed: int, count: int) -> None:
    """Votes at any places are explained by no map, or by one with few features; never by what could kill alone."""
    found = align(_votes(_linear(), (0.0, 0.0), agree=0, strangers=count, seed=seed), HOW)
    assert all(alignment.features <= 8 for alignment in found)


@pytest.mark.parametrize("side", ["stream_places", "frame_places", "both"])
def test_repeated_places_do_not_add_up(side: str) -> None:
    """A pattern or a letter that votes a hundred times from one place counts once, on either side."""
    votes = _votes(_linear(), (64.0, 36.0), agree=5, seed=3)
    rows = np.repeat(np.arange(5), 20)
    wobble = np.random.default_rng(1).uniform(-0.2, 0.2, (100, 2)).astype(np.float32)
    snapped = np.rint(votes.frame_places / 4) * 4 + 2  # in the middle of a cell, so that no wobble leaves it
    frame = (snapped[rows] + (wobble if side != "stream_places" else 0)).astype(np.float32)
    stream = (snapped[rows] + (wobble if side != "frame_places" else 0) + SHIFT_PX).astype(np.float32)
    many = replace(
        votes,
        stream_places=stream,
        frame_places=frame,
        seen_elsewhere=np.zeros(100, np.uint8),
        still=np.zeros(100, np.bool_),
    )
    assert align(many, HOW) == ()


def test_the_side_with_fewer_places_counts() -> None:
    """Twelve of the picture's places that all look like the same six of the frame are six."""
    votes = _votes(_linear(), (64.0, 36.0), agree=12, seed=5)
    few = np.repeat(votes.frame_places[:6], 2, axis=0)
    stream = few + SHIFT_PX + np.tile(np.array([[-4.0, 0.0], [4.0, 0.0]]), (6, 1))
    found = align(replace(votes, frame_places=few, stream_places=stream.astype(np.float32)), HOW)
    assert [alignment.features for alignment in found] == [6]


@pytest.mark.parametrize("count", range(HOW.least_votes))
def test_too_few_votes_are_none(count: int) -> None:
    """Fewer than `least_votes` explain nothing, whatever their places are."""
    assert align(_votes(_linear(), (0.0, 0.0), agree=count), HOW) == ()


@given(seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_the_same_votes_give_the_same_map(seed: int) -> None:
    """However often they are asked, and whatever was asked in between: a decision can be replayed."""
    votes = _votes(_linear(scale=0.8, angle_deg=9.0), (90.0, 20.0), strangers=60, noise_px=1.5, seed=seed)
    first = align(votes, HOW)
    align(_votes(_linear(scale=0.5), (0.0, 0.0), strangers=20, seed=seed + 1), HOW)
    assert align(votes, HOW) == first


def test_what_tells_when_is_counted_apart() -> None:
    """Only what neither the stream shows all the time nor the footage's other moments show tells when."""
    votes = _votes(_linear(), (64.0, 36.0), agree=40)
    seen_elsewhere = np.zeros(40, np.uint8)
    seen_elsewhere[:10] = HOW.telling_elsewhere
    seen_elsewhere[10:20] = HOW.telling_elsewhere + 1
    still = np.zeros(40, np.bool_)
    still[15:30] = True
    found = _one(replace(votes, seen_elsewhere=seen_elsewhere, still=still))
    assert (found.features, found.telling) == (40, 20)


def test_the_share_of_what_moves_where_the_footage_stands() -> None:
    """Of the stream's features that move inside the outline, those that the frame has too; what moves outside of it
    does not count, and where nothing moves there is no share.
    """
    votes = _votes(_linear(), (64.0, 36.0), agree=20)
    inside = np.repeat(votes.stream_places.mean(axis=0)[None], 20, axis=0)
    outside = np.full((50, 2), 3.0, np.float32)
    moving = np.concatenate([votes.stream_places, inside, outside])
    votes = replace(votes, known_places=np.tile(votes.frame_places, (5, 1)))
    found = _one(replace(votes, moving_places=moving))
    assert found.moving_share == pytest.approx(found.telling / 40)
    still = replace(votes, still=np.ones(20, np.bool_), moving_places=moving)
    assert _one(still).moving_share == 0.0
    assert _one(replace(still, moving_places=np.empty((0, 2), np.float32))).moving_share == 0.0


def test_of_a_crop_it_is_the_share_of_what_is_left_of_the_frame() -> None:
    """A quarter of a frame, enlarged, has a quarter of its features; the stream has many more that look like none."""
    votes = _votes(_linear(scale=2.5), (0.0, 0.0), agree=80)
    shown = np.all(votes.stream_places <= STREAM_PX, axis=1)
    names = ("stream_places", "frame_places", "seen_elsewhere", "still")
    cropped = replace(votes, **{name: getattr(votes, name)[shown] for name in names})
    moving = np.random.default_rng(1).uniform((0, 0), STREAM_PX, (350, 2)).astype(np.float32)
    assert _one(replace(cropped, moving_places=moving)).moving_share >= 0.9


def test_an_image_is_still_by_nature() -> None:
    """What stands still in the stream tells of a known image all the same."""
    votes = replace(_votes(_linear(), (64.0, 36.0), agree=20), still=np.ones(20, np.bool_))
    assert _one(votes).telling == 0
    assert _one(replace(votes, kind=MediaKind.IMAGE)).telling == 20


def test_the_spread_is_the_area_that_is_seen() -> None:
    """The four corners of half the frame and what is between them: a half; a corner full of features: little."""
    rng = np.random.default_rng(2)
    inside = rng.uniform((0, 0), (256, 288), (20, 2))
    frame = np.concatenate([np.array([(0, 0), (256, 0), (256, 288), (0, 288)]), inside])
    votes = _votes(_linear(), (64.0, 36.0), agree=24)
    half = replace(votes, frame_places=frame.astype(np.float32), stream_places=(frame + SHIFT_PX).astype(np.float32))
    assert _one(half).spread == pytest.approx(0.5, abs=0.01)
    logo = frame * 0.1
    small = replace(votes, frame_places=logo.astype(np.float32), stream_places=(logo + SHIFT_PX).astype(np.float32))
    assert _one(small).spread <= 0.006


@given(
    places=st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 5.0, 639.0, 2047.0])] * 4), min_size=6, max_size=30),
    mirrored=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_no_places_are_an_error(places: list[tuple[float, ...]], *, mirrored: bool) -> None:
    """Places on one point or on one line, as an enemy may choose them, give nothing or a possible map."""
    array = np.array(places, np.float32)
    votes = replace(
        _votes(_linear(), (0.0, 0.0), agree=len(places)),
        stream_places=np.ascontiguousarray(array[:, :2]),
        frame_places=np.ascontiguousarray(array[:, 2:]),
        mirrored=mirrored,
    )
    for found in align(votes, HOW):
        assert HOW.least_votes <= found.features <= len(places)
        assert np.all(np.isfinite(found.outline.corners()))
        assert found.spread >= 0
