"""Keyframes out of a video stream, each one the moment its packet is in.

A decoder keeps pictures back to put them in order: with two B-frames and keyframes only, each would come out two
keyframes late, seconds that a stream stays up. So it is drained after every keyframe, and flushed for the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

import av
from av.container import InputContainer
from av.packet import Packet, PacketSideData
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamguard.core.clock import MediaClock
from streamguard.ingest.codecs import FILES, refused
from streamguard.ingest.luma import luma_of
from streamguard.ingest.news import Refusal
from streamguard.types import Levels, Luma

Picture = tuple[float | None, Luma, Levels]
"""A decoded keyframe: its time stamp in seconds, if it has one, its luma, and what is black and white in it."""

PARSE_ONLY = {"codec_whitelist": "none"}
"""Opens a container without decoding its first picture to find out about it: the parsers know enough. That saves half
the work of a short segment, and a picture of hostile size never gets past `max_pixels`."""

_HEADER: Final = "new_extradata"
_MAX_FAILURES_IN_A_ROW = 5
_MOST_REORDERED_S = 10.0


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why nothing can be seen although there is a connection. `refusal`: where that is a bound of ours."""

    reason: str
    refusal: Refusal | None = None


def pick_video(container: InputContainer) -> VideoStream | None:
    """The video track that players show: the default one, else the first; all others are dropped in the demuxer.

    None: there is none but cover pictures.
    """
    tracks = video_tracks(container)
    default = (track for track in tracks if track.disposition & Disposition.default)
    chosen = next(default, tracks[0] if tracks else None)
    for stream in container.streams:
        if stream is not chosen:
            stream.discard = Discard.all
    return chosen


def video_tracks(container: InputContainer) -> tuple[VideoStream, ...]:
    """The tracks that a player could show, cover pictures left out."""
    return tuple(track for track in container.streams.video if not track.disposition & Disposition.attached_pic)


def why_blind(
    container: InputContainer,
    video: VideoStream | None,
    *,
    max_pixels: int,
    limit: str = "ingest.max_pixels allows",
    codecs: tuple[str, ...] = FILES,
) -> Unseen | None:
    """None: it can be seen. `limit`: what `max_pixels` is called."""
    if video is None:
        return Unseen("only audio" if container.streams.audio else "no video")
    # Where FFmpeg has no decoder PyAV has no codec context, whatever its stubs say.
    codec = getattr(video, "codec_context", None)
    if codec is None:
        return Unseen("its codec cannot be decoded", Refusal.CODEC)
    which = "the codecs of files that are decoded" if codecs == FILES else "ingest.codecs"
    if problem := refused(codec.codec.canonical_name, allowed=codecs, option=which):
        return Unseen(problem, Refusal.CODEC)
    if _pixels(video) > max_pixels:
        return Unseen(f"its picture of {codec.width}x{codec.height} is larger than {limit}", Refusal.PICTURE)
    return None


class Track(Protocol):
    """What a decoder must know of what it decodes: a container's VideoStream has it."""

    @property
    def codec_context(self) -> VideoCodecContext: ...

    @property
    def time_base(self) -> Fraction | None: ...


class KeyframeDecoder:
    """Decodes one keyframe at a time; `failures` counts those in a row that gave no picture."""

    def __init__(self, video: Track, *, max_pixels: int) -> None:
        self._codec = video.codec_context
        # The default starts as many threads as there are cores, for each stream; libdav1d goes by their number alone.
        self._codec.thread_type, self._codec.thread_count = "NONE", 1
        self._codec.skip_frame = "NONKEY"
        self._codec.options = {"skip_loop_filter": "all", "max_pixels": str(max_pixels)}
        self._time_base = video.time_base
        self._max_pixels = max_pixels
        self.failures = 0

    @property
    def hopeless(self) -> bool:
        """So many failures in a row that the codec must have changed: only opening anew helps."""
        return self.failures >= _MAX_FAILURES_IN_A_ROW

    @property
    def too_large(self) -> str:
        """The size of the last picture, where that is why there is none: another began in mid-stream; else empty."""
        return f"{self._codec.width}x{self._codec.height}" if self.failures and self._is_too_large() else ""

    def pictures(self, packet: "Packet[VideoStream]") -> Iterator[Picture]:
        """The picture of a keyframe's packet; where it is damaged, which counts as a failure, what there is of it, if
        anything. Raises MemoryError.
        """
        found = self._decode(packet)
        whole = [frame for frame in found if not frame.is_corrupt]
        self.failures = 0 if whole else self.failures + 1
        for frame in whole or found:
            stamp = frame.pts if frame.pts is not None else packet.dts
            base = frame.time_base or self._time_base
            luma, levels = luma_of(frame)
            yield None if stamp is None or base is None else float(stamp * base), luma, levels

    def _decode(self, packet: "Packet[VideoStream]") -> list[av.VideoFrame]:
        """Raises MemoryError: that says nothing of the packet."""
        try:
            return self._codec.decode(packet) or self._codec.decode(None)
        except MemoryError:
            if not self._is_too_large():  # FFmpeg's HEVC says so of these, too
                raise
            return []
        except (av.FFmpegError, ValueError):
            # One bad packet is nothing unusual on the air; the caller counts, and gives up after a run of them.
            return []
        finally:
            self._codec.flush_buffers()

    def _is_too_large(self) -> bool:
        return self._codec.width * self._codec.height > self._max_pixels


class Headers:
    """What a codec must know before a picture (of H.264 the parameter sets), where it changes in mid-stream: FLV tells
    it once, beside whichever packet comes next. That one may not be looked at, and players know it all the same.
    """

    def __init__(self) -> None:
        self._newest: PacketSideData | None = None

    def put_into(self, packet: "Packet[VideoStream]") -> None:
        """Of each packet, in order: a keyframe has from now on what it takes to decode it, whatever was before it."""
        header = header_in(packet)
        if header is not None:
            self._newest = header
        elif self._newest is not None and packet.is_keyframe:
            packet.set_sidedata(self._newest)


def header_in(packet: "Packet[VideoStream]") -> PacketSideData | None:
    """A copy of what it brings of it, to be put into other packets."""
    # Most bring nothing at all, and to ask for one kind has PyAV look its name up each time.
    if next(packet.iter_sidedata(), None) is None or not packet.has_sidedata(_HEADER):
        return None
    return packet.get_sidedata(_HEADER)


def header_of(packet: "Packet[VideoStream]") -> bytes | None:
    """The bytes of that."""
    header = header_in(packet)
    return None if header is None else bytes(header)


@dataclass(frozen=True, slots=True)
class Stamps:
    """A packet's own times, as far as it has them. Whoever makes the stream sets each as they like."""

    dts_s: float | None
    pts_s: float | None

    @classmethod
    def of(cls, packet: "Packet[VideoStream]") -> "Stamps":
        """In seconds."""
        base = packet.time_base
        dts, pts = (
            None if stamp is None or base is None else float(stamp * base) for stamp in (packet.dts, packet.pts)
        )
        return cls(dts, pts)


NO_STAMPS = Stamps(None, None)


class Position:
    """Where in a recording we are, from 0 and only forward: as far as either of its clocks says.

    Parts that were joined and count from 0 again go on. Presentation times are not in order, which is no step back.
    """

    def __init__(self) -> None:
        self._decoding = MediaClock(0, live=False)
        self._presenting = MediaClock(0, live=False)
        self._shown_s: float | None = None
        self._at_s = 0.0

    def at_s(self, stamps: Stamps) -> float:
        """The position when this packet has been read."""
        shown_s = stamps.pts_s
        if shown_s is not None and (self._shown_s is None or not 0 <= self._shown_s - shown_s < _MOST_REORDERED_S):
            self._shown_s = shown_s
            self._at_s = max(self._at_s, self._presenting.at(shown_s, arrived_s=0.0).pts_us / 1_000_000)
        if stamps.dts_s is not None:
            self._at_s = max(self._at_s, self._decoding.at(stamps.dts_s, arrived_s=0.0).pts_us / 1_000_000)
        return self._at_s


class Spacing:
    """Some encoders make every picture a keyframe; a few a second are enough to look at.

    Only what is close to the last one in arrival, in decoding time and in presentation time is left out: a stream that
    comes in bursts, or whose times are squeezed, by accident or to hide something, is looked at like any other. And
    only what is soon followed by another: what viewers go on seeing is looked at, however close behind a look it came.
    """

    def __init__(self, spacing_s: float) -> None:
        self._spacing_s = spacing_s
        self._last_s: tuple[float | None, ...] | None = None

    def due(self, at_s: float, *, stamps: Stamps = NO_STAMPS) -> bool:
        """Whether a keyframe at this time is to be looked at. A clock that went back makes it due."""
        times = (at_s, stamps.dts_s, stamps.pts_s)
        if self._last_s is not None and all(map(self._near, times, self._last_s)):
            return False
        self._last_s = times
        return True

    def lasted(self, at_s: float, *, now_s: float, stamps: Stamps, now: Stamps) -> bool:
        """Whether by now one that was left out at that time has been shown for as long as two looks are apart."""
        pairs = ((at_s, now_s), (stamps.dts_s, now.dts_s), (stamps.pts_s, now.pts_s))
        return any(
            then_s is not None and later_s is not None and later_s - then_s >= self._spacing_s
            for then_s, later_s in pairs
        )

    def took(self, at_s: float, *, stamps: Stamps) -> None:
        """One that was left out has been looked at after all."""
        self._last_s = (at_s, stamps.dts_s, stamps.pts_s)

    def _near(self, now_s: float | None, then_s: float | None) -> bool:
        if now_s is None or then_s is None:
            return now_s is then_s
        return 0 <= now_s - then_s < self._spacing_s


def _pixels(video: VideoStream) -> int:
    codec = getattr(video, "codec_context", None)
    return 0 if codec is None else codec.width * codec.height
