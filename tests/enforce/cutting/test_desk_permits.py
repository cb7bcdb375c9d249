"""streamguard.enforce.cutting.desk: what an operator or the breaker may say no to, and what waits for a yes."""

from streamguard.enforce.cutting import desk as desk_module
from streamguard.enforce.cutting.desk import Desk
from streamguard.enforce.orders.enforcer import Result
from streamguard.enforce.orders.permits import Permit
from tests.enforce.cutting.test_desk import DOWN, REDIS_AWAY, Bench, a_server
from tests.enforce.made_orders import an_order
from tests.enforce.permit_books import FakePermits
from tests.fake_media_server import FakeMediaServer, FakeStrikes, failing
from tests.waiting import eventually


def with_permits(server: FakeMediaServer, permits: FakePermits) -> Bench:
    bench = Bench(server)
    bench.desk._permits = permits
    return bench


def test_what_is_refused_is_neither_struck_nor_cut() -> None:
    """It is settled with why; others go on, and each is asked for once."""
    permits = FakePermits()
    permits.answers["sig_nginx-1"] = Permit(Result.BREAKER, "breaker: too many")
    bench = with_permits(a_server("nginx-1", "nginx-2"), permits)
    assert bench.work(an_order("nginx-1"), an_order("nginx-2")) == [Result.BREAKER, Result.EXECUTED]
    assert bench.server.cut == ["nginx-2"]
    assert list(bench.strikes.strikes) == ["sig_nginx-2"]
    assert permits.asked == ["sig_nginx-1", "sig_nginx-2"]
    assert bench.settled[0][1].why == "breaker: too many"


def test_what_is_undone_while_its_server_is_down_is_not_cut() -> None:
    """It was permitted, and tried; when the server is back nobody wants it any more. Redis away: it goes on."""
    permits = FakePermits()
    bench = with_permits(a_server("nginx-1", "nginx-2", before=failing(DOWN)), permits)
    bench.work(an_order("nginx-1"), an_order("nginx-2"), at_most_s=1.0)
    bench.server.before = lambda _call: None
    permits.answers = {"sig_nginx-1": Permit(Result.UNDONE, "undone by anna"), "sig_nginx-2": REDIS_AWAY}
    assert sorted(one.value for one in bench.work()) == ["executed", "undone"]
    assert bench.server.cut == ["nginx-2"]


def test_what_is_held_waits_and_keeps_nobody_waiting() -> None:
    """It is asked about again and again, and cut when somebody says yes; meanwhile the server is looked after."""
    permits = FakePermits()
    sessions = [f"held-{number}" for number in range(200)]
    bench = with_permits(a_server(*sessions, "nginx-1"), permits)
    permits.answers = {f"sig_{session}": Permit(held=True) for session in sessions}
    bench.work(*map(an_order, sessions), at_most_s=30.0)
    assert bench.settled == []
    assert 200 * 10 < len(permits.asked) <= 30 * desk_module.ASKED_A_SECOND + 300
    assert bench.server.lists >= 2
    bench.work(an_order("nginx-1"), at_most_s=1.0)
    assert bench.server.cut == ["nginx-1"]
    permits.answers = {}
    bench.work(at_most_s=10.0)
    assert sorted(bench.server.cut) == sorted([*sessions, "nginx-1"])


def test_where_nobody_can_be_asked_it_waits_and_fails_in_the_end() -> None:
    """A held label while Redis is away: it is not cut, and the reason is told."""
    permits = FakePermits()
    permits.answers["sig_nginx-1"] = REDIS_AWAY
    bench = with_permits(a_server("nginx-1"), permits)
    assert bench.work(an_order()) == [Result.FAILED]
    assert str(REDIS_AWAY) in bench.settled[0][1].why
    assert bench.server.cut == []
    assert len(permits.asked) < 200


def test_a_redis_that_did_not_answer_is_not_waited_for_twice() -> None:
    """The cut comes first; the strike is written in the next round."""
    permits = FakePermits()
    permits.answers["sig_nginx-1"] = Permit(problem="no answer in time")
    bench = with_permits(a_server("nginx-1"), permits)
    bench.desk.submit(an_order())
    bench.desk.round()
    assert bench.server.cut == ["nginx-1"]
    assert bench.strikes.strikes == {}
    assert bench.work() == [Result.EXECUTED]
    assert list(bench.strikes.strikes) == ["sig_nginx-1"]


def test_stopping_does_not_wait_for_a_yes() -> None:
    """What is held stays for the next enforcer."""
    permits = FakePermits()
    permits.answers["sig_nginx-1"] = Permit(held=True)
    desk = Desk(a_server("nginx-1"), FakeStrikes(), on_settled=lambda _order, _end: None, permits=permits)
    desk.start()
    desk.submit(an_order())
    eventually(lambda: permits.asked)
    assert desk.stop(2.0)
    assert desk.waiting == 1
