"""Publishers that go, come back, or fall silent: each stream's state says so, and the next session is watched anew."""

import json
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually


def test_publishers_that_vanish_and_come_back(
    rtmp_server: RtmpServer, redis_server: RedisServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """Gone, the stream is `ended` or, silent, `stalled`; back, it is a new session, in which footage is recognised."""
    streams = {
        "goes": rtmp_server.rtmp_url("goes"),
        "freezes": rtmp_server.rtmp_url("freezes"),
        "waits": rtmp_server.rtmp_url("waits", app="patient"),
        "hls": rtmp_server.hls_url("goes"),
    }
    worker = start_worker(Setup(streams, library, redis_server.url))
    with ExitStack() as first:
        goes = first.enter_context(rtmp_server.publish("goes", clips.unrelated))
        freezes = first.enter_context(rtmp_server.publish("freezes", clips.unrelated))
        waits = first.enter_context(rtmp_server.publish("waits", clips.unrelated, app="patient"))
        before = {name: worker.until(name, state="watching") for name in streams}
        lines = len(worker.log("stream_state"))
        goes.kill()
        freezes.freeze()
        waits.kill()
        # nginx tells players that the publisher left, where `idle_streams off` lets it, ...
        assert worker.until_logged("goes", state="ended", after=lines)["reason"] == "the publisher left"
        # ... leaves the playlist as it is, ...
        assert "no new segment" in worker.until_logged("hls", state="stalled", after=lines)["reason"]
        # ... and of silence only the time-out tells.
        assert "no answer in time" in worker.until_logged("freezes", state="stalled", after=lines)["reason"]
        worker.until_logged("waits", state="stalled", after=lines)
    with ExitStack() as again:
        for name, app in {"goes": "live", "freezes": "live", "waits": "patient"}.items():
            again.enter_context(rtmp_server.publish(name, clips.recoded, app=app))
        after = {name: worker.until(name, state="watching") for name in streams}
        eventually(lambda: _killed(redis_server) == set(streams), timeout_s=20.0, what="a kill-signal for each")
    events = [json.loads(entry[b"event"]) for entry in redis_server.entries()]
    assert not {event["data"]["session_id"] for event in events} & {status["session_id"] for status in before.values()}
    for name in streams:
        assert before[name]["session_id"] != after[name]["session_id"]
        assert before[name]["verdict"] == "clear"
        assert after[name]["restarts"] == 0
    assert worker.drain() == 0


def _killed(redis: RedisServer) -> set[str]:
    events = [json.loads(entry[b"event"]) for entry in redis.entries()]
    return {event["subject"] for event in events if event["data"]["verdict"] == "kill"}
