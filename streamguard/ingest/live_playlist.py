"""Follows an HLS playlist: which segments are new, when to ask again, when it has gone stale."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from streamguard.errors import SourceError, SourceStalled, SourceUnavailable, SourceUnwatchable
from streamguard.ingest.fetch import Fetched, Fetcher, Limits
from streamguard.ingest.news import Refusal, Refused, Tell, ignore
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.playlist import MAX_PLAYLIST_BYTES, MasterPlaylist, MediaPlaylist, MediaSegment, parse
from streamguard.ingest.viewer import Viewer

_POLL_S = 0.25
_SLOW_POLL_S = 1.0
_LONGEST_PAUSE_S = 2.0
_TARGET_BOUNDS_S = (0.5, 15.0)
_MAX_BACKLOG = 10
_MAX_I_FRAMES_BACKLOG_S = 30.0
"""Keyframes alone are listed as many at once as a segment has: twice the longest segment that is believed."""
_MAX_FAILURES_IN_A_ROW = 3
_REMEMBERED = 64
_OFFER_TIMEOUT_S = 3.0
"""There are the segments, too: what keyframes alone would save is not worth waiting for."""


def pause_s(*, now_s: float, found_s: float, cadence_s: float, target_s: float) -> float:
    """How long until the playlist is worth asking again.

    A new segment is due `cadence_s` after the last was found. From a little before that on it is asked for every
    quarter of a second: a wait here adds to every time to kill, and an unchanged playlist costs next to nothing.
    Only when two segments (of `target_s`) are overdue it is asked for less often.
    """
    due_in_s = found_s + cadence_s - _POLL_S - now_s
    if due_in_s > 0:
        return min(max(due_in_s, _POLL_S), _LONGEST_PAUSE_S)
    return _POLL_S if -due_in_s <= 2 * target_s else _SLOW_POLL_S


@dataclass(frozen=True, slots=True)
class Fresh:
    """The segments that were not there before, oldest first, and how many more came too fast to be looked at."""

    segments: tuple[MediaSegment, ...] = ()
    skipped: int = 0


def due_after_s(media: MediaPlaylist, fresh: Fresh, *, passed_s: float, target_s: float) -> float:
    """How long until there is something new again, where these were found `passed_s` after those before them.

    What the stream does counts, where that is faster than what it says. Of keyframes alone there are as many new ones
    at once as a segment has.
    """
    if media.i_frames_only:
        return min(sum(segment.duration_s for segment in fresh.segments), passed_s)
    return min(fresh.segments[-1].duration_s, target_s, passed_s / len(fresh.segments))


class Tracker:
    """Knows which segments were handed out. Begins at the newest."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._lower: int | None = None
        self._names: deque[str] = deque(maxlen=_REMEMBERED)

    def fresh(self, media: MediaPlaylist) -> Fresh:
        """What is new in the playlist. Numbers that went back start over, unless it is an old copy from some cache."""
        if not media.segments:
            return Fresh()
        newest = media.segments[-1]
        last = self._last
        if last is None or self._starts_over(newest, last=last):
            new = media.segments[-1:]
        else:
            new = tuple(segment for segment in media.segments if segment.number > last)
        if not new:
            return Fresh()
        self._last, self._lower = newest.number, None
        kept = new[-_most_at_once(new) if media.i_frames_only else -_MAX_BACKLOG :]
        self._names.extend(segment.source.uri for segment in kept)
        return Fresh(kept, len(new) - len(kept))

    def _starts_over(self, newest: MediaSegment, *, last: int) -> bool:
        """A publisher that came back may use the old names again, but goes on from there; an old copy does not."""
        lower, self._lower = self._lower, newest.number if newest.number < last else None
        if self._lower is None:
            return False
        return newest.source.uri not in self._names or (lower is not None and lower < newest.number)


def _most_at_once(i_frames: Sequence[MediaSegment]) -> int:
    """How many of the newest keyframes to look at: so many seconds of them, and the newest in any case."""
    lengths_s = accumulate(segment.duration_s for segment in reversed(i_frames))
    return max(1, sum(length_s <= _MAX_I_FRAMES_BACKLOG_S for length_s in lengths_s))


class Playlist:
    """The media playlist of the chosen rendition, and its address."""

    def __init__(
        self, fetcher: Fetcher, url: str, options: SourceOptions, *, subject: str, tell: Tell = ignore
    ) -> None:  # fmt: skip
        self._fetcher = fetcher
        self._options = options
        self._tell = tell
        self._validator: Mapping[str, str] = {}
        self._i_frames: tuple[str, str] | None = None
        self.subject = subject
        self.url = url

    def open(self) -> MediaPlaylist:
        """The playlist for the first time, through a master playlist where there is one. Raises SourceError."""
        found = self._fetched(self.url, timeout_s=self._options.open_timeout_s)
        if isinstance(found, MasterPlaylist):
            offer = found.i_frames_choice()
            self._i_frames = (self.url, offer.uri) if offer is not None else None
            found = self._fetched(found.choice().uri, timeout_s=self._options.open_timeout_s)
        return self._media(found)

    def open_i_frames(self) -> "tuple[Playlist, MediaPlaylist] | None":
        """The playlist of keyframes alone that the master playlist offers beside this one; None: there is none.

        Raises SourceError.
        """
        if self._i_frames is None:
            return None
        master_url, uri = self._i_frames
        playlist = Playlist(self._fetcher, master_url, self._options, subject=self.subject, tell=self._tell)
        timeout_s = min(self._options.open_timeout_s, _OFFER_TIMEOUT_S)
        return playlist, self._media(playlist._fetched(uri, timeout_s=timeout_s))

    def changed(self) -> MediaPlaylist | None:
        """The playlist now; None: unchanged. Raises SourceError."""
        found = self._fetched(self.url, timeout_s=self._options.read_timeout_s, validator=self._validator)
        return None if found is None else self._media(found)

    def _fetched(
        self, url: str, *, timeout_s: float, validator: Mapping[str, str] | None = None
    ) -> MasterPlaylist | MediaPlaylist | None:
        fetched = self._fetcher.fetch(
            url, Limits(timeout_s, MAX_PLAYLIST_BYTES), base=self.url, validator=validator
        )  # fmt: skip
        if fetched.unchanged:
            return None
        if not fetched.whole:
            raise self._not_whole(fetched, timeout_s=timeout_s)
        found = parse(fetched.body, subject=self.subject, tell=self._tell)
        # Only now: one that cannot be used must not come back as unchanged.
        self.url, self._validator = fetched.url, fetched.validator
        return found

    def _not_whole(self, fetched: Fetched, *, timeout_s: float) -> SourceError:
        if len(fetched.body) < MAX_PLAYLIST_BYTES:
            return SourceUnavailable("read playlist of", self.subject, f"it was not all there in {timeout_s:g} s")
        problem = f"the playlist is longer than {MAX_PLAYLIST_BYTES >> 20} MiB"
        self._tell(Refused(Refusal.PLAYLIST, problem))
        return SourceUnwatchable("read playlist of", self.subject, problem)

    def _media(self, found: MasterPlaylist | MediaPlaylist | None) -> MediaPlaylist:
        if isinstance(found, MediaPlaylist):
            return found
        problem = "nothing to begin with"
        if found is not None:
            problem = "a master playlist leads to another one"
            self._tell(Refused(Refusal.PLAYLIST, problem))
        raise SourceUnwatchable("read playlist of", self.subject, problem)


def live_segments(
    playlist: Playlist, first: MediaPlaylist, options: SourceOptions, *, viewer: Viewer
) -> Iterator[tuple[MediaSegment, ...]]:
    """Each segment once, from the newest on, with those that came to be named at once; ends with EXT-X-ENDLIST.

    Raises SourceStalled when it names no new one for three target durations, or the read timeout if that is longer;
    a playlist that cannot be had, or used, is passed over, and raises its SourceError after a few in a row.
    """
    tracker = Tracker()
    target_s = min(max(first.target_s, _TARGET_BOUNDS_S[0]), _TARGET_BOUNDS_S[1])
    stalled_after_s = max(3 * target_s, options.read_timeout_s)
    # How old the newest segment is nobody says: the next may be due at once.
    found_s, cadence_s = time.monotonic(), 0.0
    media: MediaPlaylist | None = first
    failures = 0
    while True:
        fresh = tracker.fresh(media) if media is not None else Fresh()
        if media is not None and fresh.segments:
            now_s = time.monotonic()
            cadence_s = due_after_s(media, fresh, passed_s=now_s - found_s, target_s=target_s)
            found_s = now_s
            for _ in range(fresh.skipped):
                viewer.damaged("segment too many at once")
            yield fresh.segments
        if media is not None and media.ended:
            return
        now_s = time.monotonic()
        # Whoever took long to read the last ones asks first whether there are new ones.
        if not fresh.segments and now_s - found_s >= stalled_after_s:
            hint = "has the publisher gone?"
            raise SourceStalled("watch", playlist.subject, f"no new segment for {stalled_after_s:.0f} s", hint=hint)
        viewer.wait(position_s=now_s)
        viewer.aside.rest(pause_s(now_s=now_s, found_s=found_s, cadence_s=cadence_s, target_s=target_s))
        try:
            media, failures = playlist.changed(), 0
        except (SourceUnavailable, SourceUnwatchable):  # many servers write it in place: it may be half there
            media, failures = None, failures + 1
            viewer.damaged("playlist")
            if failures >= _MAX_FAILURES_IN_A_ROW:
                raise
