"""streamguard.core.leases: who tries first, who may, and when workers have about as many each."""

import math

from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.leases import (
    ANYBODY,
    HAND_OVER_S,
    HOPELESS_S,
    Fleet,
    Lease,
    Member,
    WorkerId,
    ranking,
    takers,
    to_claim,
    to_give_away,
    to_offer,
)
from streamguard.types import StreamId

NOW_MS = 1_000_000
LATER_MS = NOW_MS + 5000
BEFORE_MS = NOW_MS - 1

names = st.integers(0, 40).map(lambda number: StreamId(f"live/{number}"))
workers = st.sets(st.integers(0, 9).map(lambda number: WorkerId(f"w.{number}")), min_size=1)


def fleet(
    leases: dict[str, Lease] | None = None, members: dict[str, Member] | None = None, *, of: tuple[str, ...] = ()
) -> Fleet:
    """As it stands now; the workers `of` live and have no limit."""
    alive = {WorkerId(worker): Member(LATER_MS) for worker in of}
    given = {WorkerId(worker): member for worker, member in (members or {}).items()}
    return Fleet(NOW_MS, {StreamId(stream): lease for stream, lease in (leases or {}).items()}, alive | given)


def held(worker: str, *, until_ms: int = LATER_MS, offered_to: str | None = None) -> Lease:
    return Lease(WorkerId(worker), 1, until_ms, None if offered_to is None else WorkerId(offered_to))


@given(names, workers)
def test_all_workers_see_the_same_order_and_one_that_goes_leaves_it_as_it_is(
    stream: StreamId, them: set[WorkerId]
) -> None:
    """However they are listed; what was the order of the others stays."""
    order = ranking(stream, them)
    assert order == ranking(stream, sorted(them, reverse=True))
    gone = order[0]
    assert ranking(stream, them - {gone}) == order[1:]


def test_streams_are_spread() -> None:
    """Of a thousand streams each of five workers is the first for 150 to 250."""
    them = [WorkerId(f"w.{number}") for number in range(5)]
    firsts = [ranking(StreamId(f"live/{number}"), them)[0] for number in range(1000)]
    assert all(150 <= firsts.count(worker) <= 250 for worker in them)


@given(st.sets(names, min_size=1), workers)
def test_every_free_stream_has_exactly_one_who_tries_at_once(wanted: set[StreamId], them: set[WorkerId]) -> None:
    """And everybody, where nobody took it for as many turns as there are workers."""
    now = fleet(of=tuple(them))
    first = [
        stream
        for me in them
        for stream in to_claim(now, me=me, wanted=sorted(wanted), room=None, turns_free=lambda _stream: 0)
    ]
    assert sorted(first) == sorted(wanted)
    for me in them:
        late = to_claim(now, me=me, wanted=sorted(wanted), room=None, turns_free=lambda _stream: len(them))
        assert set(late) == wanted


def test_what_may_be_taken() -> None:
    """What nobody has, has any more, or offers to this worker or to all; never what another one has."""
    leases = {
        "theirs": held("other"), "mine": held("me"), "expired": held("dead", until_ms=BEFORE_MS),
        "to-me": held("other", offered_to="me"), "to-all": held("other", offered_to=ANYBODY),
        "to-another": held("other", offered_to="third"),
    }  # fmt: skip
    now = fleet(leases, of=("me", "other", "third"))
    wanted = [StreamId(name) for name in (*leases, "new")]
    claims = to_claim(now, me=WorkerId("me"), wanted=wanted, room=None, turns_free=lambda _stream: 9)
    assert set(claims) == {"expired", "to-me", "to-all", "new"}
    few = to_claim(now, me=WorkerId("me"), wanted=wanted, room=2, turns_free=lambda _stream: 9)
    assert set(few) == {"expired", "new"}, "what is watched by nobody comes first"
    assert to_claim(now, me=WorkerId("me"), wanted=wanted, room=0, turns_free=lambda _stream: 9) == ()


def test_the_next_turn_may_have_to_come_when_a_lease_runs_out() -> None:
    """The first of another worker's that is not renewed; one's own, and what has run out, need no turn."""
    leases = {
        "mine": held("me", until_ms=NOW_MS + 10), "over": held("dead", until_ms=NOW_MS),
        "soon": held("dead", until_ms=NOW_MS + 1500), "later": held("other"),
    }  # fmt: skip
    assert fleet(leases).first_end_s(besides=WorkerId("me")) == 1.5
    assert fleet({"mine": held("me")}).first_end_s(besides=WorkerId("me")) == math.inf


def test_who_can_take_more() -> None:
    """A worker that lives, has room and stays."""
    members = {
        "dead": Member(BEFORE_MS), "full": Member(LATER_MS, most_streams=1), "room": Member(LATER_MS, most_streams=2),
        "leaving": Member(LATER_MS, is_draining=True), "me": Member(LATER_MS),
    }  # fmt: skip
    now = fleet({"a": held("full"), "b": held("room")}, members)
    assert takers(now, besides=WorkerId("me")) == {"room"}


def test_a_full_worker_does_not_keep_others_waiting() -> None:
    """It is not asked first for what it has no room for."""
    stream = next(
        StreamId(f"s{number}")
        for number in range(99)
        if ranking(StreamId(f"s{number}"), [WorkerId("a"), WorkerId("b")])[0] == "a"
    )
    now = fleet({"x": held("a")}, {"a": Member(LATER_MS, most_streams=1), "b": Member(LATER_MS)})
    assert to_claim(now, me=WorkerId("b"), wanted=[stream], room=None, turns_free=lambda _stream: 0) == (stream,)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 3))
def test_handing_over_one_by_one_ends_with_about_as_many_each(loads: list[int], limited: int) -> None:
    """Whatever the start: no two workers with room differ by more than one, no capacity is passed, and it ends."""
    of: dict[StreamId, WorkerId] = {}
    for worker, load in enumerate(loads):
        of |= {StreamId(f"{worker}/{number}"): WorkerId(f"w{worker}") for number in range(load)}
    most = {
        WorkerId(f"w{worker}"): (3 if worker == limited and loads[worker] <= 3 else 0) for worker in range(len(loads))
    }
    moves = 0
    while True:
        leases = {stream: held(worker) for stream, worker in of.items()}
        now = Fleet(NOW_MS, leases, {worker: Member(LATER_MS, limit) for worker, limit in most.items()})
        offers = (to_offer(now, me=me, idle=set(now.of(me)), times_offered=lambda _stream: 0) for me in sorted(most))
        offer = next((offer for offer in offers if offer), ())
        if not offer:
            break
        of |= dict(offer)
        moves += len(offer)
        assert moves <= sum(loads)
    counts = now.loads()
    unlimited = [load for worker, load in counts.items() if not most[worker]]
    assert all(not limit or counts[worker] <= limit for worker, limit in most.items())
    assert max(unlimited, default=0) - min(unlimited, default=0) <= 1
    assert len(of) == sum(loads)


def test_only_what_shows_nothing_suspect_moves() -> None:
    """And of that what was offered least often: the others may not see what they did not take."""
    now = fleet({"a": held("me"), "b": held("me"), "c": held("me")}, of=("me", "other"))
    times = {"a": 1}
    idle = {StreamId("a"), StreamId("b")}
    offer = to_offer(now, me=WorkerId("me"), idle=idle, times_offered=lambda stream: times.get(stream, 0))
    assert offer == (("b", "other"),)
    assert to_offer(now, me=WorkerId("me"), idle=set(), times_offered=lambda _stream: 0) == ()


def test_nothing_is_evened_out_while_a_worker_drains() -> None:
    """Until it is gone, or has not been heard of for a while: what it hands over would be handed on."""
    leases = {"a": held("me"), "b": held("me"), "c": held("me")}

    def offers(leaving: Member) -> int:
        now = fleet(leases, {"leaving": leaving}, of=("me", "other"))
        return len(to_offer(now, me=WorkerId("me"), idle=set(now.leases), times_offered=lambda _stream: 0))

    assert offers(Member(LATER_MS, is_draining=True)) == 0
    assert offers(Member(BEFORE_MS, is_draining=True)) == 1
    assert offers(Member(LATER_MS)) == 1


@given(
    count=st.integers(0, 300),
    time_s=st.floats(0, 60),
    turn_s=st.floats(0.1, HAND_OVER_S),
    unseen=st.just(set[int]()) | st.sets(st.integers(0, 300), max_size=20),
    quickness=st.floats(0, 1),
)
def test_giving_away_is_one_by_one_where_there_is_time_and_always_in_time(
    *, count: int, time_s: float, turn_s: float, unseen: set[int], quickness: float
) -> None:
    """Whatever others take at once, late or never: all were on offer when the time is over, and before that no more
    wait to be taken than twice what must; with time for all of them, one.
    """
    mine = [StreamId(f"live/{number}") for number in range(count)]
    never = {StreamId(f"live/{number}") for number in unseen}
    offered_at_s: dict[StreamId, float] = {}
    given: set[StreamId] = set()
    now_s = 0.0
    while now_s < time_s + turn_s:
        taken_s = (HAND_OVER_S - turn_s) * quickness
        given |= {stream for stream, at_s in offered_at_s.items() if stream not in never and now_s - at_s >= taken_s}
        rest = [stream for stream in mine if stream not in given]
        for_s = {stream: now_s - at_s for stream, at_s in offered_at_s.items()}
        new = to_give_away(rest, offered_for_s=for_s, left_s=time_s - now_s)
        assert not set(new) & offered_at_s.keys(), "an offer stands"
        assert list(new) == [stream for stream in rest if stream not in offered_at_s][: len(new)]
        offered_at_s |= dict.fromkeys(new, now_s)
        waiting = [stream for stream in rest if now_s - offered_at_s.get(stream, -HOPELESS_S) < HOPELESS_S]
        if time_s - now_s > HAND_OVER_S and not never:
            assert len(waiting) <= max(1, math.ceil(2 * len(mine) * HAND_OVER_S / time_s))
        now_s += turn_s
    assert offered_at_s.keys() == set(mine)


def test_what_nobody_takes_keeps_nothing_waiting() -> None:
    """The others may not see it: after a while the next one is offered, and that one stays on offer."""
    a, b = StreamId("a"), StreamId("b")
    assert to_give_away([a, b], offered_for_s={}, left_s=30.0) == (a,)
    assert to_give_away([a, b], offered_for_s={a: HOPELESS_S - 0.1}, left_s=30.0) == ()
    assert to_give_away([a, b], offered_for_s={a: HOPELESS_S}, left_s=30.0) == (b,)
    assert to_give_away([], offered_for_s={}, left_s=30.0) == ()
