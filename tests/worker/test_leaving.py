"""streamguard.worker.leaving: a worker that drains hands its streams over, by a real Redis on the test's clock."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from streamguard.core.leases import ANYBODY, HAND_OVER_S
from streamguard.types import StreamId
from streamguard.worker.leases import Change, Sharing
from streamguard.worker.leaving import OVERLAP_S, Leaving
from tests.redis_servers import RedisServer
from tests.worker.lease_stage import Stage, specs

A, B, C = (StreamId(name) for name in "abc")


@pytest.fixture
def stage(redis_server: RedisServer) -> Iterator[Stage]:
    stage = Stage(redis_server)
    yield stage
    stage.close()


def is_over(leaving: Sharing) -> bool:
    assert leaving._leaving is not None
    return leaving._is_given_away(leaving._leaving)


def drained(stage: Stage, leaving: Sharing, *, within_s: float) -> list[int]:
    """By turn, how many streams left it; each has a watcher in every turn, and two for as long as the other needs."""
    both_s = dict.fromkeys(stage.wanted.now, 0)
    for each in stage.wanted.now - leaving.streams():
        del both_s[each]
    moved = [leaving.state.changes.get(Change.HANDED_OVER, 0)]
    leaving.hand_over(within_s=within_s, then=lambda: None)
    stage.turns(1)
    while not is_over(leaving):
        stage.turns(1)
        watched = [one.streams() for one in stage.workers]
        assert frozenset().union(*watched) == stage.wanted.now
        for each in both_s:
            both_s[each] += sum(each in share for share in watched) == 2
        moved.append(leaving.state.changes.get(Change.HANDED_OVER, 0))
        assert len(moved) <= within_s + 1
    assert leaving.state.held == 0
    assert min(both_s.values()) >= OVERLAP_S - 1
    return [now - before for before, now in pairwise(moved)]


@pytest.mark.promise(2, "a worker that drains, 5 streams")
def test_few_streams_are_handed_over_one_by_one(stage: Stage) -> None:
    """Each is watched until another worker has it and has had time to see it; and nothing new is taken."""
    leaving, other = stage.worker(), stage.worker()
    stage.wanted.now = specs(10)
    stage.turns(20)
    stage.settle(stage.workers)
    assert stage.counts() == [5, 5]
    assert max(drained(stage, leaving, within_s=30.0)) == 1
    stage.wanted.now = specs(12)
    stage.turns(2)
    assert stage.counts() == [0, 12]
    assert len(other.streams()) == 12


@pytest.mark.promise(2, "a worker that drains, 200 streams", times=200)
def test_many_streams_are_handed_over_a_few_at_a_time_and_in_time(stage: Stage) -> None:
    """As many at once as it takes, so that the others need not open all of them at one moment."""
    leaving = stage.worker()
    stage.wanted.now = specs(200)
    stage.turns(2)
    others = [stage.worker(), stage.worker()]
    stage.turns(1, of=others)
    moved = drained(stage, leaving, within_s=30.0)
    assert sum(moved) == 200
    assert max(moved) <= 40


def test_what_must_be_quick_goes_at_once(stage: Stage) -> None:
    """Where there is no time for more than one hand-over and the overlap after it."""
    leaving, other = stage.worker(), stage.worker()
    stage.wanted.now = specs(8)
    stage.turns(20)
    stage.settle(stage.workers)
    leaving.hand_over(within_s=OVERLAP_S + HAND_OVER_S, then=lambda: None)
    stage.turns(1)
    assert other.streams() == stage.wanted.now
    assert len(leaving.streams()) == 4


@pytest.mark.parametrize("why", ["alone", "away", "full", "late"])
def test_draining_does_not_wait_for_nobody(stage: Stage, why: str) -> None:
    """Where no other worker could take anything, or takes it in time."""
    leaving = stage.worker()
    if why != "alone":
        stage.worker(most_streams=1 if why == "full" else 0)
    stage.wanted.now = specs(8)
    stage.turns(12)
    leaving.hand_over(within_s=5.0, then=lambda: None)
    if why == "away":
        stage.away()
    if why == "late":
        stage.clock.now_s += 6.0
    leaving.step_once()
    assert leaving.streams()
    assert is_over(leaving)


def test_what_shows_something_suspect_goes_last_and_what_has_no_lease_not_at_all() -> None:
    """A move forgets evidence; and what was taken while Redis was away is nobody's to give."""
    leaving = Leaving(until_s=100.0, then=lambda: None)
    epochs = {A: 1, B: 2, C: 0}
    assert leaving.offers(epochs, idle={B}, now_s=0.0) == [(B, 2, ANYBODY)]
    assert leaving.offers(epochs, idle={A, B}, now_s=1.0) == [(B, 2, ANYBODY)], "it is said anew until it is taken"
    assert leaving.offers({A: 1, C: 0}, idle={A}, now_s=2.0) == [(A, 1, ANYBODY)]
    assert leaving.offers({A: 7, C: 3}, idle=(), now_s=95.0) == [(A, 7, ANYBODY), (C, 3, ANYBODY)]
