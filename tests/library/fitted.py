"""Rules for tests, as `streamguard calibrate` would fit them."""

from dataclasses import replace

from streamguard.core.rules import BUILT_IN_RULES, Fitted, Rules

FITTED = Fitted(
    at_unix_s=1_700_000_000.0,
    library_version="1-00000000",
    inputs=12,
    stream_hours=340.0,
    keyframes=612_000,
    confidence=0.95,
    kills_asked_per_stream_hour=1e-5,
    kills_at_most_per_stream_hour=8e-6,
    reviews_asked_per_stream_hour=0.01,
    reviews_at_most_per_stream_hour=0.009,
)


def fitted_rules(*, kill_nats: float = 14.5, name: str = "calibrated-2023-11-14-ab12cd") -> Rules:
    """The built-in rule with other marks."""
    rule = replace(BUILT_IN_RULES.rule, name=name, kill_nats=kill_nats, review_nats=9.5)
    return replace(BUILT_IN_RULES, rule=rule, fitted=FITTED)
