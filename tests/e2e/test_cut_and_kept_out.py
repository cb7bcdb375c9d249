"""The whole way, by the commands that an operator starts: `watch --discover`, `enforce`, `gate` and `strikes lift`
beside a real media server and real publishers.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from streamguard.servers.known import media_server
from streamguard.servers.spec import read_spec
from tests.cli.calling import ended, started
from tests.e2e.conftest import StartWorker, Turning
from tests.e2e.gates import Gate, guarded_nginx
from tests.e2e.workers import KEY, Setup, Worker, kills_in
from tests.local_servers import Publisher
from tests.node_media_servers import NodeServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

CUT_WITHIN_S = 2.0
"""A busy machine's; docs/enforcement.md has what was measured."""


class Publish(Protocol):
    def __call__(self, name: str, file: Path, /) -> AbstractContextManager[Publisher]: ...


@dataclass(frozen=True, slots=True)
class Edge:
    """A media server that asks the gate. `asks_first`: before anybody is let in, not after."""

    kind: str
    api_url: str
    pull_url: str
    publish: Publish
    asks_first: bool

    def listed(self) -> list[str]:
        """Who publishes there, by its own account."""
        return [each.stream for each in media_server(read_spec(f"{self.kind}={self.api_url}")).publishers()]


@contextmanager
def nginx_edge(folder: Path, gate: Gate) -> Iterator[Edge]:
    with guarded_nginx(folder, gate) as server:
        server.start()
        pull = f"rtmp://127.0.0.1:{server.rtmp_port}"
        yield Edge("nginx-rtmp", server.stat_url, pull, server.publish, asks_first=True)


@contextmanager
def node_edge(folder: Path, gate: Gate) -> Iterator[Edge]:
    folder.mkdir()
    server = NodeServer(folder, hook_url=f"http://127.0.0.1:{gate.port}/node-media-server/notify").start()
    try:
        pull = f"rtmp://127.0.0.1:{server.rtmp_port}"
        yield Edge("node-media-server", server.api_url, pull, server.publish, asks_first=False)
    finally:
        server.stop()


@pytest.mark.parametrize("edge_of", [nginx_edge, node_edge], ids=["nginx-rtmp", "node-media-server"])
def test_known_footage_is_cut_and_kept_out_until_the_strike_is_lifted(  # noqa: PLR0913 - all that the whole way takes
    edge_of: Callable[[Path, Gate], AbstractContextManager[Edge]],
    gate: Gate,
    *,
    turning: Turning,
    clips: Clips,
    library: Path,
    tmp_path: Path,
    start_worker: StartWorker,
) -> None:
    """A publisher who turns to known footage is found, decided on, cut, and refused when it comes again, while another
    one goes on; the worker's outbox is told; after `strikes lift` the publisher is let in.
    """
    redis = gate.redis
    key_file = tmp_path / "hmac.key"
    key_file.write_text(KEY)
    gate.start()
    with ExitStack() as stack:
        edge = stack.enter_context(edge_of(tmp_path / "media-server", gate))
        discover = ("--discover", f"{edge.kind}={edge.api_url},{edge.pull_url}")
        worker = start_worker(Setup({}, library, redis.url, options=discover))
        enforcer = started(
            *("enforce", "--redis", redis.url, "--key-file", key_file, "--http-port", "0"),
            *("--server", f"{edge.kind}={edge.api_url}"),
        )
        stack.callback(enforcer.kill)
        innocent = stack.enter_context(edge.publish("innocent", clips.unrelated))
        publisher = stack.enter_context(edge.publish("cam", turning.file))
        check_that_it_is_cut(publisher, worker, redis=redis, edge=edge)
        check_that_it_is_kept_out(edge, gate, turning)
        lift = started(*("strikes", "lift", "stream:live/cam", "--redis", redis.url, "--reason", "it was ours"))
        assert ended(lift).status == 0
        again = stack.enter_context(edge.publish("cam", clips.unrelated))
        worker.until("live/cam", state="watching", verdict="clear")
        assert again.running
        assert innocent.running
        assert "live/innocent" in edge.listed()
        enforcer.send_signal(signal.SIGTERM)
        assert ended(enforcer).status == 0
        assert worker.drain() == 0


def check_that_it_is_cut(publisher: Publisher, worker: Worker, *, redis: RedisServer, edge: Edge) -> None:
    """Soon after the decision, and acknowledged."""
    eventually(lambda: not publisher.running, timeout_s=40.0, what="the publisher is cut")
    ended_unix_s = time.time()
    (kill,) = (event for event in events(redis, "signals") if event["data"]["verdict"] == "kill")
    (ack,) = eventually(lambda: events(redis, "acks"))
    assert (ack["data"]["signal_id"], ack["data"]["outcome"]) == (kill["id"], "executed")
    assert (kill["data"]["server"], kill["data"]["stream"]) == (edge.kind, "live/cam")
    assert list(ack["data"]["timings_s"]) == ["received", "struck", "dropped", "gone"]
    assert ended_unix_s - datetime.fromisoformat(kill["time"]).timestamp() < CUT_WITHIN_S
    eventually(lambda: kills_in(worker.outbox) == ["executed"], what="the outbox is told")
    worker.until_metric('streamguard_signals_acknowledged_total{outcome="executed"}', 1.0)


def check_that_it_is_kept_out(edge: Edge, gate: Gate, turning: Turning) -> None:
    """By the gate, before a keyframe can be looked at."""
    before = gate.count(hook="publish", answer="refused")
    with edge.publish("cam", turning.file) as again:
        eventually(lambda: not again.running, what="the refusal")
    assert gate.count(hook="publish", answer="refused") == before + 1
    if edge.asks_first:
        assert "live/cam" not in edge.listed()
    else:  # it asks when somebody publishes already, and ends that
        eventually(lambda: "live/cam" not in edge.listed(), what="it has left")


def events(redis: RedisServer, stream: str) -> list[dict[str, Any]]:
    return [json.loads(entry[b"event"]) for entry in redis.entries(f"{{streamguard}}:{stream}")]
