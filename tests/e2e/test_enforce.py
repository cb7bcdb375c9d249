"""From footage on a live stream to the publisher's end: discovered, decided, cut, and closed in the worker's outbox."""

import json
import signal
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cli.calling import ended, started
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import KEY, Setup, Worker
from tests.local_servers import Publisher, RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

CUT_WITHIN_S = 2.0
"""A busy machine's; docs/enforcement.md has what was measured on a quiet one."""


def discovered(server: RtmpServer, name: str) -> dict[str, object]:
    pull = server.rtmp_url("").removesuffix("/live/")
    return {"kind": "nginx-rtmp", "api": server.stat_url, "pull": pull, "include": [f"live/{name}*"]}


def outcomes(worker: Worker) -> list[str | None]:
    """Of the kills in the outbox; the worker may run."""
    with closing(sqlite3.connect(f"file:{worker.outbox}?mode=ro", uri=True)) as db:
        return [ack for (ack,) in db.execute("SELECT ack FROM signals WHERE verdict = 'kill' ORDER BY seq")]


def wait_for_end(publisher: Publisher) -> float:
    """When it ended."""
    eventually(lambda: not publisher.running, timeout_s=30.0, what="the publisher is cut")
    return time.time()


def test_known_footage_is_cut_by_an_enforcer(
    rtmp_server: RtmpServer,
    redis_server: RedisServer,
    *,
    clips: Clips,
    library: Path,
    tmp_path: Path,
    start_worker: StartWorker,
) -> None:
    """Only the publisher who shows it, soon after the decision; the worker's outbox closes the signal by the answer."""
    worker = start_worker(Setup({}, library, redis_server.url, servers=(discovered(rtmp_server, "cut"),)))
    key_file = tmp_path / "enforcer.key"
    key_file.write_text(KEY)
    enforcer = started(
        *("enforce", "--redis", redis_server.url, "--key-file", key_file, "--http-port", "0", "--json"),
        *("--server", f"nginx-rtmp={rtmp_server.stat_url}"),
    )
    with (
        rtmp_server.publish("cut-innocent", clips.unrelated) as innocent,
        rtmp_server.publish("cut", clips.recoded) as it,
    ):
        ended_unix_s = wait_for_end(it)
        (kill,) = (event for event in _events(redis_server, "signals") if event["data"]["verdict"] == "kill")
        (ack,) = eventually(lambda: _events(redis_server, "acks"))
        assert innocent.running
        assert ack["data"]["signal_id"] == kill["id"]
        assert ack["data"]["outcome"] == "executed"
        assert ack["data"]["timings_s"]["gone"] < CUT_WITHIN_S
        assert ended_unix_s - datetime.fromisoformat(kill["time"]).timestamp() < CUT_WITHIN_S
        eventually(lambda: outcomes(worker) == ["executed"], what="the outbox is told")
        worker.until_metric('streamguard_signals_acknowledged_total{outcome="executed"}', 1.0)
        worker.until_metric("streamguard_acks_readable", 1.0)
    enforcer.send_signal(signal.SIGTERM)
    assert ended(enforcer).status == 0
    assert worker.drain() == 0


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
        wait_for_end(publisher)
        eventually(lambda: outcomes(worker) == ["executed"], what="the outbox is told")
        assert innocent.running
        worker.until_metric('streamguard_enforced_total{outcome="executed"}', 1.0)
    assert worker.drain() == 0
    events = [event for event in worker.printed() if event["type"].split(".")[2] != "review"]
    kill, ack = events
    assert [kill["type"], ack["type"]] == ["org.streamguard.kill.v1", "org.streamguard.ack.v1"]
    assert ack["data"]["signal_id"] == kill["id"]


def _events(redis: RedisServer, stream: str) -> list[dict[str, Any]]:
    return [json.loads(entry[b"event"]) for entry in redis.entries(f"{{streamguard}}:{stream}")]
