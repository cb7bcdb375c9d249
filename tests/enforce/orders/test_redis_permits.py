"""streamguard.enforce.orders.redis_permits and kill_control: kills that are held, and what an operator says of them."""

import json
import time
from dataclasses import replace

import pytest

from streamguard.core.breaker import BreakerLimits
from streamguard.enforce.cutting.desk import PermitBook
from streamguard.enforce.orders.enforcer import Order, Result
from streamguard.enforce.orders.permits import HoldTerms, Permit, Then, held_for_s
from streamguard.enforce.signals.received import Signature, read_signal
from streamguard.errors import SignalsRejected, SignalsUnreachable
from tests.enforce.made_orders import an_order
from tests.enforce.permit_books import PREFIX, control_of, permits_of
from tests.faults.proxy import Fault, Proxy
from tests.kill_signals import KEY, NOW_UNIX_S
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer, StartRedis
from tests.waiting import eventually

HOLD = HoldTerms(frozenset({"protest"}), 60.0, Then.LET_GO)
HELD = Permit(held=True)


def an_order_to_hold(session: str = "nginx-1", *, label: str = "protest") -> Order:
    return replace(an_order(session, now_unix_s=time.time()), label=label)


def hold_for(seconds: float, then: Then) -> HoldTerms:
    return HoldTerms(frozenset({"protest"}), seconds, then)


def unheld(book: PermitBook, order: Order) -> tuple[Permit, ...]:
    """The permit, once it is not held any more."""
    permit = book.ask(order)
    return () if permit.held else (permit,)


def test_only_labels_that_are_named_are_held() -> None:
    """For so long, but never to within 10 s of the signal's end: what happens then takes time as well."""
    order = replace(an_order(), label="protest")
    assert held_for_s(order, HOLD, now_unix_s=NOW_UNIX_S) == 60.0
    assert held_for_s(replace(order, label="terror"), HOLD, now_unix_s=NOW_UNIX_S) == 0.0
    assert held_for_s(order, HOLD, now_unix_s=NOW_UNIX_S + 260) == pytest.approx(30.0)
    assert 0 < held_for_s(order, HOLD, now_unix_s=NOW_UNIX_S + 299) < 0.01


def test_a_held_kill_waits_for_a_yes(redis_server: RedisServer) -> None:
    """It is listed with what an operator must know; by the yes of one it is permitted, to every enforcer."""
    one, other, control = (
        permits_of(redis_server, hold=HOLD),
        permits_of(redis_server, hold=HOLD),
        control_of(redis_server),
    )
    order = an_order_to_hold()
    assert [one.ask(order), other.ask(order), one.ask(order)] == [HELD] * 3
    (held,) = control.held()
    assert (held.signal_id, held.stream, held.session, held.server) == (order.id, "live/cam", "nginx-1", "nginx-rtmp")
    assert (held.reference, held.label, held.then) == ("clip-1", "protest", "let_go")
    assert 50 < held.until_unix_ms / 1000 - time.time() < 70
    assert control.count_held() == 1
    assert one.ask(an_order_to_hold("nginx-2", label="terror")) == Permit()
    assert control.decide(order.id, approve=True, who="anna", why="seen it").state == "decided"
    assert [one.ask(order), other.ask(order)] == [Permit()] * 2
    assert control.held() == ()


def test_a_no_ends_it(redis_server: RedisServer) -> None:
    """With who said it and why, for every enforcer that asks."""
    book, control = permits_of(redis_server, hold=HOLD), control_of(redis_server)
    book.ask(an_order_to_hold())
    control.decide(an_order().id, approve=False, who="anna", why="a news report")
    for each in (book, permits_of(redis_server, hold=HOLD)):
        assert each.ask(an_order_to_hold()) == Permit(Result.REJECTED, "rejected by anna: a news report")


def test_the_first_answer_stands(redis_server: RedisServer) -> None:
    """The same again is harmless, another says by whom and when the first was given; each is in the audit once."""
    book, control = permits_of(redis_server, hold=HOLD), control_of(redis_server)
    order = an_order_to_hold()
    book.ask(order)
    assert control.decide("sig_unknown", approve=True, who="anna", why="").state == "unknown"
    control.decide(order.id, approve=True, who="anna", why="seen it")
    for approve in (True, False):
        answer = control.decide(order.id, approve=approve, who="bert", why="no")
        assert (answer.state, answer.who, answer.why) == ("approved", "anna", "seen it")
        assert abs(answer.at_unix_ms / 1000 - time.time()) < 10
    assert book.ask(order) == Permit()
    told = [(entry.action, entry.who, entry.signal_id) for entry in control.audit(most=10)]
    assert told == [("held", "edge-1", order.id), ("approved", "anna", order.id)]


@pytest.mark.parametrize(
    ("then", "end"),
    [(Then.KILL, Permit()), (Then.LET_GO, Permit(Result.NOT_APPROVED, "held, and nobody said yes in time"))],
)
def test_without_an_answer_the_operators_setting_decides(redis_server: RedisServer, then: Then, end: Permit) -> None:
    """For all enforcers alike, whatever theirs says; whoever approves after that is told so."""
    book, control = permits_of(redis_server, hold=hold_for(0.05, then)), control_of(redis_server)
    order = an_order_to_hold()
    assert book.ask(order) == HELD
    assert eventually(lambda: unheld(book, order)) == (end,)
    another = Then.KILL if then is Then.LET_GO else Then.LET_GO
    assert permits_of(redis_server, hold=hold_for(60.0, another)).ask(order) == end
    answer = control.decide(order.id, approve=True, who="anna", why="")
    assert (answer.state, answer.why) == ("lapsed", then.value)
    assert book.ask(order) == end


def test_a_yes_that_is_too_late_says_so_though_nobody_asked_meanwhile(redis_server: RedisServer) -> None:
    """No enforcer ran when its time was over."""
    book, control = permits_of(redis_server, hold=hold_for(0.02, Then.LET_GO)), control_of(redis_server)
    book.ask(an_order_to_hold())
    eventually(lambda: control.count_held() == 0, what="its time to be over")
    assert control.decide(an_order().id, approve=True, who="anna", why="").state == "lapsed"
    assert book.ask(an_order_to_hold()).result is Result.NOT_APPROVED


def test_a_held_kill_survives_redis(start_redis: StartRedis) -> None:
    """Killed and started again with what it had written, it holds what it held, as long as before."""
    server = start_redis("--appendonly", "yes", "--appendfsync", "always")
    permits_of(server, hold=HOLD).ask(an_order_to_hold())
    before = control_of(server).held()
    server.restart()
    assert eventually(lambda: control_of(server).held()) == before
    book = permits_of(server, hold=HOLD)
    assert book.ask(an_order_to_hold()) == HELD
    control_of(server).decide(an_order().id, approve=True, who="anna", why="")
    assert book.ask(an_order_to_hold()) == Permit()


def notices(server: RedisServer) -> list[tuple[str, str, str]]:
    found = [read_signal(fields) for fields in server.entries(f"{PREFIX}notices")]
    assert all(signal.checked(KEY) is Signature.GOOD for signal in found)
    return [(signal.verdict, signal.event["data"]["signal_id"], signal.event["data"]["why"]) for signal in found]


def test_the_platform_is_told_of_what_is_held_and_of_what_became_a_review(redis_server: RedisServer) -> None:
    """Each once, signed, however often and by however many enforcers it is asked for."""
    limits = BreakerLimits(kills=1)
    order, refused = an_order_to_hold(), an_order_to_hold("nginx-2", label="terror")
    for _ in range(2):
        book = permits_of(redis_server, limits=limits, hold=HOLD)
        for _ in range(2):
            assert book.ask(order) == HELD
            assert book.ask(refused).result is Result.BREAKER
    (held, review) = notices(redis_server)
    assert held[:2] == ("held", order.id)
    assert f"signals approve {order.id}" in held[2]
    assert review[:2] == ("review", refused.id)
    assert "breaker" in review[2]


def test_a_held_kill_is_counted_when_it_is_held(redis_server: RedisServer) -> None:
    """So that nobody is asked about more than are believed; a yes is executed though the breaker has opened since, what
    nobody decided on is not.
    """
    limits = BreakerLimits(kills=2)
    book, control = permits_of(redis_server, limits=limits, hold=hold_for(0.3, Then.KILL)), control_of(redis_server)
    assert [book.ask(an_order_to_hold(session)) for session in ("1", "2")] == [HELD] * 2
    assert book.ask(an_order_to_hold("3")).result is Result.BREAKER
    control.decide("sig_1", approve=True, who="anna", why="")
    assert book.ask(an_order_to_hold("1")) == Permit()
    assert eventually(lambda: unheld(book, an_order_to_hold("2")))[0].result is Result.BREAKER


@pytest.mark.parametrize("lost", range(4))
def test_a_lost_reply_changes_nothing(redis_server: RedisServer, lost: int) -> None:
    """Whichever: asked again, the kill passes, and was counted once."""
    port = int(redis_server.url.rpartition(":")[2])
    limits = BreakerLimits(kills=2)
    with Proxy(port, replies=[Fault.PASS] * lost + [Fault.CUT]) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        permits = [permits_of(redis_server, limits=limits, url=url).ask(an_order("nginx-1")) for _ in range(3)]
    assert {permit.result for permit in permits} == {None}
    assert redis_server.run("ZCARD", f"{PREFIX}breaker:kills") == 1


def asked(book: PermitBook, order: Order) -> Permit | str:
    try:
        return book.ask(order)
    except SignalsUnreachable as error:
        return str(error)


def test_without_redis_kills_in_hand_pass_and_are_counted_here(redis_server: RedisServer) -> None:
    """A cut does not wait for Redis; what is held does, and so does what would be one too many."""
    book = permits_of(redis_server, limits=BreakerLimits(kills=3), hold=HOLD)
    assert book.ask(an_order("1")) == Permit()
    redis_server.kill()
    away = book.ask(an_order("2"))
    assert (away.result, away.held) == (None, False)
    assert "connection refused" in away.problem
    assert book.ask(an_order("3")).result is None
    assert "connection refused" in str(asked(book, an_order("4")))
    assert "connection refused" in str(asked(book, an_order_to_hold("5")))
    redis_server.start()
    assert eventually(lambda: asked(book, an_order_to_hold("5")) == HELD, what="Redis is asked again")


def test_what_redis_said_last_counts_while_it_is_away(redis_server: RedisServer) -> None:
    """A reference in quarantine stays there."""
    limits = BreakerLimits(streams=1)
    assert permits_of(redis_server, limits=limits).ask(an_order("1")) == Permit()
    book = permits_of(redis_server, limits=limits)
    assert book.ask(an_order("2", stream="live/2")).result is Result.BREAKER
    redis_server.kill()
    assert "connection refused" in str(asked(book, an_order("3", stream="live/cam")))
    assert book.ask(replace(an_order("4", stream="live/4"), reference="clip-2")).result is None


def test_what_answers_there_and_is_not_ours_is_no_permission(redis_server: RedisServer) -> None:
    """A key of the wrong type is an error: this process decides for itself, and says what is wrong."""
    redis_server.run("SET", f"{PREFIX}breaker:kills", "rubbish")
    assert "WRONGTYPE" in permits_of(redis_server).ask(an_order()).problem


def test_hostile_entries_cost_nothing_but_themselves(redis_server: RedisServer) -> None:
    """What stands in the keys may be anything."""
    control = control_of(redis_server)
    redis_server.run("ZADD", f"{PREFIX}held", 10**15, "sig_x", 10**15, b"\xff\x1b")
    redis_server.run("HSET", f"{PREFIX}hold:sig_x", "state", "held", "until_ms", "x", "then", b"\xff", "what", "[1]")
    redis_server.run("HSET", f"{PREFIX}quarantine", b"\xff\n", "{")
    redis_server.run("XADD", f"{PREFIX}audit", "*", "event", '{"who": 7, "why": "a\\u0000b", "at_unix_ms": -1}')
    redis_server.run("XADD", f"{PREFIX}audit", "*", "rubbish", "x")
    (held,) = control.held()
    assert (held.signal_id, held.until_unix_ms, held.stream) == ("sig_x", 0, "")
    assert control.standing().quarantined[0][1] == 0
    vouched = ("all", "rubbish", b"reference:\xff\n", 10**15, "reference:old", 1)
    redis_server.run("HSET", f"{PREFIX}breaker:trusted", *vouched)
    (lift,) = control.lifts()
    assert (lift.reference, lift.at_unix_ms, lift.not_counted_until_unix_ms) == ("\ufffd ", 0, 10**15)
    (entry,) = control.audit(most=10)
    assert (entry.who, entry.why, entry.at_unix_ms) == ("", "a b", 0)


def test_lifts_are_found_behind_all_else_that_the_audit_has(redis_server: RedisServer) -> None:
    """In an incident each kill that is held has lines in it."""
    control = control_of(redis_server)
    assert not control.lift("clip-1", who="anna", reason="real", trust_for_s=7 * 86_400)
    add = "for line = 1, 1100 do redis.call('XADD', KEYS[1], '*', 'event', ARGV[1]) end"
    redis_server.run("EVAL", add, 1, f"{PREFIX}audit", json.dumps({"action": "held"}))
    (lift,) = control.lifts()
    assert (lift.reference, lift.who, lift.why) == ("clip-1", "anna", "real")


def test_rubbish_in_times_stops_neither_kills_nor_operators(redis_server: RedisServer) -> None:
    """Whoever may write to Redis writes no number: it is over, and what was meant is done all the same."""
    control = control_of(redis_server)
    book = permits_of(redis_server, limits=BreakerLimits(streams=1), hold=HOLD)
    redis_server.run("HSET", f"{PREFIX}breaker:trusted", "reference:clip-1", "rubbish", "all", "")
    orders = [an_order(str(number), stream=f"live/{number}") for number in range(2)]
    assert [book.ask(order).result for order in orders] == [None, Result.BREAKER]
    assert control.lift("clip-1", who="anna", reason="why", trust_for_s=0)
    for fields in (("until_ms", "rubbish"), ("then", "kill")):
        redis_server.run("DEL", f"{PREFIX}hold:sig_x")
        redis_server.run("HSET", f"{PREFIX}hold:sig_x", "state", "held", *fields)
        assert control.decide("sig_x", approve=True, who="anna", why="").state == "lapsed"
    redis_server.run("HSET", f"{PREFIX}hold:sig_7", "state", "held", "until_ms", "rubbish", "then", "let_go")
    assert book.ask(an_order_to_hold("7")).result is Result.NOT_APPROVED


def test_all_of_it_works_in_a_cluster(redis_cluster: RedisServer) -> None:
    """With a prefix in braces."""
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    book = permits_of(redis_cluster, limits=BreakerLimits(streams=2), hold=HOLD, url=url)
    control = control_of(redis_cluster, url=url)
    assert book.ask(an_order_to_hold()) == HELD
    assert len(control.held()) == control.count_held() == 1
    control.decide(an_order().id, approve=True, who="anna", why="")
    assert book.ask(an_order_to_hold()) == Permit()
    orders = [an_order(str(number), stream=f"live/{number}") for number in range(2)]
    assert [book.ask(order).result for order in orders] == [None, Result.BREAKER]
    assert [name for name, _ in control.standing().quarantined] == ["clip-1"]
    assert [control.has_met(name) for name in ("clip-1", "clip-2")] == [True, False]
    assert control.lift("clip-1", who="anna", reason="why", trust_for_s=0)
    assert [entry.action for entry in control.audit(most=9)] == ["held", "approved", "quarantine", "lift"]


def test_the_documented_permissions_are_enough(redis_server: RedisServer) -> None:
    """docs/signals.md: an enforcer asks and tells, and can neither approve nor lift; an operator does."""
    for line in (*acl_lines("enforcer", about="permitted:"), *acl_lines("enforcer", about="sent:ntc")[1:]):
        redis_server.run(*line)
    for line in acl_lines("operator", about=""):
        redis_server.run(*line)
    address = redis_server.url.removeprefix("redis://")
    urls = {user: f"redis://{user}:{PASSWORD}@{address}" for user in ("enforcer", "operator")}
    book = permits_of(redis_server, limits=BreakerLimits(kills=2), hold=HOLD, url=urls["enforcer"])
    assert book.ask(an_order("1")) == Permit()
    assert book.ask(an_order_to_hold("2")) == HELD
    assert book.ask(an_order("3")).result is Result.BREAKER
    assert len(notices(redis_server)) == 2
    control = control_of(redis_server, url=urls["operator"])
    assert control.decide("sig_2", approve=True, who="anna", why="").state == "decided"
    assert control.lift(None, who="anna", reason="why", trust_for_s=60)
    assert control.lift("clip-1", who="anna", reason="why", trust_for_s=60) is False
    assert [control.has_met(name) for name in ("clip-1", "clip-2")] == [True, False]
    assert control.standing().quarantined == ()
    assert [entry.who for entry in control.lifts()] == ["anna", "anna"]
    assert (control.count_held(), control.held()) == (0, ())
    assert len(control.audit(most=10)) == 5
    with pytest.raises(SignalsRejected):
        control_of(redis_server, url=urls["enforcer"]).lift(None, who="anna", reason="why", trust_for_s=60)
    assert control.mistakes(most=10) == ()
