"""What one connection's packets become: frames with their times, and words where there are none.

RTMP, files and HLS read differently and see alike; this is the part that is alike.
"""

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamguard.core.clock import MediaClock
from streamguard.core.sampling import Moment, Sampler
from streamguard.errors import SourceExcessive, SourceUnavailable, SourceUnwatchable
from streamguard.ingest.glances import Glancer
from streamguard.ingest.kept import Aside
from streamguard.ingest.keyframes import (
    NO_STAMPS,
    Headers,
    KeyframeDecoder,
    Spacing,
    Stamps,
    pick_video,
    video_tracks,
    why_blind,
)
from streamguard.ingest.news import Alive, Blind, Damaged, Opened, Refusal, Refused, Tell
from streamguard.ingest.options import PaceNow, SourceOptions, every_keyframe
from streamguard.types import Frame

_TELL_EVERY_S = 2.5
"""More often than keyframes come as a rule, it would wake the worker as often as these; it waits 20 s and longer before
it takes a silent decoder for one that hangs.
"""
_MOST_LOOKS = 600
"""At once: two minutes of footage at the usual spacing, more than one long HLS segment, or a catch-up after a stall,
brings. From then on twice as many as keyframes that are looked at can come.
"""
_LEAST_SPACING_S = 1 / 30
_HOPELESS_AFTER_S = 8.0
"""Of five in a row, which take longer where keyframes come every two seconds."""
_MOST_REMEMBERED = 64
_MOST_TOO_LARGE = 5
"""In a session, between pictures that can be seen: nobody sees what such a stream shows in them."""


@dataclass(frozen=True, slots=True)
class _Came:
    """A packet, and when it came."""

    packet: "Packet[VideoStream]"
    stamps: Stamps
    arrived_s: float
    position_s: float


class Viewer:
    """One session's eye. `live`: the monotonic clock decides what is late; else the medium's own time does.

    Times called `position_s` are on that clock, and on no other; `clock_s` is the one of arrivals.
    """

    def __init__(
        self,
        subject: str,
        options: SourceOptions,
        *,
        session: int,
        tell: Tell,
        live: bool,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock_s = clock_s
        self._subject = subject
        self._options = options
        self._tell = tell
        self._live = live
        self._clock = MediaClock(session, live=live)
        self._spacing = Spacing(options.keyframe_spacing_s)
        self._sampler = Sampler(unforeseen=lambda: options.unforeseen_pauses * random.expovariate(1.0))
        self._close: _Came | None = None
        """The newest keyframe, where it came too soon behind a look."""
        self._passed: _Came | None = None
        """The newest keyframe, where it was not due."""
        self._wanted_in_s = math.inf
        self._begins_again = False
        self._seen_stamps: deque[Stamps] = deque(maxlen=_MOST_REMEMBERED)
        self._again: frozenset[Stamps] = frozenset()
        self._again_at_s: float | None = None
        self._decoder: KeyframeDecoder | None = None
        has_glances = options.glances and options.hashed is not None
        self._glancer = Glancer(options, live=live, tell=tell) if has_glances else None
        self._opened: Opened | None = None
        self._seen_s: float | None = None
        self._told_s = self._patient_until_s = -math.inf
        self._packets = self._passed_over = 0
        self._damaged: dict[str, int] = {}
        self._blind = False
        self._unwatched = 0
        self._looks_a_s = 2 / max(options.keyframe_spacing_s, _LEAST_SPACING_S)
        self._looks, self._looked_at_s = 0.0, -math.inf
        self._too_large = 0
        self.pictures = 0
        self.keyframes = 0
        """Those that were seen, and those that were not due to be looked at."""
        self.pace: PaceNow = every_keyframe
        """Of a live stream; of a recording every keyframe is looked at."""
        self.aside = Aside()
        self._headers = Headers()

    def open(self, container: InputContainer, *, position_s: float, duration_s: float | None = None) -> VideoStream:
        """The stream to demux; told as Opened when it is another than before. Raises SourceUnwatchable."""
        video = pick_video(container)
        unseen = why_blind(container, video, max_pixels=self._options.max_pixels, codecs=self._options.codecs)
        if unseen is not None and unseen.refusal is not None:
            self._tell(Refused(unseen.refusal, unseen.reason))
        if unseen is not None or video is None:
            raise self.unwatchable(unseen.reason if unseen else "no video")
        codec = video.codec_context
        opened = Opened(codec.codec.canonical_name, codec.width, codec.height, duration_s)
        # Without a packet there is no size yet: a publisher that left, or froze, as we came.
        if opened != self._opened and codec.width and codec.height:
            self._opened = opened
            self._tell(opened)
        self._tell_unwatched(len(video_tracks(container)) - 1)
        self._decoder = KeyframeDecoder(video, max_pixels=self._options.max_pixels)
        if self._glancer is not None:
            self._glancer.opened(video)
        self.aside.kept.opened(video, max_pixels=self._options.max_pixels)
        self._headers = Headers()
        self._close = self._passed = None
        self.wait(position_s=position_s)
        return video

    def frames(self, packet: "Packet[VideoStream]", *, arrived_s: float, position_s: float) -> Iterator[Frame]:
        """The frame of a keyframe that is due, else none; and before it that of an earlier one that was not due, but is
        being shown for longer than may be without a look at it. Players show damaged ones, too, so these are looked at;
        but they are no sign that anything can be seen. Raises SourceUnwatchable after a run of bad ones.
        """
        self._headers.put_into(packet)
        if packet.size == 0:
            return
        self._packets += 1
        came = _Came(packet, Stamps.of(packet), arrived_s, position_s) if packet.is_keyframe else None
        if self._close is not None or self._passed is not None:
            yield from self._earlier(came, arrived_s, position_s=position_s)
        glancer = self._glancer
        if came is None:
            if glancer is not None and glancer.note(packet, at_s=position_s):
                yield from self._glance(glancer, arrived_s, position_s=position_s)
            self.wait(position_s=position_s)
            return
        if glancer is not None:
            glancer.keyframe(packet, at_s=position_s, pace=self.pace())
        if self._due(came):
            yield from self._look(came, told_s=arrived_s)
        else:
            self.wait(position_s=position_s)

    def _earlier(self, came: "_Came | None", arrived_s: float, *, position_s: float) -> Iterator[Frame]:
        close, passed = self._close, self._passed
        if close is not None:
            now = NO_STAMPS if came is None else came.stamps
            if self._spacing.lasted(close.position_s, stamps=close.stamps, now_s=position_s, now=now):
                yield from self.last_frames()
        elif passed is not None and position_s >= passed.position_s + self._wanted_in_s:
            self._passed = None
            # It came long before, and was not wanted then: no lag of anybody's.
            yield from self._look(passed, told_s=arrived_s)

    def _glance(self, glancer: Glancer, arrived_s: float, *, position_s: float) -> Iterator[Frame]:
        """The picture that is shown now, between two keyframes, if it is to be looked at."""
        if self._close is not None or not self.pictures or self._blind:
            return
        picture = glancer.glance(at_s=position_s, pace=self.pace())
        if picture is None:
            return
        self._bounded(arrived_s)
        self._passed = None  # what is shown now was looked at, and time only goes forward
        pts_s, luma, levels = picture
        at = self._clock.at(pts_s, arrived_s=arrived_s if self._live else position_s)
        yield Frame(at, arrived_s, luma, levels, between=True)

    def last_frames(self) -> Iterator[Frame]:
        """Of what was opened last nothing more comes: what is left of it to be looked at. Raises as `frames`."""
        close, self._close = self._close, None
        if close is not None:
            self._spacing.took(close.position_s, stamps=close.stamps)
            if self._is_wanted(close):
                yield from self._look(close, told_s=close.arrived_s)

    def _look(self, came: "_Came", *, told_s: float) -> Iterator[Frame]:
        """`told_s`: when it came, as far as others need to know."""
        if self._decoder is None:
            return
        self._bounded(came.arrived_s)
        for pts_s, luma, levels in self._decoder.pictures(came.packet):
            if not self._decoder.failures:
                self._seen(came.position_s)
                if self._glancer is not None:
                    self._glancer.saw_keyframe(luma, levels, at_s=came.position_s)
            elif not self.pictures:
                break  # there may be nothing in it that anybody sees
            self._seen_stamps.append(came.stamps)
            at = self._clock.at(pts_s, arrived_s=came.arrived_s if self._live else came.position_s)
            self.aside.kept.looked_at(at)
            yield Frame(at, told_s, luma, levels)
        if self._decoder.failures:
            self.damaged("keyframe")
            if size := self._decoder.too_large:
                self._too_large += 1
                self._tell(Refused(Refusal.PICTURE, f"a picture of {size}: more than ingest.max_pixels"))
            self.wait(position_s=came.position_s)
        if self._decoder.hopeless and not self._may_be_a_moment(came.position_s):
            why = "are larger than ingest.max_pixels allows" if self._decoder.too_large else "cannot be decoded"
            raise self.unwatchable(f"{self._decoder.failures} keyframes in a row {why}")
        if self._live and self._too_large >= _MOST_TOO_LARGE:
            self._flush()
            problem = f"{self._too_large} keyframes were larger than ingest.max_pixels allows, and others were not"
            raise SourceExcessive("watch", self._subject, problem)

    def _may_be_a_moment(self, position_s: float) -> bool:
        """Of a live stream. Bad keyframes close behind each other say little, and with a connection all is lost that it
        has seen.
        """
        return self._live and self._seen_s is not None and position_s - self._seen_s < _HOPELESS_AFTER_S

    def _due(self, came: "_Came") -> bool:
        begins_again, self._begins_again = self._begins_again, False
        if self._is_seen_again(came.stamps, came.arrived_s):
            self._close = None
            self._not_due(came.position_s)
            return False
        if not self._spacing.due(came.position_s, stamps=came.stamps):
            self._close = None if begins_again else came
            return False
        self._close = None
        return self._is_wanted(came)

    def _is_wanted(self, came: "_Came") -> bool:
        self._passed = None
        stamps, pace = came.stamps, self.pace()
        is_due = not self._live or self._sampler.due(Moment(came.arrived_s, stamps.dts_s, stamps.pts_s), pace=pace)
        if is_due or (self._glancer is not None and self._glancer.wants_next):
            return True
        self._passed, self._wanted_in_s = came, self._sampler.wanted_in_s(pace=pace)
        at = self._clock.would_be(stamps.pts_s, arrived_s=came.arrived_s)
        self.aside.kept.keep(came.packet, at=at, arrived_s=came.arrived_s)
        self._not_due(came.position_s)
        return False

    def goes_back(self) -> None:
        """What comes next may begin with what was seen lately: that is not looked at again, as a keyframe seen twice
        would agree with itself. What comes later is: stamps, whoever sets them, hide one segment at most.
        """
        self._again_at_s = None
        self._again = frozenset(stamps for stamps in self._seen_stamps if None not in (stamps.dts_s, stamps.pts_s))

    def _is_seen_again(self, stamps: Stamps, arrived_s: float) -> bool:
        if self._again and self._again_at_s is None:
            self._again_at_s = arrived_s
        if stamps in self._again and arrived_s == self._again_at_s:
            return True
        self._again = frozenset()
        return False

    def _not_due(self, position_s: float) -> None:
        """It is there to be looked at, and the last one that was due was seen: this stream is not blind."""
        self._passed_over += 1
        self.keyframes += 1
        self._seen_s = position_s

    def passes_over(self, *, after_s: float) -> bool:
        """Whether the next keyframe of a live stream, which nobody has fetched yet, need not be looked at: it is there,
        and `after_s` after the last by what is told. If so it counts as passed over.
        """
        now_s = self.clock_s()
        if not self._live or not self._sampler.passes_over(now_s, after_s=after_s, pace=self.pace()):
            return False
        self.leaves_out()
        return True

    def leaves_out(self) -> None:
        """The next keyframe of a live stream, which nobody has fetched, is not looked at, for one beside it was."""
        now_s = self.clock_s()
        self._passed = None
        self._not_due(now_s)
        self.wait(position_s=now_s)

    def begins_again(self) -> None:
        """What comes next begins with the keyframe that was looked at last, placed where it was: once is enough."""
        self._begins_again = True

    def wait(self, *, position_s: float) -> None:
        """The connection lives and nothing was seen. Tells Alive every 2.5 s, and Blind once."""
        if self._live and position_s < self._patient_until_s:
            return  # each packet asks, and they come by the hundred
        if self._seen_s is None:
            self._seen_s = position_s
            self._told_s = self._wall_s(position_s)
        without_s = position_s - self._seen_s
        if self._live and without_s >= 2 * self._options.blind_after_s:
            # A codec that changed in mid-stream is only seen by opening anew.
            raise self.unwatchable(self._reason(without_s))
        if without_s >= self._options.blind_after_s and not self._blind:
            self._blind = True
            self._tell(Blind(self._reason(self._options.blind_after_s)))
        now_s = self._wall_s(position_s)
        if not 0 <= now_s - self._told_s < _TELL_EVERY_S:
            self._told_s = now_s
            self._flush()
            self._tell(Alive(self._packets, self._passed_over))
            self._packets = self._passed_over = 0
        blind_s = self._seen_s + self._options.blind_after_s * (2 if self._blind else 1)
        self._patient_until_s = min(self._told_s + _TELL_EVERY_S, blind_s)

    def damaged(self, what: str) -> None:
        """Something was passed over; told with the next word."""
        self._damaged[what] = self._damaged.get(what, 0) + 1

    def ended(self) -> None:
        """The end, fairly. Raises where nothing was ever seen: a source that showed nothing is not clear."""
        self._flush()
        if self.pictures:
            return
        if self._live:
            raise SourceUnavailable("watch", self._subject, "it ended before the first picture", hint="is it live?")
        raise self.unwatchable("no keyframe in it can be decoded")

    def unwatchable(self, reason: str) -> SourceUnwatchable:
        """The error to raise when nothing can be seen."""
        self._flush()
        return SourceUnwatchable("watch", self._subject, reason)

    def _tell_unwatched(self, tracks: int) -> None:
        """A player may be told to show another video track. Of a recording that must not pass for clear."""
        if tracks > self._unwatched:
            if self._live:
                self._damaged["video track not watched"] = tracks - self._unwatched
                self._flush()
            else:
                self._tell(Blind(f"{tracks} more video {'track' if tracks == 1 else 'tracks'} in it"))
            self._unwatched = tracks

    def _bounded(self, arrived_s: float) -> None:
        """Raises when a live stream's time stamps make us look at more than it can honestly have."""
        if not self._live:
            return
        passed_s = max(0.0, arrived_s - self._looked_at_s)
        self._looks, self._looked_at_s = max(0.0, self._looks - passed_s * self._looks_a_s) + 1, arrived_s
        if self._looks > _MOST_LOOKS:
            often = f"over {_MOST_LOOKS} keyframes at once, or {self._looks_a_s:.0f} a second"
            self._flush()
            raise SourceExcessive("watch", self._subject, f"{often}, apart by its own time stamps")

    def _seen(self, position_s: float) -> None:
        self.pictures += 1
        self.keyframes += 1
        self._sampler.looked()
        self._seen_s = position_s
        self._told_s = self._wall_s(position_s)
        self._packets = 0
        self._blind = False
        self._flush()

    def _wall_s(self, position_s: float) -> float:
        """The time that whoever listens for us lives in: a recording on a slow disk may be silent for long, too."""
        return position_s if self._live else self.clock_s()

    def _flush(self) -> None:
        for what, count in self._damaged.items():
            self._tell(Damaged(what, count))
        self._damaged.clear()

    def _reason(self, without_s: float) -> str:
        what = "no keyframe could be decoded" if self._decoder and self._decoder.failures else "no keyframe"
        return f"{what} for {without_s:.0f} s"
