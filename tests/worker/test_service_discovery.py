"""streamguard.worker.service with a media server that lies, stalls and comes back: what an operator sees."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.config import load_config
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.service import WatchService
from tests.fake_media_servers import FakeNginxRtmp
from tests.http_server import Web
from tests.known_library import make_library
from tests.local_servers import free_ports
from tests.scenes import Clips
from tests.waiting import eventually
from tests.worker.test_service import Running, running


@pytest.fixture
def fake(web: Web) -> FakeNginxRtmp:
    """Nobody publishes yet."""
    return FakeNginxRtmp(web)


@pytest.fixture
def run(fake: FakeNginxRtmp, tmp_path: Path, clips: Clips) -> Iterator[Running]:
    """A worker that is told the fake, and no stream. What the fake lists cannot be pulled: nobody is there."""
    start_forkserver()
    (port,) = free_ports(1)
    overrides = {
        "library.path": make_library(tmp_path / "library", clips.known),
        "signals.outbox": tmp_path / "outbox.sqlite",
        "http.port": free_ports(1)[0],
        "worker.drain_timeout_s": 2.0,
        "discover": [
            {
                "kind": "nginx-rtmp", "name": "edge", "api": fake.web.url("/stat"), "pull": f"rtmp://127.0.0.1:{port}",
                "every_s": 0.25, "most_streams": 2,
            }
        ],
    }  # fmt: skip
    service = WatchService(load_config(None, environ={}, overrides=overrides), [])
    with running(service) as run:
        yield run


def shown(run: Running) -> dict[str, str]:
    """Each stream that /api/streams shows, with its session."""
    return {one["stream"]: one["session_id"] for one in json.loads(run.get("/api/streams")[1])["streams"]}


def test_a_server_that_goes_away_lies_and_comes_back(run: Running, fake: FakeNginxRtmp) -> None:
    """Publishers are shown as they come; while the server is down, or talks nonsense, they stay, and what is wrong is
    in /readyz; when it is back without them they go. Those beyond the most are told.
    """
    fake.publish("first")
    eventually(lambda: shown(run).keys() == {"live/first"}, what="the publisher")
    fake.publish("second")
    fake.publish("third")
    eventually(lambda: run.readiness()["discovery"][0]["unwatched"] == 1, what="the one beyond")
    eventually(lambda: len(shown(run)) == 2, what="two streams")
    before = shown(run)
    assert run.get("/readyz")[0] == 200

    fake.says_wrong = b"<html>a proxy</html>"
    eventually(lambda: run.get("/readyz")[0] == 503, what="that it is not ready")
    (reason,) = run.readiness()["reasons"]
    assert reason.startswith("edge: list publishers ")
    assert run.readiness()["discovery"][0]["problem"]
    assert shown(run) == before
    eventually(lambda: 'streamguard_discovery_up{server="edge"} 0.0' in run.get("/metrics")[1], what="the metric")

    fake.live.clear()
    fake.says_wrong = None
    eventually(lambda: not shown(run), what="that they have left")
    assert run.get("/readyz")[0] == 200
