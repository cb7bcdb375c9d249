"""Weights: nearer is worth more, beyond the radius nothing, and never a kill's worth in one keyframe."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.decide import BUILT_IN_RULE
from streamguard.core.evidence import PdqWeights, weigh
from streamguard.types import MOST_ALIKE_SHARE, AssetId, Candidate, MediaKind, Place, Region, View

CANDIDATE = Candidate(
    asset=AssetId("fight"),
    label="violence",
    kind=MediaKind.VIDEO,
    place=Place(3_000_000, 3_080_000),
    alike_share=0.0,
    view=View.MIRRORED,
    region=Region(0.0, 0.1, 1.0, 0.9),
    distance_bits=10,
)


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


def test_alike_looks_tell_no_time() -> None:
    """A look that more than the allowed share of its footage has does not tell when; the share is the weights'."""
    shares = [0.0, MOST_ALIKE_SHARE, MOST_ALIKE_SHARE + 0.01, 1.0]
    candidates = [replace(CANDIDATE, alike_share=share) for share in shares]
    assert [evidence.tells_when for evidence in weigh(candidates, PdqWeights())] == [True, True, False, False]
    strict = PdqWeights(most_alike_share=0.0)
    assert [evidence.tells_when for evidence in weigh(candidates, strict)] == [True, False, False, False]


def test_images_have_no_when() -> None:
    """An image is told by being seen."""
    (evidence,) = weigh([replace(CANDIDATE, kind=MediaKind.IMAGE, alike_share=1.0)], PdqWeights())
    assert evidence.tells_when
