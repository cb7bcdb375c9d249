"""For how long a publisher is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.strikes import MOST_REMEMBERED, Lift, Records, StrikeRecord, lifted, refusal_s, standing, struck
from streamguard.types import SessionId, StreamId

STEPS_S = (10.0, 60.0, 600.0)


def a_record(number: int, *, at_unix_ms: int = 0, session: str = "") -> StrikeRecord:
    stream = StreamId("live/cam")
    return StrikeRecord(
        f"sig_{number}", stream, SessionId(session), "ref", "why", "enforcer", at_unix_ms, until_unix_ms=at_unix_ms
    )


@pytest.mark.parametrize(
    ("count", "length_s"), [(0, 10.0), (1, 10.0), (2, 60.0), (3, 600.0), (4, 600.0), (10**9, 600.0)]
)
def test_each_strike_takes_as_long_as_its_step(count: int, length_s: float) -> None:
    """The last step is for all that follow."""
    assert refusal_s(count, steps_s=STEPS_S) == length_s


def test_nothing_is_remembered_against_a_key_at_first() -> None:
    """Nobody without a strike is refused."""
    found = standing((), now_unix_ms=0)
    assert (found.count, found.until_unix_ms, found.newest, found.sessions) == (0, 0, None, ())


def test_a_key_is_refused_until_the_last_of_its_strikes_ends() -> None:
    """A short one after a long one shortens nothing."""
    records = struck((), a_record(1, session="1"), steps_s=STEPS_S, for_s=100.0)
    records = struck(records, a_record(2, at_unix_ms=1000, session="2"), steps_s=STEPS_S, for_s=1.0)
    found = standing(records, now_unix_ms=1500)
    assert found.until_unix_ms == 100_000
    assert [session for _, session in found.sessions] == ["1", "2"]
    assert [session for _, session in standing(records, now_unix_ms=2000).sessions] == ["1"]


def test_a_strike_is_over_at_the_very_moment_it_says() -> None:
    """Until is not itself refused."""
    records = struck((), a_record(1), steps_s=STEPS_S)
    assert standing(records, now_unix_ms=9_999).until_unix_ms == 10_000
    assert standing(records, now_unix_ms=10_000).until_unix_ms == 0


def test_a_lift_of_all_leaves_what_was_served() -> None:
    """A strike that is over was no mistake: it goes on counting."""
    records = struck((), a_record(1), steps_s=STEPS_S)
    records = struck(records, a_record(2, at_unix_ms=50_000), steps_s=STEPS_S)
    found = standing(lifted(records, Lift("anna", "a mistake", 60_000)), now_unix_ms=60_000)
    assert (found.count, found.until_unix_ms) == (1, 0)


def test_a_lift_of_one_signal_reaches_what_is_over() -> None:
    """A mistake that was served does not count any more."""
    records = struck((), a_record(1), steps_s=STEPS_S)
    assert standing(lifted(records, Lift("anna", "why", 60_000), signal_id="sig_1"), now_unix_ms=60_000).count == 0


@given(
    numbers=st.lists(st.integers(0, 5), max_size=20),
    lifts=st.sets(st.integers(0, 5)),
    again=st.lists(st.integers(0, 5), max_size=20),
)
def test_signals_that_come_again_change_nothing(numbers: list[int], lifts: set[int], again: list[int]) -> None:
    """Whatever was struck and lifted, a known signal leaves all as it was."""
    records: Records = ()
    for number in numbers:
        records = struck(records, a_record(number, session=str(number % 3)), steps_s=STEPS_S)
    for number in lifts:
        records = lifted(records, Lift("anna", "why", 1), signal_id=f"sig_{number}")
    for number in set(again) & set(numbers):
        assert struck(records, a_record(number), steps_s=STEPS_S) is records
    assert standing(records, now_unix_ms=0).count == len({number % 3 for number in set(numbers) - lifts})


def test_what_is_remembered_is_bounded() -> None:
    """Of a thousand strikes the newest are kept."""
    records: Records = ()
    for number in range(200):
        records = struck(records, a_record(number), steps_s=STEPS_S)
    assert len(records) == MOST_REMEMBERED
    assert records[-1].signal_id == "sig_199"
