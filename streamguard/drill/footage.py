"""A stretch of the operator's footage, and the streams that it becomes under attack."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from streamguard.demo.encode import Encoding, encoded, film
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture
from streamguard.drill.attack import Attack, Moment
from streamguard.errors import UsageError
from streamguard.ingest import files
from streamguard.ingest.av_errors import FOREIGN
from streamguard.ingest.keyframes import pick_video
from streamguard.types import MediaKind

_FPS = 15.0
"""Only keyframes are looked at, so a stream of 15 pictures a second is as hard as one of 25, and is made faster."""

_MOST_PX = 640
_LEAST_PX = 64
_LEAD_IN_SEED, _BEHIND_SEED = 1, 2
_SEEK_FROM_S = 10.0
_EPSILON_S = 1e-3


@dataclass(frozen=True, slots=True)
class Plan:
    """How each attacked stream is made: unrelated footage for `lead_in_s`, then the known one from a moment on that
    the seed picks, at most `limit_s` of it. With the lead-in that is built in, it comes on in the middle of a GOP.
    """

    lead_in_s: float = 7.0
    limit_s: float = 16.0
    gop_s: float = 2.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Pictures of footage at even steps of time, all of one size. `from_s`: where in the file they begin."""

    pictures: tuple[Picture, ...]
    from_s: float

    @property
    def length_s(self) -> float:
        return len(self.pictures) / _FPS

    def at(self, t_s: float) -> Picture:
        return self.pictures[min(len(self.pictures) - 1, int(t_s * _FPS + _EPSILON_S))]


def read_stretch(path: Path, plan: Plan, *, seed: int) -> Stretch:
    """Up to `plan.limit_s` of a video, or an image held for as long, scaled to 640 pixels at most.

    Raises UsageError: no such file, or nothing to show in it; SourceUnwatchable: it cannot be decoded.
    """
    info = files.describe(path)
    room_s = max(0.0, info.duration_s - plan.limit_s)
    from_s = room_s * float(np.random.default_rng([seed, plan.seed]).random())
    count = max(1, round(plan.limit_s * _FPS))
    pictures = tuple(_pictures(path, from_s=from_s, count=count))
    if not pictures and from_s:  # it says that it is longer than it is
        from_s, pictures = 0.0, tuple(_pictures(path, from_s=0.0, count=count))
    if not pictures:
        raise UsageError("read", path, "no picture in it can be decoded", hint="is the file whole?")
    if info.kind is MediaKind.IMAGE:
        pictures = pictures[:1] * count
    return Stretch(pictures, from_s)


class Studio:
    """Makes the attacked streams of one stretch of footage; the lead-in is filmed once for all of them."""

    def __init__(self, stretch: Stretch, plan: Plan, *, seed: int) -> None:
        """`seed` is the footage's own: whatever unrelated footage is shown with it comes from it."""
        height, width = stretch.pictures[0].shape[:2]
        self._stretch = stretch
        self._plan = plan
        self._seed = seed
        self._behind = Scene(seed + _BEHIND_SEED)
        lead_in = Scene(seed + _LEAD_IN_SEED)
        # Whole pictures of the stream's rate: the footage comes on with the next one.
        self._lead_in = tuple(film(lead_in, seconds=plan.lead_in_s, fps=_FPS, size_px=(width, height)))

    @property
    def onset_s(self) -> float:
        """When the footage comes on."""
        return len(self._lead_in) / _FPS

    def stream(self, attack: Attack) -> bytes:
        """The attacked stream as a file, one keyframe every `plan.gop_s`."""
        rate_bps = attack.bit_rate_bps
        encoding = Encoding(fps=_FPS, gop_s=self._plan.gop_s, bit_rate_bps=rate_bps, threads=1, repeatable=True)
        return encoded(self._shown(attack), encoding)

    def attacked(self, attack: Attack) -> Iterator[Picture]:
        """The footage as the attack shows it."""
        length_s = self._stretch.length_s
        for number in range(round(self._plan.limit_s * _FPS)):
            t_s = number / _FPS
            at_s = attack.when(t_s, length_s)
            # Played to its end. (Backwards it begins there.)
            if at_s < -_EPSILON_S or at_s > length_s or (number and at_s >= length_s - _EPSILON_S):
                return
            yield attack.edit(self._stretch.at(max(0.0, at_s)), Moment(t_s, self._seed, self._behind))

    def _shown(self, attack: Attack) -> Iterator[Picture]:
        yield from self._lead_in
        gop_frames = Encoding(fps=_FPS, gop_s=self._plan.gop_s).gop_frames
        for number, picture in enumerate(self.attacked(attack), start=len(self._lead_in)):
            if attack.hides and number % gop_frames == 0:
                yield self._behind.frame(number / _FPS, picture.shape[1], picture.shape[0])
            else:
                yield picture


def _pictures(path: Path, *, from_s: float, count: int) -> Iterator[Picture]:
    """So many pictures from a moment on, at even steps: each is the last one decoded by then."""
    with files.opened_file(path) as container:
        video = pick_video(container)
        if video is None:
            raise UsageError("read", path, "no video in it", hint="is it a video or an image?")
        video.codec_context.thread_type = "NONE"
        if from_s >= _SEEK_FROM_S:
            _seek(container, from_s)
        told = 0
        held: av.VideoFrame | None = None
        for at_s, frame in _timed(container, video):
            due = min(count, int((at_s - from_s) * _FPS + _EPSILON_S))
            if held is not None and due > told:
                picture = _scaled(held)
                yield from (picture for _ in range(told, due))
                told = due
            if told >= count:
                return
            held = frame
        if held is not None:
            yield _scaled(held)  # for one step: nobody says how long the last one lasts


def _timed(container: InputContainer, video: VideoStream) -> Iterator[tuple[float, av.VideoFrame]]:
    """Every picture that can be decoded, with its time in the file; what cannot is passed over."""
    time_base = float(video.time_base or 0)
    start_s = (video.start_time or 0) * time_base
    packets = container.demux(video)
    last_s = -1 / _FPS
    while True:
        try:
            packet = next(packets, None)
        except FOREIGN:  # the demuxer cannot go on: what came before is what there is
            return
        if packet is None:
            return
        try:
            frames = video.codec_context.decode(packet)
        except FOREIGN:
            continue
        for frame in frames:
            at_s = last_s + 1 / _FPS if frame.pts is None else frame.time - start_s
            if not frame.is_corrupt and at_s >= last_s:
                last_s = at_s
                yield at_s, frame


def _seek(container: InputContainer, to_s: float) -> None:
    """To the keyframe before that moment; where the format cannot, decoding goes through all before it."""
    start_us = container.start_time or 0
    try:
        container.seek(start_us + round(to_s * av.time_base))
    except FOREIGN:
        return


def _scaled(frame: av.VideoFrame) -> Picture:
    scale = min(1.0, _MOST_PX / max(frame.width, frame.height))
    width, height = (max(_LEAST_PX, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    return np.asarray(frame.to_ndarray(width=width, height=height, format="rgb24"), np.uint8)
