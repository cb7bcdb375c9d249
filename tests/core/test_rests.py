"""streamguard.core.rests: a reader that rests between keyframes, and is awake for each of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.rests import QUIET_REST_S, REST_S, STEADY_REST_S, Rests

FRAME_S = 1 / 30


def read(gaps: list[int], *, slow_s: float = 0.0, longest_s: float = REST_S) -> list[tuple[bool, float, float]]:
    """(is a keyframe, was there, is read) of each packet of a stream: so many packets from one keyframe to the next.
    The reader takes `slow_s` for a packet.
    """
    rests = Rests()
    numbers = {sum(gaps[:i]) for i in range(len(gaps) + 1)}
    told, now_s = [], 0.0
    for number in range(sum(gaps) + 1):
        there_s, asked_s = number * FRAME_S, now_s
        now_s = max(now_s, there_s)
        is_keyframe = number in numbers
        arrived_s = rests.arrived_s(asked_s=asked_s, now_s=now_s)
        assert arrived_s <= now_s
        told.append((is_keyframe, there_s, now_s))
        now_s += slow_s + min(longest_s, rests.after(arrived_s, is_keyframe=is_keyframe))
    return told


@given(gap=st.integers(1, 300))
def test_no_keyframe_of_a_regular_stream_is_read_late(gap: int) -> None:
    """However long its groups of pictures are, the reader waits for each keyframe; quiet or not."""
    for longest_s in (REST_S, QUIET_REST_S, STEADY_REST_S):
        packets = read([gap] * 8, longest_s=longest_s)
        assert all(read_s == there_s for is_keyframe, there_s, read_s in packets if is_keyframe)


@given(gaps=st.lists(st.integers(1, 200), min_size=1, max_size=12))
def test_no_packet_is_read_later_than_a_rest(gaps: list[int]) -> None:
    """Nor a keyframe that comes before its time."""
    for longest_s in (REST_S, QUIET_REST_S, STEADY_REST_S):
        assert all(read_s - there_s <= longest_s + 1e-9 for _, there_s, read_s in read(gaps, longest_s=longest_s))


def test_most_packets_are_not_waited_for() -> None:
    """Between keyframes two seconds apart a reader waits for few packets: that is what rests are for."""
    packets = read([60] * 10)[180:]
    assert sum(there_s == read_s for _, there_s, read_s in packets) < len(packets) / 3


def test_a_quiet_stream_rests_longer() -> None:
    """But its reader is awake for each keyframe all the same."""
    packets = read([60] * 10, longest_s=STEADY_REST_S)
    waited = [sum(there_s == read_s for _, there_s, read_s in one[180:]) for one in (packets, read([60] * 10))]
    assert waited[0] < waited[1]
    assert all(read_s == there_s for is_keyframe, there_s, read_s in packets if is_keyframe)


def longest_after(keyframes_s: list[float]) -> float:
    """What a rest may be of a stream whose keyframes came then."""
    rests = Rests()
    for keyframe_s in keyframes_s:
        rests.after(rests.arrived_s(asked_s=keyframe_s - 0.03, now_s=keyframe_s), is_keyframe=True)
    return rests.longest_s


def test_a_stream_whose_keyframes_come_like_a_clock_rests_longer() -> None:
    """A few hundredths early or late, as networks have it, are nothing; and of three gaps nobody knows."""
    assert longest_after([0.0, 2.0, 4.03, 6.0, 8.02]) == STEADY_REST_S
    assert longest_after([0.0, 2.0, 4.0, 6.0]) == REST_S


def test_a_keyframe_at_a_cut_does_not_make_a_worker_look_slow() -> None:
    """It is told as old as the rest that it came in, and its look takes some 30 ms: no second in all, as above that
    StreamGuardLagging rings.
    """
    rests = Rests()
    for keyframe_s in (0.0, 2.0, 4.0, 6.0, 8.0):
        rests.after(rests.arrived_s(asked_s=keyframe_s - 0.03, now_s=keyframe_s), is_keyframe=True)
    rest_s = rests.after(rests.arrived_s(asked_s=8.0, now_s=8.03), is_keyframe=False)
    read_s = 8.03 + min(rest_s, rests.longest_s)
    assert rests.longest_s == STEADY_REST_S
    assert read_s + 0.03 - rests.arrived_s(asked_s=read_s, now_s=read_s) < 1.0


@pytest.mark.parametrize("early", range(8))
def test_one_keyframe_before_its_time_makes_rests_short(early: int) -> None:
    """As long as it is among the last eight gaps: encoders that set one at a cut do so again."""
    gaps_s = [2.0] * 8
    gaps_s[early] = 1.2
    assert longest_after([sum(gaps_s[:number]) for number in range(9)]) == REST_S


def test_a_rhythm_must_be_known_first() -> None:
    """Before two groups of pictures have passed nobody knows when the next keyframe comes: no rest."""
    assert all(there_s == read_s for _, there_s, read_s in read([60, 60, 60])[:121])


@pytest.mark.parametrize("gap", [1, 3])
def test_keyframes_close_together_leave_no_rest(gap: int) -> None:
    """A stream of keyframes is read as it comes."""
    assert all(there_s == read_s for _, there_s, read_s in read([gap] * 50))


def test_who_is_behind_does_not_rest() -> None:
    """A reader that takes longer for packets than they take to come must not make it worse."""
    packets = read([60] * 6, slow_s=FRAME_S * 1.5)
    assert packets[-1][2] == pytest.approx(FRAME_S * 1.5 * (len(packets) - 1), rel=0.01)


def test_what_may_have_come_in_a_rest_is_taken_for_as_old_as_that() -> None:
    """So that what a rest costs counts as lag."""
    rests = Rests()
    for keyframe_s in (0.0, 2.0, 4.0):
        rests.after(rests.arrived_s(asked_s=keyframe_s - 0.03, now_s=keyframe_s), is_keyframe=True)
    assert rests.after(rests.arrived_s(asked_s=4.0, now_s=4.03), is_keyframe=False) == STEADY_REST_S
    assert rests.arrived_s(asked_s=4.23, now_s=4.23) == pytest.approx(4.03)
    assert rests.is_behind
    assert rests.arrived_s(asked_s=4.23, now_s=4.26) == pytest.approx(4.26)
    assert not rests.is_behind


def test_what_is_always_there_has_not_come_long_ago() -> None:
    """Whoever sends a tiny packet each time that one is asked for cannot make the clock of arrivals stand still."""
    rests = Rests()
    for keyframe_s in (0.0, 2.0, 4.0):
        rests.after(rests.arrived_s(asked_s=keyframe_s - 0.03, now_s=keyframe_s), is_keyframe=True)
    assert rests.after(rests.arrived_s(asked_s=4.0, now_s=4.03), is_keyframe=False) == STEADY_REST_S
    arrived_s = [rests.arrived_s(asked_s=now_s - 0.002, now_s=now_s) for now_s in (4.3, 14.0, 15.0, 75.0)]
    assert arrived_s == pytest.approx([4.03, 4.03, 5.0, 65.0])
