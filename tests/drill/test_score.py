"""What became of a stream, and what that adds up to."""

import pytest

from streamguard.drill.attacks import chosen
from streamguard.drill.score import Outcome, Result, Target, by_attack, judge, tally
from streamguard.types import WHOLE_PICTURE, AssetId, Decision, MediaTime, Verdict, View

MOVING = Target(AssetId("talk"), "terror", review_only=False)
STILL = Target(AssetId("camera"), "terror", review_only=True)
ONSET_S = 7.0


def decision(verdict: Verdict, at_s: float, asset: str = "talk") -> Decision:
    at = MediaTime(1, round(at_s * 1e6))
    return Decision(
        verdict=verdict,
        asset=AssetId(asset),
        label="terror",
        at=at,
        reference_us=0,
        region=WHOLE_PICTURE,
        view=View.UPRIGHT,
        nats=12.0,
        rule="r",
        first_evidence=at,
        evidence=(),
    )


def judged(*decisions: Decision, target: Target = MOVING) -> Result:
    return judge(target, "mirror", decisions, onset_s=ONSET_S)


REVIEW, KILL = Verdict.REVIEW, Verdict.KILL


@pytest.mark.parametrize(
    ("decisions", "outcome", "after_s"),
    [
        ([], Outcome.MISSED, None),
        ([(KILL, 10.0)], Outcome.KILLED, 3.0),
        ([(REVIEW, 10.0)], Outcome.REVIEWED, 3.0),
        ([(REVIEW, 10.0), (KILL, 12.0)], Outcome.KILLED, 5.0),
        ([(KILL, 4.0), (KILL, 12.0)], Outcome.FALSE_KILL, -3.0),
        ([(REVIEW, 4.0)], Outcome.MISSED, None),
        ([(KILL, 7.0)], Outcome.KILLED, 0.0),
    ],
)
def test_what_became_of_a_stream(
    decisions: list[tuple[Verdict, float]], outcome: Outcome, after_s: float | None
) -> None:
    """A kill counts from the onset on, one before it is false whatever comes then, a review counts without a kill."""
    result = judged(*(decision(*one) for one in decisions))
    assert (result.outcome, result.after_s) == (outcome, after_s)
    assert result.caught is (outcome is Outcome.KILLED)


def test_a_review_catches_what_is_never_killed_for() -> None:
    """Footage of a camera that stands still."""
    assert judged(decision(REVIEW, 10.0), target=STILL).caught
    assert not judged(decision(KILL, 3.0), target=STILL).caught


def test_another_item_that_shows_the_same_counts() -> None:
    """The stream is cut all the same; which one it was is told."""
    result = judged(decision(KILL, 10.0, asset="talk-recoded"))
    assert (result.caught, result.reference) == (True, "talk-recoded")


def test_counts_and_times() -> None:
    """Shares are of all streams, times of those that were caught."""
    results = [
        judged(decision(KILL, 10.0)),
        judged(decision(KILL, 16.0)),
        judged(decision(REVIEW, 9.0)),
        judged(decision(REVIEW, 11.0), target=STILL),
        judged(),
        judged(decision(KILL, 1.0)),
    ]
    counts = tally(results)
    assert (counts.streams, counts.caught, counts.reviewed, counts.missed, counts.false_kills) == (6, 3, 2, 1, 1)
    assert (counts.share, counts.median_s, counts.worst_s) == (0.5, 4.0, 9.0)
    assert counts.as_json()["time_to_kill_s"] == {"median": 4.0, "worst": 9.0}


def test_nothing_is_no_share() -> None:
    """Without streams nothing was caught."""
    counts = tally([])
    assert (counts.share, counts.median_s, counts.worst_s) == (0.0, None, None)


def test_by_attack_in_the_catalogues_order() -> None:
    """Attacks without a result are left out."""
    attacks = chosen(["grey", "mirror", "flip"])
    results = [judge(MOVING, name, [], onset_s=ONSET_S) for name in ("flip", "grey", "flip")]
    assert [(attack.name, len(own)) for attack, own in by_attack(results, attacks)] == [("grey", 1), ("flip", 2)]
