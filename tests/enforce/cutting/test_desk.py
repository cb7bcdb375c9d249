"""streamguard.enforce.cutting.desk: strike, list, drop, verify, again, for all of a server's orders at once."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from streamguard.enforce.cutting import desk as desk_module
from streamguard.enforce.cutting.desk import ORDERS_A_ROUND, Desk, DeskOptions, StrikeBook
from streamguard.enforce.cutting.listing import ServerState, ServerStatus
from streamguard.enforce.orders.enforcer import Order, Result, Settled
from streamguard.enforce.strikes.memory import StrikeMemory
from streamguard.errors import (
    ServerError,
    ServerNotUnderstood,
    ServerRefused,
    ServerUnreachable,
    SignalsError,
    SignalsUnreachable,
)
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId
from tests.enforce.made_orders import an_order
from tests.fake_media_server import FakeMediaServer, FakeStrikes, failing
from tests.kill_signals import NOW_UNIX_S

DOWN = ServerUnreachable("list publishers of", "nginx-rtmp", "connection refused")
NONSENSE = ServerNotUnderstood("list publishers of", "nginx-rtmp", "no XML")
CLOSED = ServerRefused("list publishers of", "nginx-rtmp", "403")
REDIS_AWAY = SignalsUnreachable("add strike", "redis", "no answer in time")


class Crash(BaseException):
    """kill -9, as near as a test in one process comes to it."""


class Bench:
    """A desk without its thread, with a clock that goes when told to."""

    def __init__(
        self, server: FakeMediaServer, strikes: StrikeBook | None = None, *, strike_addresses: bool = False
    ) -> None:
        self.now_s = NOW_UNIX_S + 0.1
        self.server = server
        self.strikes = strikes if isinstance(strikes, FakeStrikes) else FakeStrikes()
        self.settled: list[tuple[Order, Settled]] = []
        self.changes: list[ServerState] = []
        self.desk = Desk(
            server,
            strikes or self.strikes,
            on_settled=lambda order, settled: self.settled.append((order, settled)),
            on_change=lambda _name, state: self.changes.append(state),
            options=DeskOptions(strike_addresses, clock=lambda: self.now_s, monotonic=lambda: self.now_s),
        )

    def work(self, *orders: Order, at_most_s: float = 400.0) -> list[Result]:
        """Submits them, and goes on until all are settled or so much time has gone by."""
        for order in orders:
            assert self.desk.submit(order)
        ends_at_s = self.now_s + at_most_s
        while self.desk.waiting and self.now_s < ends_at_s:
            self.now_s += self.desk.round()
        return self.results

    @property
    def results(self) -> list[Result]:
        return [settled.result for _, settled in self.settled]


def a_server(*sessions: str, lingers: int = 0, before: Callable[[str], None] = lambda _call: None) -> FakeMediaServer:
    server = FakeMediaServer(lingers=lingers, before=before)
    for session in sessions:
        server.connect("live/cam", session)
    return server


def test_a_session_is_struck_dropped_and_seen_to_be_gone() -> None:
    """In this order, and only then it is executed."""
    bench = Bench(a_server("nginx-1", "nginx-2", lingers=3))
    seen: list[str] = []
    bench.strikes.before = lambda: seen.append("strike")
    bench.server.before = seen.append
    assert bench.work(an_order()) == [Result.EXECUTED]
    assert seen == ["strike", "list", "drop", "list", "list", "list", "list"]
    assert bench.server.cut == ["nginx-1"]
    assert bench.server.live == {"nginx-2"}
    assert bench.strikes.strikes["sig_nginx-1"].keys == ("stream:live/cam",)


def test_a_session_that_left_is_struck_and_nobody_is_cut() -> None:
    """Its successor, in another session of the same stream, goes on."""
    bench = Bench(a_server("nginx-2"))
    assert bench.work(an_order()) == [Result.ALREADY_GONE]
    assert bench.server.asked == []
    assert list(bench.strikes.strikes) == ["sig_nginx-1"]


@pytest.mark.promise(7, "a successor with the same session id")
def test_a_successor_with_the_same_id_is_left_alone() -> None:
    """The server was restarted and counts from one again: who connected after the decision was not decided on."""
    server = a_server("nginx-1")
    server.renumber("nginx-1", since_unix_s=NOW_UNIX_S + 10)
    bench = Bench(server)
    assert bench.work(an_order()) == [Result.SUCCESSOR]
    assert server.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(DOWN, ServerStatus.UNREACHABLE), (CLOSED, ServerStatus.REFUSED), (NONSENSE, ServerStatus.NOT_UNDERSTOOD)],
)
def test_a_server_that_does_not_list_is_asked_again(error: ServerError, status: ServerStatus) -> None:
    """It is never a success; its state says so meanwhile, and the stream is cut when it lists again."""
    bench = Bench(a_server("nginx-1", before=failing(error, error, error, None)))
    assert bench.work(an_order()) == [Result.EXECUTED]
    assert [state.status for state in bench.changes] == [status, ServerStatus.OK]
    assert bench.changes[0].problem == str(error)


@pytest.mark.parametrize("error", [DOWN, NONSENSE])
@pytest.mark.parametrize("call", ["list", "drop"])
def test_a_server_that_never_does_as_asked_fails_in_the_end(error: ServerError, call: str) -> None:
    """With the signal's expiry, with the reason, after a bounded number of tries."""
    tries: list[str] = []
    fails = failing(error, call=call)

    def before(what: str) -> None:
        tries.append(what)
        fails(what)

    bench = Bench(a_server("nginx-1", before=before))
    assert bench.work(an_order()) == [Result.FAILED]
    assert str(error) in bench.settled[0][1].why
    assert 60 <= tries.count(call) <= 200
    assert 300 < dict(bench.settled[0][1].timings_s)["ended"] < 310


def test_a_drop_that_does_nothing_fails_in_the_end() -> None:
    """The server says that it cut, and lists the session all the same."""
    server = a_server("nginx-1")
    server.deaf = True
    bench = Bench(server)
    assert bench.work(an_order()) == [Result.FAILED]
    assert "still listed" in bench.settled[0][1].why
    assert 100 < len(server.asked) < 400


def test_a_drop_whose_answer_is_lost_is_not_a_failure() -> None:
    """The next listing tells that the session is gone; it was cut once."""
    bench = Bench(a_server("nginx-1"))
    lost = [DOWN]

    def lose() -> None:
        if lost:
            raise lost.pop()

    bench.server.after_drop = lose
    assert bench.work(an_order()) == [Result.ALREADY_GONE]
    assert bench.server.cut == ["nginx-1"]


def test_two_publishers_in_one_session_are_not_understood() -> None:
    """Whichever is meant, the other must not be cut."""
    server = a_server("nginx-1")
    bench = Bench(server)
    server.connect("live/other", "nginx-2")
    one, other = server.publishers()
    twin = replace(one, stream=StreamId("live/twin"), address="198.51.100.1")
    server.publishers = lambda: (one, twin, other)  # type: ignore[method-assign]
    server.after_drop = lambda: setattr(server, "publishers", lambda: (one, twin))
    assert bench.work(an_order(), an_order("nginx-2", stream="live/other")) == [Result.EXECUTED, Result.FAILED]
    assert server.asked == ["nginx-2"]
    assert "two publishers as this session" in bench.settled[-1][1].why


def test_one_connection_with_two_names_is_cut() -> None:
    """A publisher of node-media-server can have itself listed twice: that must neither save it nor anybody else."""
    server = a_server("nginx-1")
    bench = Bench(server)
    (one,) = server.publishers()
    twin = replace(one, stream=StreamId("live/twin"))
    server.publishers = lambda: (one, twin) if "nginx-1" in server.live else ()  # type: ignore[method-assign]
    assert bench.work(an_order()) == [Result.EXECUTED]
    assert server.cut == ["nginx-1"]


def test_a_connection_that_went_on_under_another_name_is_left_alone() -> None:
    """Its stream was struck; what it shows now is watched as another stream, and decided on anew."""
    server = FakeMediaServer()
    server.connect("live/other", "nginx-1")
    bench = Bench(server)
    assert bench.work(an_order()) == [Result.SUCCESSOR]
    assert server.asked == []
    assert list(bench.strikes.strikes) == ["sig_nginx-1"]


def test_who_may_be_on_the_air_unlisted_is_not_said_to_be_gone() -> None:
    """Until it is known to be: then it is gone; where it never is known, the kill has failed and says why."""
    server = a_server()
    server.unlisted["nginx-1"] = "nginx was reloaded: restart it"
    bench = Bench(server)
    assert bench.work(an_order(), at_most_s=30) == []
    server.unlisted.clear()
    assert bench.work() == [Result.ALREADY_GONE]
    server.unlisted["nginx-2"] = "nginx was reloaded: restart it"
    assert bench.work(an_order("nginx-2"))[-1] is Result.FAILED
    assert "may be on the air (nginx was reloaded: restart it)" in bench.settled[-1][1].why
    assert server.asked == []


@pytest.mark.parametrize(("stream", "session"), [("live/cam", "nginx-1"), ("live/two", "nginx-2")])
def test_who_publishes_twice_in_one_session_shields_nobody(stream: str, session: str) -> None:
    """Neither others nor himself: their sessions are cut as ever, and his by the stream that was decided on."""
    server = a_server("nginx-1")
    server.connect("live/two", "nginx-2")
    listed = server.publishers
    first = Publisher(StreamId("live/one"), SessionId("nginx-2"), "live/one", "203.0.113.9")

    def publishers() -> tuple[Publisher, ...]:
        # The first of his streams stays listed when he is gone, as on node-media-server.
        return (*listed(), first)

    server.publishers = publishers  # type: ignore[method-assign]
    bench = Bench(server)
    assert bench.work(an_order(session, stream=stream)) == [Result.EXECUTED]
    assert server.cut == [session]
    assert bench.changes == []


def test_orders_that_fail_slowly_keep_no_other_waiting() -> None:
    """Each publisher is struck after as many rounds as all of them take, however long a server takes not to list."""
    bench = Bench(a_server())

    def hang(_call: str) -> None:
        bench.now_s += 6.0
        raise DOWN

    bench.server.before = hang
    for number in range(3 * ORDERS_A_ROUND):
        assert bench.desk.submit(an_order(f"nginx-{number}"))
    for _ in range(3):
        bench.desk.round()
    assert len(bench.strikes.strikes) == 3 * ORDERS_A_ROUND


def test_the_cut_does_not_wait_for_the_gate() -> None:
    """While strikes cannot be written the session is dropped, and the signal is settled when its strike counts."""
    bench = Bench(a_server("nginx-1"), FakeStrikes([REDIS_AWAY] * 5))
    bench.desk.submit(an_order())
    bench.desk.round()
    assert bench.server.cut == ["nginx-1"]
    assert bench.work() == [Result.EXECUTED]
    assert list(bench.strikes.strikes) == ["sig_nginx-1"]


def test_a_strike_that_can_never_be_written_is_a_failure_that_says_so() -> None:
    """The session was cut, but whoever published may come back."""
    refused: list[SignalsError | None] = [REDIS_AWAY] * 1000
    bench = Bench(a_server("nginx-1"), FakeStrikes(refused))
    assert bench.work(an_order()) == [Result.FAILED]
    assert "not kept out" in bench.settled[0][1].why
    assert bench.server.cut == ["nginx-1"]


def test_a_name_that_cannot_be_struck_is_cut_and_told_at_once() -> None:
    """A publisher chose it so; the strikes of others count all the same."""
    server = a_server("nginx-1")
    server.connect("live/\u200b", "nginx-2")
    book = StrikeMemory()
    bench = Bench(server, book)
    assert sorted(bench.work(an_order("nginx-2", stream="live/\u200b"), an_order()), key=lambda one: one.value) == [
        Result.EXECUTED,
        Result.FAILED,
    ]
    assert server.live == set()
    assert bench.now_s < NOW_UNIX_S + 20
    assert "not kept out" in next(settled.why for _, settled in bench.settled if settled.result is Result.FAILED)
    assert [struck.key for struck in book.active()] == ["stream:live/cam"]


def test_addresses_are_struck_when_asked_for() -> None:
    """As the listing gives them; that of a proxy on the same machine is everybody's, and is not."""
    server = a_server("nginx-1")
    server.connect("live/other", "nginx-2", address="127.0.0.1")
    bench = Bench(server, strike_addresses=True)
    bench.work(an_order(), an_order("nginx-2", stream="live/other"), an_order("nginx-3", stream="live/gone"))
    assert [strike.keys for strike in bench.strikes.strikes.values()] == [
        ("stream:live/cam", "address:203.0.113.9"),
        ("stream:live/other",),
        ("stream:live/gone",),
    ]
    assert bench.results.count(Result.EXECUTED) == 2


@pytest.mark.promise(1, "the enforcer, dead at each of its steps")
@pytest.mark.parametrize("crash_at", ["strike", "list", "drop", "after drop", "verify"])
def test_killed_at_any_step_the_next_enforcer_finishes(crash_at: str) -> None:
    """The stream is cut once, struck once, and the signal is settled, whatever step it died in."""
    server, strikes = a_server("nginx-1", lingers=1), FakeStrikes()
    dying = [crash_at]

    def die(step: str) -> None:
        at_verify = dying == ["verify"] and step == "list" and bool(server.cut)
        if at_verify or dying == [step]:
            dying.clear()
            raise Crash

    strikes.before = lambda: die("strike")
    server.before = die
    server.after_drop = lambda: die("after drop")
    first = Bench(server, strikes)
    with pytest.raises(Crash):
        first.work(an_order())
    assert first.settled == []
    assert Bench(server, strikes).work(an_order()) == [
        Result.EXECUTED if crash_at in {"strike", "list", "drop"} else Result.ALREADY_GONE
    ]
    assert server.cut == ["nginx-1"]
    assert list(strikes.strikes) == ["sig_nginx-1"]


@pytest.mark.promise(7, "two enforcers with one kill")
def test_two_enforcers_on_one_stream_cut_it_once() -> None:
    """Step by step in turns: both settle it, one of them as its own."""
    server, strikes = a_server("nginx-1", "nginx-2", lingers=2), FakeStrikes()
    one, other = Bench(server, strikes), Bench(server, strikes)
    for bench in (one, other):
        bench.desk.submit(an_order())
    while one.desk.waiting or other.desk.waiting:
        for bench in (one, other):
            bench.now_s += bench.desk.round()
    assert server.cut == ["nginx-1"]
    assert server.live == {"nginx-2"}
    assert len(strikes.strikes) == 1
    assert Result.EXECUTED in (*one.results, *other.results)


def test_two_signals_for_one_session_drop_it_once() -> None:
    """Two references on one stream; both are settled."""
    bench = Bench(a_server("nginx-1", lingers=1))
    again = replace(an_order(), id="sig_another")
    assert sorted(result.value for result in bench.work(an_order(), again)) == ["already_gone", "executed"]
    assert bench.server.asked == ["nginx-1"]
    assert len(bench.strikes.strikes) == 2


def test_a_desk_that_waits_for_many_cuts_is_seen_to_live() -> None:
    """A server that takes seconds for each is no reason to restart the enforcer: one cut may take as long, not all."""
    bench = Bench(a_server(*(f"nginx-{number}" for number in range(ORDERS_A_ROUND))))

    def slowly(call: str) -> None:
        if call == "drop":
            bench.now_s += 1.0

    bench.server.before = slowly
    for number in range(ORDERS_A_ROUND):
        bench.desk.submit(an_order(f"nginx-{number}"))
    bench.desk.round()
    assert bench.now_s - bench.desk.beat_at_s < 1.0


def test_one_listing_serves_all_orders_of_a_round() -> None:
    """500 orders take a few listings, not a thousand, and each session is asked for once."""
    server = FakeMediaServer(lingers=1)
    orders = [an_order(f"nginx-{number}", stream=f"live/{number}") for number in range(500)]
    for number in range(500):
        server.connect(f"live/{number}", f"nginx-{number}")
    bench = Bench(server)
    assert bench.work(*orders) == [Result.EXECUTED] * 500
    assert server.lists <= 3 * 500 // ORDERS_A_ROUND + 10
    assert len(server.asked) == len(set(server.asked)) == 500


def test_only_so_many_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """More wait where they come from; what is known is taken once."""
    monkeypatch.setattr(desk_module, "MOST_ORDERS", 2)
    bench = Bench(a_server())
    assert [bench.desk.submit(an_order(session)) for session in ("1", "2", "3", "1")] == [True, True, False, True]
    assert bench.desk.waiting == 2
    bench.work()
    assert bench.desk.submit(an_order("3"))


def test_an_idle_server_is_looked_after() -> None:
    """So that trouble shows before it matters, but not all the time."""
    bench = Bench(a_server(before=failing(DOWN)))
    assert bench.desk.round() == pytest.approx(desk_module.CHECK_EVERY_S)
    assert bench.desk.state.status is ServerStatus.UNREACHABLE
    bench.desk.round()
    assert len(bench.changes) == 1


def test_addresses_are_struck_as_was_said_last() -> None:
    """From the next round on; an order is struck once, however often that changes."""
    server = a_server("nginx-1", "nginx-2")
    bench = Bench(server)
    changes = iter([True, False, True, False])
    server.before = lambda _call: setattr(bench.desk, "strike_addresses", next(changes, True))
    bench.work(an_order())
    server.before = lambda _call: None
    bench.desk.strike_addresses = True
    bench.work(an_order("nginx-2"))
    assert [strike.keys for strike in bench.strikes.strikes.values()] == [
        ("stream:live/cam",),
        ("stream:live/cam", "address:203.0.113.9"),
    ]
    assert bench.results == [Result.EXECUTED] * 2
