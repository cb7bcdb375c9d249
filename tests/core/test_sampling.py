"""streamguard.core.sampling: as few looks as the time to kill allows, and no stream out of sight."""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, cycle, islice, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.attention import MOST_QUIET_S, TELLING_S, AttentionRule, pace_of
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.sampling import EVERY_KEYFRAME, RHYTHM_S, Attention, Moment, Pace, Sampler, never

APART_S = BUILT_IN_RULE.apart_s
gaps = st.lists(st.floats(0.2, 15.0), min_size=1, max_size=5) | st.floats(0.2, 4.0).map(lambda gap_s: [gap_s])
"""Seconds between keyframes, over and over."""


def quiet(time_to_kill_s: float = 10.0) -> Pace:
    return pace_of(Attention.QUIET, AttentionRule(time_to_kill_s=time_to_kill_s), kill=BUILT_IN_RULE)


def shed(longest_pause_s: float = 30.0) -> Pace:
    return pace_of(Attention.SHED, AttentionRule(longest_pause_s=longest_pause_s), kill=BUILT_IN_RULE)


def keyframes(every_s: Sequence[float], *, seconds: float) -> list[float]:
    """When they come."""
    count = math.ceil(seconds / sum(every_s) + 1) * len(every_s)
    return list(accumulate(islice(cycle(every_s), count), initial=0.0))


def looks(
    at_s: Sequence[float], *, pace: Callable[[float], Pace], unforeseen: Callable[[], float] = never
) -> list[float]:
    """Those keyframes that are looked at, each seen; stamps agree with the arrival."""
    sampler = Sampler(unforeseen=unforeseen)
    looked = []
    for now_s in at_s:
        if sampler.due(Moment(now_s, now_s, now_s), pace=pace(now_s)):
            sampler.looked()
            looked.append(now_s)
    return looked


def killed_at_s(at_s: Sequence[float], *, footage_s: float, pace: Pace | None) -> float:
    """When footage that comes on is killed, by a stream that is looked at closely from its first minute on, then at the
    `pace` (None: goes on), and closely again a moment after the footage was first seen.
    """
    seen_s = math.inf

    def told(now_s: float) -> Pace:
        is_close = pace is None or now_s < RHYTHM_S or now_s >= seen_s + TELLING_S
        return EVERY_KEYFRAME if is_close else pace or EVERY_KEYFRAME

    sampler = Sampler()
    for now_s in at_s:
        if sampler.due(Moment(now_s, now_s, now_s), pace=told(now_s)):
            sampler.looked()
            if now_s >= footage_s:
                seen_s = min(seen_s, now_s)
                if now_s - seen_s >= APART_S:
                    return now_s
    raise AssertionError("the footage was not killed")


@given(gaps, st.floats(0.0, 60.0), st.sampled_from([0.5, 3.0, 5.0, 10.0, 20.0, 60.0]))
@settings(deadline=None)
def test_footage_is_killed_in_time(every_s: list[float], into_s: float, time_to_kill_s: float) -> None:
    """Whenever footage comes on, right after a look too, and however keyframes lie, it is killed in time;
    or, where they do not allow that, as soon as by looking at every one.
    """
    at_s = keyframes(every_s, seconds=400.0)
    pace = quiet(time_to_kill_s)
    looked = looks(at_s, pace=lambda now_s: EVERY_KEYFRAME if now_s < RHYTHM_S else pace)
    worst = [at + 0.001 for at in looked if 2 * RHYTHM_S < at < 3 * RHYTHM_S][:8]
    for footage_s in (*worst, 2 * RHYTHM_S + into_s):
        killed_s = killed_at_s(at_s, footage_s=footage_s, pace=pace)
        soonest_s = killed_at_s(at_s, footage_s=footage_s, pace=None)
        assert killed_s <= max(footage_s + time_to_kill_s, soonest_s)


@given(st.lists(st.floats(0.0, 60.0), min_size=2, max_size=60), st.sampled_from([quiet(), quiet(60.0), shed()]))
def test_no_stream_goes_unseen(every_s: list[float], pace: Pace) -> None:
    """However irregular the keyframes, two looks are no farther apart than the bound and one wait for a keyframe."""
    at_s = list(accumulate(every_s, initial=0.0))
    looked = looks(at_s, pace=lambda _: pace)
    assert all(later - earlier <= pace.most_s + max(every_s) for earlier, later in pairwise([*looked, at_s[-1]]))


@given(gaps)
def test_a_steady_stream_keeps_the_bound_itself(every_s: list[float]) -> None:
    """Where keyframes come as they did before, the bound holds without that wait, or every keyframe is looked at."""
    at_s = keyframes(every_s, seconds=300.0)
    learned = [at for at in at_s if at >= sum(every_s)]
    looked = [at for at in looks(at_s, pace=lambda _: shed()) if at >= learned[0]]
    assert looked == learned or all(later - earlier <= 30.0 for earlier, later in pairwise(looked))


@pytest.mark.parametrize(
    ("gop_s", "time_to_kill_s", "apart_s"),
    [(2.0, 10.0, 6.0), (1.0, 10.0, 6.0), (0.5, 10.0, 7.0), (4.0, 10.0, 4.0), (2.0, 60.0, 8.0), (2.0, 5.0, 2.0)],
)
def test_how_seldom_a_quiet_stream_is_looked_at(gop_s: float, time_to_kill_s: float, apart_s: float) -> None:
    """With a keyframe every 2 s and 10 s to kill, one look in 6 s; never less than one in 8 s."""
    looked = looks(keyframes([gop_s], seconds=100.0), pace=lambda _: quiet(time_to_kill_s))
    assert {later - earlier for earlier, later in pairwise(looked[1:])} == {apart_s}
    assert apart_s <= MOST_QUIET_S


@pytest.mark.parametrize("gop_s", [5.0, 10.0, 20.0, 45.0])
def test_long_groups_of_pictures_are_all_looked_at(gop_s: float) -> None:
    """Where the next keyframe would be too late, each is looked at."""
    at_s = keyframes([gop_s], seconds=300.0)
    assert looks(at_s, pace=lambda _: quiet()) == at_s


def test_nobody_can_show_footage_between_all_looks() -> None:
    """Two keyframes of footage after each harmless one, in step with the looks, go unseen for an hour where looks can
    be foreseen; else some come sooner, by chance, and cost little.
    """
    at_s = keyframes([2.0], seconds=3600.0)
    foreseen = looks(at_s, pace=lambda _: quiet())[5:]
    assert len({at % 6.0 for at in foreseen}) == 1
    chance = Random(1)  # noqa: S311 - a test's
    looked = looks(at_s, pace=lambda _: quiet(), unforeseen=lambda: 3 * chance.expovariate(1.0))
    assert {later - earlier for earlier, later in pairwise(looked[5:])} == {2.0, 4.0, 6.0}
    assert len({at % 6.0 for at in looked[:40]}) == 3
    assert len(looked) < 1.15 * len(foreseen)


def test_a_look_that_need_not_be_is_one_whether_the_keyframe_is_fetched_or_not() -> None:
    """What would be fetched for it is also looked at when it is here; and chance is asked anew after each look."""
    drawn = iter([0.5, math.inf])
    sampler = Sampler(unforeseen=lambda: next(drawn))
    assert sampler.due(Moment(0.0), pace=quiet())
    sampler.looked()
    assert sampler.passes_over(2.0, after_s=2.0, pace=quiet())
    assert not sampler.passes_over(4.0, after_s=2.0, pace=quiet())
    assert sampler.due(Moment(4.0), pace=quiet())
    sampler.looked()
    assert [sampler.passes_over(at_s, after_s=2.0, pace=quiet()) for at_s in (6.0, 8.0, 10.0)] == [True, True, False]


def test_the_pace_counts_from_the_next_keyframe_on() -> None:
    """A stream that becomes suspect is looked at with its very next keyframe."""
    at_s = keyframes([2.0], seconds=60.0)
    looked = looks(at_s, pace=lambda now_s: quiet() if now_s < 31.0 else EVERY_KEYFRAME)
    assert [at for at in looked if at > 31.0] == [at for at in at_s if at > 31.0]


def test_a_keyframe_that_was_due_and_not_seen_leaves_the_next_one_due() -> None:
    """One that cannot be decoded is no look."""
    sampler = Sampler()
    for now_s in range(0, 20, 2):
        if sampler.due(Moment(float(now_s)), pace=quiet()):
            sampler.looked()
    at_s = 20.0
    while not sampler.due(Moment(at_s), pace=quiet()):
        at_s += 2.0
    assert sampler.due(Moment(at_s + 2.0), pace=quiet())
    sampler.looked()
    assert not sampler.due(Moment(at_s + 4.0), pace=quiet())


@pytest.mark.parametrize(
    ("stamp", "looks_of_30"),
    [
        pytest.param(lambda s: Moment(s, s, s), 6, id="in step"),
        pytest.param(lambda s: Moment(s, s, s * 10), 30, id="presentation runs ahead"),
        pytest.param(lambda s: Moment(s, s * 10, s), 30, id="decoding runs ahead"),
        pytest.param(lambda s: Moment(s / 10, s, s), 6, id="a burst: more came than the arrival says"),
        pytest.param(lambda s: Moment(s, s, -s), 30, id="presentation runs backwards"),
        pytest.param(lambda s: Moment(s, s if s % 12 else None, s), 15, id="a stamp comes and goes"),
    ],
)
def test_odd_clocks_hide_nothing(stamp: Callable[[float], Moment], looks_of_30: int) -> None:
    """The clock that says that the most was shown since the last look counts, and one that is broken earns a look."""
    sampler = Sampler()
    looked = 0
    for number in range(30):
        if sampler.due(stamp(6.0 + 6.0 * number), pace=shed()):
            sampler.looked()
            looked += 1
    assert looked >= looks_of_30


def test_squeezed_stamps_alone_give_no_rest() -> None:
    """A stream whose own clocks stand still is looked at by the arrival of its keyframes."""
    sampler = Sampler()
    looked = []
    for number in range(30):
        if sampler.due(Moment(2.0 * number, 0.0, 0.0), pace=quiet()):
            sampler.looked()
            looked.append(2.0 * number)
    assert max(later - earlier for earlier, later in pairwise(looked)) <= MOST_QUIET_S


def test_a_pause_of_the_stream_is_remembered_for_a_minute() -> None:
    """What keyframes did once they may do again: after a long gap each is looked at, until it is long past."""
    at_s = [*keyframes([2.0], seconds=60.0), *(80.0 + s for s in keyframes([2.0], seconds=200.0))]
    looked = set(looks(at_s, pace=lambda _: quiet()))
    assert all(at in looked for at in at_s if 80.0 <= at < 80.0 + RHYTHM_S)
    assert not all(at in looked for at in at_s if at > 80.0 + 2 * RHYTHM_S)


@given(every_s=gaps, told=st.floats(0.0, 3.0), time_to_kill_s=st.floats(2.0, 40.0))
def test_looks_stay_as_near_where_keyframes_are_not_fetched(
    every_s: Sequence[float], told: float, time_to_kill_s: float
) -> None:
    """Asked before it fetches a keyframe, by what is told of when it comes, a sampler never looks later than one that
    sees all of them, as long as keyframes come as they did: whoever tells too little is judged by arrivals.
    """
    pace = quiet(time_to_kill_s)
    at_s = keyframes(every_s, seconds=180.0)
    sampler, looked, before_s = Sampler(), [], 0.0
    for now_s in at_s:
        is_asked = now_s >= RHYTHM_S
        if is_asked and sampler.passes_over(now_s, after_s=(now_s - before_s) * min(told, 1.0), pace=pace):
            before_s = now_s
            continue
        before_s = now_s
        if sampler.due(Moment(now_s), pace=pace if is_asked else EVERY_KEYFRAME):
            sampler.looked()
            looked.append(now_s)
    longest_s = max(every_s)
    assert all(after - before <= max(pace.most_s, longest_s) + 1e-6 for before, after in pairwise(looked))


def test_before_the_first_keyframe_nothing_is_passed_over() -> None:
    """Nor right after it, where it has not been looked at."""
    sampler = Sampler()
    assert not sampler.passes_over(0.0, after_s=2.0, pace=quiet())
    assert sampler.due(Moment(0.0, 0.0, 0.0), pace=quiet())
    assert not sampler.passes_over(2.0, after_s=2.0, pace=quiet())
    sampler.looked()
    assert sampler.passes_over(2.0, after_s=2.0, pace=quiet())
    assert not sampler.passes_over(3.0, after_s=2.0, pace=EVERY_KEYFRAME)


def test_what_is_told_to_be_long_is_not_passed_over() -> None:
    """A segment that is told to be longer than two looks may be apart is fetched, however soon it comes."""
    sampler = Sampler()
    sampler.due(Moment(0.0, 0.0, 0.0), pace=quiet())
    sampler.looked()
    assert not sampler.passes_over(0.5, after_s=9.0, pace=quiet())
    assert not sampler.passes_over(9.0, after_s=0.5, pace=quiet())
