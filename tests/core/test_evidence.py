"""Weights: nearer is worth more, beyond the radius nothing, and never a kill's worth in one keyframe."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.decide import BUILT_IN_RULE
from streamguard.core.evidence import PdqWeights, weigh
from streamguard.types import PDQ_BITS, TELLS_WHEN_BITS, AssetId, Candidate, MediaKind, Place, Region, View

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
