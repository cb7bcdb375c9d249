"""A worker that cuts by itself, without Redis. The whole way with an enforcer: test_cut_and_kept_out.py."""

from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup, kills_in
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually


def discovered(server: RtmpServer, name: str) -> dict[str, object]:
    pull = server.rtmp_url("").removesuffix("/live/")
    return {"kind": "nginx-rtmp", "api": server.stat_url, "pull": pull, "include": [f"live/{name}*"]}


def test_known_footage_is_cut_without_redis(
    rtmp_server: RtmpServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """By the worker itself, with the same code: what was decided and what was done are lines on standard output."""
    setup = Setup({}, library, servers=(discovered(rtmp_server, "local"),), options=("--enforce",))
    worker = start_worker(setup)
    with (
        rtmp_server.publish("local-innocent", clips.unrelated) as innocent,
        rtmp_server.publish("local", clips.recoded) as publisher,
    ):
        eventually(lambda: not publisher.running, timeout_s=30.0, what="the publisher is cut")
        eventually(lambda: kills_in(worker.outbox) == ["executed"], what="the outbox is told")
        assert innocent.running
        worker.until_metric('streamguard_enforced_total{outcome="executed"}', 1.0)
    assert worker.drain() == 0
    events = [event for event in worker.printed() if event["type"].split(".")[2] != "review"]
    kill, ack = events
    assert [kill["type"], ack["type"]] == ["org.streamguard.kill.v1", "org.streamguard.ack.v1"]
    assert ack["data"]["signal_id"] == kill["id"]
