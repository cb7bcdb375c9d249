"""Keyframes of a stream that were not looked at, kept for a while as they came: encoded, in memory, within bounds.

A quiet stream is looked at seldom. When somebody asks what it has shown, what was passed over is decoded after all, by
a decoder of its own: whatever is in it, the one that looks at the stream goes on as if nothing had been.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import cast

from av.codec import Codec
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamguard.ingest.keyframes import KeyframeDecoder, header_of
from streamguard.ingest.packet_memory import PacketMemory
from streamguard.types import Frame, MediaTime

MOST_KEPT = 256
"""However small they are: each takes some milliseconds to be decoded."""

_APART_US = 1_000_000
"""Of more frequent ones some are left out: copies are known by what moves little within a second."""

_MOST_HEADER_BYTES = 16 << 10
"""Honest ones have some hundred. They count as what they came with does: each may be another."""

_LOOK_UP_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class _Coded:
    """What it takes to decode a track's packets, whatever becomes of the container that they came in."""

    codec: Codec
    extradata: bytes | None
    time_base: Fraction | None
    max_pixels: int


@dataclass(frozen=True, slots=True)
class _Track:
    """As a container's own track looks to a decoder."""

    codec_context: VideoCodecContext
    time_base: Fraction | None


@dataclass(frozen=True, slots=True)
class _Kept:
    at: MediaTime
    arrived_s: float
    coded: _Coded


class KeptKeyframes:
    """One session's. `most_bytes` 0 keeps nothing; `for_s`: of arrivals. The oldest go first."""

    def __init__(self, most_bytes: int, *, for_s: float) -> None:
        self._most_bytes = most_bytes
        self._for_s = for_s
        self._kept: deque[_Kept] = deque()
        self._packets = PacketMemory(most_bytes, most_packets=MOST_KEPT)
        self._coded: _Coded | None = None
        self._decoder: tuple[_Coded, KeyframeDecoder] | None = None

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        return self._packets.size_bytes

    def opened(self, video: VideoStream, *, max_pixels: int) -> None:
        """What is kept from now on is of this track."""
        codec = video.codec_context
        self._coded = _Coded(codec.codec, codec.extradata, video.time_base, max_pixels)

    def keep(self, packet: "Packet[VideoStream]", *, at: MediaTime, arrived_s: float) -> None:
        """A keyframe that was not due. Its bytes are copied: a packet holds all that it was read from."""
        newest = self._kept[-1] if self._kept else None
        if self._coded is None or packet.size > self._most_bytes:
            return
        if newest is not None and 0 <= at.pts_us - newest.at.pts_us < _APART_US:
            return
        header = header_of(packet)
        if header is not None and len(header) > _MOST_HEADER_BYTES:
            return
        if header is not None and header != self._coded.extradata:
            self._coded = replace(self._coded, extradata=header)
        self.forget_older(arrived_s)
        while not self._packets.put(packet):
            if not self._kept:
                return
            self._drop_oldest()
        self._kept.append(_Kept(at, arrived_s, self._coded))

    def looked_at(self, at: MediaTime) -> None:
        """The newest was looked at after all, where it is this one."""
        if self._kept and self._kept[-1].at == at:
            self._drop_newest()

    def forget_older(self, now_s: float) -> None:
        """What came too long before."""
        while self._kept and now_s - self._kept[0].arrived_s > self._for_s:
            self._drop_oldest()

    def forget(self) -> None:
        """All of it, and what it was decoded with."""
        self._kept.clear()
        self._packets.clear()
        self._decoder = None

    def taken(self) -> Frame | None:
        """The newest one's picture, with its own times; it is kept no longer. None: there is none in it, or none is
        left. Raises MemoryError.
        """
        if not self._kept:
            return None
        one = self._kept[-1]
        try:
            decoder = self._decoder_for(one.coded)
            pictures = [(luma, levels) for _, luma, levels in decoder.pictures(self._packets.newest())]
        finally:
            self._drop_newest()
        return Frame(one.at, one.arrived_s, *pictures[0]) if pictures and not decoder.failures else None

    def _decoder_for(self, coded: _Coded) -> KeyframeDecoder:
        if self._decoder is None or self._decoder[0] is not coded:
            codec = cast("VideoCodecContext", CodecContext.create(coded.codec, "r"))
            codec.extradata = coded.extradata
            decoder = KeyframeDecoder(_Track(codec, coded.time_base), max_pixels=coded.max_pixels)
            self._decoder = coded, decoder
        return self._decoder[1]

    def _drop_oldest(self) -> None:
        self._kept.popleft()
        self._packets.drop_oldest()

    def _drop_newest(self) -> None:
        self._kept.pop()
        self._packets.drop_newest()


Work = Callable[[], bool]
"""One piece of what is to be done beside looking, some milliseconds of it; False: there is nothing to do."""


def no_work() -> bool:
    """For callers that have none."""
    return False


def sleep(seconds: float) -> bool:
    """For callers whom nobody can wake: they look up now and then."""
    time.sleep(min(seconds, _LOOK_UP_EVERY_S))
    return True


def without_end() -> float:
    """For rests that are as long as they are."""
    return math.inf


@dataclass(frozen=True, slots=True)
class Aside:
    """What is done with a live stream beside looking at it: `work`, while nothing new is there. `wait` for so many
    seconds, or until somebody may have said something that there is work, or no more rest, by; False: nobody has.
    """

    kept: KeptKeyframes = field(default_factory=lambda: KeptKeyframes(0, for_s=0.0))
    work: Work = no_work
    wait: Callable[[float], bool] = sleep

    def rest(self, seconds: float, *, longest_s: Callable[[], float] = without_end) -> None:
        """Wait for so long, or work, and come back in time, but for a piece of work. `longest_s` may change meanwhile:
        no rest is longer than it says at last.
        """
        began_s = time.monotonic()
        while (left_s := began_s + min(seconds, longest_s()) - time.monotonic()) > 0:
            if not self.work() and not self.wait(left_s):
                return  # what was asked before still holds, and each question is a system call
