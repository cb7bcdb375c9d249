"""A live HLS stream on loopback: as an ingest server would offer it, each segment only when its last frame is due."""

import http.server
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from streamguard.demo.encode import Segment

PLAYLIST_PATH = "/live/demo.m3u8"
_WINDOW = 5
_SEGMENT_PATH = re.compile(r"/live/(\d{6})\.ts")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Broadcast:
    """The stream as a function of time: which segments there are by now. `started_s` is when its first frame was due.
    Safe to use from several threads.
    """

    def __init__(self, segments: Sequence[Segment], *, started_s: float) -> None:
        self._segments = tuple(segments)
        self._started_s = started_s

    def offered_s(self, number: int) -> float:
        """When that segment is, or will be, there to be fetched: when its last frame has been filmed."""
        return self._started_s + self._segments[number].to_s

    @property
    def ends_s(self) -> float:
        """When the last segment is offered."""
        return self.offered_s(len(self._segments) - 1)

    def playlist(self, now_s: float) -> str:
        """The media playlist of that moment: five segments at most, an end after the last one. Empty: not live yet."""
        there = self._offered(now_s)
        if there == 0:
            return ""
        first = max(0, there - _WINDOW)
        target_s = max(math.ceil(segment.duration_s) for segment in self._segments)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{target_s}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for number in range(first, there):
            lines += [f"#EXTINF:{self._segments[number].duration_s:.3f},", f"{number:06d}.ts"]
        if there == len(self._segments):
            lines.append("#EXT-X-ENDLIST")
        return "\n".join(lines) + "\n"

    def segment(self, number: int, now_s: float) -> bytes:
        """The bytes of a segment, empty while it is not offered yet."""
        if number >= self._offered(now_s):
            return b""
        return self._segments[number].path.read_bytes()

    def _offered(self, now_s: float) -> int:
        return sum(now_s >= self._started_s + segment.to_s for segment in self._segments)


class LiveServer:
    """Serves a broadcast over HTTP on a free port of 127.0.0.1 while in its `with` block."""

    def __init__(self, broadcast: Broadcast, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, broadcast, clock))
        # A short poll: the demo should end when it is done.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="live-hls", daemon=True)

    @property
    def url(self) -> str:
        """The playlist's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{PLAYLIST_PATH}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - http.server's own signature
        """A watcher that hangs up in the middle is nothing to report."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10.0

    def __init__(self, broadcast: Broadcast, clock: Callable[[], float], *args: Any) -> None:  # noqa: ANN401 - passed on
        self._broadcast = broadcast
        self._clock = clock
        super().__init__(*args)

    def do_GET(self) -> None:
        """The playlist, a segment, or 404."""
        path = self.path.partition("?")[0]
        named = _SEGMENT_PATH.fullmatch(path)
        if path == PLAYLIST_PATH:
            self._answer(self._broadcast.playlist(self._clock()).encode(), kind="application/vnd.apple.mpegurl")
        elif named:
            self._answer(self._broadcast.segment(int(named[1]), self._clock()), kind="video/mp2t")
        else:
            self.send_error(404)

    def _answer(self, body: bytes, *, kind: str) -> None:
        if not body:
            self.send_error(404)
            return
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2]), len(body) - 1) if wanted and wanted[2] else len(body) - 1
        if first > last:
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.wfile.write(body[first : last + 1])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - http.server's own signature
        """The demo tells its own story."""
