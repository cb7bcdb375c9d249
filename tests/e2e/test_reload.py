"""`nginx -s reload`: who publishes then is listed no more, and neither forgotten nor said to be gone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.enforce.cutting.desk import Desk, DeskOptions
from streamguard.enforce.orders.enforcer import Order, Result, Settled
from streamguard.errors import ServerError
from streamguard.servers.known import media_server
from streamguard.servers.server import MediaServer, Publisher
from streamguard.servers.spec import read_spec
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup
from tests.enforce.made_orders import an_order
from tests.fake_media_server import FakeStrikes
from tests.kill_signals import NOW_UNIX_S
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[RtmpServer]:
    """One of its own, to be reloaded."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    server = RtmpServer(folder).start()
    yield server
    server.stop()


class Enforcing:
    """A desk at a real server, with a clock that goes when told to."""

    def __init__(self, server: MediaServer) -> None:
        self.now_s = NOW_UNIX_S
        self.settled: list[Settled] = []
        options = DeskOptions(clock=lambda: self.now_s, monotonic=lambda: self.now_s)
        self.desk = Desk(server, FakeStrikes(), on_settled=self._settle, options=options)

    def kill(self, publisher: Publisher) -> None:
        self.desk.submit(replace(an_order(publisher.session, stream=publisher.stream), decided_unix_s=self.now_s))

    def round(self, *, after_s: float) -> list[Result]:
        self.now_s += after_s
        self.desk.round()
        return [settled.result for settled in self.settled]

    def _settle(self, _: Order, settled: Settled) -> None:
        self.settled.append(settled)


def the_publisher(server: MediaServer) -> Publisher:
    return eventually(server.publishers, what="the publisher")[0]


def lists_nobody(server: MediaServer) -> bool:
    """For a moment in a reload two workers answer, which is an error."""
    try:
        return not server.publishers()
    except ServerError:
        return False


def test_a_kill_of_one_whom_a_reload_has_hidden_fails_and_says_why(nginx: RtmpServer, clips: Clips) -> None:
    """It is on the air, whatever /stat says. When it has left, or nginx was restarted, it is gone."""
    server = media_server(read_spec(f"nginx-rtmp={nginx.stat_url}"))
    enforcing = Enforcing(server)
    with nginx.publish("hidden", clips.unrelated) as publisher:
        hidden = the_publisher(server)
        nginx.reload()
        # For a moment the old worker may answer, too.
        eventually(lambda: all(lists_nobody(server) for _ in range(20)), what="the new worker alone answers")
        enforcing.kill(hidden)
        assert enforcing.round(after_s=0.0) == []
        assert enforcing.round(after_s=290.0) == []
        assert enforcing.round(after_s=20.0) == [Result.FAILED]
        assert "nginx was reloaded" in enforcing.settled[0].why
        assert publisher.running
    eventually(lambda: not server.may_live_unlisted(hidden.session), what="the old worker's end")
    enforcing.now_s = NOW_UNIX_S
    enforcing.kill(hidden)
    assert enforcing.round(after_s=1.0)[-1] is Result.ALREADY_GONE
    with nginx.publish("restarted", clips.unrelated):
        restarted = the_publisher(server)
        nginx.stop()
        nginx.start()
        enforcing.kill(restarted)
        assert enforcing.round(after_s=1.0)[-1] is Result.ALREADY_GONE


def test_a_worker_goes_on_watching_whom_a_reload_has_hidden(
    nginx: RtmpServer, clips: Clips, *, library: Path, start_worker: StartWorker
) -> None:
    """Over the connection that stands, with a warning and a count; when that publisher leaves it is let go."""
    pull = nginx.rtmp_url("").removesuffix("/live/")
    worker = start_worker(Setup({}, library, servers=({"kind": "nginx-rtmp", "api": nginx.stat_url, "pull": pull},)))
    unlisted = 'streamguard_discovery_publishers{server="nginx-rtmp",standing="unlisted"}'
    with nginx.publish("hidden", clips.unrelated):
        before = worker.until("live/hidden", state="watching")
        nginx.reload()
        worker.until_metric(unlisted, 1.0)
        seen = worker.stream("live/hidden")["keyframes"]
        eventually(lambda: worker.stream("live/hidden")["keyframes"] > seen, what="another keyframe")
        assert worker.stream("live/hidden")["session_id"] == before["session_id"]
        (line,) = worker.log("publishers_unlisted")
        assert (line["publishers"], line["watched"]) == (1, 1)
        assert "restart nginx" in line["problem"]
    eventually(lambda: not worker.stream("live/hidden"), what="it is let go")
    assert worker.metric(unlisted) == 0.0
