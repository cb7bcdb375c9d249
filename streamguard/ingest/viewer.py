"""What one connection's packets become: frames with their times, and words where there are none.

RTMP, files and HLS read differently and see alike; this is the part that is alike.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamguard.core.clock import MediaClock
from streamguard.core.sampling import Moment, Sampler
from streamguard.errors import SourceUnavailable, SourceUnwatchable
from streamguard.ingest.keyframes import KeyframeDecoder, Spacing, Stamps, pick_video, video_tracks, why_blind
from streamguard.ingest.news import Alive, Blind, Damaged, Opened, Refusal, Refused, Tell
from streamguard.ingest.options import PaceNow, SourceOptions, every_keyframe
from streamguard.types import Frame

_TELL_EVERY_S = 1.0
_WINDOW_S = 10.0
_MOST_LOOKS = 600
"""Two minutes of footage at the usual spacing: more than one long HLS segment, or a catch-up after a stall, brings."""
_MOST_REMEMBERED = 64


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
        self._sampler = Sampler()
        self._stamps = Stamps(None, None)
        self._seen_stamps: deque[Stamps] = deque(maxlen=_MOST_REMEMBERED)
        self._again: frozenset[Stamps] = frozenset()
        self._again_at_s: float | None = None
        self._decoder: KeyframeDecoder | None = None
        self._opened: Opened | None = None
        self._seen_s: float | None = None
        self._told_s = -math.inf
        self._packets = self._passed_over = 0
        self._damaged: dict[str, int] = {}
        self._blind = False
        self._unwatched = 0
        self._window_s = -math.inf
        self._looks = 0
        self.pictures = 0
        self.keyframes = 0
        """Those that were seen, and those that were not due to be looked at."""
        self.pace: PaceNow = every_keyframe
        """Of a live stream; of a recording every keyframe is looked at."""

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
        self.wait(position_s=position_s)
        return video

    def frames(self, packet: "Packet[VideoStream]", *, arrived_s: float, position_s: float) -> Iterator[Frame]:
        """The frame of a keyframe, due and whole, else none. Raises SourceUnwatchable after a run of bad ones."""
        if packet.size == 0:
            return
        self._packets += 1
        if self._decoder is None or not packet.is_keyframe or not self._due(packet, arrived_s, position_s=position_s):
            self.wait(position_s=position_s)
            return
        self._bounded(arrived_s)
        for pts_s, luma, levels in self._decoder.pictures(packet):
            at = self._clock.at(pts_s, arrived_s=arrived_s if self._live else position_s)
            self._seen(position_s)
            yield Frame(at, arrived_s, luma, levels)
        if self._decoder.failures:
            self.damaged("keyframe")
            if size := self._decoder.too_large:
                self._tell(Refused(Refusal.PICTURE, f"a picture of {size}: more than ingest.max_pixels"))
            self.wait(position_s=position_s)
        if self._decoder.hopeless:
            why = "are larger than ingest.max_pixels allows" if self._decoder.too_large else "cannot be decoded"
            raise self.unwatchable(f"{self._decoder.failures} keyframes in a row {why}")

    def _due(self, packet: "Packet[VideoStream]", arrived_s: float, *, position_s: float) -> bool:
        stamps = self._stamps = Stamps.of(packet)
        if self._is_seen_again(stamps, arrived_s):
            self._not_due(position_s)
            return False
        if not self._spacing.due(position_s, stamps=stamps):
            return False
        if not self._live or self._sampler.due(Moment(arrived_s, stamps.dts_s, stamps.pts_s), pace=self.pace()):
            return True
        self._not_due(position_s)
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
        self._not_due(now_s)
        self.wait(position_s=now_s)
        return True

    def wait(self, *, position_s: float) -> None:
        """The connection lives and nothing was seen. Tells Alive at most once a second, and Blind once."""
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
        if not 0 <= arrived_s - self._window_s < _WINDOW_S:
            self._window_s, self._looks = arrived_s, 0
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            raise self.unwatchable(f"over {_MOST_LOOKS} keyframes in {_WINDOW_S:.0f} s, apart by its own time stamps")

    def _seen(self, position_s: float) -> None:
        self.pictures += 1
        self.keyframes += 1
        self._sampler.looked()
        self._seen_stamps.append(self._stamps)
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
