"""A worker that is told a server and no stream: it finds publishers by itself, and addresses each session."""

import json
from pathlib import Path
from typing import Any

from streamguard.enforce.gate.publisher_hints import CHANNEL
from streamguard.servers.known import media_server
from streamguard.servers.server import Publisher
from streamguard.servers.spec import read_spec
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup, Worker, unix_s
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

FOUND_WITHIN_S = 2.0


def discovering(server: RtmpServer, library: Path, *, redis_url: str | None, **options: object) -> Setup:
    """Of this server the streams live/found*."""
    pull = server.rtmp_url("").removesuffix("/live/")
    block = {
        "kind": "nginx-rtmp",
        "name": "edge-1",
        "api": server.stat_url,
        "pull": pull,
        "include": ["live/found*"],
        "exclude": ["*-private"],
    }
    return Setup({}, library, redis_url, servers=(block | options,))


def listed(server: RtmpServer, name: str) -> list[Publisher]:
    """Who publishes under that name, as the server says."""
    publishers = media_server(read_spec(f"nginx-rtmp={server.stat_url}")).publishers()
    return [publisher for publisher in publishers if publisher.stream == f"live/{name}"]


def found(worker: Worker, name: str) -> list[dict[str, Any]]:
    """The log's lines of publishers of that name."""
    return [line for line in worker.log("publisher") if line["stream"] == f"live/{name}"]


def test_publishers_are_found_watched_and_let_go(
    rtmp_server: RtmpServer, redis_server: RedisServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """One that appears is pulled within 2 s, and its known footage is a signal that names server and session; when it
    has left nothing is shown of it any more; when it is back that is another session, with nothing of the first.
    """
    worker = start_worker(discovering(rtmp_server, library, redis_url=redis_server.url))
    sessions = []
    for times, (shown, verdict) in enumerate({clips.recoded: "kill", clips.unrelated: "clear"}.items()):
        with rtmp_server.publish("found", shown), rtmp_server.publish("found-private", clips.recoded):
            eventually(lambda times=times: len(found(worker, "found")) > times, what="it is found")  # type: ignore[misc]  # bound now
            line = found(worker, "found")[times]
            (publisher,) = listed(rtmp_server, "found")
            assert unix_s(line) - (publisher.connected_unix_s or 0.0) <= FOUND_WITHIN_S
            worker.until("live/found", session_id=publisher.session, state="watching", verdict=verdict)
            assert (line["session_id"], line["server"]) == (publisher.session, "edge-1")
            sessions.append(publisher.session)
        eventually(lambda: not worker.stream("live/found"), what="it is let go")
    assert sessions[0] != sessions[1]
    events = [json.loads(entry[b"event"])["data"] for entry in redis_server.entries()]
    kills = [(event["stream"], event["server"], event["session_id"]) for event in events if event["verdict"] == "kill"]
    assert kills == [("live/found", "edge-1", sessions[0])]
    assert not found(worker, "found-private")
    assert worker.metric('streamguard_discovery_up{server="edge-1"}') == 1.0
    assert worker.drain() == 0


def test_a_hint_of_a_publish_gate_is_enough(
    rtmp_server: RtmpServer, redis_server: RedisServer, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """Where the server is asked once a minute a hint finds the publisher now; and rubbish on the channel does not."""
    worker = start_worker(discovering(rtmp_server, library, redis_url=redis_server.url, every_s=60.0))
    worker.until_metric("streamguard_discovery_hints_up", 1.0)
    with rtmp_server.publish("found-by-hint", clips.unrelated):
        eventually(lambda: listed(rtmp_server, "found-by-hint"), what="it publishes")
        redis_server.run("PUBLISH", "{streamguard}:" + CHANNEL, "rubbish")
        worker.until_metric('streamguard_discovery_hints_total{outcome="not_understood"}', 1.0)
        assert not found(worker, "found-by-hint")
        hint = json.dumps({"stream": "live/found-by-hint", "hook": "on_publish"})
        redis_server.run("PUBLISH", "{streamguard}:" + CHANNEL, hint)
        eventually(lambda: found(worker, "found-by-hint"), timeout_s=FOUND_WITHIN_S, what="it is found")
