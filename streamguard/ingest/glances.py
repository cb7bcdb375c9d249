"""Looks between keyframes: keeps a group's packets where one may be taken, and decodes as far as it takes.

When is core.glances' to say. The packets are there anyway: RTMP's are dropped behind the demuxer, and so are those of
a segment that was fetched whole. A decoder of its own is opened for each glance, for the session's shows keyframes
alone and must not lose its place; whatever goes wrong in it costs that glance.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamguard.core.glances import Finding, Glances, are_alike
from streamguard.core.sampling import Pace
from streamguard.errors import SourceUnwatchable
from streamguard.ingest.keyframes import Picture, header_of
from streamguard.ingest.luma import luma_of
from streamguard.ingest.nal_units import is_of_use
from streamguard.ingest.news import Glanced, Tell
from streamguard.ingest.options import Hashed, SourceOptions
from streamguard.ingest.packet_memory import PacketMemory
from streamguard.types import Levels, Luma

_MOST_BYTES = 8 << 20
"""Of one group's packets with their headers, ten seconds of 6 Mb/s; what a longer group shows behind them is not looked
at.
"""

_MOST_PACKETS = 2000
_SMALL_BYTES = 2048
"""Of smaller packets those in which nothing is that a decoder needs are not kept: whoever sent hundreds of them behind
each keyframe would have its group taken for too dear, or too long.
"""

_PICTURE_S_A_PIXEL = 1.6e-9
"""Decoding a picture, where nothing is known of this stream: 1.5 ms of 720p."""

_HALF_FORGOTTEN_S = 300.0
"""Of what its pictures took beyond that half counts so much later: a stream whose first ones were dear, on purpose or
not, would else be too dear for glances as long as it lasts.
"""

_LOOK_S = 0.006
"""Fingerprints and look-up of one picture."""

_OVER_S = 0.25
"""A glance that takes so much longer than was expected is broken off."""

_FILES_SHARE = 0.0025
"""Of a core and of a recording's own time: nobody waits, and there are no others."""

_TELL_REFUSED_EVERY_S = 10.0

_Packet: TypeAlias = "Packet[VideoStream]"


@dataclass(frozen=True, slots=True)
class _Pending:
    """A glance that was unlike the keyframe before it: what the next one shows says what it was."""

    before: bytes
    code: bytes

    def finding(self, code: bytes) -> Finding:
        """Where the next keyframe has that hash."""
        if are_alike(code, self.code):
            return Finding.ORDINARY
        return Finding.CAME_BACK if are_alike(code, self.before) else Finding.MOVED_ON


def _frames(context: VideoCodecContext, packet: "_Packet | None") -> "list[av.VideoFrame] | None":
    """What a packet gives; None: it is damaged. Players pass over such a one and show the next. Raises MemoryError."""
    try:
        return context.decode(packet)
    except MemoryError:
        raise
    except av.FFmpegError:
        return None


class Glancer:
    """One session's. Times called `at_s` are the viewer's positions; costs are processor time, of recordings what
    decoding takes as a rule, so that the same file gives the same decisions.
    """

    def __init__(
        self,
        options: SourceOptions,
        *,
        live: bool,
        tell: Tell,
        processor_s: Callable[[], float] = time.process_time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._live = live
        self._max_pixels = options.max_pixels
        self._hashed: Hashed = options.hashed or (lambda _luma, _levels: b"")
        self._tell = tell
        self._processor_s = processor_s
        self._glances = Glances(chance=chance if live else None)
        self._codec: VideoCodecContext | None = None
        self._extradata: bytes | None = None
        self._packets = PacketMemory(_MOST_BYTES, most_packets=_MOST_PACKETS)
        self._keeps = False
        self._time_base: Fraction | None = None
        self._picture_s = 0.0
        self._keyframe_s = 0.0
        self._pending: _Pending | None = None
        self._told_s = 0.0

    def opened(self, video: VideoStream) -> None:
        """Packets of this stream come next."""
        self._codec = video.codec_context
        self._extradata = self._codec.extradata
        self._drop()

    def keyframe(self, packet: _Packet, *, at_s: float, pace: Pace) -> None:
        """A keyframe came, whether it is looked at or not."""
        self._extradata = header_of(packet) or self._extradata
        self._time_base = packet.time_base
        self._forget(at_s)
        self._keeps = self._glances.keyframe(packet.size, at_s=at_s, share=self._share(pace, at_s))
        if self._keeps:
            self._packets.drop_all()
            self._keep(packet)
        else:
            self._drop()
        if self._glances.refused and at_s - self._told_s >= _TELL_REFUSED_EVERY_S:
            self._tell_glanced(at_s, looks=0, cost_s=0.0)

    def note(self, packet: _Packet, *, at_s: float) -> bool:
        """Another packet came; whether to ask for a glance now."""
        size = packet.size
        if self._keeps and (size >= _SMALL_BYTES or self._codec is None or is_of_use(packet, self._codec)):
            self._keep(packet)
            if not self._glances.keeps(at_s=at_s, cost_s=self._expected_s() + _LOOK_S):
                self._keeps = False
                self._packets.drop_all()  # the next group's stand where these stood
        return self._glances.picture(size, at_s=at_s) and self._keeps

    def glance(self, *, at_s: float, pace: Pace) -> Picture | None:
        """The picture that is shown now, if it is to be looked at, and can be decoded."""
        cost_s = self._expected_s() + _LOOK_S
        codec = self._codec
        if codec is None or not self._glances.due(at_s=at_s, share=self._share(pace, at_s), cost_s=cost_s):
            return None
        began_s = self._processor_s()
        try:
            pictures = self._decoded(codec, until_s=began_s + cost_s + _OVER_S)
            codes = () if pictures is None else tuple(map(self._code, pictures))
        except (av.FFmpegError, MemoryError, ValueError, SourceUnwatchable):
            # It was one look more than others give. The packets are what failed: no other glance at these.
            self._drop()
            pictures, codes = None, ()
        spent_s = cost_s if not self._live else self._processor_s() - began_s + _LOOK_S
        self._glances.looked(at_s=at_s, cost_s=spent_s)
        if codes:
            self._compare(*codes, at_s=at_s)
        self._tell_glanced(at_s, looks=int(pictures is not None), cost_s=spent_s)
        return None if pictures is None else pictures[1]

    @property
    def wants_next(self) -> bool:
        """Whether the next keyframe must be looked at, to know what the last glance has shown."""
        return self._pending is not None

    def saw_keyframe(self, luma: Luma, levels: Levels, *, at_s: float) -> None:
        """A keyframe is looked at."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        was_hiding = self._glances.is_hiding(at_s)
        self._glances.found(pending.finding(self._hashed(luma, levels)), at_s=at_s)
        if self._glances.is_hiding(at_s) and not was_hiding:
            self._tell_glanced(at_s, looks=0, cost_s=0.0)

    def _share(self, pace: Pace, at_s: float) -> float:
        if self._live:
            return pace.between_share
        return _FILES_SHARE * (4 if self._glances.is_hiding(at_s) else 1)

    def _expected_s(self) -> float:
        """Of decoding all that is kept."""
        if not self._picture_s:
            self._picture_s = self._reckoned_s
        return self._picture_s * len(self._packets)

    @property
    def _reckoned_s(self) -> float:
        """Of decoding a picture, by its size."""
        return 0.0 if self._codec is None else _PICTURE_S_A_PIXEL * self._codec.width * self._codec.height

    def _forget(self, at_s: float) -> None:
        beyond_s = self._picture_s - self._reckoned_s
        if beyond_s > 0:
            self._picture_s -= beyond_s * (1 - 0.5 ** (max(0.0, at_s - self._keyframe_s) / _HALF_FORGOTTEN_S))
        self._keyframe_s = at_s

    def _decoded(self, codec: VideoCodecContext, *, until_s: float) -> tuple[Picture, Picture] | None:
        """The keyframe's picture and the newest; None: it took too long, or gave none. Raises PyAV's errors."""
        began_s = self._processor_s()
        context = self._context(codec)
        first = last = None
        damaged = 0
        for packet in (*self._packets.packets(), None):
            frames = _frames(context, packet)
            damaged += frames is None
            for frame in frames or ():
                if frame.is_corrupt or frame.pts is None:
                    continue
                first = first or frame
                last = frame if last is None or last.pts is None or frame.pts > last.pts else last
            if self._live and self._processor_s() > until_s:
                self._drop()
                return None
        if self._live:
            each_s = (self._processor_s() - began_s) / len(self._packets)
            self._picture_s += (each_s - self._picture_s) / 2
        if first is None or last is None or first is last:
            if damaged:
                self._drop()  # no other glance at these
            return None
        return self._picture(first), self._picture(last)

    def _context(self, codec: VideoCodecContext) -> VideoCodecContext:
        """Pictures that no other is made of are left out, and edges not smoothed: 40 % less, for 4 bits of 256."""
        context: VideoCodecContext = av.CodecContext.create(codec.codec, "r")  # type: ignore[assignment]
        context.extradata = self._extradata
        context.thread_type, context.thread_count = "NONE", 1
        context.skip_frame = "NONREF"
        context.options = {"skip_loop_filter": "all", "max_pixels": str(self._max_pixels)}
        return context

    def _picture(self, frame: av.VideoFrame) -> Picture:
        base = frame.time_base or self._time_base
        luma, levels = luma_of(frame)
        return (None if frame.pts is None or base is None else float(frame.pts * base)), luma, levels

    def _code(self, picture: Picture) -> bytes:
        return self._hashed(picture[1], picture[2])

    def _compare(self, before: bytes, now: bytes, *, at_s: float) -> None:
        if are_alike(before, now):
            self._pending = None
            self._glances.found(Finding.SAME, at_s=at_s)
        else:
            self._pending = _Pending(before, now)

    def _tell_glanced(self, at_s: float, *, looks: int, cost_s: float) -> None:
        refused, self._glances.refused = self._glances.refused, 0
        self._told_s = at_s
        self._tell(Glanced(looks, refused, cost_s, hiding=self._glances.is_hiding(at_s)))

    def _keep(self, packet: _Packet) -> None:
        if not self._packets.put(packet):
            self._drop()

    def _drop(self) -> None:
        self._packets.clear()
        self._keeps = False
