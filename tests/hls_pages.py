"""HLS as good servers send it: files in parts, playlists that grow, and what they are asked for.

def test_something(web: Web) -> None:
    web.pages["/a.ts"] = part = Ranged(body)         # knows ranges; part.sent_bytes
    live = Live(web, lines)                          # live.url, live.grow(), live.ended
"""

import io
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import av

from tests.http_server import Answer, Web


@dataclass
class Ranged:
    """A file of which parts may be asked for. `asked` is each part, `sent_bytes` what all of them took."""

    body: bytes
    asked: list[tuple[int, int]] = field(default_factory=list)
    sent_bytes: int = 0

    def __call__(self, answer: Answer) -> None:
        total = len(self.body)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", answer.headers.get("Range", ""))
        first, end = (int(asked[1]), min(int(asked[2]) + 1, total)) if asked else (0, total)
        self.asked.append((first, end))
        if first >= end:
            answer.send(status=416, headers={"Content-Range": f"bytes */{total}"})
            return
        self.sent_bytes += end - first
        headers = {"ETag": f'"{sha256(self.body).hexdigest()[:16]}"'}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{total}"
        answer.send(self.body[first:end], status=206 if asked else 200, headers=headers)


class Live:
    """A live playlist on the server that shows the first `shown` of its entries; unchanged, it says so."""

    def __init__(self, web: Web, entries: Iterable[str], *, path: str = "/live.m3u8", head: str = "") -> None:
        self.entries = list(entries)
        self.url = web.url(path)
        self.shown = 1
        self.ended = False
        self.grew_at: list[float] = []
        self.answered: list[int] = []
        self._head = head
        web.pages[path] = self._page

    def grow(self) -> None:
        self.shown += 1
        self.grew_at.append(time.monotonic())

    def _page(self, answer: Answer) -> None:
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", *self._head.splitlines(), *self.entries[: self.shown]]
        body = "\n".join([*lines, *(["#EXT-X-ENDLIST"] if self.ended else [])]).encode()
        tag = f'"{sha256(body).hexdigest()[:16]}"'
        status = 304 if answer.headers.get("If-None-Match") == tag else 200
        self.answered.append(status)
        answer.send(b"" if status == 304 else body, status=status, headers={"ETag": tag})


def one_fragment(video: Path, *, seconds: float) -> tuple[bytes, bytes]:
    """The first seconds of a video as fragmented MP4: what comes before the one fragment, and the fragment."""
    buffer = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000000"}
    with av.open(str(video)) as source, av.open(buffer, "w", format="mp4", options=options) as target:
        track = source.streams.video[0]
        copy = target.add_stream_from_template(track)
        for packet in source.demux(track):
            if packet.dts is not None and (packet.pts or 0) * packet.time_base < seconds:
                packet.stream = copy
                target.mux(packet)
    data = buffer.getvalue()
    start, end = data.index(b"moof") - 4, data.rindex(b"mfra") - 4
    return data[:start], data[start:end]


def keyframe_spans(data: bytes, *, form: str) -> list[tuple[int, int]]:
    """Where its keyframes are, by reading all of it: first byte, and the first byte of what follows."""
    with av.open(io.BytesIO(data), "r", format=form) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    ends = [packet.pos for packet in packets[1:]] + [len(data)]
    return [(one.pos or 0, end or 0) for one, end in zip(packets, ends, strict=True) if one.is_keyframe]
