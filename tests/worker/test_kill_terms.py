"""streamguard.worker.kill_terms: books that follow the configuration while an enforcer runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from streamguard.config import Config, HoldConfig
from streamguard.core.breaker import BreakerLimits
from streamguard.enforce.cutting.desk import Desk
from streamguard.enforce.orders.breaker_memory import BreakerMemory
from streamguard.enforce.orders.enforcer import Result
from streamguard.enforce.orders.permits import Permit, Then
from streamguard.enforce.orders.redis_permits import RedisPermits
from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.enforce.strikes.memory import StrikeMemory
from streamguard.worker.kill_terms import KillTerms, breaker_limits, hold_terms, strike_terms
from tests.enforce.made_orders import an_order
from tests.enforce.permit_books import PREFIX, permits_of
from tests.fake_media_server import FakeMediaServer, FakeStrikes
from tests.redis_servers import RedisServer
from tests.strikes import a_strike

MANY = BreakerLimits(kills=0, streams=0)


def config(**sections: object) -> Config:
    return Config.model_validate(sections)


@pytest.fixture(params=["memory", "redis"])
def strikes(request: pytest.FixtureRequest) -> Iterator[StrikeLedger | StrikeMemory]:
    """An empty book, in which a strike refuses for ten minutes."""
    book: StrikeLedger | StrikeMemory = StrikeMemory()
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        book = StrikeLedger(server.url, prefix=PREFIX, timeout_s=2.0)
    yield book
    book.close()


def test_the_next_strike_refuses_for_as_long_as_is_said_now(strikes: StrikeLedger | StrikeMemory) -> None:
    """Those that stand refuse on as was said then."""
    terms = KillTerms()
    terms.of(strikes)
    strikes.add(replace(a_strike(), keys=("stream:live/old",)))
    terms.change(config(gate={"refuse_for_s": [7200.0]}), desks=())
    strikes.add(replace(a_strike(), signal_id="other", keys=("stream:live/new",)))
    now_unix_ms = 1000 * time.time()
    left_s = {one.key: (one.standing.until_unix_ms - now_unix_ms) / 1000 for one in strikes.active()}
    assert 500 < left_s["stream:live/old"] < 610
    assert 7100 < left_s["stream:live/new"] < 7210


@contextmanager
def opened(permits: RedisPermits) -> Iterator[RedisPermits]:
    try:
        yield permits
    finally:
        permits.close()


def test_other_limits_count_with_the_next_kill(redis_server: RedisServer) -> None:
    """In Redis and in this process's own count; what is open stays open, whatever is said now."""
    memory = BreakerMemory(MANY)
    with opened(permits_of(redis_server, limits=MANY)) as permits:
        terms = KillTerms()
        terms.of(memory)
        terms.of(permits)
        orders = [an_order(f"nginx-{number}", now_unix_s=time.time()) for number in range(4)]
        for book in (memory, permits):
            assert book.ask(orders[0]) == Permit()
        terms.change(config(enforce={"breaker": {"kills": 1, "streams": 0}}), desks=())
        for book in (memory, permits):
            assert book.ask(orders[1]) == Permit(), "the first that is counted"
            assert book.ask(orders[2]).result is Result.BREAKER
        terms.change(config(enforce={"breaker": {"kills": 0, "streams": 0}}), desks=())
        for book in (memory, permits):
            assert book.ask(orders[3]).result is Result.BREAKER


def test_labels_are_held_from_now_on_and_what_is_held_waits(redis_server: RedisServer) -> None:
    """A label that is named no more sets no kill free that a person was asked about."""
    with opened(permits_of(redis_server, limits=MANY)) as permits:
        terms = KillTerms()
        terms.of(permits)
        orders = [replace(an_order(f"nginx-{n}", now_unix_s=time.time()), label="protest") for n in range(3)]
        assert permits.ask(orders[0]) == Permit()
        terms.change(config(enforce={"hold": {"labels": ["protest"], "then": "kill"}}), desks=())
        assert permits.ask(orders[1]) == Permit(held=True)
        assert permits.ask(orders[0]) == Permit(), "it was permitted already"
        terms.change(config(), desks=())
        assert permits.ask(orders[1]) == Permit(held=True)
        assert permits.ask(orders[2]) == Permit()


def test_desks_strike_addresses_where_that_is_said_now() -> None:
    """And no more where it is not."""
    desk = Desk(FakeMediaServer(), FakeStrikes(), on_settled=lambda _order, _end: None)
    for by_address in (True, False):
        KillTerms().change(config(gate={"by_address": by_address}), desks=[desk])
        assert desk.strike_addresses is by_address


def test_what_is_configured_is_what_counts() -> None:
    """Numbers go over as they are; without labels nothing is held."""
    made = config(gate={"refuse_for_s": [1.0, 2.0], "remember_s": 3600.0}, enforce={"breaker": {"kills": 7}})
    assert (strike_terms(made).refuse_for_s, strike_terms(made).remember_s) == ((1.0, 2.0), 3600.0)
    assert breaker_limits(made.enforce.breaker).kills == 7
    assert hold_terms(HoldConfig()).labels == frozenset()
    assert hold_terms(HoldConfig(labels=("a",), for_s=5, then="kill")).then is Then.KILL
