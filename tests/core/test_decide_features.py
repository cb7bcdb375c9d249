"""Decisions on local features: footage that goes on is killed, soonest where it stays put; leaps and stills not."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import FeatureWeights
from streamguard.types import (
    WHOLE_PICTURE,
    AssetId,
    Evidence,
    MediaKind,
    MediaTime,
    Observation,
    Place,
    Quad,
    Region,
    Verdict,
    View,
)
from tests.observations import assert_batching_changes_nothing, assert_order_changes_nothing, decided, keyframes

FIGHT = AssetId("fight")
GOP_S = 2.0
RULE = BUILT_IN_RULE

_PATIENT = settings(deadline=None, max_examples=60)


def _outline(shift: float = 0.0) -> Quad:
    """Footage that fills half of the picture, moved to the right by that share of its width."""
    return Quad(((shift, 0.0), (0.5 + shift, 0.0), (0.5 + shift, 0.5), (shift, 0.5)))


def _evidence(place_s: float, *, nats: float = 9.0, shift: float = 0.0, features: int = 12) -> Evidence:
    """Features that tell when, of one moment of the one known video."""
    at_us = round(place_s * 1e6)
    return Evidence(
        asset=FIGHT,
        label="violence",
        kind=MediaKind.VIDEO,
        place=Place(at_us, at_us),
        view=View.UPRIGHT,
        region=_outline(shift),
        nats=nats,
        distance_bits=None,
        tells_when=True,
        features=features,
    )


def _hash(place_s: float, *, nats: float = 9.0, region: Region = WHOLE_PICTURE) -> Evidence:
    """A good PDQ match, of the whole picture where nothing else is said."""
    item = _evidence(place_s, nats=nats)
    return replace(item, region=region, distance_bits=8, features=None)


def _seen(at_s: float, *evidence: Evidence) -> Observation:
    return Observation(MediaTime(1, round(at_s * 1e6)), evidence)


def _shown(*evidence: Evidence, gop_s: float = GOP_S) -> list[Verdict]:
    """The verdicts on one piece of evidence a keyframe."""
    return [
        decision.verdict for decision in decided([_seen(gop_s * number, one) for number, one in enumerate(evidence)])
    ]


_PLACES_S = st.sampled_from([0.0, 0.5, 2.0, 3.0, 4.0, 6.0, 9.0, 20.0])
_FEATURES = st.builds(
    _evidence,
    _PLACES_S,
    nats=st.sampled_from([4.0, 7.0, 10.0]),
    shift=st.sampled_from([0.0, 0.8 * RULE.steady_share, 0.2]),
    features=st.integers(5, 90),
)
_ANY = st.builds(
    lambda item, asset, view, tells: replace(item, asset=asset[0], kind=asset[1], view=view, tells_when=tells),
    st.one_of(_FEATURES, _FEATURES, st.builds(_hash, _PLACES_S, nats=st.sampled_from([6.0, 10.0]))),
    st.sampled_from([(FIGHT, MediaKind.VIDEO), (FIGHT, MediaKind.VIDEO), (AssetId("picture"), MediaKind.IMAGE)]),
    st.sampled_from([View.UPRIGHT, View.UPRIGHT, View.MIRRORED]),
    st.booleans(),
)


@_PATIENT
@given(keyframes(_ANY), st.lists(st.integers(0, 14)))
def test_batching_changes_nothing(observations: list[Observation], cuts: list[int]) -> None:
    """Features and hashes mixed: the same state and decisions however the observations are batched."""
    assert_batching_changes_nothing(observations, cuts)


@_PATIENT
@given(keyframes(_ANY), st.randoms(use_true_random=False))
def test_order_within_a_keyframe_changes_nothing(observations: list[Observation], chance: random.Random) -> None:
    """In which order frames got their votes does not matter, ties included."""
    assert_order_changes_nothing(observations, chance)


@_PATIENT
@given(keyframes(_ANY))
def test_replay_is_exact(observations: list[Observation]) -> None:
    """Fed with nothing but its own evidence, a first kill falls again: same moment, nats and evidence."""
    for decision in decided(observations):
        if decision.verdict is Verdict.KILL:
            again = decided([Observation(at, (evidence,)) for at, evidence in decision.evidence])
            assert [one for one in again if one.verdict is Verdict.KILL][-1:] == [decision]


@_PATIENT
@given(keyframes(_FEATURES))
def test_every_kill_tells_one_of_the_stories(observations: list[Observation]) -> None:
    """Its keyframes all lead to the last one at a likely speed, all forwards or all backwards; only two where the
    footage stays where it is and goes forwards, else three.
    """
    for decision in decided(observations):
        if decision.verdict is not Verdict.KILL:
            continue
        *earlier, (now, last) = decision.evidence
        speeds = [(last.place.middle_us - one.place.middle_us) / (now.pts_us - at.pts_us) for at, one in earlier]
        slack = [RULE.speed_slack_s * 1e6 / (now.pts_us - at.pts_us) for at, _ in earlier]
        forwards = all(
            RULE.least_speed - more <= speed <= RULE.max_speed + more for speed, more in zip(speeds, slack, strict=True)
        )
        backwards = all(
            RULE.least_speed - more <= -speed <= RULE.max_speed + more
            for speed, more in zip(speeds, slack, strict=True)
        )
        steady = all(_moved(one, last) <= RULE.steady_share for _, one in earlier)
        assert forwards or (backwards and steady)
        assert len(decision.evidence) >= (2 if forwards and steady else 3)


def _moved(one: Evidence, other: Evidence) -> float:
    return abs(one.region.corners()[0][0] - other.region.corners()[0][0])


@_PATIENT
@given(
    st.lists(
        st.tuples(st.floats(4.0, 10.0), st.sampled_from([0.0, 0.8 * RULE.steady_share, 0.2, 0.5])),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([0.2, 0.8, 1.0, 2.0, 5.0]),
)
def test_a_standstill_never_kills(shown: list[tuple[float, float]], gop_s: float) -> None:
    """One moment of known footage, held for however long and moved about, earns a review at most."""
    verdicts = _shown(*(_evidence(3.0, nats=nats, shift=shift) for nats, shift in shown), gop_s=gop_s)
    assert Verdict.KILL not in verdicts


@_PATIENT
@given(st.lists(st.sampled_from([0.0, 100.0, 250.0, 450.0, 700.0]), max_size=25), st.sampled_from([1.0, 2.0]))
def test_leaps_never_kill(places_s: list[float], gop_s: float) -> None:
    """Moments of known footage that come in no order, as far apart as no speed explains: a camera that comes back."""
    assert Verdict.KILL not in _shown(*map(_evidence, places_s), gop_s=gop_s)


@_PATIENT
@given(st.lists(_FEATURES.map(lambda item: replace(item, nats=1000.0)), max_size=30))
def test_one_keyframe_decides_nothing(evidence: list[Evidence]) -> None:
    """A single keyframe never earns a verdict, however many frames agree with it."""
    assert decided([_seen(5.0, *evidence)]) == ()


@_PATIENT
@given(keyframes(_ANY.map(lambda item: replace(item, tells_when=False))))
def test_what_does_not_tell_when_never_kills(observations: list[Observation]) -> None:
    """However many features of the background agree, that earns a review at most."""
    assert Verdict.KILL not in [decision.verdict for decision in decided(observations)]


def test_footage_that_goes_on_and_stays_put_is_killed_by_two() -> None:
    """Two keyframes, as far apart in the footage as in the stream; the decision says which features it rests on."""
    observations = [_seen(10.0, _evidence(3.0)), _seen(12.0, _evidence(5.0))]
    (decision,) = decided(observations)
    assert decision.verdict is Verdict.KILL
    assert (decision.asset, decision.reference_us, decision.region) == (FIGHT, 5_000_000, _outline())
    assert [(at.pts_us, one.features) for at, one in decision.evidence] == [(10_000_000, 12), (12_000_000, 12)]


@pytest.mark.parametrize(
    ("shift", "verdicts"),
    [
        (0.99 * RULE.steady_share, [Verdict.KILL]),
        (1.2 * RULE.steady_share, [Verdict.REVIEW, Verdict.KILL]),
        (-0.3, [Verdict.REVIEW, Verdict.KILL]),
    ],
)
def test_footage_that_moves_about_takes_three(shift: float, verdicts: list[Verdict]) -> None:
    """Filmed off a screen by hand, or a window that is dragged: one keyframe more than for footage that stays put."""
    moving = [_evidence(3.0 + 2.0 * number, shift=0.3 + number % 2 * shift) for number in range(3)]
    assert _shown(*moving) == verdicts
    assert _shown(*moving[:2])[-1] is verdicts[0]


def test_footage_that_runs_backwards_takes_three() -> None:
    """Where it stays put; where it moves about as well, it could be anything."""
    backwards = [_evidence(9.0 - 2.0 * number) for number in range(3)]
    assert _shown(*backwards[:2]) == [Verdict.REVIEW]
    assert _shown(*backwards) == [Verdict.REVIEW, Verdict.KILL]
    about = [_evidence(40.0 - 2.0 * number, shift=0.2 * (number % 3)) for number in range(15)]
    assert _shown(*about[:2], about[2]) == [Verdict.REVIEW]


@pytest.mark.parametrize(
    ("speed", "kills"), [(0.1, False), (0.3, True), (0.5, True), (1.0, True), (2.0, True), (2.3, True), (2.6, False)]
)
def test_likely_speeds(speed: float, *, kills: bool) -> None:
    """From a little under half the speed to a little over double; slower and faster two keyframes do not tell."""
    assert (Verdict.KILL in _shown(_evidence(3.0), _evidence(3.0 + speed * GOP_S))) is kills


def test_a_review_takes_less_than_a_kill() -> None:
    """What leaps back and forth within reach is seen by a person."""
    assert _shown(*(_evidence(3.0 + number % 2 * 0.3) for number in range(4))) == [Verdict.REVIEW]


def test_another_view_does_not_agree() -> None:
    """The footage as it is and then mirrored is not one showing."""
    assert _shown(_evidence(3.0), replace(_evidence(5.0), view=View.MIRRORED)) == []


def test_features_and_hashes_agree() -> None:
    """A hash at one keyframe and features at the next tell the same story, in either order, where they say that the
    footage stands in the same place of the picture; else it is footage that moves about.
    """
    whole = Quad(((0.0, 0.01), (1.0, 0.0), (0.99, 1.0), (0.0, 1.0)))
    assert _shown(_hash(3.0), replace(_evidence(5.0), region=whole)) == [Verdict.KILL]
    assert _shown(replace(_evidence(3.0), region=whole), _hash(5.0)) == [Verdict.KILL]
    assert _shown(replace(_evidence(3.0), region=whole), _hash(3.0)) == [Verdict.REVIEW]
    assert _shown(_hash(3.0), _evidence(5.0)) == [Verdict.REVIEW]
    assert _shown(_hash(3.0), _evidence(5.0), _hash(7.0)) == [Verdict.REVIEW, Verdict.KILL]


def test_features_and_hashes_agree_in_the_mirror() -> None:
    """An outline begins at the footage's own top left, which stands on the right; a hash's region at the picture's."""
    mirrored = Quad(((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0)))
    shown = (_hash(3.0), replace(_evidence(5.0), region=mirrored))
    assert _shown(*(replace(one, view=View.MIRRORED) for one in shown)) == [Verdict.KILL]


def test_a_held_image_is_killed() -> None:
    """It has no moment to go on to; where in the picture it stands does not matter."""
    image = replace(_evidence(0.0), kind=MediaKind.IMAGE)
    assert _shown(image, replace(image, region=_outline(0.4))) == [Verdict.KILL]


def test_the_moment_with_the_most_features_is_named() -> None:
    """Where the nats of all frames of a shot are at their ceiling, the decision names the frame that agrees best."""
    most_nats = FeatureWeights().most_nats
    observations = [
        _seen(
            GOP_S * number,
            *(
                _evidence(place_s, nats=most_nats, features=80 - round(10 * abs(place_s - 3.0 - GOP_S * number)))
                for place_s in (0.0, 1.0, 3.0, 4.0, 5.0, 6.0)
            ),
        )
        for number in range(2)
    ]
    (decision,) = decided(observations)
    assert [one.place.from_us for _, one in decision.evidence] == [3_000_000, 5_000_000]
    assert decision.reference_us == 5_000_000


def test_the_weakest_of_a_track_are_not_looked_at() -> None:
    """Of a keyframe's frames of one asset the eight strongest count: what else agrees is too weak to matter."""
    strong = [_evidence(100.0 + 50 * number, nats=9.0) for number in range(8)]
    weak = _evidence(3.0, nats=5.0)
    later = _evidence(5.0, nats=9.0)
    assert [one.verdict for one in decided([_seen(0.0, weak, *strong[:7]), _seen(2.0, later)])] == [Verdict.KILL]
    assert decided([_seen(0.0, weak, *strong), _seen(2.0, later)]) == ()


def test_a_background_does_not_crowd_out_the_moment() -> None:
    """However many frames show the same place with more nats: what tells when is looked at beside them."""
    observations = []
    for number in range(2):
        place_s = 3.0 + 2.0 * number
        blind = [replace(_evidence(place_s + k, nats=10.0, features=60), tells_when=False) for k in range(8)]
        observations.append(_seen(2.0 * number, *blind, _evidence(place_s, nats=8.4, features=6)))
    assert [one.verdict for one in decided(observations)] == [Verdict.KILL]


@pytest.mark.parametrize("gop_s", [2.0, 10.0])
@pytest.mark.parametrize("features", [FeatureWeights().least_telling, 6, 8, 13])
def test_few_features_take_more_keyframes(features: int, gop_s: float) -> None:
    """So many keyframes as it takes to reach a kill's nats, while what each was worth halves."""
    nats = min(FeatureWeights().most_nats, FeatureWeights().nats_a_telling_feature * features)
    footage = [_evidence(gop_s * number, nats=nats, features=features) for number in range(4)]
    needed = next(count for count in range(5) if Verdict.KILL in _shown(*footage[:count], gop_s=gop_s))
    left = [nats * 0.5 ** (number * gop_s / RULE.half_life_s) for number in range(4)]
    assert needed == next(count for count in range(5) if sum(left[:count]) >= RULE.kill_nats)


def test_keyframes_far_apart_take_a_third() -> None:
    """In half a minute footage may be nearly anywhere: two places that fit may be chance, however good each is."""
    most_nats = FeatureWeights().most_nats
    for gop_s, needed in ((RULE.near_s, 2), (RULE.near_s + 0.1, 3), (20.0, 3)):
        footage = [_evidence(gop_s * number, nats=most_nats) for number in range(3)]
        verdicts = [Verdict.KILL in _shown(*footage[:count], gop_s=gop_s) for count in range(4)]
        assert verdicts.index(True) == needed


def test_of_moments_worth_as_much_the_chain_with_the_most_features_is_named() -> None:
    """All frames of a slow shot may be worth the ceiling; which moment it was, all that agrees says together."""
    first = _seen(0.0, _evidence(1.0, features=25), _evidence(3.0, features=7))
    # Six seconds on, the moment with the most features agrees with the poor one only: from the other it leapt.
    (killed,) = decided([first, _seen(2.0, _evidence(6.0, features=26), _evidence(3.0, features=24))])
    assert killed.verdict is Verdict.KILL
    assert [item.place.middle_us for _, item in killed.evidence] == [1_000_000, 3_000_000]
