"""One worker on a real stream that is quiet, and then shows known footage: looked at seldom, and killed in time."""

import time
from collections.abc import Callable
from datetime import datetime
from itertools import chain
from pathlib import Path

from streamguard.demo.encode import film, read_video, write_video
from streamguard.demo.scenes import Scene
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup
from tests.local_servers import RtmpServer
from tests.scenes import Clips, disguise

QUIET_S = 15.0
YOUNG_S = 2.0
TIME_TO_KILL_S = 10.0
BUSY_MACHINE_S = 3.0
"""For publishing, on a machine that does other things as well; nothing of it is the worker's."""


def test_a_quiet_stream_that_turns_into_known_footage_is_killed_in_time(
    rtmp_server: RtmpServer, clips: Clips, *, library: Path, start_worker: StartWorker,
    record_testsuite_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """It is looked at more seldom than it has keyframes, keyframe by keyframe from the first evidence on, and killed
    within the operator's time to kill.
    """
    quiet = film(Scene(30), seconds=QUIET_S, size_px=(240, 136))
    file = write_video(clips.folder / "quiet.mp4", chain(quiet, map(disguise, read_video(clips.known))))
    streams = {"quiet": rtmp_server.rtmp_url("quiet"), "named": rtmp_server.rtmp_url("quiet")}
    attention: dict[str, object] = {"time_to_kill_s": TIME_TO_KILL_S, "young_s": YOUNG_S, "always": ["name?"]}
    attention["longest_pause_s"] = 6.0  # on a machine that does other things as well it may be shed
    worker = start_worker(Setup(streams, library, sections={"attention": attention}))
    footage_from_unix_s = time.time() + QUIET_S
    with rtmp_server.publish("quiet", file):
        worker.until("quiet", state="watching", attention="quiet")
        watched = worker.until("quiet", verdict="kill", timeout_s=QUIET_S + TIME_TO_KILL_S + BUSY_MACHINE_S)
        named = worker.until("named", verdict="kill")
    assert worker.drain() == 0
    assert watched["attention"] == "every"
    assert watched["passed_over"] >= 2
    assert (named["attention"], named["passed_over"]) == ("every", 0)
    (event,) = (one for one in worker.printed() if one["subject"] == "quiet")
    seconds = datetime.fromisoformat(event["time"]).timestamp() - footage_from_unix_s
    record_testsuite_property("seconds to kill a quiet stream", round(seconds, 2))
    assert 0 < seconds < TIME_TO_KILL_S + BUSY_MACHINE_S
    first, second = event["data"]["evidence"][:2]
    assert second["at_s"] - first["at_s"] < 2.5, "the keyframe after the first evidence"
