"""Whose account was struck: by what a gate has noted of that very session, or by nothing."""

import dataclasses

import pytest

from streamguard.enforce.gate import news as gate_news
from streamguard.enforce.gate.news import GateNews, PublisherHint
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.strikes.account_claims import AccountClaim, account_keys, claims_name
from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.enforce.strikes.strike import Strike
from streamguard.servers.hooks import HookKind
from streamguard.types import SessionId, StreamId
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer
from tests.strikes import KEY, STREAM, a_strike
from tests.waiting import eventually

PREFIX = "{streamguard}:"
STRUCK = dataclasses.replace(a_strike(session="100-17"), decided_unix_s=1000.0)


def noted(account: str, *, session: str = "", connection: str = "", at_unix_ms: int = 900_000) -> bytes:
    return f"{at_unix_ms} {AccountClaim(account, SessionId(session), connection).as_json()}".encode()


def test_the_account_of_that_very_session_is_struck() -> None:
    """Whoever else published there before or after, or tries to while it lasts."""
    claims = [noted("eve", session="100-18"), noted("anna", session="100-17"), noted("bert", session="100-1")]
    assert account_keys(STRUCK, claims) == ("account:anna",)
    assert account_keys(STRUCK, claims[::2]) == ()


def test_a_number_names_the_newest_session_that_began_before_the_decision() -> None:
    """Where a server tells its hook the number alone: it counts anew when it is started anew."""
    claims = [
        noted("after", connection="17", at_unix_ms=1_003_000),
        noted("other", connection="117"),
        noted("anna", connection="17", at_unix_ms=1_001_000),
        noted("before", connection="17", at_unix_ms=500_000),
    ]
    assert account_keys(STRUCK, claims) == ("account:anna",)
    assert account_keys(STRUCK, claims[:2]) == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b"1 [",
        b"1 []",
        b'x ["anna","100-17",""]',
        b'1 ["anna",7,""]',
        b"1 " + b"[" * 100_000,
        b"\xff",
        7,
    ],
)
def test_nonsense_strikes_nobody_and_hides_nobody(raw: object) -> None:
    """Whoever can write to Redis can write anything."""
    assert account_keys(STRUCK, [raw]) == ()
    assert account_keys(STRUCK, [raw, noted("anna", session="100-17")]) == ("account:anna",)
    assert account_keys(STRUCK, raw) == ()


@pytest.mark.parametrize("account", ["a\nb", "\x1b[2J", "x" * 5000, "\ud800"])
def test_an_account_that_cannot_be_a_key_is_left_out(account: str) -> None:
    """The publisher chose it; the strike against its stream holds all the same."""
    assert account_keys(STRUCK, [noted(account, session="100-17")]) == ()


def test_what_a_gate_noted_is_struck_with_the_stream(redis_server: RedisServer) -> None:
    """From the gate's thread to the book, with the permissions of the manual and no more."""
    for user in ("gate", "enforcer"):
        for line in acl_lines(user, about="strikes"):
            redis_server.run(*line)
    address = redis_server.url.removeprefix("redis://")
    target = parse_redis_url(f"redis://gate:{PASSWORD}@{address}")
    lost: list[None] = []
    news = GateNews(target, prefix=PREFIX, timeout_s=2.0, on_lost=lambda: lost.append(None))
    news.start()
    for number in range(100):
        claim = AccountClaim(f"user-{number}", SessionId(""), str(number))
        news.tell(PublisherHint(STREAM, HookKind.PUBLISH, claim=claim))
    who = f"{PREFIX}strikes:who:{STREAM}"
    eventually(lambda: b"user-99" in bytes(str(redis_server.run("LINDEX", who, 0)), "ascii"), what="the claims")
    news.stop()
    assert lost == []
    assert redis_server.run("LLEN", who) == 64
    book = StrikeLedger(f"redis://enforcer:{PASSWORD}@{address}", prefix=PREFIX, timeout_s=2.0)
    strike: Strike = dataclasses.replace(a_strike(session="100-77"), decided_unix_s=4e9)
    book.add(strike)
    seen = StrikeLedger(redis_server.url, prefix=PREFIX, timeout_s=2.0).active()
    assert {each.key for each in seen} == {KEY, "account:user-77"}


def test_names_without_end_fill_nothing(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more streams than are kept those are forgotten that nobody published to for the longest time."""
    monkeypatch.setattr(gate_news, "MOST_CLAIMED", 5)
    for line in acl_lines("gate", about="strikes"):
        redis_server.run(*line)
    address = redis_server.url.removeprefix("redis://")
    news = GateNews(parse_redis_url(f"redis://gate:{PASSWORD}@{address}"), prefix=PREFIX, timeout_s=2.0)
    news.start()
    streams = ["live/0", *(f"live/{number}" for number in range(20)), "live/0", "live/20"]
    for number, stream in enumerate(streams):
        claim = AccountClaim("anna", SessionId(""), str(number))
        news.tell(PublisherHint(StreamId(stream), HookKind.PUBLISH, claim=claim))
        name = claims_name(PREFIX, StreamId(stream))
        newest = f'"{number}"]'
        eventually(lambda name=name, newest=newest: newest in str(redis_server.run("LINDEX", name, 0)), what="it")  # type: ignore[misc]
    news.stop()
    kept = {f"{PREFIX}strikes:who:{name}" for name in ("", "live/0", "live/17", "live/18", "live/19", "live/20")}
    with redis_server.admin() as client:
        assert {key.decode() for key in client.keys("*")} == kept
