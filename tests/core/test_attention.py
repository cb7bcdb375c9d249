"""streamguard.core.attention: who is looked at how closely, and who is shed first."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.attention import (
    AttentionRule,
    Load,
    Shedding,
    Standing,
    attention_of,
    attentions,
    between_share,
    may_hide,
    pace_of,
    shedding_after,
)
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.glances import QUIET_SHARE
from streamguard.core.sampling import EVERY_KEYFRAME, Attention
from streamguard.types import StreamId

RULE = AttentionRule()
QUIET = Standing(seen_for_s=3600.0, without_evidence_s=math.inf, reported=False)
IDLE, USUAL, BUSY = Load(0.2, 0.02), Load(0.8, 0.1), Load(0.95, 0.1)
LATE = Load(0.5, 0.8)

seconds = st.floats(0.0, 7200.0) | st.just(math.inf)
standings = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3).map(StreamId),
    st.builds(Standing, seconds, seconds, st.booleans(), seconds),
)


@pytest.mark.parametrize(
    ("standing", "attention"),
    [
        (QUIET, Attention.QUIET),
        (replace(QUIET, without_evidence_s=3599.0), Attention.QUIET),
        (replace(QUIET, without_evidence_s=59.0), Attention.EVERY),
        (replace(QUIET, without_likeness_s=9.0), Attention.EVERY),
        (replace(QUIET, without_likeness_s=11.0), Attention.QUIET),
        (replace(QUIET, seen_for_s=59.0), Attention.EVERY),
        (replace(QUIET, reported=True), Attention.EVERY),
    ],
)
def test_what_is_suspect_new_or_reported_is_looked_at_closely(standing: Standing, attention: Attention) -> None:
    """For a minute after the last evidence and after its first picture, for 10 s after it looked like something, and
    always where an operator says so.
    """
    assert attention_of(standing, RULE) is attention


def test_no_time_to_kill_turns_it_off() -> None:
    """With 0 every keyframe of every stream is looked at, under any load."""
    off = AttentionRule(time_to_kill_s=0.0)
    assert attentions({StreamId("cam"): QUIET}, off, shed_share=1.0) == {"cam": Attention.EVERY}


def test_the_quietest_are_shed_first() -> None:
    """Those that have shown nothing for longest; what is new comes last, and is then looked at as what is quiet."""
    streams = {
        StreamId("old"): replace(QUIET, seen_for_s=7200.0),
        StreamId("was suspect"): replace(QUIET, seen_for_s=7200.0, without_evidence_s=100.0),
        StreamId("middle"): QUIET,
        StreamId("new"): replace(QUIET, seen_for_s=10.0),
    }
    order = []
    for share in (0.25, 0.5, 0.75, 1.0):
        spared = attentions(streams, RULE, shed_share=share)
        changed = [name for name in streams if spared[name] is not attention_of(streams[name], RULE)]
        order += [name for name in changed if name not in order]
    assert order == ["old", "middle", "was suspect", "new"]
    assert list(attentions(streams, RULE, shed_share=1.0).values()) == [*[Attention.SHED] * 3, Attention.QUIET]


@given(standings, st.floats(0.0, 1.0))
def test_shedding_spares_the_suspect_and_forgets_nobody(streams: dict[StreamId, Standing], share: float) -> None:
    """Whatever the load, what is suspect or reported keeps its pace, and each stream has one with a bound."""
    worth = attentions(streams, RULE, shed_share=share)
    assert set(worth) == set(streams)
    for name, standing in streams.items():
        if standing.reported or standing.without_evidence_s < RULE.suspect_s:
            assert worth[name] is Attention.EVERY
        assert pace_of(worth[name], RULE, kill=BUILT_IN_RULE).most_s <= RULE.longest_pause_s


@given(standings, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_load_never_means_more_looks(streams: dict[StreamId, Standing], one: float, other: float) -> None:
    """Who is shed at a lower share is shed at a higher one, too."""
    closeness = list(Attention)
    less = attentions(streams, RULE, shed_share=min(one, other))
    more = attentions(streams, RULE, shed_share=max(one, other))
    assert all(closeness.index(less[name]) <= closeness.index(more[name]) for name in streams)


@pytest.mark.parametrize("load", [BUSY, LATE])
def test_overload_sheds_more_and_more(load: Load) -> None:
    """A quarter of the streams every 5 s, until all are that may be."""
    shedding, shares = Shedding(), []
    for now_s in range(30):
        shedding = shedding_after(shedding, load, now_s=float(now_s))
        shares.append(shedding.share)
    assert shares[0] == 0.25
    assert shares[4:6] == [0.25, 0.5]
    assert shares[-1] == 1.0


def test_what_was_shed_comes_back_slowly() -> None:
    """In between, at a load that shedding itself has brought about, nothing changes."""
    shed = Shedding(0.5, 100.0)
    assert shedding_after(shed, USUAL, now_s=1000.0) == shed
    assert shedding_after(shed, IDLE, now_s=114.0) == shed
    assert shedding_after(shed, IDLE, now_s=115.0) == Shedding(0.25, 115.0)
    assert shedding_after(Shedding(), IDLE, now_s=115.0) == Shedding()


def test_the_pace_follows_the_rule_of_the_kill() -> None:
    """A rule that takes more keyframes, or keyframes farther apart, leaves less time between looks."""
    usual = pace_of(Attention.QUIET, RULE, kill=BUILT_IN_RULE)
    stricter = pace_of(Attention.QUIET, RULE, kill=replace(BUILT_IN_RULE, min_keyframes=3))
    assert usual.pause_s(longest_s=2.0, shortest_s=2.0) == 7.5
    assert stricter.pause_s(longest_s=2.0, shortest_s=2.0) == 5.5
    assert usual.pause_s(longest_s=1.0, shortest_s=1.0) == pytest.approx(6.9)
    assert pace_of(Attention.EVERY, RULE, kill=BUILT_IN_RULE) == EVERY_KEYFRAME


def test_a_short_longest_pause_holds_for_the_quiet_as_well() -> None:
    """No stream is looked at more seldom than the operator allows."""
    rule = AttentionRule(longest_pause_s=3.0)
    assert pace_of(Attention.QUIET, rule, kill=BUILT_IN_RULE).most_s == 3.0
    assert pace_of(Attention.SHED, rule, kill=BUILT_IN_RULE).most_s == 3.0


def test_in_an_incident_every_keyframe_of_all_is_looked_at() -> None:
    """As long as there is time for it; and then all as what is quiet before any is looked at more seldom."""
    incident = replace(RULE, closely=True)
    streams = {StreamId(str(number)): replace(QUIET, seen_for_s=100.0 + number) for number in range(4)}
    streams[StreamId("suspect")] = replace(QUIET, without_evidence_s=1.0)
    every, quiet, shed = Attention.EVERY, Attention.QUIET, Attention.SHED
    for share, wanted in {
        0.0: [every, every, every, every],
        0.25: [every, every, quiet, quiet],
        0.5: [quiet, quiet, quiet, quiet],
        0.75: [quiet, quiet, shed, shed],
        1.0: [shed, shed, shed, shed],
    }.items():
        worth = attentions(streams, incident, shed_share=share)
        assert [worth[StreamId(str(number))] for number in range(4)] == wanted, share
        assert worth[StreamId("suspect")] is every


@pytest.mark.parametrize(
    ("standing", "odd"),
    [
        (QUIET, False),
        (replace(QUIET, without_evidence_s=59.0), True),
        (replace(QUIET, without_likeness_s=1.0), False),
        (replace(QUIET, without_hiding_s=119.0), True),
        (replace(QUIET, without_hiding_s=121.0), False),
        (replace(QUIET, reported=True), False),
    ],
)
def test_evidence_and_what_comes_and_goes_make_pictures_between_keyframes_worth_more(
    standing: Standing, *, odd: bool
) -> None:
    """For a minute and for two; what is merely new or named is no reason."""
    assert may_hide(standing, RULE) is odd


def test_what_looks_between_keyframes_may_take() -> None:
    """Little of a stream in which nothing is suspect, more of those that are, and of all of these no more than so much;
    nothing under overload, or where it is switched off.
    """
    every = Attention.EVERY
    assert between_share(every, RULE, is_odd=False, odd=5) == QUIET_SHARE
    assert between_share(every, RULE, is_odd=True, odd=1) == RULE.between_share
    shares = [between_share(every, RULE, is_odd=True, odd=odd) for odd in (20, 33, 64, 100_000)]
    assert shares[0] == pytest.approx(0.2 / 32)
    assert shares[1] == shares[2] == pytest.approx(0.2 / 64)
    assert shares[3] == QUIET_SHARE
    assert between_share(Attention.SHED, RULE, is_odd=False, odd=1) == 0
    assert between_share(every, AttentionRule(between_share=0.0), is_odd=True, odd=1) == 0
    assert pace_of(every, RULE, kill=BUILT_IN_RULE, between_share=0.5) == replace(EVERY_KEYFRAME, between_share=0.5)
