"""What every mass-kill breaker does, in Redis or in memory."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.core.breaker import BreakerLimits, Scope
from streamguard.enforce.cutting.desk import PermitBook
from streamguard.enforce.orders.breaker_memory import BreakerMemory
from streamguard.enforce.orders.enforcer import Order, Result
from streamguard.enforce.orders.kill_control import KillControl
from streamguard.types import StreamId
from tests.enforce.made_orders import an_order
from tests.enforce.permit_books import control_of, permits_of
from tests.redis_servers import RedisServer
from tests.waiting import eventually

LIMITS = BreakerLimits(kills=6, kills_within_s=60.0, streams=3, streams_within_s=600.0)


@dataclass
class Stage:
    """A book of these limits, and who may lift what it refuses."""

    make: Callable[[BreakerLimits], PermitBook]
    control: BreakerMemory | KillControl
    trips: list[tuple[Scope, str]] = field(default_factory=list)


@pytest.fixture(params=["memory", "redis"])
def stage(request: pytest.FixtureRequest) -> Callable[[BreakerLimits], Stage]:
    """Makes one, empty."""

    def in_memory(limits: BreakerLimits) -> Stage:
        trips: list[tuple[Scope, str]] = []
        book = BreakerMemory(limits, on_trip=lambda scope, reference: trips.append((scope, reference)))
        return Stage(lambda _limits: book, book, trips)

    def in_redis(limits: BreakerLimits) -> Stage:
        server: RedisServer = request.getfixturevalue("redis_server")
        trips: list[tuple[Scope, str]] = []
        control = control_of(server)
        del limits
        return Stage(
            lambda terms: permits_of(server, limits=terms, on_trip=lambda scope, name: trips.append((scope, name))),
            control,
            trips,
        )

    return in_memory if request.param == "memory" else in_redis


def order(number: int, reference: str = "clip-1", *, stream: int | None = None) -> Order:
    one = an_order(f"nginx-{number}", stream=f"live/{number if stream is None else stream}")
    return replace(one, reference=reference)


def results(book: PermitBook, *orders: Order) -> list[Result | None]:
    return [book.ask(each).result for each in orders]


def test_one_reference_in_too_many_streams_is_quarantined(stage: Callable[[BreakerLimits], Stage]) -> None:
    """From the first that is one too many; others go on, and it is told once."""
    made = stage(LIMITS)
    book = made.make(LIMITS)
    assert results(book, *map(order, range(3))) == [None] * 3
    assert results(book, order(10, stream=1), order(3), order(4)) == [None, Result.BREAKER, Result.BREAKER]
    assert results(book, order(20, "clip-2")) == [None]
    assert made.trips == [(Scope.REFERENCE, "clip-1")]
    assert [name for name, since in made.control.standing().quarantined if since > 0] == ["clip-1"]
    assert not made.control.standing().is_open


def test_too_many_kills_stop_all(stage: Callable[[BreakerLimits], Stage]) -> None:
    """Of whatever references."""
    made = stage(LIMITS)
    book = made.make(LIMITS)
    assert results(book, *(order(number, f"clip-{number}") for number in range(6))) == [None] * 6
    assert results(book, order(6, "clip-6"), order(7, "clip-7")) == [Result.BREAKER] * 2
    assert made.trips == [(Scope.ALL, "")]
    assert made.control.standing().is_open
    assert "all kills are refused" in book.ask(order(8)).why


def test_the_same_kill_again_counts_once(stage: Callable[[BreakerLimits], Stage]) -> None:
    """And passes again, also when the breaker has opened meanwhile: its cut may be half done."""
    made = stage(LIMITS)
    book = made.make(LIMITS)
    for _ in range(20):
        assert results(book, order(0, "clip-0")) == [None]
    assert results(book, *(order(number, f"clip-{number}") for number in range(1, 7)))[-1] is Result.BREAKER
    assert results(book, order(0, "clip-0")) == [None]


def test_what_was_lifted_is_counted_from_nothing(stage: Callable[[BreakerLimits], Stage]) -> None:
    """As many pass as before, and then it trips again; lifting what stands against nobody says so."""
    made = stage(LIMITS)
    book = made.make(LIMITS)
    assert not made.control.lift("clip-1", who="anna", reason="why", trust_for_s=0)
    results(book, *map(order, range(4)))
    assert made.control.lift("clip-1", who="anna", reason="seen it", trust_for_s=0)
    assert results(book, order(4), order(5)) == [None] * 2
    made.control.lift(None, who="anna", reason="seen it", trust_for_s=0)
    assert results(book, order(6), order(7)) == [None, Result.BREAKER]
    assert len(made.trips) == 2


def test_what_somebody_vouches_for_is_not_counted(stage: Callable[[BreakerLimits], Stage]) -> None:
    """A real incident has one reference in hundreds of streams; others are counted all the same."""
    made = stage(LIMITS)
    book = made.make(LIMITS)
    made.control.lift("clip-1", who="anna", reason="it is real", trust_for_s=3600)
    made.control.lift(None, who="anna", reason="it is real", trust_for_s=3600)
    assert results(book, *map(order, range(40))) == [None] * 40
    assert results(book, *(order(number, "clip-2") for number in range(50, 54))) == [None] * 3 + [Result.BREAKER]
    assert made.trips == [(Scope.REFERENCE, "clip-2")]


@pytest.mark.parametrize(
    "limits",
    [BreakerLimits(kills=1, kills_within_s=0.05, streams=0), BreakerLimits(kills=0, streams=1, streams_within_s=0.05)],
    ids=["kills", "streams"],
)
def test_the_window_slides(stage: Callable[[BreakerLimits], Stage], limits: BreakerLimits) -> None:
    """What is older than the window counts no more."""
    book = stage(limits).make(limits)
    assert results(book, order(1)) == [None]
    over_s = time.monotonic() + 0.06
    eventually(lambda: time.monotonic() > over_s, what="the window to be over")
    assert results(book, order(2), order(3)) == [None, Result.BREAKER]


def test_off_is_off(stage: Callable[[BreakerLimits], Stage]) -> None:
    """0 lets any number pass."""
    limits = BreakerLimits(kills=0, kills_within_s=60.0, streams=0, streams_within_s=60.0)
    made = stage(limits)
    assert results(made.make(limits), *map(order, range(150))) == [None] * 150


def test_servers_streams_of_one_name_are_several(stage: Callable[[BreakerLimits], Stage]) -> None:
    """What is on two media servers is two streams."""
    made = stage(LIMITS)
    book = made.make(LIMITS)
    same = [replace(order(number), server=f"edge-{number}", stream=StreamId("live/cam")) for number in range(4)]
    assert results(book, *same) == [None] * 3 + [Result.BREAKER]


def test_a_kill_of_an_incident_is_believed_in_as_many_streams_as_it_says(
    stage: Callable[[BreakerLimits], Stage],
) -> None:
    """And in no more; other references as before, and this one when its incident is closed. All kills together too."""
    limits = replace(LIMITS, kills=12)
    made = stage(limits)
    book = made.make(limits)

    def of_incident(number: int, reference: str = "clip-1") -> Order:
        return replace(order(number, reference), streams_believed=5)

    assert results(book, *map(of_incident, range(6))) == [None] * 5 + [Result.BREAKER]
    assert results(book, *(order(number, "clip-2") for number in range(10, 14))) == [None] * 3 + [Result.BREAKER]
    assert results(book, *(of_incident(number, "clip-3") for number in range(20, 24))) == [None] * 4
    # Its incident is closed: four streams are more than three, and nobody vouches for them any more.
    assert results(book, order(24, "clip-3")) == [Result.BREAKER]
    assert results(book, of_incident(30, "clip-4")) == [Result.BREAKER]
    assert made.trips == [(Scope.REFERENCE, name) for name in ("clip-1", "clip-2", "clip-3")] + [(Scope.ALL, "")]


def test_fewer_streams_than_the_limit_are_no_less(stage: Callable[[BreakerLimits], Stage]) -> None:
    """An incident never makes the breaker stricter; nor does it lift what stands."""
    made = stage(LIMITS)
    book = made.make(LIMITS)
    orders = [replace(order(number), streams_believed=1) for number in range(4)]
    assert results(book, *orders) == [None] * 3 + [Result.BREAKER]
    assert results(book, replace(order(5), streams_believed=100)) == [Result.BREAKER]


@dataclass(frozen=True)
class Lift:
    """What an operator may do between kills."""

    reference: str | None
    trust_for_s: float


BELIEVED = st.sampled_from([0, 0, 1, 3])
KILLS = st.tuples(st.integers(0, 12), st.sampled_from(["a", "b"]), st.integers(0, 5), BELIEVED)
LIFTS = st.builds(Lift, st.sampled_from([None, "a", "b"]), st.sampled_from([0.0, 3600.0]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(KILLS | LIFTS, max_size=40))
def test_both_say_the_same_whatever_comes(
    redis_server: RedisServer, acts: list[tuple[int, str, int, int] | Lift]
) -> None:
    """Kills, the same again, and lifts in any order: what Redis answers is what the pure rule says."""
    redis_server.run("FLUSHALL")
    limits = BreakerLimits(kills=4, streams=2)
    memory, redis, control = BreakerMemory(limits), permits_of(redis_server, limits=limits), control_of(redis_server)
    passed: set[str] = set()
    with closing(redis), closing(control):
        for act in acts:
            if isinstance(act, Lift):
                told = {"who": "anna", "reason": "why"}
                in_redis = control.lift(act.reference, **told, trust_for_s=act.trust_for_s)
                assert in_redis == memory.lift(act.reference, **told, trust_for_s=act.trust_for_s)
                continue
            number, name, stream, believed = act
            one = an_order(f"{number}-{name}-{stream}", stream=f"live/{stream}")
            one = replace(one, reference=name, streams_believed=believed)
            # Memory knows of one that has passed only while it is in its window; no desk asks twice.
            if one.id not in passed:
                assert redis.ask(one).result is memory.ask(one).result
                passed |= {one.id} if redis.ask(one).result is None else set()
            assert redis.ask(one).result is (None if one.id in passed else Result.BREAKER)
        assert [name for name, _ in control.standing().quarantined] == [
            name for name, _ in memory.standing().quarantined
        ]
        assert control.standing().is_open == memory.standing().is_open
