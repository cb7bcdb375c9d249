"""Sessions made up for property tests: keyframes with evidence of every kind, some of which earn verdicts; and what
holds of any session's decisions.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.replay import Recording, record
from streamguard.types import (
    WHOLE_PICTURE,
    AssetId,
    Decision,
    Evidence,
    MediaKind,
    MediaTime,
    Observation,
    Place,
    Quad,
    Region,
    View,
)

Fallen = tuple[Decision, Recording]

_numbers = st.floats(-3, 3, width=32)
_outlines = st.one_of(
    st.sampled_from([WHOLE_PICTURE, WHOLE_PICTURE, Region(0.0, 0.1, 1.0, 0.9)]),
    st.just(Quad(((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9)))),
    st.builds(lambda *points: Quad(tuple(points)), *[st.tuples(_numbers, _numbers)] * 4),
)


@st.composite
def _evidence(draw: st.DrawFn, *, at_us: int) -> Evidence:
    """Mostly where the footage goes on as the stream does; a third of it anywhere."""
    goes_on = draw(st.sampled_from([True, True, False]))
    from_us = at_us + draw(st.integers(0, 400_000)) if goes_on else draw(st.integers(0, 90_000_000))
    from_features = draw(st.booleans())
    return Evidence(
        asset=draw(st.sampled_from([AssetId("fight"), AssetId("fight"), AssetId("brawl")])),
        label=draw(st.sampled_from(["violence", "Gewalt & Spiele", "\U0001f4a5"])),
        kind=draw(st.sampled_from([MediaKind.VIDEO, MediaKind.VIDEO, MediaKind.VIDEO, MediaKind.IMAGE])),
        place=Place(from_us, from_us + draw(st.sampled_from([0, 80_000, 1_000_000]))),
        view=draw(st.sampled_from([View.UPRIGHT, View.UPRIGHT, View.UPRIGHT, View.NEGATIVE_MIRRORED])),
        region=draw(_outlines),
        nats=draw(st.floats(4, 10)),
        distance_bits=None if from_features else draw(st.integers(0, 31)),
        tells_when=draw(st.sampled_from([True, True, False])),
        features=draw(st.integers(5, 300)) if from_features else None,
    )


@st.composite
def keyframes(draw: st.DrawFn, evidence: st.SearchStrategy[Evidence], *, most: int = 14) -> list[Observation]:
    """One session's, in order of time, each with a few pieces of such evidence."""
    at_us, observations = 0, []
    for step_us in draw(st.lists(st.sampled_from([200_000, 1_000_000, 2_000_000, 9_000_000]), max_size=most)):
        at_us += step_us
        observations.append(Observation(MediaTime(1, at_us), tuple(draw(st.lists(evidence, max_size=6)))))
    return observations


def decided(observations: Sequence[Observation]) -> tuple[Decision, ...]:
    """By the built-in rule."""
    return step(DecisionState(), observations, BUILT_IN_RULE)[1]


def assert_batching_changes_nothing(observations: Sequence[Observation], cuts: Sequence[int]) -> None:
    """Cut there, the same observations give the same state and decisions."""
    state = DecisionState()
    decisions: tuple[Decision, ...] = ()
    for first, end in pairwise([0, *sorted(cuts), len(observations)]):
        state, fallen = step(state, observations[first:end], BUILT_IN_RULE)
        decisions += fallen
    assert (state, decisions) == step(DecisionState(), observations, BUILT_IN_RULE)


def assert_order_changes_nothing(observations: Sequence[Observation], chance: random.Random) -> None:
    """The evidence of each keyframe in another order decides the same, ties included."""
    shuffled = [
        replace(seen, evidence=tuple(chance.sample(seen.evidence, len(seen.evidence)))) for seen in observations
    ]
    assert decided(shuffled) == decided(observations)


@st.composite
def sessions(draw: st.DrawFn) -> list[Observation]:
    """Keyframes in order of time; now and then the publisher connects anew."""
    at_us, session = 0, 1
    observations = []
    for _ in range(draw(st.integers(2, 14))):
        at_us += draw(st.sampled_from([300_000, 2_000_000, 2_000_000, 9_000_000, 70_000_000]))
        session += draw(st.sampled_from([0] * 12 + [1]))
        evidence = draw(st.lists(_evidence(at_us=at_us), max_size=6))
        observations.append(Observation(MediaTime(session, at_us), tuple(evidence)))
    return observations


def recorded(observations: list[Observation]) -> list[Fallen]:
    """Every decision that falls on the way, as it is recorded when it falls."""
    state = DecisionState()
    fallen: list[Fallen] = []
    for observation in observations:
        after, decisions = step(state, [observation], BUILT_IN_RULE)
        fallen += [(one, record(state, after, asset=one.asset, rule=BUILT_IN_RULE)) for one in decisions]
        state = after
    return fallen


def going_on(keyframes: int, *, every_s: float = 2.0, asset: str = "fight") -> list[Observation]:
    """Footage that is shown as it is: a kill with the second keyframe."""
    return [
        Observation(
            MediaTime(1, round(number * every_s * 1e6)),
            (
                Evidence(
                    asset=AssetId(asset),
                    label="violence",
                    kind=MediaKind.VIDEO,
                    place=Place(round(number * every_s * 1e6), round(number * every_s * 1e6) + 80_000),
                    view=View.UPRIGHT,
                    region=WHOLE_PICTURE,
                    nats=8.0,
                    distance_bits=12,
                    tells_when=True,
                ),
            ),
        )
        for number in range(keyframes)
    ]
