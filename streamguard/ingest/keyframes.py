"""Keyframes out of a video stream, each one the moment its packet is in.

A decoder keeps pictures back to put them in order: with two B-frames and keyframes only, each would come out two
keyframes late, seconds that a stream stays up. So it is drained after every keyframe, and flushed for the next.
"""

from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from streamguard.ingest.luma import luma_of
from streamguard.types import Levels, Luma

Picture = tuple[float | None, Luma, Levels]
"""A decoded keyframe: its time stamp in seconds, if it has one, its luma, and what is black and white in it."""

PARSE_ONLY = {"codec_whitelist": "none"}
"""Opens a container without decoding its first picture to find out about it: the parsers know enough. That saves half
the work of a short segment, and a picture of hostile size never gets past `max_pixels`."""

_MAX_FAILURES_IN_A_ROW = 5


def pick_video(container: InputContainer) -> VideoStream | None:
    """The largest video stream that is no cover picture, or None; all others are dropped in the demuxer."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    chosen = max(streams, key=_pixels, default=None)
    for stream in container.streams:
        if stream is not chosen:
            stream.discard = Discard.all
    return chosen


def why_blind(container: InputContainer, video: VideoStream | None, *, max_pixels: int) -> str | None:
    """Why nothing can be seen although there is a connection; None: it can."""
    if video is None:
        return "only audio" if container.streams.audio else "no video"
    # Where FFmpeg has no decoder PyAV has no codec context, whatever its stubs say.
    codec = getattr(video, "codec_context", None)
    if codec is None:
        return "its codec cannot be decoded"
    if _pixels(video) > max_pixels:
        return f"its picture of {codec.width}x{codec.height} is larger than ingest.max_pixels allows"
    return None


class KeyframeDecoder:
    """Decodes one keyframe at a time; `failures` counts those in a row that gave no picture."""

    def __init__(self, video: VideoStream, *, max_pixels: int) -> None:
        self._codec = video.codec_context
        self._codec.thread_type = "NONE"  # the default starts as many threads as there are cores, for each stream
        self._codec.skip_frame = "NONKEY"
        self._codec.options = {"skip_loop_filter": "all", "max_pixels": str(max_pixels)}
        self._time_base = video.time_base
        self.failures = 0

    @property
    def hopeless(self) -> bool:
        """So many failures in a row that the codec must have changed: only opening anew helps."""
        return self.failures >= _MAX_FAILURES_IN_A_ROW

    def pictures(self, packet: "Packet[VideoStream]") -> Iterator[Picture]:
        """The picture of a keyframe's packet; none where it is damaged."""
        whole = [frame for frame in self._decode(packet) if not frame.is_corrupt]
        self.failures = 0 if whole else self.failures + 1
        for frame in whole:
            stamp = frame.pts if frame.pts is not None else packet.dts
            base = frame.time_base or self._time_base
            luma, levels = luma_of(frame)
            yield None if stamp is None or base is None else float(stamp * base), luma, levels

    def _decode(self, packet: "Packet[VideoStream]") -> list[av.VideoFrame]:
        try:
            return self._codec.decode(packet) or self._codec.decode(None)
        except (av.FFmpegError, ValueError):
            # One bad packet is nothing unusual on the air; the caller counts, and gives up after a run of them.
            return []
        finally:
            self._codec.flush_buffers()


class Spacing:
    """Some encoders make every picture a keyframe; a few a second are enough to look at.

    Only what is close to the last one both in arrival and by the stream's own time is left out: a stream that comes in
    bursts, by accident or to hide something, is looked at like any other.
    """

    def __init__(self, spacing_s: float) -> None:
        self._spacing_s = spacing_s
        self._last_s: tuple[float, float] | None = None

    def due(self, at_s: float, *, stamp_s: float | None = None) -> bool:
        """Whether a keyframe at this time is to be looked at. A clock that went back makes it due."""
        times = (at_s, at_s if stamp_s is None else stamp_s)
        last = self._last_s
        if last is not None and all(0 <= now - then < self._spacing_s for now, then in zip(times, last, strict=True)):
            return False
        self._last_s = times
        return True


def stamp_s(packet: "Packet[VideoStream]") -> float | None:
    """A packet's own time, in decoding order where it says so."""
    stamp = packet.dts if packet.dts is not None else packet.pts
    return None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)


def _pixels(video: VideoStream) -> int:
    codec = getattr(video, "codec_context", None)
    return 0 if codec is None else codec.width * codec.height
