"""A kill on its way from the decision to the cut, while everything that carries it dies, one after the other."""

import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streamguard.servers.known import media_server
from streamguard.servers.spec import read_spec
from tests.e2e.conftest import StartWorker
from tests.e2e.enforcers import enforcing
from tests.e2e.processes import decoders
from tests.e2e.workers import Setup, kills_in
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

STAYS, LEAVES, INNOCENT = "fire-stays", "fire-leaves", "fire-innocent"


@pytest.mark.promise(1, "every decoder child, kill -9, after the decision", times=3)
@pytest.mark.promise(1, "the worker, kill -9, before the cut")
@pytest.mark.promise(1, "Redis, kill -9, back without its data")
@pytest.mark.promise(1, "the enforcer, kill -9, with the cut")
@pytest.mark.promise(7, "another publisher under the same name before the cut (nginx-rtmp)")
def test_a_kill_outlives_all_that_carries_it(
    rtmp_server: RtmpServer, redis_server: RedisServer, *, clips: Clips, library: Path, tmp_path: Path,
    start_worker: StartWorker,
) -> None:  # fmt: skip
    """Two publishers are decided on, one of them leaves and another one takes its name. Decoders, worker and Redis die,
    Redis forgets all; a new worker sends what its predecessor had, an enforcer dies as it cuts, and the next one
    finishes: who was decided on is cut, his name's next publisher and the innocent one are not.
    """
    setup = discovering(rtmp_server, library, redis_server.url)
    with (
        ExitStack() as publishers,
        enforcing(tmp_path / "enforcer", redis_url=redis_server.url, server=rtmp_server) as enforcer,
    ):
        worker = start_worker(setup, folder="worker")
        innocent = publishers.enter_context(rtmp_server.publish(INNOCENT, clips.unrelated))
        stays = publishers.enter_context(rtmp_server.publish(STAYS, clips.recoded))
        leaves = publishers.enter_context(rtmp_server.publish(LEAVES, clips.recoded))
        decided = eventually(lambda: both_kills(redis_server), timeout_s=30.0, what="both decisions")
        leaves.stop()
        eventually(lambda: LEAVES not in listed(rtmp_server), what="that it has left")
        successor = publishers.enter_context(rtmp_server.publish(LEAVES, clips.unrelated))

        for decoder in eventually(lambda: decoders(worker.pid), what="decoders"):
            os.kill(decoder, signal.SIGKILL)
        worker.kill()
        redis_server.restart()
        assert not redis_server.entries()
        start_worker(setup, folder="worker")
        again = eventually(lambda: both_kills(redis_server), what="both, from the outbox")
        assert set(decided.values()) <= set(ids(redis_server)), (decided, again)

        enforcer.start()
        eventually(lambda: not stays.running, timeout_s=30.0, what="the cut")
        enforcer.kill()
        enforcer.start()
        eventually(lambda: None not in kills_in(worker.outbox), timeout_s=30.0, what="an answer to each kill")
        answers = {event["data"]["signal_id"]: event["data"]["outcome"] for event in events(redis_server, "acks")}
        assert answers[decided[LEAVES]] == "already_gone"
        assert answers[decided[STAYS]] in {"executed", "already_gone"}, "the first may have died unheard"
        assert (innocent.running, successor.running) == (True, True)


def discovering(server: RtmpServer, library: Path, redis_url: str) -> Setup:
    pull = server.rtmp_url("").removesuffix("/live/")
    block = {"kind": "nginx-rtmp", "api": server.stat_url, "pull": pull, "include": ["live/fire-*"]}
    return Setup({}, library, redis_url, servers=(block,))


def listed(server: RtmpServer) -> set[str]:
    publishers = media_server(read_spec(f"nginx-rtmp={server.stat_url}")).publishers()
    return {publisher.stream.removeprefix("live/") for publisher in publishers}


def both_kills(redis: RedisServer) -> dict[str, str]:
    """By name the id of each one's first kill; nothing before there are both."""
    found: dict[str, str] = {}
    for event in events(redis, "signals"):
        if event["data"]["verdict"] == "kill":
            found.setdefault(event["subject"].removeprefix("live/"), event["id"])
    return found if found.keys() == {STAYS, LEAVES} else {}


def ids(redis: RedisServer) -> list[str]:
    return [event["id"] for event in events(redis, "signals")]


def events(redis: RedisServer, stream: str) -> list[dict[str, Any]]:
    return [json.loads(entry[b"event"]) for entry in redis.entries(f"{{streamguard}}:{stream}")]
