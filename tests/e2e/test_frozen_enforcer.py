"""An enforcer that stands still for longer than all its time-outs, in the middle of a kill, and goes on after that."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamguard.servers.known import media_server
from streamguard.servers.spec import read_spec
from tests.e2e.enforcers import Enforcer
from tests.e2e.workers import KEY
from tests.enforce.made_orders import a_kill
from tests.faults.proxy import Fault, Proxy
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

IDLE_S = 2.0
"""A tenth of what it is in operation: so long nobody touched what another enforcer takes over."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One enforcer that reaches nginx and Redis through proxies, and another one beside it, both not started yet."""

    server: RtmpServer
    redis: RedisServer
    http_proxy: Proxy
    redis_proxy: Proxy
    frozen: Enforcer
    other: Enforcer

    def session(self, name: str) -> str:
        """Of who publishes under that name, when it is listed."""
        listing = media_server(read_spec(f"nginx-rtmp={self.server.stat_url}"))
        found = eventually(
            lambda: [each for each in listing.publishers() if each.stream == f"live/{name}"], what=f"{name} on the air"
        )
        return found[0].session

    def decide(self, name: str, *, stalls_answer: bool = False) -> str:
        """A worker's kill of who publishes under that name; its session. `stalls_answer`: that of the first enforcer
        comes as far as its proxy.
        """
        session = self.session(name)
        kill = a_kill(session, stream=f"live/{name}", now_unix_s=time.time())
        if stalls_answer:
            done = f"{{streamguard}}:done:{kill.id}"
            # The keys of settle_signal.lua, as they go over the wire.
            self.redis_proxy.once(f":acks\r\n${len(done)}\r\n{done}".encode(), Fault.STALL)
        with self.redis.admin() as client:
            client.xadd("{streamguard}:signals", dict(kill.fields(key=KEY.encode())))
        return session

    def acks(self) -> dict[str, str]:
        """Outcome by session; each is there once."""
        told = [json.loads(entry[b"event"])["data"] for entry in self.redis.entries("{streamguard}:acks")]
        found = {each["session_id"]: each["outcome"] for each in told}
        assert len(found) == len(told)
        return found


@pytest.fixture
def stage(rtmp_server: RtmpServer, redis_server: RedisServer, tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        http = stack.enter_context(Proxy(rtmp_server.http_port))
        redis = stack.enter_context(Proxy(int(redis_server.url.rpartition(":")[2])))

        def enforcer(name: str, *, redis_url: str, api_url: str) -> Enforcer:
            made = Enforcer(
                tmp_path / name, redis_url=redis_url, api_url=api_url, idle_s=IDLE_S,
                environment={"SG__ENFORCE__NAME": name},
            )  # fmt: skip
            stack.callback(made.kill)
            return made

        yield Stage(
            rtmp_server, redis_server, http, redis,
            frozen=enforcer(
                "frozen", redis_url=f"redis://127.0.0.1:{redis.port}", api_url=f"http://127.0.0.1:{http.port}/stat"
            ),
            other=enforcer("other", redis_url=redis_server.url, api_url=rtmp_server.stat_url),
        )  # fmt: skip


@pytest.mark.promise(1, "the enforcer frozen (SIGSTOP), with the cut and with its answer in its hands", times=2)
@pytest.mark.promise(7, "a cut that comes late, when another publishes under the name (nginx-rtmp)")
def test_a_frozen_enforcer_is_followed_by_another_and_cuts_nobody_when_it_goes_on(stage: Stage, clips: Clips) -> None:
    """Frozen as it cuts, and as it answers: another enforcer does what is left of the kill; when the first one goes on
    the name's next publisher is not cut, no kill is answered twice, and the next kill is executed by it.
    """
    server, frozen, other = stage.server, stage.frozen, stage.other
    with ExitStack() as publishers:
        innocent = publishers.enter_context(server.publish("frozen-innocent", clips.unrelated))
        first = publishers.enter_context(server.publish("frozen-1", clips.unrelated))
        stage.http_proxy.once(b"/control/drop", Fault.STALL)
        expected = {stage.decide("frozen-1"): "executed"}
        frozen.start()
        eventually(lambda: stage.http_proxy.done[Fault.STALL], what="a cut on its way")
        frozen.freeze()
        assert first.running
        other.start()
        eventually(lambda: stage.acks() == expected, what="the other enforcer's answer")
        eventually(lambda: not first.running, what="the cut")
        successor = publishers.enter_context(server.publish("frozen-1", clips.unrelated))
        stage.session("frozen-1")
        stage.http_proxy.now(Fault.PASS)
        frozen.thaw()
        other.kill()

        second = publishers.enter_context(server.publish("frozen-2", clips.unrelated))
        expected[stage.decide("frozen-2", stalls_answer=True)] = "already_gone"
        eventually(lambda: stage.redis_proxy.done[Fault.STALL], what="an answer on its way")
        frozen.freeze()
        eventually(lambda: not second.running, what="the cut, by the first one")
        other.start()
        eventually(lambda: stage.acks() == expected, what="the other enforcer's answer")
        stage.redis_proxy.now(Fault.PASS)
        frozen.thaw()
        other.kill()

        publishers.enter_context(server.publish("frozen-3", clips.unrelated))
        expected[stage.decide("frozen-3")] = "executed"
        eventually(lambda: stage.acks() == expected, what="that it goes on")
        assert (innocent.running, successor.running) == (True, True)
