"""Whatever keeps a stream from being seen shows within 15 s: real workers, a real Prometheus, the alerts we ship."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamguard.enforce.sharing.shared_streams import SharedStream, SharedStreams
from streamguard.types import StreamId
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup, Worker
from tests.hls_pages import Live
from tests.http_server import Web
from tests.local_servers import Publisher, RtmpServer
from tests.prometheus_servers import Prometheus, StartPrometheus
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

SHOWN_WITHIN_S = 15.0
AS_SHIPPED: dict[str, dict[str, object]] = {
    "library": {"reload_every_s": 1.0},
    "ingest": {"read_timeout_s": 10.0, "reconnect_first_s": 1.0, "reconnect_cap_s": 30.0},
}
"""The tests' own settings are quicker than an operator's."""

MOST_SEGMENTS = 60
SEGMENT_S = 2.0
ALONE: dict[str, dict[str, object]] = {"worker": {"most_streams": 1}}


class Darkening:
    """An HLS stream of a keyframe every 2 s, in which from some moment on nothing can be decoded."""

    def __init__(self, web: Web, clips: Clips) -> None:
        self._web = web
        bodies = [segment.path.read_bytes() for segment in clips.segments]
        for number in range(MOST_SEGMENTS):
            web.pages[f"/s{number}.ts"] = bodies[number % len(bodies)]
        self.live = Live(web, [f"#EXTINF:{SEGMENT_S:g},\ns{number}.ts" for number in range(MOST_SEGMENTS)])
        self._began_s = time.monotonic()

    def goes_on(self) -> bool:
        """To be called again and again; always true."""
        while self.live.shown < min(MOST_SEGMENTS, (time.monotonic() - self._began_s) / SEGMENT_S):
            self.live.grow()
        return True

    def darken(self) -> None:
        """What is shown last, too: it may not have been read yet."""
        for number in range(self.live.shown - 1, MOST_SEGMENTS):
            self._web.pages[f"/s{number}.ts"] = bytes(range(256)) * 200


@dataclass(frozen=True, slots=True)
class Stage:
    """`lone` watches an HLS stream and shares nothing. `left` and `lost` have one each of two streams of one publisher,
    and neither may take a second one.
    """

    lone: Worker
    left: Worker
    lost: Worker
    prometheus: Prometheus
    darkening: Darkening
    publisher: Publisher
    library: Path

    def is_well(self) -> bool:
        """Each worker sees its stream, and nothing is shown."""
        seen = [worker.metric('streamguard_streams{state="watching"}') for worker in (self.lone, self.left, self.lost)]
        return seen == [1.0, 1.0, 1.0] and not self.prometheus.firing()

    def break_all(self) -> None:
        os.kill(self.lost.pid, signal.SIGSTOP)
        self.publisher.freeze()
        self.darkening.darken()
        (self.library / "current.json").write_bytes(b"{}")


@pytest.fixture
def shared_streams(redis_server: RedisServer, rtmp_server: RtmpServer) -> Iterator[None]:
    """Two names in the list in Redis, one publisher."""
    with closing(SharedStreams(redis_server.url, prefix="{streamguard}:", timeout_s=2.0)) as streams:
        for name in ("one", "two"):
            streams.put(SharedStream(StreamId(name), rtmp_server.rtmp_url("bright")))
        yield


@pytest.fixture
def stage(  # noqa: PLR0913 - all that can go dark
    rtmp_server: RtmpServer, redis_server: RedisServer, web: Web, *, shared_streams: None, clips: Clips, library: Path,  # noqa: ARG001
    tmp_path: Path, start_worker: StartWorker, start_prometheus: StartPrometheus,
) -> Iterator[Stage]:  # fmt: skip
    """Everything is well, and Prometheus knows it."""
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    darkening = Darkening(web, clips)
    with rtmp_server.publish("bright", clips.unrelated) as publisher:
        alone = Setup({"darkens": darkening.live.url}, copy, sections=AS_SHIPPED)
        sharing = Setup({}, library, redis_server.url, options=("--share",), sections=AS_SHIPPED | ALONE)
        lone, left, lost = (start_worker(setup, wait=False) for setup in (alone, sharing, sharing))
        prometheus = start_prometheus(lone=lone.port, left=left.port, lost=lost.port)
        for starting in (lone, left, lost, prometheus):
            starting.started()
        stage = Stage(lone, left, lost, prometheus, darkening, publisher, copy)
        eventually(lambda: darkening.goes_on() and stage.is_well(), timeout_s=60.0, what="that all is well")
        yield stage


@pytest.mark.promise(8, "a publisher that freezes")
@pytest.mark.promise(8, "a stream of which nothing can be decoded any more")
@pytest.mark.promise(8, "a worker that freezes (SIGSTOP)")
@pytest.mark.promise(8, "a worker left alone")
@pytest.mark.promise(8, "a stream that no worker has room for")
@pytest.mark.promise(8, "a library damaged under a worker")
def test_whatever_is_not_seen_shows_within_15_seconds(stage: Stage) -> None:
    """A worker and a publisher freeze, a stream turns to garbage and a library is damaged, all at one moment: by
    then Prometheus, which scrapes every 2 s, has an alert for each, and for what follows from each.
    """
    unseen = frozenset({"StreamGuardNotLookedAtNow", "StreamGuardNotSeenNow"})
    waits = {
        "lost": {frozenset({"StreamGuardWorkerGoneNow"})},
        "left": {unseen, frozenset({"StreamGuardAloneNow"}), frozenset({"StreamGuardSharedUnwatchedNow"})},
        "lone": {unseen, frozenset({"StreamGuardLibraryStaleNow"})},
    }
    waiting = {(instance, alerts) for instance, wanted in waits.items() for alerts in wanted}
    stage.break_all()
    broken_at_s, after_s = time.monotonic(), dict[tuple[str, frozenset[str]], float]()

    def all_show() -> bool:
        stage.darkening.goes_on()
        firing = stage.prometheus.firing()
        for instance, alerts in waiting - after_s.keys():
            if any(alert["instance"] == instance and alert["alertname"] in alerts for alert in firing):
                after_s[instance, alerts] = time.monotonic() - broken_at_s
        return waiting == after_s.keys()

    eventually(all_show, timeout_s=3 * SHOWN_WITHIN_S, what="an alert for each")
    assert max(after_s.values()) < SHOWN_WITHIN_S, after_s
