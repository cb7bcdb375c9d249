"""HLS by our own loop. FFmpeg's fetches every rendition, follows a playlist anywhere, and ends a stall as a plain end.

Ours takes the cheapest rendition that is good enough, from its newest segment on, and of each new segment, as soon as
the playlist names it, what its keyframes take: from a playlist of keyframes alone, from its head, or all of it.
"""

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

from streamguard.errors import SourceError, SourceStalled
from streamguard.ingest.fetch import Fetcher
from streamguard.ingest.guard import Guard
from streamguard.ingest.kept import Aside
from streamguard.ingest.live_playlist import Playlist, live_segments
from streamguard.ingest.looks import Looks
from streamguard.ingest.news import Tell
from streamguard.ingest.options import PaceNow, SourceOptions
from streamguard.ingest.playlist import MediaPlaylist
from streamguard.ingest.segment_reader import SegmentReader
from streamguard.ingest.urls import public_url
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame

_LISTED_LATELY = 6
_MOST_UNSEEN = 2.0
"""So many times as long as looks may lie apart keyframes alone may give no picture."""

_LEAST_MEASURED_S = 0.25
_MOST_FASTER, _MOST_SLOWER = 2.0, 3.0
"""Within what decisions take for the same footage, played faster or slower (max_speed and moving_speed)."""


def frames(
    url: str, options: SourceOptions, *, session: int, tell: Tell, pace: PaceNow, aside: Aside
) -> Iterator[Frame]:
    """The keyframes of a live playlist from its newest segment on, or of an ended one from its first.

    Ends with EXT-X-ENDLIST. Raises SourceError; SourceStalled when the playlist goes stale, as on servers that leave it
    behind when the publisher goes.
    """
    # It warns of odd headers with the whole URL, and that may hold a token.
    logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)
    subject = public_url(url)
    guard = Guard(url, allow_hosts=options.allow_hosts, tell=tell)
    with closing(Fetcher(guard, subject=subject, credentials_url=url, tell=tell)) as fetcher:
        playlist = Playlist(fetcher, url, options, subject=subject, tell=tell)
        first = playlist.open()
        viewer = Viewer(subject, options, session=session, tell=tell, live=not first.ended)
        viewer.pace, viewer.aside = pace, aside
        sight = _Sight(fetcher, options, viewer, tell)
        yield from (_recorded if first.ended else _live)(sight, playlist, first)
        viewer.ended()


@dataclass(frozen=True, slots=True)
class _Sight:
    """What one session fetches and shows with."""

    fetcher: Fetcher
    options: SourceOptions
    viewer: Viewer
    tell: Tell

    def reader(self, playlist: Playlist, looks: Looks | None) -> SegmentReader:
        return SegmentReader(
            self.fetcher, playlist, self.options, viewer=self.viewer, tell=self.tell, looks=looks
        )  # fmt: skip

    def opened_i_frames(
        self, playlist: Playlist, *, beside: MediaPlaylist
    ) -> tuple[Playlist, MediaPlaylist] | None:  # fmt: skip
        """What is offered of keyframes alone, where that is of use: it is an offer, and no error of the stream's."""
        try:
            offered = playlist.open_i_frames()
        except SourceError:
            self.viewer.damaged("playlist of keyframes")
            return None
        return offered if offered is not None and _are_enough(self.options, offered[1], beside=beside) else None


def _recorded(sight: _Sight, playlist: Playlist, first: MediaPlaylist) -> Iterator[Frame]:
    """Whole: where each segment stands in the recording is measured by its last picture."""
    reader = sight.reader(playlist, Looks(0.0))
    position_s = 0.0
    for segment in first.segments:
        measured_s = yield from reader.frames(segment, position_s=position_s)
        position_s += length_s(segment.duration_s, measured_s=measured_s)


def _live(sight: _Sight, playlist: Playlist, first: MediaPlaylist) -> Iterator[Frame]:
    options = sight.options
    if sight.options.hls_look_every_s > 0:
        now = yield from _by_i_frames(sight, playlist, first)
        if now is None:
            return
        first = now
    reader = sight.reader(playlist, Looks(options.hls_look_every_s, checked_share=options.hls_checked_share))
    for segment in chain.from_iterable(live_segments(playlist, first, options, viewer=sight.viewer)):
        yield from reader.frames(segment)


def _by_i_frames(
    sight: _Sight, playlist: Playlist, first: MediaPlaylist
) -> Generator[Frame, None, MediaPlaylist | None]:
    """Watches what is offered of keyframes alone, as long as that is of use.

    Returns the playlist of whole segments as it is by then, to go on with; None: the stream has ended.
    """
    listing = sight.opened_i_frames(playlist, beside=first)
    if listing is None:
        return first
    reader = sight.reader(listing[0], None)
    every_s, unseen_s = sight.options.hls_look_every_s, 0.0
    try:
        batches = live_segments(*listing, sight.options, viewer=sight.viewer)
        for segment in chain.from_iterable(map(reader.came, batches)):
            if segment.duration_s > every_s or unseen_s >= _MOST_UNSEEN * every_s:
                break
            before = sight.viewer.keyframes
            yield from reader.frames(segment)
            # Were it left to the viewer, the stream would be blind, and each new session would begin here again.
            unseen_s = 0.0 if sight.viewer.keyframes > before else unseen_s + (segment.duration_s or every_s)
        else:
            return None
    except SourceStalled:
        now = playlist.changed()
        if now is None or now.segments[-1:] == first.segments[-1:]:
            raise
    except SourceError:
        now = playlist.changed()
    else:
        now = playlist.changed()
    sight.viewer.damaged("playlist of keyframes")
    sight.viewer.goes_back()
    return now or first


def _are_enough(options: SourceOptions, listed: MediaPlaylist, *, beside: MediaPlaylist) -> bool:
    """Whether keyframes alone show what the operator asks for: some are listed at longer intervals, for seeking."""
    newest = listed.segments[-_LISTED_LATELY:]
    return (
        listed.i_frames_only
        and not listed.ended
        and bool(newest)
        and not any(segment.encryption for segment in (*newest, *beside.segments[-1:]))
        and all(0 < segment.duration_s <= options.hls_look_every_s for segment in newest)
    )


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
