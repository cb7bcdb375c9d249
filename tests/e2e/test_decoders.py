"""A decoder child that dies costs its own stream a restart, and the other streams nothing."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import StartWorker
from tests.e2e.processes import decoders, descendants, forkservers, still_running
from tests.e2e.workers import Setup
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually


@pytest.mark.promise(4, "one stream's decoder, kill -9")
def test_a_decoder_that_is_killed_is_started_again(
    rtmp_server: RtmpServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """The stream is watched again in a new session, the restart is counted, the other stream is not disturbed."""
    names = ("left", "right")
    worker = start_worker(Setup({name: rtmp_server.rtmp_url(name) for name in names}, library))
    with rtmp_server.publish("left", clips.unrelated), rtmp_server.publish("right", clips.unrelated):
        before = {name: worker.until(name, state="watching") for name in names}
        eventually(lambda: len(decoders(worker.pid)) == len(names), what="a decoder for each stream")
        victim = decoders(worker.pid)[0]
        os.kill(victim, signal.SIGKILL)
        worker.until_metric('streamguard_decoder_restarts_total{reason="crash"}', 1)
        eventually(lambda: not still_running(victim), what="its end")
        hit = eventually(lambda: next((n for n in names if worker.stream(n)["restarts"]), ""), what="its stream")
        spared = next(name for name in names if name != hit)
        again = worker.until(hit, state="watching", sessions=before[hit]["sessions"] + 1)
        seen = worker.stream(spared)["keyframes"]
        eventually(lambda: worker.stream(spared)["keyframes"] > seen, what="the other stream goes on")
        other = worker.stream(spared)
    assert again["session_id"] != before[hit]["session_id"]
    assert again["restarts"] == 1
    assert (other["session_id"], other["restarts"]) == (before[spared]["session_id"], 0)
    blind = [line for line in worker.log("stream_state") if line["state"] == "blind"]
    assert [(line["stream"], line["reason"]) for line in blind] == [(hit, "its decoder was ended by signal 9")]
    family = descendants(worker.pid)
    assert worker.drain() == 0
    eventually(lambda: not still_running(*family), what="the end of all of its processes")


@pytest.mark.promise(4, "the process that decoders are forked from, kill -9")
def test_a_forkserver_that_is_killed_comes_back(
    rtmp_server: RtmpServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """Every decoder dies with the process that they are forked from, as with the OOM killer, and is started again."""
    worker = start_worker(Setup({name: rtmp_server.rtmp_url("center") for name in ("one", "two")}, library))
    with rtmp_server.publish("center", clips.unrelated):
        before = {name: worker.until(name, state="watching") for name in ("one", "two")}
        orphans = decoders(worker.pid)
        (server,) = forkservers(worker.pid)
        os.kill(server, signal.SIGKILL)
        eventually(lambda: not still_running(*orphans), what="the end of its decoders")
        for name, status in before.items():
            again = worker.until(name, state="watching", restarts=1)
            assert again["session_id"] != status["session_id"]
    assert worker.drain() == 0
