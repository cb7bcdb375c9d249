"""Weights: nearer is worth more, beyond the radius nothing, and never a kill's worth in one keyframe."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import FeatureWeights, PdqWeights, weigh, weigh_alignments
from streamguard.types import (
    PDQ_BITS,
    TELLS_WHEN_BITS,
    Alignment,
    AssetId,
    Candidate,
    MediaKind,
    Place,
    Quad,
    Region,
    View,
)

CANDIDATE = Candidate(
    asset=AssetId("fight"),
    label="violence",
    kind=MediaKind.VIDEO,
    place=Place(3_000_000, 3_080_000),
    nearest_elsewhere_bits=100,
    view=View.MIRRORED,
    region=Region(0.0, 0.1, 1.0, 0.9),
    distance_bits=10,
)

ALIGNMENT = Alignment(
    asset=AssetId("fight"),
    label="violence",
    kind=MediaKind.VIDEO,
    place=Place(3_000_000, 4_000_000),
    mirrored=False,
    outline=Quad(((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))),
    features=9,
    telling=7,
    spread=0.3,
    moving_share=0.5,
)
FEATURES = FeatureWeights()


def test_evidence_names_what_matched() -> None:
    """All that the candidate says goes on into the evidence."""
    (evidence,) = weigh([CANDIDATE], PdqWeights())
    for name in ("asset", "label", "kind", "place", "view", "region", "distance_bits"):
        assert getattr(evidence, name) == getattr(CANDIDATE, name)


@pytest.mark.parametrize(("distance_bits", "nats"), [(0, 10.0), (31, 6.0)])
def test_nats_at_the_ends(distance_bits: int, nats: float) -> None:
    """An exact match is worth `nats_at_zero`, one at the radius `nats_at_radius`."""
    (evidence,) = weigh([replace(CANDIDATE, distance_bits=distance_bits)], PdqWeights())
    assert evidence.nats == pytest.approx(nats)


@given(st.integers(0, 31))
def test_nearer_is_worth_more(distance_bits: int) -> None:
    """Each bit costs, and no match is worth a kill by itself."""
    candidates = [replace(CANDIDATE, distance_bits=bits) for bits in (distance_bits, distance_bits + 1)]
    nats = [evidence.nats for evidence in weigh(candidates, PdqWeights(radius_bits=32))]
    assert BUILT_IN_RULE.kill_nats > nats[0] > nats[1] > 0


def test_beyond_the_radius_is_left_out() -> None:
    """What is farther than the radius is no evidence; the rest keeps its order."""
    candidates = [replace(CANDIDATE, distance_bits=bits) for bits in (40, 31, 32, 5)]
    assert [evidence.distance_bits for evidence in weigh(candidates, PdqWeights())] == [31, 5]
    assert weigh([], PdqWeights()) == ()


@pytest.mark.parametrize("distance_bits", [0, 5, 31])
def test_tells_when_by_the_margin(distance_bits: int) -> None:
    """At exactly 16 bits nearer than any other moment of the footage a match tells when, at 15 it does not."""
    margins_bits = (-distance_bits, 0, TELLS_WHEN_BITS - 1, TELLS_WHEN_BITS, 128)
    candidates = [
        replace(CANDIDATE, distance_bits=distance_bits, nearest_elsewhere_bits=distance_bits + margin_bits)
        for margin_bits in margins_bits
    ]
    assert TELLS_WHEN_BITS == 16
    assert [evidence.tells_when for evidence in weigh(candidates, PdqWeights())] == [False, False, False, True, True]
    strict = PdqWeights(tells_when_bits=TELLS_WHEN_BITS + 1)
    assert [evidence.tells_when for evidence in weigh(candidates, strict)] == [False, False, False, False, True]


@given(st.integers(0, 31))
def test_images_have_no_when(distance_bits: int) -> None:
    """An image has no other moment, and is told by being seen, however far off."""
    image = replace(CANDIDATE, kind=MediaKind.IMAGE, nearest_elsewhere_bits=PDQ_BITS, distance_bits=distance_bits)
    (evidence,) = weigh([image], PdqWeights())
    assert evidence.tells_when


@given(st.integers(0, 31))
def test_video_without_another_moment_tells_nothing(distance_bits: int) -> None:
    """Where there is no other moment to be nearer than, not even an exact match tells when."""
    (evidence,) = weigh([replace(CANDIDATE, nearest_elsewhere_bits=0, distance_bits=distance_bits)], PdqWeights())
    assert not evidence.tells_when


def test_evidence_names_what_was_laid_over_the_picture() -> None:
    """All that the alignment says goes on into the evidence, which rests on features and on no distance."""
    (evidence,) = weigh_alignments([ALIGNMENT], FEATURES)
    for name in ("asset", "label", "kind", "place"):
        assert getattr(evidence, name) == getattr(ALIGNMENT, name)
    assert (evidence.region, evidence.view) == (ALIGNMENT.outline, View.UPRIGHT)
    assert (evidence.features, evidence.distance_bits) == (7, None)
    assert evidence.nats == pytest.approx(7 * FEATURES.nats_a_telling_feature)
    assert evidence.tells_when
    (mirrored,) = weigh_alignments([replace(ALIGNMENT, mirrored=True)], FEATURES)
    assert mirrored.view is View.MIRRORED


@pytest.mark.parametrize(
    ("features", "telling", "worth"),
    [
        (9, 5, []),
        (9, 6, [(6, True)]),
        (10, 5, [(10, False)]),
        (10, 6, [(6, True), (10, False)]),
        (300, 300, [(300, True), (300, False)]),
    ],
)
def test_features_that_tell_and_those_of_any_kind_count_apart(
    features: int, telling: int, worth: list[tuple[int, bool]]
) -> None:
    """From six that tell when on they count towards a kill, and from ten of any kind on towards a review."""
    weighed = weigh_alignments([replace(ALIGNMENT, features=features, telling=telling)], FEATURES)
    assert [(evidence.features, evidence.tells_when) for evidence in weighed] == worth


@given(st.integers(6, 1000), st.integers(0, 1000))
def test_more_features_are_worth_more_up_to_a_ceiling(telling: int, others: int) -> None:
    """No keyframe is worth a kill by itself, however much of it agrees."""
    alignment = replace(ALIGNMENT, features=telling + others, telling=telling)
    better = replace(ALIGNMENT, features=telling + others + 1, telling=telling + 1)
    nats = [evidence.nats for evidence in weigh_alignments([alignment, better], FEATURES) if evidence.tells_when]
    assert BUILT_IN_RULE.kill_nats > FEATURES.most_nats >= nats[1] >= nats[0] > 0
    assert nats[1] > nats[0] or nats[1] == FEATURES.most_nats


@pytest.mark.parametrize(
    ("kind", "spread", "tells_when"),
    [
        (MediaKind.VIDEO, 0.014, []),
        (MediaKind.VIDEO, 0.015, [True]),
        (MediaKind.VIDEO, 0.03, [True, False]),
        (MediaKind.IMAGE, 0.49, [False]),
        (MediaKind.IMAGE, 0.5, [True, False]),
    ],
)
def test_what_spans_little_tells_nothing(kind: MediaKind, spread: float, tells_when: list[bool]) -> None:
    """A logo, a caption or a banner that strangers wear as well is no footage; of an image half must be seen."""
    weighed = weigh_alignments([replace(ALIGNMENT, kind=kind, spread=spread, features=40, telling=40)], FEATURES)
    assert [evidence.tells_when for evidence in weighed] == tells_when


def test_where_other_things_move_it_is_another_time() -> None:
    """With half the usual share of what moves in the stream, what tells when is worth half; with none, nothing."""
    shares = [FEATURES.usual_share * part for part in (2.0, 1.0, 0.5, 0.0)]
    alignments = [replace(ALIGNMENT, features=9, telling=12, moving_share=share) for share in shares]
    weights = replace(FEATURES, most_nats=100.0)
    nats = [[one.nats for one in weigh_alignments([alignment], weights) if one.tells_when] for alignment in alignments]
    full = 12 * FEATURES.nats_a_telling_feature
    assert nats == [[pytest.approx(full)], [pytest.approx(full)], [pytest.approx(full / 2)], []]


def test_nothing_laid_over_the_picture_is_no_evidence() -> None:
    """Nor are alignments with too few features of either kind; the rest keeps its order."""
    few, many = replace(ALIGNMENT, features=6, telling=3), replace(ALIGNMENT, features=30, telling=0)
    assert weigh_alignments([], FEATURES) == ()
    assert [evidence.features for evidence in weigh_alignments([few, many, ALIGNMENT], FEATURES)] == [30, 7]
