"""Sessions made up for property tests: keyframes with evidence of every kind, some of which earn verdicts."""

from hypothesis import strategies as st

from streamguard.core.decide import BUILT_IN_RULE, DecisionState, step
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
