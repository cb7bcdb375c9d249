import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.errors import SourceError, SourceStalled, SourceUnavailable, SourceUnwatchable, UsageError
from streamguard.ingest.news import Alive, Blind, Damaged, News, Opened
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.sources import frames
from streamguard.types import Frame
from tests.scenes import Clips
from tests.servers import RtmpServer, free_ports

QUICK = SourceOptions(open_timeout_s=4.0, read_timeout_s=2.0, blind_after_s=3.0)


def _live(url: str, options: SourceOptions = SourceOptions(), news: list[News] | None = None) -> Iterator[Frame]:
    """frames() once the publisher is there: nginx refuses players before."""
    deadline_s = time.monotonic() + 15
    while True:
        try:
            stream = frames(url, options, session=1, news=(news if news is not None else []).append)
            first = next(stream)
        except SourceUnavailable:
            if time.monotonic() > deadline_s:
                raise
        else:
            yield first
            yield from stream
            return


class TestRtmp:
    def test_keyframes_arrive_in_order(self, rtmp_server: RtmpServer, clips: Clips) -> None:
        """A live stream gives its keyframes two seconds apart, each as it comes."""
        news: list[News] = []
        with rtmp_server.publish("order", clips.known):
            with contextlib.closing(_live(rtmp_server.rtmp_url("order"), news=news)) as stream:
                seen = [next(stream) for _ in range(3)]
        steps = [round((b.at.pts_us - a.at.pts_us) / 1e6, 2) for a, b in zip(seen, seen[1:], strict=False)]
        print(seen[0].at, steps, [b.arrived_s - a.arrived_s for a, b in zip(seen, seen[1:])], news)
        assert steps == [2.0, 2.0]
