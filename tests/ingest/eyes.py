"""A segment reader over a real server, and what it has seen."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256

from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Pace
from streamguard.ingest.fetch import Fetcher
from streamguard.ingest.guard import Guard
from streamguard.ingest.live_playlist import Playlist
from streamguard.ingest.looks import Looks
from streamguard.ingest.news import News, Pulled, Way
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.playlist import MediaSegment, Part
from streamguard.ingest.segment_reader import SegmentReader
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame
from tests.http_server import Web

OPTIONS = SourceOptions(read_timeout_s=5.0, hls_checked_share=0.0, unforeseen_pauses=math.inf)
QUIET = Pace(Attention.QUIET, most_s=8.0, kill_s=9.5, further=1, apart_s=1.6)


@dataclass
class Eye:
    """A reader over the web, and what it told; `seen` is each picture by its bytes.

    Each segment comes `late_s` after its time by the eye's own clock, which stands still while it is read.
    """

    web: Web
    options: SourceOptions = OPTIONS
    looks: Looks | None = field(default_factory=lambda: Looks(2.5))
    news: list[News] = field(default_factory=list)
    late_s: float = 0.0
    now_s: float = 100.0
    clock_s: Callable[[], float] | None = None
    suspect_after: int | None = None
    """After so many looks the worker asks for every keyframe."""
    looked: int = 0

    def __post_init__(self) -> None:
        url = self.web.url("/live.m3u8")
        self.fetcher = Fetcher(Guard(url), subject="cam")
        viewer = Viewer(
            "cam", self.options, session=1, tell=self.news.append, live=True, clock_s=self.clock_s or self._clock_s
        )
        self.viewer = viewer
        playlist = Playlist(self.fetcher, url, self.options, subject="cam")
        self.reader = SegmentReader(
            self.fetcher, playlist, self.options, viewer=viewer, tell=self.news.append, looks=self.looks
        )
        self.reader.sleep = self._sleep

    def seen(self, *segments: MediaSegment) -> list[str]:
        pictures = []
        with closing(self.fetcher):
            for frame in (frame for one in segments for frame in self._frames(one)):
                self.looked += 1
                pictures.append(sha256(frame.luma.tobytes()).hexdigest())
        return pictures

    def _frames(self, segment: MediaSegment) -> Iterator[Frame]:
        self.now_s += segment.duration_s + self.late_s
        return self.reader.frames(segment)

    def _clock_s(self) -> float:
        return self.now_s

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def pace(self) -> Pace:
        """A quiet stream's, until it has become suspect."""
        is_suspect = self.suspect_after is not None and self.looked >= self.suspect_after
        return EVERY_KEYFRAME if is_suspect else QUIET

    @property
    def ways(self) -> list[Way]:
        return [word.way for word in self.news if isinstance(word, Pulled)]


def segments(count: int, *, name: str = "{}.ts", duration_s: float = 2.0) -> list[MediaSegment]:
    return [MediaSegment(number, duration_s, Part(name.format(number))) for number in range(count)]


def whole(web: Web, *ones: MediaSegment) -> list[str]:
    """What reading everything shows."""
    return Eye(web, looks=Looks(0.0)).seen(*ones)
