"""streamguard.worker.leases: several workers share streams by a real Redis, on a clock that the test moves."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from streamguard.enforce.sharing.lease_book import LEASE_S
from streamguard.errors import SignalsRejected
from streamguard.worker.leases import Change, key_of
from streamguard.worker.streams import Stream
from tests.redis_servers import RedisServer
from tests.waiting import eventually
from tests.worker.lease_stage import AWAY, Stage, spec, specs


@pytest.fixture
def stage(redis_server: RedisServer) -> Iterator[Stage]:
    stage = Stage(redis_server)
    yield stage
    stage.close()


@pytest.mark.promise(2, "one of three workers gone, 40 streams")
def test_a_dead_workers_streams_have_others_within_seconds(stage: Stage) -> None:
    """Of three one is heard of no more: 7 s later each of its streams has one watcher again."""
    first, second, dead = (stage.worker() for _ in range(3))
    stage.wanted.now = specs(40)
    stage.turns(30)
    stage.settle(stage.workers)
    assert stage.counts() == [13, 13, 14]
    survivors = [first, second]
    stage.turns(round(LEASE_S) + 2, of=survivors)
    assert first.streams() | second.streams() == stage.wanted.now
    stage.settle(survivors)
    assert sum(stage.counts(survivors)) == 40
    assert sum(one.state.changes.get(Change.TAKEN_OVER, 0) for one in survivors) >= len(dead.streams())
    stage.turns(40)
    stage.settle(stage.workers)
    assert stage.counts() == [13, 13, 14], "the one that stood still has let go of what others have"
    assert dead.state.changes[Change.LOST] > 0


def test_a_worker_that_joins_gets_its_share_one_by_one(stage: Stage) -> None:
    """At no moment is a stream without a watcher, and in the end workers have about as many each."""
    first = stage.worker()
    stage.wanted.now = specs(12)
    stage.turns(2)
    assert stage.counts() == [12]
    second = stage.worker()
    for _ in range(30):
        stage.turns(1)
        assert first.streams() | second.streams() == stage.wanted.now
    assert stage.counts() == [6, 6]
    assert first.state.changes[Change.HANDED_OVER] == 6
    assert Change.LOST not in first.state.changes


def test_what_was_handed_over_is_watched_until_the_other_can_see_it(stage: Stage) -> None:
    """A connection and a keyframe take seconds: for so long it has two watchers, and then one."""
    first, second = stage.worker(), stage.worker()
    stage.wanted.now = specs(2)
    together_s = 0
    for _ in range(12):
        stage.turns(1)
        together_s += bool(first.streams() & second.streams())
    assert 3 <= together_s <= 5
    assert stage.counts() == [1, 1]
    assert first.state.held == second.state.held == 1


def test_a_turn_comes_when_a_lease_runs_out(stage: Stage) -> None:
    """Of a worker that is not heard of; else once a second, and without Redis not oftener than that."""
    first, second = stage.worker(), stage.worker()
    stage.wanted.now = specs(6)
    stage.turns(20)
    assert first._rest_s() == 1.0
    rests = []
    for _ in range(round(LEASE_S) - 1):
        stage.turns(1, of=[first])
        rests.append(first._rest_s())
    assert rests[:-1] == [1.0] * (len(rests) - 1)
    assert 0 < rests[-1] < 1.0, "it ends within the next second"
    stage.away()
    stage.turns(1, of=[first])
    assert first._rest_s() == 1.0
    assert second.streams()


def test_what_shows_something_suspect_does_not_move(stage: Stage) -> None:
    """A move forgets evidence: such a stream stays where it is, until a minute has gone by."""
    first = stage.worker()
    stage.wanted.now = specs(4)
    stage.turns(2)
    for each in stage.wanted.now:
        first._suspect_at_s[each.key] = stage.clock.now_s
    stage.turns(1)
    stage.worker()
    stage.turns(20)
    assert stage.counts() == [0, 4]
    stage.turns(60)
    assert stage.counts() == [2, 2]


def test_without_redis_everybody_keeps_what_he_has(stage: Stage) -> None:
    """And says so. A new stream is taken at once by one, after 4 s by all: better twice than by nobody. Back again, one
    has it.
    """
    first, second = stage.worker(), stage.worker()
    stage.wanted.now = specs(10)
    stage.turns(20)
    before = {one: one.streams() for one in stage.workers}
    stage.away()
    stage.turns(2)
    assert {one: one.streams() for one in stage.workers} == before
    assert first.state.problem == str(AWAY)
    assert not first.why_not_ready()[:-1], "only that its thread was not started"
    stage.wanted.now = specs(11)
    new = stage.wanted.now - specs(10)
    stage.turns(1)
    assert [new <= one.streams() for one in stage.workers].count(True) == 1
    stage.turns(6)
    assert all(new <= one.streams() for one in stage.workers)
    assert first.streams() - new == before[first]
    stage.away(None)
    stage.turns(6)
    assert sum(stage.counts()) == 11
    assert all(one.streams() - new == before[one] for one in stage.workers), "nobody took what others had"
    assert second.state.problem == ""


@pytest.mark.promise(2, "Redis without its data, and one worker gone")
def test_a_redis_without_its_data_moves_nothing(stage: Stage) -> None:
    """Who comes first does not take what the others have; what a dead one had is taken a little later."""
    first, second, dead = stage.worker(), stage.worker(), stage.worker()
    stage.wanted.now = specs(9)
    stage.turns(30)
    before = {one: one.streams() for one in stage.workers}
    stage._server.run("FLUSHALL")
    stage.turns(1, of=[first, second])
    assert [one.streams() for one in (first, second)] == [before[first], before[second]]
    stage.turns(6, of=[first, second])
    stage.settle([first, second])
    assert sum(stage.counts([first, second])) == 9
    assert before[first] <= first.streams()
    assert len(before[dead]) == 3


def test_a_worker_that_has_nothing_waits_as_well(stage: Stage) -> None:
    """It sees by the others who are missing that Redis has lost its data."""
    full, empty = stage.worker(), stage.worker()
    stage.wanted.now = specs(1)
    stage.turns(3)
    assert len(full.streams()) == 1
    stage._server.run("FLUSHALL")
    stage.turns(1, of=[empty, full])
    assert stage.counts([full]) == [1]
    assert not empty.streams()


@pytest.mark.promise(2, "the memory of Redis full")
def test_a_full_redis_is_one_that_is_away(stage: Stage) -> None:
    """Everybody keeps what it has, and says why; with room again all have that, and nobody took what others had."""
    first, second = stage.worker(), stage.worker()
    stage.wanted.now = specs(10)
    stage.turns(20)
    stage.settle(stage.workers)
    before = {one: one.streams() for one in stage.workers}
    stage._server.run("CONFIG SET", "maxmemory", "1")
    stage.turns(10)
    assert {one: one.streams() for one in stage.workers} == before
    assert "redis is full" in first.state.problem
    assert "redis is full" in str(second.detail()["problem"])
    stage._server.run("CONFIG SET", "maxmemory", "0")
    stage.turns(6)
    assert {one: one.streams() for one in stage.workers} == before
    assert first.state.problem == ""


def test_a_redis_that_says_no_needs_a_hand(stage: Stage) -> None:
    """A wrong password does not pass by itself: `/readyz` says it."""
    one = stage.worker()
    stage.away(SignalsRejected("share streams in", "redis://x", "redis said no: wrong password"))
    stage.turns(1)
    assert "wrong password" in one.why_not_ready()[0]


def test_streams_beyond_the_fleets_capacity_are_told(stage: Stage) -> None:
    """By number and by name; the next worker takes them, and nothing is told any more."""
    limited = [stage.worker(most_streams=3), stage.worker(most_streams=2)]
    stage.wanted.now = specs(7)
    stage.turns(6)
    assert sorted(len(one.streams()) for one in limited) == [2, 3]
    for one in limited:
        assert len(one.state.unwatched) == 2
        assert one.detail()["unwatched"] == 2
        assert str(one.detail()["unwatched_streams"]).startswith("['edge live/")
    stage.worker()
    stage.turns(3)
    assert sum(stage.counts()) == 7
    assert all(not one.state.unwatched for one in stage.workers)


def test_capacity_holds_without_redis_too(stage: Stage) -> None:
    """What there is no room for is told then as well."""
    one = stage.worker(most_streams=2)
    stage.away()
    stage.wanted.now = specs(5)
    stage.turns(8)
    assert (len(one.streams()), len(one.state.unwatched)) == (2, 3)


def test_a_reply_that_is_lost_changes_nothing(stage: Stage) -> None:
    """What the script has done is found a turn later."""
    stage.worker()
    stage.wanted.now = specs(5)
    stage.books[0].lose_next_reply = True
    stage.turns(2)
    assert stage.counts() == [5]
    stage.books[0].lose_next_reply = True
    stage.turns(2)
    assert stage.counts() == [5]


def test_another_session_of_a_name_is_the_same_workers_at_once(stage: Stage) -> None:
    """A lease is a name's: nothing is asked of Redis. While nothing changes it is the same object."""
    one = stage.worker()
    stage.wanted.now = frozenset({spec("live/cam")})
    stage.turns(1)
    share = one.streams()
    stage.turns(1)
    assert one.streams() is share
    stage.wanted.now = frozenset({spec("live/cam", "2")})
    assert one.streams() == stage.wanted.now
    stage.wanted.now = frozenset()
    assert one.streams() == frozenset()
    stage.turns(1)
    assert one.state.held == 0


@pytest.mark.promise(2, "60 turns of deaths, freezes, lost replies and data, drawn by chance", times=60)
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_each_stream_has_one_watcher_soon_after(stage: Stage, seed: int) -> None:
    """Workers come, die, stand still and come back, Redis goes away and loses replies and data, streams come and go:
    10 s after it has ended each stream has exactly one watcher.
    """
    dice = random.Random(seed)  # noqa: S311 - a test's
    stage.worker()
    standing: set[int] = set()
    for _ in range(60):
        happens = dice.choice(("nothing", "worker", "stand", "go on", "away", "back", "reply", "streams", "flush"))
        match happens:
            case "worker" if len(stage.workers) < 5:
                stage.worker()
            case "stand":
                standing.add(dice.randrange(len(stage.workers)))
            case "go on":
                standing.clear()
            case "away":
                stage.away()
            case "back":
                stage.away(None)
            case "reply":
                dice.choice(stage.books).lose_next_reply = True
            case "streams":
                stage.wanted.now = specs(dice.randrange(15))
            case "flush":
                stage._server.run("FLUSHALL")
        stage.turns(1, of=[one for number, one in enumerate(stage.workers) if number not in standing])
    stage.away(None)
    dead = {0} & standing
    living = [one for number, one in enumerate(stage.workers) if number not in dead]
    stage.turns(10, of=living)
    stage.settle(living)
    assert sum(stage.counts(living)) == len(stage.wanted.now)


def test_the_thread_shares_hands_over_and_gives_back(stage: Stage) -> None:
    """From its start to its end: what is new is taken at once, and after the end nothing is held."""
    one = stage.worker()
    one.start()
    stage.wanted.now = specs(3)
    eventually(lambda: one.streams() == stage.wanted.now, timeout_s=5.0, what="its streams")
    done: list[bool] = []
    assert one.hand_over(within_s=5.0, then=lambda: done.append(True))
    eventually(lambda: done, timeout_s=5.0, what="that nobody is there to take them")
    one.stop(5.0)
    assert not one.is_running
    assert stage.books[0].closed
    assert stage._server.run("HLEN", "{t}:leases:held") == 0
    assert not one.hand_over(within_s=5.0, then=lambda: None)


@pytest.mark.promise(8, "a worker whose leases nobody renews any more")
def test_a_thread_that_hangs_or_has_ended_renews_nothing(stage: Stage) -> None:
    """Whatever its last turn brought."""
    one = stage.worker()
    assert not one.is_renewing
    one.start()
    eventually(lambda: one.is_renewing, what="the first turn")
    stage.clock.now_s += 60.0
    stage.books[0].down = AWAY
    eventually(lambda: one.is_renewing, what="a turn that failed")
    one.stop(5.0)
    assert not one.is_renewing


def test_a_status_tells_whose_it_is() -> None:
    """By server and name."""
    for each in (spec("live/cam"), replace(spec("cam"), origin=None)):
        assert key_of(Stream(each).status(now_s=0.0)) == each.key
