"""HLS by our own loop. FFmpeg's fetches every rendition, follows a playlist anywhere, and ends a stall as a plain end.

Ours takes the cheapest rendition that is good enough, from its newest segment on, and each new segment as soon as the
playlist names it.
"""

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing

from streamguard.errors import SourceError, SourceRefused, SourceUnavailable
from streamguard.ingest.av_errors import FOREIGN, ours
from streamguard.ingest.fetch import Fetcher, Limits
from streamguard.ingest.guard import Guard
from streamguard.ingest.live_playlist import Playlist, live_segments
from streamguard.ingest.news import Tell
from streamguard.ingest.options import PaceNow, SourceOptions
from streamguard.ingest.playlist import MediaSegment, Part
from streamguard.ingest.segments import segment_frames
from streamguard.ingest.urls import public_url
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame

_MAX_FAILURES_IN_A_ROW = 3
_MAX_INIT_BYTES = 4 << 20

_LEAST_MEASURED_S = 0.25
_MOST_FASTER, _MOST_SLOWER = 2.0, 3.0
"""Within what decisions take for the same footage, played faster or slower (max_speed and moving_speed)."""


def frames(url: str, options: SourceOptions, *, session: int, tell: Tell, pace: PaceNow) -> Iterator[Frame]:
    """The keyframes of a live playlist from its newest segment on, or of an ended one from its first.

    Ends with EXT-X-ENDLIST. Raises SourceError; SourceStalled when the playlist goes stale, as on servers that leave it
    behind when the publisher goes.
    """
    # It warns of odd headers with the whole URL, and that may hold a token.
    logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)
    subject = public_url(url)
    guard = Guard(url, allow_hosts=options.allow_hosts)
    with closing(Fetcher(guard, subject=subject, credentials_url=url)) as fetcher:
        playlist = Playlist(fetcher, url, options, subject=subject)
        first = playlist.open()
        viewer = Viewer(subject, options, session=session, tell=tell, live=not first.ended)
        viewer.pace = pace
        reader = _SegmentReader(fetcher, playlist, options, viewer=viewer)
        if first.ended:
            position_s = 0.0
            for segment in first.segments:
                measured_s = yield from reader.frames(segment, position_s=position_s)
                position_s += length_s(segment.duration_s, measured_s=measured_s)
        else:
            for segment in live_segments(playlist, first, options, viewer=viewer):
                yield from reader.frames(segment)
        viewer.ended()


def length_s(told_s: float, *, measured_s: float) -> float:
    """How long a segment is taken to last: as the playlist tells, as far as the segment's own time stamps bear it out.

    Each of them may lie, and where each segment counts from 0 again the time between two keyframes hangs on it alone.
    Time stamps that are a little off what is told are usual, and pictures that stand still at the end are measured too
    short; so the playlist is only held to what footage could be played as, and to all that it says where next to
    nothing could be measured.
    """
    if measured_s < _LEAST_MEASURED_S:
        return told_s
    return min(max(told_s, measured_s / _MOST_FASTER), measured_s * _MOST_SLOWER)


class _SegmentReader:
    """Fetches segments and shows them to the viewer; one that fails is passed over, several in a row are an error."""

    def __init__(self, fetcher: Fetcher, playlist: Playlist, options: SourceOptions, *, viewer: Viewer) -> None:
        self._fetcher = fetcher
        self._playlist = playlist
        self._options = options
        self._viewer = viewer
        self._init: tuple[Part, bytes] | None = None
        self._failures = 0

    def frames(self, segment: MediaSegment, *, position_s: float | None = None) -> Generator[Frame, None, float]:
        """The segment's keyframes. `position_s`: where it begins in media time; None: the arrival clock counts.

        Returns its length in seconds by its own time stamps, 0 where not all of it could be read.
        """
        if segment.encryption:
            raise self._viewer.unwatchable(f"encrypted segments ({segment.encryption})")
        if segment.is_gap:
            self._viewer.damaged("segment")
            return 0.0
        before = self._viewer.pictures
        try:
            data, whole = self._bytes(segment)
            arrived_s = time.monotonic()
            measured_s = yield from segment_frames(
                data, self._viewer, arrived_s=arrived_s, position_s=arrived_s if position_s is None else position_s
            )
        except SourceError as error:
            self._failed(error, before=before)
        except FOREIGN as error:
            failed = ours(error, operation="read segment of", subject=self._playlist.subject, opening=True)
            failed.__cause__ = error
            self._failed(failed, before=before)
        else:
            self._failures = 0
            return measured_s if whole else 0.0
        return 0.0

    def _failed(self, error: SourceError, *, before: int) -> None:
        """Counts a segment that could not be used to its end, and raises when it is one too many."""
        self._viewer.damaged("segment")
        self._failures = 1 if self._viewer.pictures > before else self._failures + 1
        refused_from_the_start = isinstance(error, SourceRefused) and self._viewer.pictures == 0
        if self._failures >= _MAX_FAILURES_IN_A_ROW or refused_from_the_start:
            raise error

    def _bytes(self, segment: MediaSegment) -> tuple[bytes, bool]:
        """The segment, and whether it is whole. Of one that is too long, or not all there in time, what came: players
        show it as it comes, too.
        """
        head = b"" if segment.init is None else self._init_bytes(segment.init)
        limits = Limits(self._options.read_timeout_s, self._options.max_segment_bytes)
        source = segment.source
        fetched = self._fetcher.fetch(source.uri, limits, base=self._playlist.url, part=source.part)
        if not fetched.whole:
            self._viewer.damaged("segment cut short")
        return head + fetched.body, fetched.whole

    def _init_bytes(self, init: Part) -> bytes:
        if self._init is None or self._init[0] != init:
            limits = Limits(self._options.read_timeout_s, _MAX_INIT_BYTES)
            fetched = self._fetcher.fetch(init.uri, limits, base=self._playlist.url, part=init.part)
            if not fetched.whole:
                raise SourceUnavailable("read segment of", self._playlist.subject, "its EXT-X-MAP is not all there")
            self._init = init, fetched.body
        return self._init[1]
