"""streamguard.enforce.cutting.local_enforcer: kills executed in the worker's own process."""

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.enforce.cutting import desk as desk_module
from streamguard.enforce.cutting.desk import Desk
from streamguard.enforce.cutting.local_enforcer import LocalEnforcer
from streamguard.enforce.orders.enforcer import Result
from streamguard.enforce.outbox.ack_follower import AckFollower
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import ServerUnreachable, SignalRefused, SignalsRejected, SignalsUnreachable
from streamguard.types import KillSignal, Verdict
from tests.enforce.outbox.test_ack_follower import Told
from tests.fake_media_server import FakeMediaServer, FakeStrikes, failing
from tests.kill_signals import a_canary, a_decision, addressed
from tests.waiting import eventually


def a_signal(
    session: str = "nginx-1", *, server: str | None = "nginx-rtmp", verdict: Verdict = Verdict.KILL
) -> KillSignal:
    signal = addressed(a_decision(verdict=verdict), stream="live/cam", session=session, now_unix_s=time.time())
    tree = json.loads(signal.event)
    if server is not None:
        tree["data"]["server"] = server
    return KillSignal(
        signal.id,
        signal.stream,
        signal.session,
        verdict,
        json.dumps(tree),
        signal.decided_unix_s,
        signal.expires_unix_s,
    )


class Local:
    """One with a fake server."""

    def __init__(self, server: FakeMediaServer) -> None:
        self.out = io.StringIO()
        self.results: list[Result] = []
        self.enforcer = LocalEnforcer(
            self.out,
            make_desks=lambda on_settled: [Desk(server, FakeStrikes(), on_settled=on_settled)],
            name="worker-1",
            on_settled=lambda _order, settled: self.results.append(settled.result),
        )

    @property
    def lines(self) -> list[str]:
        """What was printed, by type: kill, review, ack."""
        return [json.loads(line)["type"].split(".")[2] for line in self.out.getvalue().splitlines()]


@contextmanager
def local(server: FakeMediaServer) -> Iterator[Local]:
    made = Local(server)
    made.enforcer.start()
    try:
        yield made
    finally:
        made.enforcer.close()


def a_server(*sessions: str) -> FakeMediaServer:
    server = FakeMediaServer(lingers=1)
    for session in sessions:
        server.connect("live/cam", session)
    return server


def test_a_kill_is_printed_executed_and_answered() -> None:
    """Once, however often it is delivered."""
    server = a_server("nginx-1", "nginx-2")
    signal = a_signal()
    with local(server) as it:
        for _ in range(3):
            it.enforcer.deliver(signal)
        eventually(lambda: it.lines == ["kill", "ack"])
        it.enforcer.deliver(signal)
    assert it.lines == ["kill", "ack"]
    assert it.results == [Result.EXECUTED]
    assert server.cut == ["nginx-1"]


def test_what_is_no_kill_of_a_session_is_printed() -> None:
    """A review has no answer; a stream that is named by its URL is refused."""
    with local(a_server()) as it:
        it.enforcer.deliver(a_signal(verdict=Verdict.REVIEW))
        it.enforcer.deliver(a_signal(server=None))
    assert it.lines == ["review", "kill", "ack"]
    assert it.results == [Result.NO_SESSION]


def test_one_that_no_enforcer_would_understand_is_refused_alone() -> None:
    """It is printed, and put aside by the outbox in the end; the others go on."""
    signal = a_signal(server=None)
    odd = replace(signal, event=signal.event.replace("live/cam", "x" * 1001))
    with local(a_server()) as it:
        with pytest.raises(SignalRefused, match="`stream` is no text"):
            it.enforcer.deliver(odd)
        eventually(lambda: it.lines == ["kill"])


def test_the_cut_does_not_wait_for_a_reader() -> None:
    """Standard output is closed: the stream is cut, and the delivery says what is wrong, once for each signal."""
    server = a_server("nginx-1")
    with local(server) as it:
        it.out.close()
        with pytest.raises(SignalsRejected):
            it.enforcer.deliver(a_signal())
        eventually(lambda: server.cut == ["nginx-1"])
        eventually(lambda: it.enforcer.has_unread)


def test_a_desk_that_is_full_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox keeps what there is no room for."""
    monkeypatch.setattr(desk_module, "MOST_ORDERS", 1)
    server = a_server()
    server.before = failing(ServerUnreachable("list publishers of", "nginx-rtmp", "refused"))
    with local(server) as it:
        it.enforcer.deliver(a_signal("nginx-1"))
        with pytest.raises(SignalsUnreachable, match="too many"):
            it.enforcer.deliver(a_signal("nginx-2"))
        assert it.enforcer.waiting == 1


def test_its_answers_close_signals_in_the_outbox(tmp_path: Path) -> None:
    """Through the same follower as those from Redis."""
    told, signal = Told(), a_signal()
    with Outbox.open(tmp_path / "outbox.sqlite") as outbox, local(a_server("nginx-1")) as it:
        outbox.append(signal)
        follower = AckFollower(outbox, it.enforcer, key=None, observer=told)
        it.enforcer.deliver(signal)
        outbox.delivered(signal.id, at_unix_s=signal.decided_unix_s, awaits_ack=True)
        eventually(lambda: it.enforcer.has_unread)
        follower.round()
        assert told.outcomes == [(signal.id, "executed")]
        assert outbox.awaiting_ack() == 0


def test_a_canary_is_judged_counted_and_cuts_nothing() -> None:
    """Without a line, and once."""
    server = a_server("nginx-1")
    with local(server) as here:
        here.enforcer.deliver(a_canary(now_unix_s=time.time()))
        here.enforcer.deliver(a_canary(now_unix_s=time.time()))
        assert here.results == [Result.CANARY]
        assert here.lines == []
    assert [publisher.session for publisher in server.publishers()] == ["nginx-1"]
