"""The disk under a worker fills up: what was durable is delivered, what was decided meanwhile is told and waits."""

import json
import resource
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

_NOT_DURABLE = "streamguard_signals_not_durable"


@pytest.mark.promise(1, "the disk of the outbox full, and empty again")
def test_what_is_decided_on_a_full_disk_goes_out_when_there_is_room(
    rtmp_server: RtmpServer, redis_server: RedisServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """Nothing is sent that is not durable, `/readyz` says so, watching goes on; with room again all of it is sent, in
    order, after what was there before.
    """
    worker = start_worker(Setup({"full": rtmp_server.rtmp_url("full")}, library, redis_server.url))
    with rtmp_server.publish("full", clips.recoded):
        eventually(lambda: kills(redis_server), timeout_s=30.0, what="the kill before")
    before = redis_server.entries()
    # No file of the worker's may grow, which takes no root and no file system of one's own: SQLite is told EFBIG.
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, hard))
    with rtmp_server.publish("full", clips.recoded):
        worker.until_metric(_NOT_DURABLE, 1)
        seen = worker.stream("full")["keyframes"]
        eventually(lambda: worker.stream("full")["keyframes"] > seen, what="that watching goes on")
        status, body = worker.readiness()
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        assert "in memory, to be lost with this process" in str(body["reasons"])
        assert redis_server.entries() == before
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (hard, hard))
        eventually(lambda: worker.metric(_NOT_DURABLE) == 0, what="that all is durable")
        eventually(lambda: len(kills(redis_server)) > 1, what="the kill that waited")
    assert worker.drain() == 0
    sent = [entry[b"event"].decode() for entry in redis_server.entries()]
    assert sent == [event for _, _, event in worker.outbox_rows()]


@pytest.mark.promise(1, "the worker, kill -9, between decision and disk")
def test_what_dies_with_the_worker_was_never_acknowledged_and_was_told(
    rtmp_server: RtmpServer, redis_server: RedisServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """Its line `signal_waits` is all that there is of it; the next worker decides anew, and that goes out once."""
    setup = Setup({"cam": rtmp_server.rtmp_url("cam")}, library, redis_server.url)
    first = start_worker(setup, folder="worker")
    resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (0, resource.prlimit(first.pid, resource.RLIMIT_FSIZE)[1]))
    with rtmp_server.publish("cam", clips.recoded):
        first.until_metric(_NOT_DURABLE, 1)
        first.kill()
    assert [line["stream"] for line in first.log("signal_waits")] == ["cam"] * len(first.log("signal_waits"))
    assert (first.log("signal"), first.outbox_rows(), redis_server.entries()) == ([], [], [])

    second = start_worker(setup, folder="worker")
    with rtmp_server.publish("cam", clips.recoded):
        eventually(lambda: kills(redis_server), timeout_s=30.0, what="the kill by the next worker")
    assert second.drain() == 0
    sent = [entry[b"event"].decode() for entry in redis_server.entries()]
    assert sent == [event for _, _, event in second.outbox_rows()]
    assert [line["id"] for line in second.log("signal")] == [json.loads(event)["id"] for event in sent]


def kills(redis: RedisServer) -> list[str]:
    events = [json.loads(entry[b"event"]) for entry in redis.entries()]
    return [event["id"] for event in events if event["data"]["verdict"] == "kill"]
