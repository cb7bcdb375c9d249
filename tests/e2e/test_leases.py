"""Two real workers that share the publishers of one nginx-rtmp: one is killed, one freezes, one drains."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup, Worker
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

NAMES = ("found-1", "found-2")
TAKEN_OVER_WITHIN_S = 10.0


def sharing(server: RtmpServer, library: Path, redis_url: str, **worker: object) -> Setup:
    block = {
        "kind": "nginx-rtmp", "name": "edge", "api": server.stat_url,
        "pull": server.rtmp_url("").removesuffix("/live/"), "include": ["live/found*"],
    }  # fmt: skip
    return Setup({}, library, redis_url, options=("--share",), sections={"worker": worker}, servers=(block,))


def watched(worker: Worker) -> set[str]:
    """What it really sees."""
    return {name for name in NAMES if worker.stream(f"live/{name}").get("state") == "watching"}


def until_shared(first: Worker, second: Worker) -> None:
    """Each has one of the two, and no stream has two watchers."""

    def is_shared() -> bool:
        here, there = watched(first), watched(second)
        return len(here) == len(there) == len(NAMES) / 2 and here | there == set(NAMES)

    eventually(is_shared, timeout_s=40.0, what="a stream each")


def until_taken_over(by: Worker, *, within_s: float) -> None:
    """All streams are seen by this one."""
    eventually(lambda: watched(by) == set(NAMES), timeout_s=within_s, what="the other one has all")


@pytest.mark.slow
def test_streams_of_a_worker_that_is_gone_are_watched_by_the_other(
    rtmp_server: RtmpServer, redis_server: RedisServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """Two workers have a stream each; 10 s after one freezes, or is killed, the other sees both, and one that
    goes on again lets go of what is not its own any more. One that drains is let go when the other has them.
    """
    with ExitStack() as publishers:
        for name in NAMES:
            publishers.enter_context(rtmp_server.publish(name, clips.unrelated))
        first = start_worker(sharing(rtmp_server, library, redis_server.url, name="first"))
        second = start_worker(sharing(rtmp_server, library, redis_server.url, name="second"))
        until_shared(first, second)

        os.kill(first.pid, signal.SIGSTOP)
        until_taken_over(second, within_s=TAKEN_OVER_WITHIN_S)
        os.kill(first.pid, signal.SIGCONT)
        until_shared(first, second)
        assert first.metric('streamguard_leases_changes_total{change="lost"}') == len(NAMES) / 2

        first.kill()
        until_taken_over(second, within_s=TAKEN_OVER_WITHIN_S)
        third = start_worker(sharing(rtmp_server, library, redis_server.url, name="third"))
        until_shared(second, third)
        assert second.drain() == 0
        assert third.metric("streamguard_leases_held") == len(NAMES), "it had them before the other one ended"
        until_taken_over(third, within_s=TAKEN_OVER_WITHIN_S)
        assert third.metric("streamguard_leases_unwatched_streams") == 0
