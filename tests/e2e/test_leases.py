"""Real workers that share the publishers of one nginx-rtmp: one is killed, one freezes, one drains."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup, Worker, unix_s
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

NAMES = ("found-1", "found-2", "found-3")
SEEN_AGAIN_WITHIN_S = 10.0
"""From kill -9, or a freeze, to the first keyframe that another worker looks at: promise 2 of docs/reliability.md."""


def sharing(server: RtmpServer, library: Path, redis_url: str, **worker: object) -> Setup:
    block = {
        "kind": "nginx-rtmp", "name": "edge", "api": server.stat_url,
        "pull": server.rtmp_url("").removesuffix("/live/"), "include": ["live/found*"],
    }  # fmt: skip
    return Setup({}, library, redis_url, options=("--share",), sections={"worker": worker}, servers=(block,))


def watched(worker: Worker) -> set[str]:
    """What it really sees."""
    return {name for name in NAMES if worker.stream(f"live/{name}").get("state") == "watching"}


def until_shared(*workers: Worker) -> list[set[str]]:
    """Each has one of the streams and sees it, and no stream has two watchers."""

    def shares() -> list[set[str]]:
        found = [watched(worker) for worker in workers]
        is_shared = all(len(share) == 1 for share in found) and set[str]().union(*found) == set(NAMES)
        return found if is_shared else []

    return eventually(shares, timeout_s=40.0, what="a stream each")


def looked_at_s(worker: Worker, name: str, *, from_unix_s: float) -> float:
    """Until this worker saw a stream that it had not seen before, in seconds."""

    def lines() -> list[float]:
        states = [line for line in worker.log("stream_state") if line["stream"] == f"live/{name}"]
        return [unix_s(line) for line in states if line["state"] == "watching" and unix_s(line) > from_unix_s]

    return eventually(lines, timeout_s=30.0, what=f"{name} is watched again")[0] - from_unix_s


@pytest.mark.promise(2, "one worker killed (kill -9) and one frozen (SIGSTOP) at once", times=2)
def test_streams_of_workers_that_are_gone_are_watched_by_the_other(
    rtmp_server: RtmpServer, redis_server: RedisServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """Three workers have a stream each; 10 s after one is killed and one freezes the third sees all of them. The frozen
    one goes on and lets go of what is not its own any more; the third drains, and the other one has all before it ends.
    """
    with ExitStack() as publishers:
        for name in NAMES:
            publishers.enter_context(rtmp_server.publish(name, clips.unrelated))
        setups = (sharing(rtmp_server, library, redis_server.url, name=name) for name in ("first", "second", "third"))
        frozen, killed, left = (start_worker(setup, wait=False) for setup in setups)
        for worker in (frozen, killed, left):
            worker.started()
        shares = until_shared(frozen, killed, left)

        from_unix_s = time.time()
        os.kill(frozen.pid, signal.SIGSTOP)
        killed.kill()
        took_s = {name: looked_at_s(left, name, from_unix_s=from_unix_s) for name in shares[0] | shares[1]}
        assert max(took_s.values()) < SEEN_AGAIN_WITHIN_S, took_s
        assert left.metric("streamguard_leases_workers") == 1

        os.kill(frozen.pid, signal.SIGCONT)
        frozen.until_metric('streamguard_leases_changes_total{change="lost"}', len(shares[0]))
        mine = watched(frozen)
        from_unix_s = time.time()
        assert left.drain() == 0
        assert frozen.metric("streamguard_leases_held") == len(NAMES), "it had them before the other one ended"
        for name in set(NAMES) - mine:
            assert looked_at_s(frozen, name, from_unix_s=from_unix_s) < SEEN_AGAIN_WITHIN_S
        assert frozen.metric("streamguard_leases_unwatched_streams") == 0
