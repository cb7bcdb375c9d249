"""Whom the gate refuses."""

from dataclasses import replace

import pytest

from streamguard.enforce.gate.gate import GateRule, Judgement, Refusals, WhenAway
from streamguard.enforce.strikes.cache import Held, StrikeCache
from streamguard.servers.hooks import HookKind, PublishRequest
from streamguard.types import SessionId, StreamId

STREAM = StreamId("live/cam")
STRUCK = SessionId("1-17")
OPEN, CLOSED = GateRule(WhenAway.OPEN), GateRule(WhenAway.CLOSED)


def cache(*keys: str, away: bool = False) -> StrikeCache:
    """With strikes against these keys, over the session STRUCK of STREAM."""
    found = StrikeCache(away_after_s=5.0, clock=lambda: 100.0)
    held = {key: Held(200.0, frozenset({(STREAM, STRUCK)})) for key in keys}
    if away:
        for key, each in held.items():
            found.put(key, each)
    else:
        found.replace(held)
    return found


def asked(
    kind: HookKind = HookKind.PUBLISH,
    *,
    stream: str = STREAM,
    session: str = "1-18",
    address: str = "203.0.113.9",
    **arguments: str,
) -> PublishRequest:
    return PublishRequest(kind, StreamId(stream), SessionId(session), address, arguments)


def test_who_was_struck_is_refused_and_others_are_let_in() -> None:
    """By the stream's key, whatever the session."""
    assert OPEN.judge(asked(), cache("stream:live/cam")) is Judgement.REFUSED
    assert OPEN.judge(asked(stream="live/cam2"), cache("stream:live/cam")) is Judgement.ALLOWED
    assert OPEN.judge(asked(), cache()) is Judgement.ALLOWED


def test_addresses_and_accounts_count_only_when_told_so() -> None:
    """A strike against them refuses nobody at a gate that does not look at them."""
    struck = cache("address:203.0.113.9", "account:anna")
    new_name = asked(stream="live/new", user="anna")
    assert OPEN.judge(new_name, struck) is Judgement.ALLOWED
    assert GateRule(WhenAway.OPEN, by_address=True).judge(new_name, struck) is Judgement.REFUSED
    assert GateRule(WhenAway.OPEN, account_argument="user").judge(new_name, struck) is Judgement.REFUSED
    assert GateRule(WhenAway.OPEN, account_argument="token").judge(new_name, struck) is Judgement.ALLOWED


@pytest.mark.parametrize("name", ["a b", "caf  ", "cam?x", "cam\t", "cam/", "x" * 490, "\ufffd"])
def test_a_name_that_nobody_could_watch_is_refused_unless_told_otherwise(name: str) -> None:
    """When publishing begins: who publishes already goes on. A strike is told as one."""
    stream = f"live/{name}"
    assert OPEN.judge(asked(stream=stream), cache()) is Judgement.REFUSED_NAME
    assert OPEN.judge(asked(stream=stream), cache(f"stream:{stream}")) is Judgement.REFUSED
    assert CLOSED.judge(asked(stream=stream), cache(away=True)) is Judgement.REFUSED_NAME
    assert OPEN.judge(asked(HookKind.UPDATE, stream=stream), cache()) is Judgement.ALLOWED
    assert OPEN.judge(asked(HookKind.DONE, stream=stream), cache()) is Judgement.ALLOWED
    lenient = GateRule(WhenAway.OPEN, refuse_odd_names=False)
    assert lenient.judge(asked(stream=stream), cache()) is Judgement.ALLOWED


@pytest.mark.parametrize("name", ["cam", "a/b", "100%", "..", "CAM", "x=1&y", "\u6620\u753b", "caf\u00e9", "x" * 400])
def test_an_unusual_name_that_can_be_watched_is_none_of_the_odd_ones(name: str) -> None:
    """Letters of any script where the server tells them, and signs that mean something elsewhere."""
    assert OPEN.judge(asked(stream=f"live/{name}"), cache()) is Judgement.ALLOWED


def test_who_names_two_accounts_is_refused_where_accounts_count() -> None:
    """Whoever checks accounts may read the other one, and a strike would be against somebody innocent."""
    request = replace(asked(user="anna"), repeated=frozenset({"user"}))
    assert GateRule(WhenAway.OPEN, account_argument="user").judge(request, cache()) is Judgement.REFUSED_NAME
    assert GateRule(WhenAway.OPEN, account_argument="token").judge(request, cache()) is Judgement.ALLOWED
    assert OPEN.judge(request, cache()) is Judgement.ALLOWED


def test_a_neighbour_in_the_same_ipv6_network_is_the_same_publisher() -> None:
    """It could take another address of its /64 each time."""
    rule = GateRule(WhenAway.OPEN, by_address=True)
    assert rule.judge(asked(address="2001:db8::77"), cache("address:2001:db8::/64")) is Judgement.REFUSED


def test_an_update_is_refused_only_for_the_session_that_was_struck() -> None:
    """Session 2 of the same key, or one whose session is not known, goes on."""
    struck = cache("stream:live/cam")
    assert OPEN.judge(asked(HookKind.UPDATE, session=STRUCK), struck) is Judgement.REFUSED
    assert OPEN.judge(asked(HookKind.UPDATE, session="1-18"), struck) is Judgement.ALLOWED
    assert OPEN.judge(asked(HookKind.UPDATE, session=""), struck) is Judgement.ALLOWED


@pytest.mark.parametrize("kind", [HookKind.DONE, HookKind.OTHER])
def test_an_end_and_what_is_not_about_publishing_are_never_refused(kind: HookKind) -> None:
    """Whoever was struck, and wherever Redis is."""
    assert CLOSED.judge(asked(kind, session=STRUCK), cache("stream:live/cam", away=True)) is Judgement.ALLOWED


def test_while_redis_is_away_the_operators_choice_counts() -> None:
    """Open lets in who has no known strike, closed refuses; known strikes hold for both."""
    assert OPEN.judge(asked(), cache(away=True)) is Judgement.ALLOWED
    assert CLOSED.judge(asked(), cache(away=True)) is Judgement.REFUSED_AWAY
    for rule in (OPEN, CLOSED):
        assert rule.judge(asked(), cache("stream:live/cam", away=True)) is Judgement.REFUSED


def test_a_closed_gate_cuts_nobody_because_redis_is_away() -> None:
    """Who publishes goes on, but for the session that was struck."""
    struck = cache("stream:live/cam", away=True)
    assert CLOSED.judge(asked(HookKind.UPDATE), struck) is Judgement.ALLOWED
    assert CLOSED.judge(asked(HookKind.UPDATE, session=STRUCK), struck) is Judgement.REFUSED


def test_refusals_are_told_once_a_minute_with_their_number() -> None:
    """An encoder that tries every second for a week fills no log."""
    refusals = Refusals()
    refusals.add(STREAM)
    assert refusals.due(now_s=0.0) == ((STREAM, 1),)
    for _ in range(59):
        refusals.add(STREAM)
    assert refusals.due(now_s=59.0) == ()
    assert refusals.due(now_s=61.0) == ((STREAM, 59),)
    assert refusals.due(now_s=200.0) == ()


def test_refusals_of_countless_names_are_bounded() -> None:
    """Somebody who tries a new name each time costs a bounded memory, and a few lines at a time."""
    refusals = Refusals()
    for number in range(5000):
        refusals.add(StreamId(f"live/{number}"))
    told = [len(refusals.due(now_s=tick / 4)) for tick in range(200)]
    assert max(told) == 10
    assert sum(told) == 1000
