"""streamguard.core.presence: whatever is listed, nobody leaves by mistake and nobody is forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.presence import GONE_AFTER, Presence, after_listing

LISTINGS = st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3), max_size=8), max_size=30)
MOST = st.integers(0, 10)


def play(listings: list[dict[str, int]], *, most: int) -> list[Presence[str, int]]:
    """The presence before the first listing, and after each."""
    steps: list[Presence[str, int]] = [Presence()]
    for listed in listings:
        steps.append(after_listing(steps[-1], listed, most=most))
    return steps


@given(LISTINGS, MOST)
def test_everybody_who_is_listed_is_present_or_counted(listings: list[dict[str, int]], most: int) -> None:
    """Present as listed, and never more than there is room for; or one of those beyond."""
    for listed, after in zip(listings, play(listings, most=most)[1:], strict=True):
        there = {key: seen for key, seen in listed.items() if key in after.present}
        assert {key: after.present[key] for key in there} == there
        assert len(listed) == len(there) + after.beyond
        assert len(after.present) <= most


@given(LISTINGS, MOST)
def test_whoever_was_present_stays_until_he_is_missed_in_two_listings(
    listings: list[dict[str, int]], most: int
) -> None:
    """Not earlier, whoever else comes; and not later."""
    steps = play(listings, most=most)
    for number in range(1, len(steps)):
        before, after, listed = steps[number - 1].present, steps[number].present, listings[number - 1]
        for key in before:
            missed_before = number >= GONE_AFTER and key not in listings[number - 2]
            assert (key in after) == (key in listed or not missed_before), key
        newcomers = after.keys() - before.keys()
        assert newcomers <= listed.keys()


@given(LISTINGS)
def test_with_room_for_all_presence_is_the_last_two_listings(listings: list[dict[str, int]]) -> None:
    """What counts is what was listed last of each; so nothing is kept of those that left, however many there were."""
    last: dict[str, int] = {}
    for listed in listings[-GONE_AFTER:]:
        last |= listed
    after = play(listings, most=100)[-1]
    assert after.present == last
    assert after.missing.keys() == last.keys() - (listings[-1] if listings else {}).keys()


def test_another_session_takes_the_place_at_once() -> None:
    """Also where there is room for nobody else."""
    (_, first) = play([{"cam": 1}], most=1)
    assert after_listing(first, {"other": 7, "cam": 2}, most=1) == Presence({"cam": 2}, {}, beyond=1)


def test_a_place_that_is_free_again_is_given_away() -> None:
    """Those beyond are watched as soon as there is room."""
    steps = play([{"a": 1, "b": 1}, {"b": 1}, {"b": 1}], most=1)
    assert [(dict(step.present), step.beyond) for step in steps[1:]] == [({"a": 1}, 1), ({"a": 1}, 1), ({"b": 1}, 0)]
