"""One worker on real streams over RTMP and HLS: what shows known footage gets a kill-signal in Redis, and nothing else.

All of these tests look at one broadcast: streams run in real time, and so do these tests.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from streamguard.demo.scenes import Scene
from tests.e2e.conftest import LABEL, Turning
from tests.e2e.workers import KEY, Setup, worker
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer, free_port
from tests.scenes import Clips
from tests.waiting import eventually

# For the wait, on a machine that does other things as well; the product promises 6 s.
_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What was left when it was over: Redis' entries, the outbox' rows, every stream's last status."""

    entries: list[dict[bytes, bytes]]
    outbox: list[tuple[str, str, str]]
    streams: dict[str, dict[str, Any]]
    exit_status: int
    footage_from_unix_s: float

    def kills(self, stream: str) -> list[dict[str, Any]]:
        """The kill-signals for a stream."""
        events = [json.loads(entry[b"event"]) for entry in self.entries]
        return [event for event in events if event["subject"] == stream and event["data"]["verdict"] == "kill"]


@pytest.fixture(scope="module")
def broadcast(
    rtmp_server: RtmpServer,
    clips: Clips,
    *,
    turning: Turning,
    library: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Broadcast]:
    """`rtmp` and `hls` play one stream that turns into known footage, `innocent` plays another one beside it."""
    folder = tmp_path_factory.mktemp("broadcast")
    port = free_port()
    redis = RedisServer(folder, "--port", str(port), "--save", "", url=f"redis://127.0.0.1:{port}")
    innocent = clips.film("bystander.mp4", Scene(31))
    streams = {
        "rtmp": rtmp_server.rtmp_url("turning"),
        "hls": rtmp_server.hls_url("turning"),
        "innocent": rtmp_server.rtmp_url("bystander"),
    }
    with ExitStack() as stack:
        redis.start()
        stack.callback(redis.kill)
        watching = stack.enter_context(worker(folder / "worker", Setup(streams, library, redis.url)))
        stack.enter_context(rtmp_server.publish("bystander", innocent))
        # ffmpeg sends a packet no sooner than its time stamp after its own start, so this is the earliest it can be.
        footage_from_unix_s = time.time() + turning.footage_from_s
        stack.enter_context(rtmp_server.publish("turning", turning.file))
        timeout_s = turning.footage_from_s + _DEADLINE_S
        eventually(lambda: len(_killed(redis)) == len({"rtmp", "hls"}), timeout_s=timeout_s, what="two kill-signals")
        # The footage goes on for some keyframes after the kill, which must not say it again.
        killed_at = int(watching.stream("rtmp")["keyframes"])
        eventually(lambda: watching.stream("rtmp")["keyframes"] >= killed_at + 2, what="more of the footage")
        statuses = {name: watching.stream(name) for name in streams}
        exit_status = watching.drain()
        yield Broadcast(redis.entries(), watching.outbox_rows(), statuses, exit_status, footage_from_unix_s)


def _killed(redis: RedisServer) -> set[str]:
    events = [json.loads(entry[b"event"]) for entry in redis.entries()]
    return {event["subject"] for event in events if event["data"]["verdict"] == "kill"}


@pytest.mark.parametrize("stream", ["rtmp", "hls"])
def test_known_footage_gets_one_kill_signal_within_seconds(
    broadcast: Broadcast, stream: str, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """A stream that turns into known footage, disguised, is in Redis as one kill-signal, within seconds."""
    (event,) = broadcast.kills(stream)
    seconds = datetime.fromisoformat(event["time"]).timestamp() - broadcast.footage_from_unix_s
    record_testsuite_property(f"{stream} seconds to kill", round(seconds, 2))  # with --junitxml: an upper bound
    assert 0 < seconds < _DEADLINE_S
    assert event["type"] == "org.streamguard.kill.v1"
    assert event["data"]["reference"] == "known"
    assert event["data"]["label"] == LABEL
    assert event["data"]["view"] == "mirrored"
    assert event["data"]["session_id"] == broadcast.streams[stream]["session_id"]
    assert len(event["data"]["evidence"]) >= 2


@pytest.mark.parametrize("stream", ["rtmp", "hls"])
def test_the_signal_names_the_place_in_the_footage(broadcast: Broadcast, stream: str) -> None:
    """Each keyframe of the evidence says where in the footage it is, and the stream went on as the footage did."""
    (event,) = broadcast.kills(stream)
    keyframes = event["data"]["evidence"]
    first, last = keyframes[0], keyframes[-1]
    assert last["at_s"] - first["at_s"] == pytest.approx(last["reference_at_s"] - first["reference_at_s"], abs=0.7)
    # The footage begins in the middle of a GOP, so its first keyframe is a second old: 1, 3, 5 ... s into the footage.
    gop_s = 2.0
    assert first["reference_at_s"] % gop_s == pytest.approx(1.0, abs=0.5)
    assert event["data"]["reference_at_s"] == last["reference_at_s"]


def test_every_signal_is_signed(broadcast: Broadcast) -> None:
    """The signature is that of Standard Webhooks with the key of the configuration, over the event as it stands."""
    assert broadcast.entries
    for entry in broadcast.entries:
        event = json.loads(entry[b"event"])
        seconds = int(datetime.fromisoformat(event["time"]).timestamp())
        signed = b"%s.%d.%s" % (event["id"].encode(), seconds, entry[b"event"])
        expected = base64.b64encode(hmac.digest(KEY.encode(), signed, hashlib.sha256))
        assert entry[b"sig"] == b"v1," + expected


def test_redis_has_what_the_outbox_has(broadcast: Broadcast) -> None:
    """Each signal is delivered once, under the id and in the words in which it was made durable."""
    sent = [(json.loads(entry[b"event"])["id"], entry[b"event"].decode()) for entry in broadcast.entries]
    assert sent == [(id_, event) for id_, _, event in broadcast.outbox]
    assert {state for _, state, _ in broadcast.outbox} == {"delivered"}
    assert len({id_ for id_, _ in sent}) == len(sent)


def test_an_innocent_stream_beside_it_gets_nothing(broadcast: Broadcast) -> None:
    """Nothing is sent for a stream of other footage, and it is watched all the time."""
    assert not [entry for entry in broadcast.entries if json.loads(entry[b"event"])["subject"] == "innocent"]
    status = broadcast.streams["innocent"]
    assert (status["state"], status["verdict"], status["decisions"]) == ("watching", "clear", 0)
    assert status["keyframes"] >= 4


def test_a_worker_that_is_asked_to_stop_drains(broadcast: Broadcast) -> None:
    """SIGTERM ends it with 0, within 10 s, while streams run."""
    assert broadcast.exit_status == 0
