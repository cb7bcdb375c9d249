"""Strikes in the gate's memory."""

import math

from streamguard.enforce.strikes.cache import Held, StrikeCache
from streamguard.types import SessionId, StreamId

KEY = "stream:live/cam"
STREAM = StreamId("live/cam")
STRUCK, OTHER = SessionId("1-17"), SessionId("1-18")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def a_cache() -> tuple[StrikeCache, Clock]:
    clock = Clock()
    return StrikeCache(away_after_s=5.0, clock=clock), clock


def test_a_strike_ends_by_itself() -> None:
    """Nobody need say so: Redis may be away when its time is over."""
    cache, clock = a_cache()
    cache.put(KEY, Held(110.0))
    assert cache.refuses(["stream:live/other", KEY])
    assert len(cache) == 1
    clock.now_s = 110.0
    assert not cache.refuses([KEY])
    assert len(cache) == 0


def test_only_the_session_that_was_struck_is_struck() -> None:
    """Its successor under the same key is not, and one without a name never is."""
    cache, clock = a_cache()
    cache.put(KEY, Held(110.0, frozenset({(STREAM, STRUCK), (STREAM, SessionId(""))})))
    assert cache.struck([KEY], stream=STREAM, session=STRUCK)
    assert not cache.struck([KEY], stream=STREAM, session=OTHER)
    assert not cache.struck([KEY], stream=StreamId("live/other"), session=STRUCK)
    assert not cache.struck([KEY], stream=STREAM, session=SessionId(""))
    clock.now_s = 110.0
    assert not cache.struck([KEY], stream=STREAM, session=STRUCK)


def test_a_lift_lets_in() -> None:
    """A key whose time is set to the past is not refused."""
    cache, _ = a_cache()
    cache.put(KEY, Held(110.0))
    cache.put(KEY, Held(0.0))
    assert not cache.refuses([KEY])


def test_what_was_replaced_is_gone() -> None:
    """All that Redis has is all there is."""
    cache, _ = a_cache()
    cache.put(KEY, Held(110.0))
    cache.replace({"address:203.0.113.9": Held(110.0)})
    assert not cache.refuses([KEY])
    assert cache.refuses(["address:203.0.113.9"])


def test_redis_is_away_until_it_was_read_and_when_it_is_silent() -> None:
    """From the start, and again once nothing was confirmed for so long; its strikes hold all the same."""
    cache, clock = a_cache()
    assert math.isinf(cache.age_s)
    seen = [cache.away]
    cache.replace({KEY: Held(1000.0)})
    for passed_s in (5.0, 0.1):
        clock.now_s += passed_s
        seen.append(cache.away)
    assert cache.refuses([KEY])
    cache.confirm()
    assert [*seen, cache.away] == [True, False, True, False]
