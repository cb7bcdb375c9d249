from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import SourceStalled
from streamguard.ingest import kept, live_playlist
from streamguard.ingest.fetch import Fetcher
from streamguard.ingest.guard import Guard
from streamguard.ingest.live_playlist import Fresh, Playlist, Tracker, due_after_s, live_segments, pause_s
from streamguard.ingest.news import ignore
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.playlist import MediaPlaylist, MediaSegment, Part
from streamguard.ingest.viewer import Viewer


def playlist(first: int, *, count: int = 5, name: str = "s") -> MediaPlaylist:
    segments = (MediaSegment(number, 2.0, Part(f"{name}-{number}.ts")) for number in range(first, first + count))
    return MediaPlaylist(2.0, tuple(segments), ended=False)


def keyframes(first: int, *, count: int, apart_s: float = 0.5) -> MediaPlaylist:
    found = playlist(first, count=count)
    segments = tuple(replace(segment, duration_s=apart_s) for segment in found.segments)
    return replace(found, segments=segments, i_frames_only=True)


def numbers(tracker: Tracker, media: MediaPlaylist) -> list[int]:
    return [segment.number for segment in tracker.fresh(media).segments]


class TestTracker:
    def test_begins_at_the_newest(self) -> None:
        """What is live is what counts: of the first playlist only the last segment is new."""
        tracker = Tracker()
        assert numbers(tracker, playlist(10)) == [14]
        assert numbers(tracker, playlist(10)) == []
        assert numbers(tracker, playlist(12)) == [15, 16]

    def test_empty(self) -> None:
        """A playlist without segments yet has nothing new."""
        assert numbers(Tracker(), playlist(0, count=0)) == []

    def test_missed_some(self) -> None:
        """Segments that left the playlist before we saw them are gone; the rest is taken in order."""
        tracker = Tracker()
        numbers(tracker, playlist(0))
        assert numbers(tracker, playlist(20, count=3)) == [20, 21, 22]

    def test_too_many_at_once(self) -> None:
        """Of a flood of new segments the newest are taken, and the others counted."""
        tracker = Tracker()
        numbers(tracker, playlist(0, count=1))
        fresh = tracker.fresh(playlist(1, count=1000))
        assert ([fresh.segments[0].number, fresh.segments[-1].number], fresh.skipped) == ([991, 1000], 990)

    def test_keyframes_of_one_segment_at_once(self) -> None:
        """Keyframes alone come by dozens, and none is too many of what one segment has; a flood is bounded by time."""
        tracker = Tracker()
        numbers(tracker, keyframes(0, count=1))
        assert tracker.fresh(keyframes(1, count=12)) == Fresh(keyframes(1, count=12).segments)
        flood = keyframes(13, count=100)
        assert tracker.fresh(flood) == Fresh(flood.segments[-60:], 40)

    def test_keyframes_far_apart(self) -> None:
        """The newest keyframe is taken, however long it says to last."""
        tracker = Tracker()
        numbers(tracker, keyframes(0, count=1, apart_s=100.0))
        assert numbers(tracker, keyframes(1, count=2, apart_s=100.0)) == [2]

    def test_numbers_start_over(self) -> None:
        """A publisher that came back may count from 0 again: that is no standstill."""
        tracker = Tracker()
        numbers(tracker, playlist(100))
        assert numbers(tracker, playlist(0, name="again")) == [4]
        assert numbers(tracker, playlist(1, name="again")) == [5]

    def test_numbers_start_over_under_the_same_names(self) -> None:
        """It is seen as soon as the lower numbers go on, and each of its segments once from there."""
        tracker = Tracker()
        for count in range(1, 10):
            numbers(tracker, playlist(0, count=count))
        assert numbers(tracker, playlist(0, count=1)) == []
        assert numbers(tracker, playlist(0, count=1)) == []
        assert numbers(tracker, playlist(0, count=2)) == [1]
        assert numbers(tracker, playlist(0, count=4)) == [2, 3]

    def test_old_copy(self) -> None:
        """A cache that hands out an older copy makes nothing be seen twice."""
        tracker = Tracker()
        numbers(tracker, playlist(10))
        numbers(tracker, playlist(11))
        assert numbers(tracker, playlist(10)) == []
        assert numbers(tracker, playlist(12)) == [16]
        for first in (11, 11, 10, 12, 11):
            assert numbers(tracker, playlist(first)) == []
        assert numbers(tracker, playlist(13)) == [17]

    @given(st.lists(st.integers(0, 60), max_size=40))
    def test_no_segment_twice_while_numbers_grow(self, firsts: list[int]) -> None:
        """In a playlist that only grows, each segment is handed out at most once, in order."""
        tracker = Tracker()
        seen = [number for first in sorted(firsts) for number in numbers(tracker, playlist(first))]
        assert seen == sorted(set(seen))


class TestPause:
    def test_never_late(self) -> None:
        """From a little before a segment is due until it is there, the playlist is asked for twice a second or more."""
        for since_found_s in (1.75, 1.9, 2.0, 2.5, 4.0, 5.7):
            assert pause_s(now_s=100 + since_found_s, found_s=100, cadence_s=2.0, target_s=2.0) <= 0.5

    def test_not_before_it_can_be_there(self) -> None:
        """Right after a segment there is nothing to ask for."""
        assert pause_s(now_s=100, found_s=100, cadence_s=2.0, target_s=2.0) == pytest.approx(1.75)

    def test_slower_when_overdue(self) -> None:
        """A stream that stands still is asked for less often."""
        assert pause_s(now_s=110, found_s=100, cadence_s=2.0, target_s=2.0) == 1.0

    def test_first_segment(self) -> None:
        """How old the first segment is nobody says: the next is asked for at once."""
        assert pause_s(now_s=100.5, found_s=100, cadence_s=0.0, target_s=2.0) == 0.25

    @given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 3600))
    def test_bounded(self, now_s: float, since_s: float, cadence_s: float) -> None:
        """Whatever a playlist says of itself, no pause is longer than two seconds, and none is none."""
        assert 0.25 <= pause_s(now_s=now_s + since_s, found_s=now_s, cadence_s=cadence_s, target_s=2.0) <= 2.0


class TestCadence:
    def test_as_the_stream_goes(self) -> None:
        """The next segment is due after as long as each of the last ones took, if that is less than they say."""
        found = playlist(0, count=2)
        fresh = Fresh(found.segments)
        assert due_after_s(found, fresh, passed_s=9.0, target_s=2.0) == 2.0
        assert due_after_s(found, fresh, passed_s=3.0, target_s=2.0) == 1.5

    def test_keyframes_alone(self) -> None:
        """Keyframes come as many at once as a segment has, so the next ones are due after the time of all of them."""
        found = replace(playlist(0, count=3), i_frames_only=True)
        fresh = Fresh(found.segments)
        assert due_after_s(found, fresh, passed_s=9.0, target_s=2.0) == 6.0
        assert due_after_s(found, fresh, passed_s=5.9, target_s=2.0) == 5.9


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Growing(Playlist):
    """Names a segment more every two seconds, until `ends_s`; `asked_s` is when it was asked for."""

    def __init__(self, clock: Clock, options: SourceOptions, *, ends_s: float) -> None:
        super().__init__(Fetcher(Guard("http://h/l.m3u8"), subject="cam"), "http://h/l.m3u8", options, subject="cam")
        self._clock = clock
        self._ends_s = ends_s
        self.asked_s: list[float] = []

    def changed(self) -> MediaPlaylist:
        self.asked_s.append(self._clock.now_s)
        return playlist(int(min(self._clock.now_s, self._ends_s) // 2))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (live_playlist, kept):
        monkeypatch.setattr(module, "time", made)
    return made


def live(clock: Clock, *, ends_s: float) -> tuple[Growing, Iterator[MediaSegment]]:
    options = SourceOptions()
    growing = Growing(clock, options, ends_s=ends_s)
    viewer = Viewer("cam", options, session=1, tell=ignore, live=True, clock_s=clock.monotonic)
    return growing, chain.from_iterable(live_segments(growing, playlist(0), options, viewer=viewer))


def test_who_takes_long_for_a_segment_does_not_call_the_stream_stalled(clock: Clock) -> None:
    """However long it took to read the last ones: the playlist is asked first whether there are new ones."""
    _, segments = live(clock, ends_s=100.0)
    numbers = []
    for segment in segments:
        numbers.append(segment.number)
        if len(numbers) == 3:
            break
        clock.sleep(12.0)
    assert numbers == [4, 6, 7]


def test_a_stream_that_has_stalled_is_told_in_time(clock: Clock) -> None:
    """When nothing new was named for as long as reading may take, and not before."""
    growing, segments = live(clock, ends_s=4.0)
    assert [next(segments).number for _ in range(3)] == [4, 5, 6]
    with pytest.raises(SourceStalled, match="no new segment for 10 s"):
        next(segments)
    assert 13.9 <= growing.asked_s[-1] <= 16.1
