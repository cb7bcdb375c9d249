"""The live stream: nothing before it is due, a window that slides, an end; over real HTTP, with a clock of our own."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import pytest

from streamguard.demo.encode import Encoding, Segment, film, write_segments
from streamguard.demo.live import Broadcast, LiveServer
from streamguard.demo.scenes import Scene

START_S = 100.0


@dataclass
class SetClock:
    """Time stands still until a test moves it."""

    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Live:
    """A server, its broadcast and its clock."""

    server: LiveServer
    broadcast: Broadcast
    clock: SetClock = field(default_factory=SetClock)

    def get(self, path: str, headers: dict[str, str] | None = None) -> bytes:
        request = urllib.request.Request(self.server.url.rpartition("/")[0] + path, headers=headers or {})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            body: bytes = answer.read()
            return body


@pytest.fixture(scope="session")
def segments(tmp_path_factory: pytest.TempPathFactory) -> tuple[Segment, ...]:
    """Ten segments of 2 s, tiny."""
    pictures = film(Scene(1), seconds=20, fps=5, size_px=(64, 36))
    return write_segments(tmp_path_factory.mktemp("segments"), pictures, Encoding(fps=5.0))


@pytest.fixture
def live(segments: tuple[Segment, ...]) -> Iterator[Live]:
    """A broadcast that starts at second 100 of a clock that the test moves."""
    clock = SetClock()
    broadcast = Broadcast(segments, started_s=START_S)
    with LiveServer(broadcast, clock=clock) as server:
        yield Live(server, broadcast, clock)


def _status(live: Live, path: str, headers: dict[str, str] | None = None) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        live.get(path, headers)
    with caught.value:
        return caught.value.code


def test_nothing_before_the_first_segment_is_due(live: Live) -> None:
    """Until the first segment's last frame is due there is no playlist and no segment."""
    live.clock.now_s = START_S + 1.99
    assert _status(live, "/demo.m3u8") == 404
    assert _status(live, "/000000.ts") == 404
    live.clock.now_s = START_S + 2.0
    assert b"000000.ts" in live.get("/demo.m3u8")


def test_the_window_slides(live: Live) -> None:
    """Five segments at most are listed, the media sequence counts those that left, the future is not to be had."""
    live.clock.now_s = START_S + 15.0
    playlist = live.get("/demo.m3u8").decode().splitlines()
    assert "#EXT-X-MEDIA-SEQUENCE:2" in playlist
    assert "#EXT-X-TARGETDURATION:2" in playlist
    assert [line for line in playlist if line.endswith(".ts")] == [f"{number:06d}.ts" for number in range(2, 7)]
    assert "#EXT-X-ENDLIST" not in playlist
    assert _status(live, "/000007.ts") == 404


def test_the_stream_ends(live: Live) -> None:
    """When the last segment is in, the playlist says that no more will come."""
    live.clock.now_s = live.broadcast.ends_s
    assert live.broadcast.ends_s == START_S + 20.0
    assert live.get("/demo.m3u8").endswith(b"#EXT-X-ENDLIST\n")


def test_ranges(live: Live, segments: tuple[Segment, ...]) -> None:
    """Part of a segment may be asked for, as from any web server."""
    live.clock.now_s = START_S + 4.0
    whole = segments[0].path.read_bytes()
    assert live.get("/000000.ts") == whole
    assert live.get("/000000.ts", {"Range": "bytes=0-187"}) == whole[:188]
    assert live.get("/000000.ts", {"Range": "bytes=188-"}) == whole[188:]
    assert _status(live, "/000000.ts", {"Range": f"bytes={len(whole)}-"}) == 416


def test_other_paths_are_not_found(live: Live) -> None:
    """Only the playlist and its segments are served, no files."""
    live.clock.now_s = START_S + 10.0
    for path in ("/", "/999999.ts", "/../../etc/passwd", "/000000.ts/x"):
        assert _status(live, path) == 404


def test_a_player_can_play_it(live: Live) -> None:
    """FFmpeg's own HLS reader opens the ended stream and decodes all of the last five segments."""
    live.clock.now_s = live.broadcast.ends_s
    with av.open(live.server.url) as container:
        assert sum(1 for _ in container.decode(video=0)) == 50
