"""From footage on a live stream to an operator's yes, the cut, and taking it back, all on the real servers."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.cli.calling import ended, started
from tests.e2e.conftest import StartWorker
from tests.e2e.test_enforce import discovered
from tests.e2e.workers import KEY, Setup, kills_in
from tests.http_server import Answer, Web
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually


def signals_in(redis: RedisServer) -> list[dict[str, Any]]:
    return [json.loads(fields[b"event"]) for fields in redis.entries("{streamguard}:signals")]


def test_a_held_kill_is_cut_by_an_operators_yes_and_taken_back(  # noqa: PLR0913 - the real servers
    rtmp_server: RtmpServer,
    redis_server: RedisServer,
    web: Web,
    *,
    clips: Clips,
    library: Path,
    tmp_path: Path,
    start_worker: StartWorker,
) -> None:
    """The publisher goes on until somebody says yes; the platform hears of that wait, of the kill and of the undo, and
    then nobody is refused any more.
    """
    heard: list[str] = []

    def hear(answer: Answer) -> None:
        heard.append(json.loads(answer.body)["type"].split(".")[2])
        answer.send(status=204)

    web.pages["/hook"] = hear
    worker = start_worker(Setup({}, library, redis_server.url, servers=(discovered(rtmp_server, "held"),)))
    key_file = tmp_path / "enforcer.key"
    key_file.write_text(KEY)
    redis = ("--redis", redis_server.url)
    with rtmp_server.publish("held", clips.recoded) as publisher:
        kill = eventually(
            lambda: [event for event in signals_in(redis_server) if event["data"]["verdict"] == "kill"],
            timeout_s=30.0,
        )[0]
        hold = {"SG__ENFORCE__HOLD__LABELS": kill["data"]["label"], "SG__ENFORCE__HOLD__THEN": "let_go"}
        enforcer = started(
            *("enforce", *redis, "--key-file", key_file, "--http-port", "0", "--webhook", web.url("/hook")),
            *("--server", f"nginx-rtmp={rtmp_server.stat_url}"),
            env=os.environ | hold,
        )
        eventually(lambda: "held" in heard, timeout_s=20.0, what="the platform is told")
        held = ended(started("signals", "held", *redis, "--json"))
        assert json.loads(held.out)["id"] == kill["id"]
        assert publisher.running
        assert "kill" not in heard
        approved = ended(started("signals", "approve", *redis, kill["id"], "--reason", "seen it"))
        assert approved.out == f"approved: {kill['id']}\n"
        eventually(lambda: not publisher.running, timeout_s=30.0, what="the publisher is cut")
        eventually(lambda: kills_in(worker.outbox) == ["executed"], what="the outbox is told")
        eventually(lambda: "kill" in heard, what="the platform is told")
    assert ended(started("strikes", "list", *redis)).out.startswith("stream:live/held until")
    undone = ended(started("signals", "undo", *redis, "--key-file", key_file, kill["id"], "--reason", "not it"))
    assert undone.out == f"undone: {kill['id']}, 1 strike lifted\n"
    assert ended(started("strikes", "list", *redis)).out == ""
    eventually(lambda: "undo" in heard, what="the platform is told")
    enforcer.send_signal(signal.SIGTERM)
    assert ended(enforcer).status == 0
    assert worker.drain() == 0
