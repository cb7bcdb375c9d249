"""streamguard.core.falls: what people said of a reference, and how far it falls by that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.falls import Fall, FallRule, Said, fall_of, share_bounds

COUNTS = st.integers(0, 1000)
RULES = st.builds(FallRule, st.integers(0, 20), st.integers(0, 20))
RULE = FallRule()


def test_the_first_mistake_costs_the_kill() -> None:
    """However often it was right."""
    assert fall_of(Said(0, 0), RULE) is Fall.NONE
    assert fall_of(Said(500, 0), RULE) is Fall.NONE
    assert fall_of(Said(0, 1), RULE) is Fall.REVIEW
    assert fall_of(Said(500, 1), RULE) is Fall.REVIEW


def test_what_is_mostly_wrong_is_disabled() -> None:
    """At the third mistake, unless it was right as often: then a person goes on looking."""
    assert fall_of(Said(0, 2), RULE) is Fall.REVIEW
    assert fall_of(Said(2, 3), RULE) is Fall.DISABLED
    assert fall_of(Said(3, 3), RULE) is Fall.REVIEW


def test_a_zero_turns_a_step_off() -> None:
    """Either of them."""
    assert fall_of(Said(0, 9), FallRule(0, 0)) is Fall.NONE
    assert fall_of(Said(0, 9), FallRule(1, 0)) is Fall.REVIEW
    assert fall_of(Said(0, 9), FallRule(0, 5)) is Fall.DISABLED


@given(COUNTS, COUNTS, RULES)
def test_a_mistake_never_raises_and_an_agreement_never_lowers(agreed: int, mistaken: int, rule: FallRule) -> None:
    """Whatever the rule."""
    depth = fall_of(Said(agreed, mistaken), rule).depth
    assert fall_of(Said(agreed, mistaken + 1), rule).depth >= depth
    assert fall_of(Said(agreed + 1, mistaken), rule).depth <= depth


@given(COUNTS, COUNTS, RULES)
def test_agreements_never_bring_a_kill_back(agreed: int, mistaken: int, rule: FallRule) -> None:
    """With mistakes enough for a review no number of agreements leads back to none."""
    if rule.mistakes_to_review and mistaken >= rule.mistakes_to_review:
        assert fall_of(Said(agreed, mistaken), rule) is not Fall.NONE


@given(COUNTS, COUNTS)
def test_the_share_lies_within_its_bounds(agreed: int, mistaken: int) -> None:
    """They stay within 0 and 1, and more of the same brings them together."""
    low, high = share_bounds(Said(agreed, mistaken))
    share = Said(agreed, mistaken).share_right
    assert 0.0 <= low <= (0.5 if share is None else share + 1e-12)
    assert (0.5 if share is None else share - 1e-12) <= high <= 1.0
    if agreed + mistaken:
        lower, higher = share_bounds(Said(10 * agreed, 10 * mistaken))
        assert higher - lower < high - low


@pytest.mark.parametrize(
    ("said", "bounds"),
    [
        (Said(0, 0), (0.0, 1.0)), (Said(1, 0), (0.2065, 1.0)), (Said(0, 1), (0.0, 0.7935)),
        (Said(8, 2), (0.4902, 0.9433)), (Said(95, 5), (0.8882, 0.9785)),
    ],
)  # fmt: skip
def test_bounds_are_wilsons(said: Said, bounds: tuple[float, float]) -> None:
    """As tables have them."""
    assert share_bounds(said) == pytest.approx(bounds, abs=2e-4)
