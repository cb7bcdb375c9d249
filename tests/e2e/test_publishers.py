"""Publishers that go, come back, or fall silent: each stream's state says so, and the next session is watched anew."""

import json
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.servers import RtmpServer
from tests.waiting import eventually

# Long enough that /api/streams, which is brought up to date every second, shows each state on the way.
_SLOW_RECONNECT = {"ingest": {"read_timeout_s": 4.0, "reconnect_first_s": 2.0, "reconnect_cap_s": 2.0}}


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
    worker = start_worker(Setup(streams, library, redis_server.url, sections=_SLOW_RECONNECT))
    with ExitStack() as first:
        goes = first.enter_context(rtmp_server.publish("goes", clips.unrelated))
        freezes = first.enter_context(rtmp_server.publish("freezes", clips.unrelated))
        waits = first.enter_context(rtmp_server.publish("waits", clips.unrelated, app="patient"))
        before = {name: worker.until(name, state="watching") for name in streams}
        goes.kill()
        freezes.freeze()
        waits.kill()
        # nginx tells players that the publisher left, where `idle_streams off` lets it, ...
        assert worker.until("goes", state="ended")["reason"] == "the publisher left"
        # ... leaves the playlist as it is, ...
        assert "no new segment" in worker.until("hls", state="stalled")["reason"]
        # ... and of silence only the time-out tells.
        assert "no answer in time" in worker.until("freezes", state="stalled")["reason"]
        worker.until("waits", state="stalled")
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
