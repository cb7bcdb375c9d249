"""When evidence is enough: the rule, and what a label's policy makes of it."""

from dataclasses import dataclass, replace

from streamguard.core.policy import LabelPolicy


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """When evidence is enough. Nats halve every `half_life_s`; what is older than `window_s` is forgotten, and what
    came before the last `most_keyframes` with evidence: that bounds the work where every picture is a keyframe.
    Of keyframes nearer than `apart_s` one counts: pictures so close in time are one picture, and agree with themselves.
    """

    name: str = "built-in-3"
    review_nats: float = 9.0
    kill_nats: float = 12.0
    min_keyframes: int = 2
    apart_s: float = 1.6
    half_life_s: float = 30.0
    window_s: float = 60.0
    most_keyframes: int = 32
    max_speed: float = 2.2
    place_slack_s: float = 0.5
    moving_speed: float = 0.25
    """PDQ hashes alone: a hash is far from most other moments, so that any speed from this one on will do."""
    least_speed: float = 0.4
    speed_slack_s: float = 0.3
    """Local features: reference time passes at `least_speed` to `max_speed`, give or take so much."""
    near_s: float = 12.0
    """Two keyframes farther apart than this need a third: in half a minute footage may be nearly anywhere."""
    steady_share: float = 0.04
    """Footage stays where it is if none of its corners moves by more of the picture's width or height."""
    repeat_after_s: float = 300.0
    most_of_a_verdict: int = 16


BUILT_IN_RULE = DecisionRule()


def for_label(rule: DecisionRule, allowed: LabelPolicy) -> DecisionRule:
    """The rule with the nats that this label takes."""
    if allowed.kill_nats is None and allowed.review_nats is None:
        return rule
    kill_nats = rule.kill_nats if allowed.kill_nats is None else allowed.kill_nats
    review_nats = min(kill_nats, rule.review_nats) if allowed.review_nats is None else allowed.review_nats
    return replace(rule, kill_nats=kill_nats, review_nats=review_nats)
