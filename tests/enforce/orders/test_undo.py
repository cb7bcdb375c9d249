"""streamguard.enforce.orders.undo: one signal taken back, with all that came of it."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from streamguard.enforce.orders.enforcer import Result
from streamguard.enforce.orders.notices import NoticeMaker
from streamguard.enforce.orders.permits import HoldTerms, Then
from streamguard.enforce.orders.undo import SaidBefore, Undo, said_before
from streamguard.enforce.signals.received import Signature, read_signal
from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.errors import SignalsUnreachable, UsageError
from streamguard.types import Verdict
from tests.enforce.made_orders import Kill, a_kill, an_order
from tests.enforce.permit_books import PREFIX, control_of, permits_of
from tests.kill_signals import KEY
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer
from tests.strikes import a_strike

STREAM = f"{PREFIX}signals"


def undo_of(server: RedisServer, *, key: bytes | None = KEY, url: str | None = None) -> Undo:
    ledger = StrikeLedger(url or server.url, prefix=PREFIX, timeout_s=2.0)
    maker = NoticeMaker("anna", key)
    control = control_of(server, url=url)
    return Undo(control, ledger, maker, prefix=PREFIX, keep_s=3600, remember_s=86_400)


@pytest.fixture
def book(redis_server: RedisServer) -> Iterator[Undo]:
    with closing(undo_of(redis_server)) as book:
        yield book


def send(server: RedisServer, kill: Kill, *, key: bytes | None = KEY) -> None:
    with server.admin() as client:
        client.xadd(STREAM, kill.fields(key=key))


def a_sent_kill(server: RedisServer, **options: object) -> Kill:
    kill = a_kill(now_unix_s=time.time(), **options)  # type: ignore[arg-type]
    send(server, kill)
    return kill


def test_strikes_are_lifted_the_platform_is_told_and_the_mistake_is_kept(redis_server: RedisServer, book: Undo) -> None:
    """Of this signal alone; the event is a genuine one that names it."""
    kill = a_sent_kill(redis_server)
    ledger = StrikeLedger(redis_server.url, prefix=PREFIX, timeout_s=2.0)
    ledger.add(replace(a_strike(), signal_id=kill.id, keys=("stream:live/cam", "account:bert")))
    ledger.add(a_strike(7, keys=("stream:live/other",)))
    undone = book.undo(kill.id, who="anna", reason="same studio")
    assert (undone.keys_lifted, undone.reference, undone.hold_closed, undone.before) == (2, "clip-1", False, None)
    assert [struck.key for struck in ledger.active()] == ["stream:live/other"]
    event = read_signal(redis_server.entries(STREAM)[-1])
    assert (event.verdict, event.stream, event.session, event.server) == ("undo", "live/cam", "nginx-1", "nginx-rtmp")
    assert event.checked(KEY) is Signature.GOOD
    assert (event.event["type"], event.event["data"]["why"]) == ("org.streamguard.undo.v1", "same studio")
    assert event.event["data"]["signal_id"] == kill.id
    (mistake,) = control_of(redis_server).mistakes(most=10)
    assert (mistake.reference, mistake.signal_id, mistake.who, mistake.why) == (
        "clip-1",
        kill.id,
        "anna",
        "same studio",
    )
    assert (mistake.rest["stream"], mistake.rest["verdict"]) == ("live/cam", "kill")
    assert [(entry.action, entry.who) for entry in control_of(redis_server).audit(most=9)] == [("undo", "anna")]


def test_undoing_again_does_nothing_more_but_what_was_left(redis_server: RedisServer, book: Undo) -> None:
    """Broken off before the strikes were lifted, the same call again lifts them, and tells nobody twice."""
    kill = a_sent_kill(redis_server)
    book.undo(kill.id, who="anna", reason="same studio")
    ledger = StrikeLedger(redis_server.url, prefix=PREFIX, timeout_s=2.0)
    ledger.add(replace(a_strike(), signal_id=kill.id))
    again = book.undo(kill.id, who="bert", reason="me too")
    assert again.before is not None
    assert (again.keys_lifted, again.before.who, again.before.why) == (1, "anna", "same studio")
    assert abs(again.before.at_unix_ms / 1000 - time.time()) < 600
    assert book.undo(kill.id, who="bert", reason="me too").keys_lifted == 0
    assert len(redis_server.entries(STREAM)) == 2
    assert len(redis_server.entries(f"{PREFIX}mistakes")) == len(redis_server.entries(f"{PREFIX}audit")) == 1


def test_a_held_kill_is_closed_and_one_that_waits_is_never_executed(redis_server: RedisServer, book: Undo) -> None:
    """Whoever asks for it after that."""
    hold = HoldTerms(frozenset({"terror"}), 60.0, Then.KILL)
    kill = a_sent_kill(redis_server)
    order = replace(an_order(now_unix_s=time.time()), id=kill.id)
    assert permits_of(redis_server, hold=hold).ask(order).held
    assert book.undo(kill.id, who="anna", reason="same studio").hold_closed
    assert control_of(redis_server).held() == ()
    for terms in (hold, HoldTerms()):
        permit = permits_of(redis_server, hold=terms).ask(order)
        assert (permit.result, permit.why) == (Result.UNDONE, "undone by anna: same studio")


def test_a_right_match_that_was_not_to_be_killed_is_no_mistake(redis_server: RedisServer, book: Undo) -> None:
    """It is undone, told and kept in the audit, and nothing is held against its reference."""
    kill = a_sent_kill(redis_server)
    book.undo(kill.id, who="anna", reason="a news report", match_was_right=True)
    assert read_signal(redis_server.entries(STREAM)[-1]).event["data"]["match_was_right"] is True
    assert control_of(redis_server).mistakes(most=10) == ()
    assert [entry.action for entry in control_of(redis_server).audit(most=9)] == ["undo"]
    before = book.undo(kill.id, who="anna", reason="it was one").before
    assert (before and before.why) == "a news report"


def test_reviews_and_limits_are_undone_too(redis_server: RedisServer, book: Undo) -> None:
    """There is nothing to lift; the platform is told."""
    kill = a_sent_kill(redis_server, verdict=Verdict.LIMIT)
    assert book.undo(kill.id, who="anna", reason="no").keys_lifted == 0
    assert read_signal(redis_server.entries(STREAM)[-1]).verdict == "undo"


def test_only_a_genuine_signal_can_be_undone(redis_server: RedisServer, book: Undo) -> None:
    """Unknown, forged, or an undo itself: an error, and nothing is changed. Among forged ones of its id it is found."""
    forged, kill = a_kill("nginx-2", now_unix_s=time.time()), a_kill(now_unix_s=time.time())
    send(redis_server, forged, key=b"a key of somebody else")
    redis_server.run("XADD", STREAM, "*", "event", json.dumps({"id": kill.id}))
    for id_ in ("sig_unknown", forged.id, ""):
        with pytest.raises(UsageError, match="no such genuine signal"):
            book.undo(id_, who="anna", reason="no")
    send(redis_server, kill)
    send(redis_server, replace(kill, event=kill.event.replace("clip-1", "clip-2")), key=b"a key of somebody else")
    for number in range(150):
        redis_server.run("XADD", STREAM, "*", "event", str(number))
    assert book.undo(kill.id, who="anna", reason="no").reference == "clip-1"
    undo_id = read_signal(redis_server.entries(STREAM)[-1]).id
    with pytest.raises(UsageError, match="no such genuine signal"):
        book.undo(undo_id, who="anna", reason="no")


def test_redis_away_is_an_error(redis_server: RedisServer, book: Undo) -> None:
    """With what to do, and nothing half done that the same call does not finish."""
    kill = a_sent_kill(redis_server)
    redis_server.kill()
    with pytest.raises(SignalsUnreachable, match="connection refused"):
        book.undo(kill.id, who="anna", reason="no")


def test_the_documented_permissions_are_enough(redis_server: RedisServer) -> None:
    """docs/signals.md, "Permissions"."""
    kill = a_sent_kill(redis_server)
    for line in acl_lines("operator", about=""):
        redis_server.run(*line)
    url = redis_server.url.replace("redis://", f"redis://operator:{PASSWORD}@")
    assert undo_of(redis_server, url=url).undo(kill.id, who="anna", reason="no").before is None


def test_what_stands_there_may_be_anything() -> None:
    """Whoever can write to Redis has said nothing then; it was undone before all the same."""
    assert said_before(b'{"who": "anna", "why": "no\\u0007", "at_unix_ms": 7}') == SaidBefore("anna", "no ", 7)
    for raw in (b"", b"[1]", b"\xff", b"[" * 9999, b'{"who": 7, "why": [], "at_unix_ms": -1}', b'{"at_unix_ms": 1e9}'):
        assert said_before(raw) == SaidBefore("somebody", "", 0)
