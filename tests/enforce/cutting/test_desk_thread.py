"""streamguard.enforce.cutting.desk as a thread: it works at once, ends when asked, and holds up nobody."""

import threading

import pytest

from streamguard.enforce.cutting.desk import Desk
from streamguard.enforce.cutting.listing import ServerStatus
from streamguard.enforce.orders.enforcer import Result
from streamguard.types import SessionId
from tests.enforce.cutting.test_desk import DOWN, a_server
from tests.enforce.made_orders import an_order
from tests.fake_media_server import FakeMediaServer, FakeStrikes, failing
from tests.kill_signals import NOW_UNIX_S
from tests.waiting import eventually


def a_running_desk(server: FakeMediaServer, settled: list[Result]) -> Desk:
    desk = Desk(server, FakeStrikes(), on_settled=lambda _order, end: settled.append(end.result))
    desk.start()
    return desk


def test_its_thread_works_at_once_and_ends_when_asked() -> None:
    """A new order wakes it; stopping finishes what goes well."""
    settled: list[Result] = []
    server = a_server("nginx-1", "nginx-2", lingers=2)
    now_unix_s = NOW_UNIX_S + 10**9
    desk = a_running_desk(server, settled)
    desk.submit(an_order(now_unix_s=now_unix_s))
    eventually(lambda: settled == [Result.EXECUTED], timeout_s=2.0, what="the order is settled")
    desk.submit(an_order("nginx-2", now_unix_s=now_unix_s))
    assert desk.stop(5.0)
    assert settled == [Result.EXECUTED] * 2


def test_stopping_does_not_wait_for_a_server_that_is_down() -> None:
    """What is not settled stays for the next enforcer."""
    settled: list[Result] = []
    desk = a_running_desk(a_server("nginx-1", before=failing(DOWN)), settled)
    desk.submit(an_order(now_unix_s=NOW_UNIX_S + 10**9))
    eventually(lambda: desk.state.problem, what="the server is asked")
    assert desk.stop(5.0)
    assert settled == []
    assert desk.waiting == 1


def test_a_slow_server_holds_up_no_other() -> None:
    """Each has a thread of its own."""
    release = threading.Event()
    settled: list[Result] = []

    def wait(_call: str) -> None:
        release.wait(10)

    slow = a_running_desk(a_server(before=wait), [])
    quick = a_running_desk(a_server("nginx-1"), settled)
    for desk in (slow, quick):
        desk.submit(an_order(now_unix_s=NOW_UNIX_S + 10**9))
    eventually(lambda: settled == [Result.EXECUTED], timeout_s=2.0, what="the quick server's order is settled")
    release.set()
    assert slow.stop(5.0)
    assert quick.stop(5.0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_shows() -> None:
    """The thread is dead, and its state says what to do."""

    def before(_call: str) -> None:
        raise KeyError(SessionId("nginx-1"))

    desk = a_running_desk(a_server(before=before), [])
    eventually(lambda: desk.state.status is ServerStatus.ENDED, what="the state shows it")
    assert "restart the enforcer" in desk.state.problem
    assert desk.stop(5.0)
