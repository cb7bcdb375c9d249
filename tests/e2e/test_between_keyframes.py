"""One worker on a real stream that shows known footage in all pictures but its keyframes."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup
from tests.local_servers import RtmpServer
from tests.scenes import Clips

TIMEOUT_S = 25.0
"""It takes about 6; a cut in three is left out by chance, and other tests take the processor meanwhile."""


def test_footage_that_keyframes_never_show_is_killed(
    rtmp_server: RtmpServer, clips: Clips, *, library: Path, start_worker: StartWorker,
    record_testsuite_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """By looks between them, over RTMP; they are counted, and with `between_keyframes = false` there is none."""
    url = rtmp_server.rtmp_url("hidden")
    on = start_worker(Setup({"hidden": url}, library))
    off = start_worker(Setup({"hidden": url}, library, sections={"attention": {"between_keyframes": False}}))
    began_unix_s = time.time()
    with rtmp_server.publish("hidden", clips.hidden, loop=True):
        on.until("hidden", verdict="kill", timeout_s=TIMEOUT_S)
        spared = off.until("hidden", state="watching")
        assert on.metric("streamguard_between_keyframes_looks_total") >= 2
        assert off.metric("streamguard_between_keyframes_looks_total") == 0
    assert spared["verdict"] == "clear"
    assert (on.drain(), off.drain()) == (0, 0)
    (event,) = on.printed()
    seconds = datetime.fromisoformat(event["time"]).timestamp() - began_unix_s
    record_testsuite_property("seconds to kill what only pictures between keyframes show", round(seconds, 2))
    first, second = event["data"]["evidence"][:2]
    assert second["at_s"] - first["at_s"] >= 1.6
