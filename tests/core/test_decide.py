"""Decisions: never on one keyframe, the same however evidence comes, and none without movement that tells when."""

import random
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.decide import DecisionState, step, strengths, suspicion_nats, with_verdicts
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import PdqWeights
from streamguard.types import (
    WHOLE_PICTURE,
    AssetId,
    Decision,
    Evidence,
    MediaKind,
    MediaTime,
    Observation,
    Place,
    Region,
    Verdict,
    View,
)
from tests.observations import assert_batching_changes_nothing, assert_order_changes_nothing, keyframes

FIGHT = AssetId("fight")

# A machine that is busy with something else is no failure.
_PATIENT = settings(deadline=None, max_examples=60)


def _evidence(place_s: float, *, nats: float = 8.0, lasts_s: float = 0.08) -> Evidence:
    """A good match that tells when, at a place of the one known video."""
    place = Place(round(place_s * 1e6), round((place_s + lasts_s) * 1e6))
    return Evidence(FIGHT, "violence", MediaKind.VIDEO, place, View.UPRIGHT, WHOLE_PICTURE, nats, 12, tells_when=True)


def _seen(at_s: float, *evidence: Evidence, session: int = 1) -> Observation:
    return Observation(MediaTime(session, round(at_s * 1e6)), evidence)


def _decisions(*observations: Observation) -> tuple[Decision, ...]:
    return step(DecisionState(), observations, BUILT_IN_RULE)[1]


def _verdicts(*observations: Observation) -> list[Verdict]:
    return [decision.verdict for decision in _decisions(*observations)]


_PLACES = st.builds(
    lambda from_us, lasts_us: Place(from_us, from_us + lasts_us),
    st.integers(0, 20_000_000),
    st.sampled_from([0, 80_000, 1_000_000, 6_000_000]),
)
_REGIONS = st.sampled_from([WHOLE_PICTURE, Region(0.0, 0.1, 1.0, 0.9), Region(0.0, 0.1, 1.0, 0.8)])
_EVIDENCE = st.builds(
    Evidence,
    asset=st.sampled_from([FIGHT, AssetId("other")]),
    label=st.just("violence"),
    kind=st.sampled_from([MediaKind.VIDEO, MediaKind.VIDEO, MediaKind.IMAGE]),
    place=_PLACES,
    view=st.sampled_from([View.UPRIGHT, View.UPRIGHT, View.MIRRORED]),
    region=_REGIONS,
    nats=st.sampled_from([6.0, 7.5, 9.0, 10.0]),
    distance_bits=st.integers(0, 31),
    tells_when=st.booleans(),
)


@_PATIENT
@given(keyframes(_EVIDENCE), st.lists(st.integers(0, 14)))
def test_batching_changes_nothing(observations: list[Observation], cuts: list[int]) -> None:
    """The same observations give the same state and decisions however they are batched."""
    assert_batching_changes_nothing(observations, cuts)


@_PATIENT
@given(keyframes(_EVIDENCE), st.randoms(use_true_random=False))
def test_order_within_a_keyframe_changes_nothing(observations: list[Observation], chance: random.Random) -> None:
    """In which order the library was searched does not matter, ties included."""
    assert_order_changes_nothing(observations, chance)


@_PATIENT
@given(keyframes(_EVIDENCE))
def test_replay_is_exact(observations: list[Observation]) -> None:
    """Fed with nothing but its own evidence, a first decision falls again: same moment, verdict, nats and evidence."""
    decisions = _decisions(*observations)
    for asset in {decision.asset for decision in decisions}:
        decision = next(decision for decision in reversed(decisions) if decision.asset == asset)
        if any(other.asset == asset and other.verdict is decision.verdict for other in decisions if other != decision):
            continue  # a repeat rests on what had fallen before, too
        again = _decisions(*(Observation(at, (evidence,)) for at, evidence in decision.evidence))
        assert again[-1] == decision


@_PATIENT
@given(keyframes(_EVIDENCE))
def test_decisions_rest_on_agreement(observations: list[Observation]) -> None:
    """Every decision has two keyframes at least, all of one asset in one view; a kill's all tell when, or are held."""
    for decision in _decisions(*observations):
        times = [at for at, _ in decision.evidence]
        assert len(times) >= BUILT_IN_RULE.min_keyframes
        assert times == sorted(set(times))
        assert times[-1] == decision.at
        assert times[0] == decision.first_evidence
        assert {(evidence.asset, evidence.view) for _, evidence in decision.evidence} == {
            (decision.asset, decision.view)
        }
        if decision.verdict is Verdict.KILL:
            assert all(evidence.tells_when for _, evidence in decision.evidence)


@_PATIENT
@given(keyframes(_EVIDENCE.map(lambda item: replace(item, tells_when=False))))
def test_time_blind_evidence_never_kills(observations: list[Observation]) -> None:
    """However much there is of it, evidence that does not tell when earns a review at most."""
    assert Verdict.KILL not in _verdicts(*observations)


@_PATIENT
@given(st.lists(_EVIDENCE.map(lambda item: replace(item, nats=1000.0)), max_size=40))
def test_one_keyframe_decides_nothing(evidence: list[Evidence]) -> None:
    """A single keyframe never earns a verdict, whatever is in it."""
    assert _decisions(_seen(5.0, *evidence)) == ()


def test_no_evidence_no_decision() -> None:
    """Keyframes without evidence decide nothing and leave nothing to remember but the time."""
    state, decisions = step(DecisionState(), [_seen(at_s) for at_s in range(100)], BUILT_IN_RULE)
    assert decisions == ()
    assert state == DecisionState(newest=MediaTime(1, 99_000_000))


def test_footage_that_goes_on_kills() -> None:
    """Two keyframes of the footage, two seconds apart in both, are enough; the decision says where and since when."""
    (decision,) = _decisions(_seen(10.0, _evidence(3.0)), _seen(12.0, _evidence(5.0)))
    assert decision.verdict is Verdict.KILL
    assert (decision.asset, decision.label, decision.rule) == (FIGHT, "violence", BUILT_IN_RULE.name)
    assert decision.reference_us == 5_040_000
    assert decision.first_evidence == MediaTime(1, 10_000_000)
    assert decision.nats == pytest.approx(8.0 + 8.0 * 0.5 ** (2 / 30))


def test_suspicion_is_what_recent_keyframes_show_and_nobody_was_killed_for() -> None:
    """The strongest evidence of each; nothing at first, after a kill for all of it, and in a session that is new."""
    other = replace(_evidence(3.0, nats=5.0), asset=AssetId("other"))
    told = [suspicion_nats(DecisionState())]
    state = DecisionState()
    for seen in (
        _seen(10.0),
        _seen(12.0, _evidence(3.0, nats=6.0), _evidence(9.0, nats=4.0), other),
        _seen(14.0, _evidence(5.0)),
        _seen(0.0, session=2),
    ):
        state, _ = step(state, [seen], BUILT_IN_RULE)
        told.append(suspicion_nats(state))
    assert told == [0.0, 0.0, 6.0, 5.0, 0.0]


@pytest.mark.parametrize(("gop_s", "verdicts"), [(0.2, []), (1.5, []), (1.6, [Verdict.KILL]), (2.0, [Verdict.KILL])])
def test_keyframes_close_in_time_count_once(gop_s: float, verdicts: list[Verdict]) -> None:
    """Two keyframes that are nearer than 1.6 s are one picture, however good the match; from there on they are two."""
    assert _verdicts(_seen(10.0, _evidence(3.0, nats=10.0)), _seen(10.0 + gop_s, _evidence(3.0 + gop_s))) == verdicts


def test_dense_keyframes_add_up_over_time() -> None:
    """Where every fifth of a second is a keyframe, those that are far enough apart are counted, and no others."""
    (decision,) = _decisions(*(_seen(0.2 * i, _evidence(3.0 + 0.2 * i)) for i in range(10)))
    assert decision.verdict is Verdict.KILL
    assert [at.pts_us for at, _ in decision.evidence] == [0, 1_600_000]


@pytest.mark.parametrize("gop_s", [8.0, 10.0, 12.0, 15.0, 20.0])
@pytest.mark.parametrize(("distance_bits", "keyframes"), [(0, 2), (8, 2), (15, 2), (31, 4)])
def test_sparse_keyframes_add_up(gop_s: float, distance_bits: int, keyframes: int) -> None:
    """With up to 20 s between keyframes two good matches kill, and four of the poorest."""
    nats = PdqWeights().nats_at_zero - distance_bits * 4 / 31
    seen = [_seen(gop_s * i, _evidence(gop_s * i, nats=nats)) for i in range(keyframes)]
    assert _verdicts(*seen)[-1] is Verdict.KILL
    assert Verdict.KILL not in _verdicts(seen[0])


@pytest.mark.parametrize("speed", [-1.0, 0.5, 1.0, 2.0])
def test_footage_may_be_played_otherwise(speed: float) -> None:
    """Slower, faster and backwards are still the footage."""
    assert Verdict.KILL in _verdicts(*(_seen(2.0 * i, _evidence(20.0 + speed * 2.0 * i)) for i in range(4)))


@pytest.mark.parametrize("leap_s", [7.0, 60.0, -7.0])
def test_leaps_do_not_agree(leap_s: float) -> None:
    """Places that the time between two keyframes cannot explain are no agreement."""
    assert _verdicts(_seen(10.0, _evidence(70.0)), _seen(12.0, _evidence(70.0 + leap_s))) == []


def test_other_view_does_not_agree() -> None:
    """The footage upright and then mirrored is not one showing."""
    mirrored = replace(_evidence(5.0), view=View.MIRRORED)
    assert _verdicts(_seen(10.0, _evidence(3.0)), _seen(12.0, mirrored)) == []


def test_whole_picture_and_part_agree() -> None:
    """Black bars may come and go: the region does not matter."""
    inside = replace(_evidence(5.0), region=Region(0.0, 0.1, 1.0, 0.9))
    assert _verdicts(_seen(10.0, _evidence(3.0)), _seen(12.0, inside)) == [Verdict.KILL]


def test_held_place_of_a_video_earns_a_review() -> None:
    """A still out of known footage, held, is not the footage: a person should look, and nothing is cut."""
    held = [_seen(2.0 * i, _evidence(3.0, nats=10.0)) for i in range(60)]
    assert _verdicts(*held) == [Verdict.REVIEW]


def test_places_next_to_each_other_are_held() -> None:
    """A still that flickers between two neighbouring looks is held, too."""
    flicker = [_seen(2.0 * i, _evidence(3.0 + 0.1 * (i % 2))) for i in range(20)]
    assert _verdicts(*flicker) == [Verdict.REVIEW]


def test_held_image_kills() -> None:
    """A known image has no places to move to: held, it is the known image."""
    image = replace(_evidence(0.0, lasts_s=0.0), kind=MediaKind.IMAGE)
    assert _verdicts(_seen(0.0, image), _seen(2.0, image)) == [Verdict.KILL]


def test_review_comes_before_kill_once() -> None:
    """A review may fall while movement is still to be seen; the kill follows, and neither is repeated."""
    places_s = [3.0, 3.0, 3.0, 5.0, 7.0, 9.0, 11.0]
    assert _verdicts(*(_seen(2.0 * i, _evidence(place_s)) for i, place_s in enumerate(places_s))) == [
        Verdict.REVIEW,
        Verdict.KILL,
    ]


def test_kill_is_repeated_after_its_time() -> None:
    """While the footage goes on, the kill falls once, and again when `repeat_after_s` is over."""
    decisions = _decisions(*(_seen(2.0 * i, _evidence(2.0 * i)) for i in range(200)))
    assert {decision.verdict for decision in decisions} == {Verdict.KILL}
    assert [decision.at.pts_us / 1e6 for decision in decisions] == [2.0, 302.0]


def test_assets_are_decided_apart() -> None:
    """Each asset has its own verdict, and evidence for one is none for another."""
    other = AssetId("other")
    apart = _verdicts(_seen(0.0, _evidence(3.0)), _seen(2.0, replace(_evidence(5.0), asset=other)))
    both = _decisions(*(_seen(2.0 * i, _evidence(2.0 * i), replace(_evidence(2.0 * i), asset=other)) for i in range(3)))
    assert apart == []
    assert [(decision.asset, decision.verdict) for decision in both] == [(FIGHT, Verdict.KILL), (other, Verdict.KILL)]


def _near_copies(at_s: float, *, copies: int, moves: bool) -> Observation:
    """A keyframe that matches many items: all at the place where time would have it, or all held."""
    place_s = at_s if moves else 3.0
    return _seen(at_s, *(replace(_evidence(place_s), asset=AssetId(f"copy-{number:03}")) for number in range(copies)))


@pytest.mark.parametrize(("moves", "verdict"), [(True, Verdict.KILL), (False, Verdict.REVIEW)])
def test_many_near_copies_speak_sixteen_times(verdict: Verdict, *, moves: bool) -> None:
    """However many items are copies of one another, 16 say so, until their verdicts are repeated."""
    verdicts = _verdicts(*(_near_copies(2.0 * i, copies=20, moves=moves) for i in range(140)))
    assert verdicts == [verdict] * BUILT_IN_RULE.most_of_a_verdict
    again = _verdicts(*(_near_copies(2.0 * i, copies=20, moves=moves) for i in range(160)))
    assert again == [verdict] * 2 * BUILT_IN_RULE.most_of_a_verdict


def test_reviews_do_not_crowd_out_a_kill() -> None:
    """When all reviews that may fall have fallen, the kill still does, at the moment at which it always would."""
    held = [_near_copies(2.0 * i, copies=60, moves=False) for i in range(4)]
    footage = [_evidence(2.0 * i) for i in range(4)]
    footage = [replace(item, asset=AssetId("zebra")) for item in footage]
    both = [replace(seen, evidence=(*seen.evidence, item)) for seen, item in zip(held, footage, strict=True)]
    (kill,) = [decision for decision in _decisions(*both) if decision.verdict is Verdict.KILL]
    assert (kill.asset, kill.at.pts_us) == (AssetId("zebra"), 2_000_000)


@_PATIENT
@given(keyframes(_EVIDENCE))
def test_the_bound_hides_no_first_kill(observations: list[Observation]) -> None:
    """If but one decision of each kind could fall, the first kill would still fall, at the same moment."""
    tight = replace(BUILT_IN_RULE, most_of_a_verdict=1)
    first = [decision for decision in _decisions(*observations) if decision.verdict is Verdict.KILL][:1]
    _, bounded = step(DecisionState(), observations, tight)
    assert [decision for decision in bounded if decision.verdict is Verdict.KILL][:1] == first


def test_sessions_do_not_mix() -> None:
    """Half of the agreement before a reconnect and half after it is none."""
    before, after = _seen(10.0, _evidence(3.0)), _seen(0.0, _evidence(5.0), session=2)
    assert _verdicts(before, after) == []


def test_new_session_decides_anew() -> None:
    """What one session had earned does not silence the next."""
    first = [_seen(2.0 * i, _evidence(2.0 * i)) for i in range(3)]
    second = [_seen(2.0 * i, _evidence(2.0 * i), session=2) for i in range(3)]
    assert _verdicts(*first, *second) == [Verdict.KILL, Verdict.KILL]


@pytest.mark.parametrize("at_s", [10.0, 9.0])
def test_time_must_go_on(at_s: float) -> None:
    """The same moment again, or an earlier one, is a caller's fault: a keyframe must not agree with itself."""
    with pytest.raises(ValueError, match="does not come after"):
        _decisions(_seen(10.0, _evidence(3.0)), _seen(at_s, _evidence(5.0)))


def test_old_evidence_is_forgotten() -> None:
    """Outside the window nothing agrees any more."""
    later_s = BUILT_IN_RULE.window_s + 0.1
    assert _verdicts(_seen(0.0, _evidence(3.0, nats=50.0)), _seen(later_s, _evidence(20.0, nats=50.0))) == []


@pytest.mark.parametrize("spacing_s", [0.05, 2.0])
def test_state_is_bounded(spacing_s: float) -> None:
    """However long and dense a stream is, its state holds a window's keyframes, and a few of those a second."""
    state, _ = step(DecisionState(), (_seen(spacing_s * i, _evidence(3.0)) for i in range(1000)), BUILT_IN_RULE)
    assert len(state.recent) <= min(BUILT_IN_RULE.most_keyframes, BUILT_IN_RULE.window_s / spacing_s) + 1


def _hostile(at_s: float, *, chance: random.Random, assets: int) -> Observation:
    """A keyframe with as many candidates as a search returns, at places that leap."""
    evidence = [
        replace(_evidence(place + at_s * 20, nats=chance.uniform(6.0, 10.0)), asset=AssetId(f"asset-{asset}"))
        for asset in range(assets)
        for place in range(256 // assets)
    ]
    return _seen(at_s, *evidence)


def _cost_s(observations: Sequence[Observation]) -> float:
    """Processor time of the last observation, the best of three."""
    state, _ = step(DecisionState(), observations[:-1], BUILT_IN_RULE)
    costs_s = []
    for _ in range(3):
        began_s = time.process_time()
        step(state, observations[-1:], BUILT_IN_RULE)
        costs_s.append(time.process_time() - began_s)
    return min(costs_s)


@pytest.mark.parametrize("assets", [1, 32, 256])
def test_hostile_sizes_are_cheap(assets: int) -> None:
    """256 candidates in each of a window's keyframes cost milliseconds, and not the seconds that all pairs would."""
    chance = random.Random(1)  # noqa: S311 - a repeatable test, no secret
    assert _cost_s([_hostile(2.0 * i, chance=chance, assets=assets) for i in range(32)]) < 0.1


@_PATIENT
@given(keyframes(_EVIDENCE))
def test_rule_may_ask_for_more(observations: list[Observation]) -> None:
    """A rule with higher marks decides nothing that the lower one would not."""
    strict = replace(BUILT_IN_RULE, kill_nats=20.0, min_keyframes=3)
    kills = {decision.asset for decision in _decisions(*observations) if decision.verdict is Verdict.KILL}
    _, decisions = step(DecisionState(), observations, strict)
    assert {decision.asset for decision in decisions if decision.verdict is Verdict.KILL} <= kills


@_PATIENT
@given(keyframes(_EVIDENCE), st.sampled_from([6.0, 9.0, 12.0, 16.0, 25.0]))
def test_strengths_say_what_a_rule_would_have_decided(observations: list[Observation], nats: float) -> None:
    """A rule that asks for so many nats kills and reviews for exactly the assets whose strength came so far."""
    rule = replace(BUILT_IN_RULE, kill_nats=nats, review_nats=nats)
    state = DecisionState()
    reached: dict[Verdict, set[AssetId]] = {Verdict.KILL: set(), Verdict.REVIEW: set()}
    decided: dict[Verdict, set[AssetId]] = {Verdict.KILL: set(), Verdict.REVIEW: set()}
    for observation in observations:
        for strength in strengths(state, observation, BUILT_IN_RULE):
            if strength.kill_nats >= nats:
                reached[Verdict.KILL].add(strength.asset)
            elif strength.review_nats >= nats and strength.asset not in reached[Verdict.KILL]:
                reached[Verdict.REVIEW].add(strength.asset)
        state, decisions = step(state, [observation], rule)
        for decision in decisions:
            decided[decision.verdict].add(decision.asset)
    assert decided == reached


def test_what_a_part_of_a_keyframe_decided_is_not_decided_again_by_all_of_it() -> None:
    """The state is as it was but for the verdicts; that of another session has nothing else."""
    first, last = _seen(0.0, _evidence(0.0)), _seen(2.0, _evidence(2.0))
    state, _ = step(DecisionState(), [first], BUILT_IN_RULE)
    later, decisions = step(state, [last], BUILT_IN_RULE)
    carried = with_verdicts(state, decisions)
    assert carried == replace(state, decided=later.decided)
    after, again = step(carried, [last], BUILT_IN_RULE)
    assert (after.recent, after.decided, again) == (later.recent, later.decided, ())
    assert with_verdicts(state, ()) is state
    (decision,) = decisions
    elsewhere = replace(decision, at=replace(decision.at, session=2))
    decided = {decision.asset: (decision.verdict, elsewhere.at)}
    assert with_verdicts(state, (elsewhere,)) == DecisionState(decided=decided)
