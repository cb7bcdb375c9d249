"""Streams that are no video: blind or never seen, with a reason, never clear; and the stream beside them is watched."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup
from tests.http_server import Web
from tests.local_servers import RtmpServer
from tests.programs import need
from tests.redis_servers import RedisServer
from tests.scenes import Clips

_EXIT_ERROR = 2


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes of a tone, and no picture: longer than the test, for ffmpeg cannot loop it."""
    (ffmpeg,) = need("ffmpeg")
    path = tmp_path_factory.mktemp("sound") / "sound.m4a"
    source = ("-f", "lavfi", "-i", "sine=frequency=440:duration=180")
    subprocess.run([ffmpeg, "-nostdin", "-loglevel", "error", *source, "-c:a", "aac", str(path)], check=True)
    return path


@pytest.fixture
def dark(rtmp_server: RtmpServer, web: Web, sound: Path) -> Iterator[dict[str, str]]:
    """Streams that answer, and in which there is nothing to see."""
    web.pages["/garbage.m3u8"] = bytes(range(256)) * 64
    web.pages["/liar.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsegment.ts\n#EXT-X-ENDLIST\n"
    web.pages["/segment.ts"] = b"no video " * 2000
    with rtmp_server.publish("sound", sound, app="patient"):
        yield {
            "sound": rtmp_server.rtmp_url("sound", app="patient"),
            "garbage": web.url("/garbage.m3u8"),
            "liar": web.url("/liar.m3u8"),
        }


@pytest.mark.promise(4, "garbage, and sound alone, beside a stream that is watched", times=3)
def test_streams_without_a_picture_beside_one_that_is_watched(
    rtmp_server: RtmpServer,
    redis_server: RedisServer,
    *,
    clips: Clips,
    dark: dict[str, str],
    library: Path,
    start_worker: StartWorker,
) -> None:
    """Audio only and garbage are `blind` with a reason and make it exit with 2; the known footage gets its kill."""
    streams = {**dark, "seen": rtmp_server.rtmp_url("seen")}
    setup = Setup(streams, library, redis_server.url, options=("--stop-after", "20", "--json"))
    with rtmp_server.publish("seen", clips.recoded):
        worker = start_worker(setup)
        status = worker.wait(timeout_s=60.0)
    blind = [line for line in worker.log("stream_state") if line["state"] == "blind"]
    reasons = {name: next(line["reason"] for line in blind if line["stream"] == name) for name in dark}
    assert "only audio" in reasons["sound"]
    assert "not an HLS playlist" in reasons["garbage"]
    assert "no keyframe in it can be decoded" in reasons["liar"]

    assert status == _EXIT_ERROR
    summary = worker.printed()[-1]
    assert summary["never_watched"] == len(dark)
    by_stream = {stream["stream"]: stream for stream in summary["by_stream"]}
    for name in dark:
        assert f"error: never watched {name} (blind): " in worker.log_text()
        assert (by_stream[name]["state"], by_stream[name]["decisions"]) == ("blind", 0)
    assert by_stream["seen"]["verdict"] == "kill"
    assert {json.loads(entry[b"event"])["subject"] for entry in redis_server.entries()} == {"seen"}
