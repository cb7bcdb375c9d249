"""Redis that goes away, and a worker that is killed, between deciding and delivering: nothing is lost, nothing doubled.

Known footage on the air from the first frame makes the decision; the outbox' depth tells that it has fallen.
"""

import json
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.e2e.conftest import StartWorker
from tests.e2e.processes import decoders, descendants, still_running
from tests.e2e.workers import Setup, Worker
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer, StartRedis
from tests.scenes import Clips
from tests.waiting import eventually

_DEPTH = "streamguard_outbox_depth"
_UP = "streamguard_redis_up"


@pytest.mark.promise(1, "Redis, kill -9, between decision and delivery")
def test_redis_killed_between_decision_and_delivery(
    rtmp_server: RtmpServer, start_redis: StartRedis, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """What was decided while Redis was away is delivered once when it is back with all that it had."""
    redis = start_redis("--appendonly", "yes", "--appendfsync", "always")
    early, late = "early", "late"
    streams = {name: rtmp_server.rtmp_url(name) for name in (early, late)}
    worker = start_worker(Setup(streams, library, redis.url))
    with rtmp_server.publish(early, clips.recoded):
        eventually(lambda: _killed(redis) == [early], timeout_s=20.0, what="the first kill-signal")
        redis.kill()
        with rtmp_server.publish(late, clips.mirrored):
            worker.until_metric(_DEPTH, 1)
            _says_that_redis_is_away(worker)
            keyframes = worker.stream(early)["keyframes"]
            eventually(lambda: worker.stream(early)["keyframes"] > keyframes, what="watching goes on")
            redis.start()
            delivered = [early, late]
            eventually(lambda: _killed(redis) == delivered, timeout_s=20.0, what="the second kill-signal")
            eventually(lambda: worker.metric(_DEPTH) == 0 and worker.metric(_UP) == 1, what="metrics that are well")
            assert worker.readiness()[1]["delivery"] == "ok"
        assert worker.drain() == 0
    assert _killed(redis) == delivered
    assert sorted(state for _, state, _ in worker.outbox_rows()) == ["delivered"] * len(worker.outbox_rows())
    assert [json.loads(event)["subject"] for _, _, event in worker.outbox_rows() if _is_kill(event)] == [early, late]


@pytest.mark.promise(1, "the worker, kill -9, while Redis is down")
def test_a_worker_killed_while_redis_is_down_leaves_its_signals_to_the_next_one(
    rtmp_server: RtmpServer, start_redis: StartRedis, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """Redis is down from the start and the worker dies by SIGKILL: the next worker delivers what is in the outbox."""
    redis = start_redis()
    redis.kill()
    setup = Setup({"orphan": rtmp_server.rtmp_url("orphan")}, library, redis.url)
    first = start_worker(setup, folder="worker")
    with rtmp_server.publish("orphan", clips.recoded):
        first.until("orphan", state="watching")
        _says_that_redis_is_away(first)
        first.until_metric(_DEPTH, 1)
        assert decoders(first.pid)
        family = descendants(first.pid)
        first.kill()
    eventually(lambda: not still_running(*family), what="the end of the worker's processes")
    left = first.outbox_rows()
    assert {state for _, state, _ in left} == {"pending"}

    second = start_worker(setup, folder="worker")
    redis.start()
    eventually(lambda: len(redis.entries()) == len(left), what="the first worker's signals")
    assert second.drain() == 0
    # Nobody published any more, so the second worker had nothing to say of its own.
    assert [entry[b"event"].decode() for entry in redis.entries()] == [event for _, _, event in left]
    assert second.outbox_rows() == [(id_, "delivered", event) for id_, _, event in left]


def test_draining_while_redis_is_down_keeps_the_signals(
    rtmp_server: RtmpServer, start_redis: StartRedis, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """SIGTERM ends a worker with 0 although Redis is down, and what it could not deliver stays pending."""
    redis = start_redis()
    in_time = {"worker": {"drain_timeout_s": 2.0}}  # which leaves a busy machine seconds for the rest
    worker = start_worker(Setup({"unheard": rtmp_server.rtmp_url("unheard")}, library, redis.url, sections=in_time))
    redis.kill()
    with rtmp_server.publish("unheard", clips.recoded):
        worker.until_metric(_DEPTH, 1)
        assert worker.drain() == 0
    assert {state for _, state, _ in worker.outbox_rows()} == {"pending"}
    assert worker.log("undelivered")


def _says_that_redis_is_away(worker: Worker) -> None:
    """/readyz and /metrics show it; it stays ready, for restarting it would not help."""
    eventually(lambda: worker.metric(_UP) == 0, what="streamguard_redis_up 0")
    status, body = worker.readiness()
    assert status == HTTPStatus.OK
    assert body["delivery"] == "unreachable"
    assert "127.0.0.1" in body["delivery_problem"]


def _killed(redis: RedisServer) -> list[str]:
    """The streams with a kill-signal, each as often as it has one."""
    return [json.loads(entry[b"event"])["subject"] for entry in redis.entries() if _is_kill(entry[b"event"])]


def _is_kill(event: str | bytes) -> bool:
    verdict: str = json.loads(event)["data"]["verdict"]
    return verdict == "kill"
