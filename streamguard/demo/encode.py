"""Pictures to files and back: videos, images, segments of an HLS stream. PyAV does it, no ffmpeg program is needed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamguard.demo.scenes import Footage
from streamguard.demo.textures import Picture
from streamguard.errors import UsageError

_FINEST_RATE = 1001


@dataclass(frozen=True, slots=True)
class Encoding:
    """How pictures become a stream: a closed group of pictures (GOP) of exactly `gop_s`, with no other keyframes."""

    fps: float = 25.0
    gop_s: float = 2.0
    bframes: int = 2
    codec: str = "libx264"
    bit_rate_bps: int = 1_500_000
    pixel_format: str = "yuv420p"
    threads: int = 0
    """0: as many as the encoder likes."""
    repeatable: bool = False
    """The same bytes for the same pictures each time, of libx264 in one thread: on processors with AVX-512 its
    macroblock tree differs now and then (in 7 of 100 encodings on a busy machine; without it in none of 300).
    """

    @property
    def rate(self) -> Fraction:
        """Frames a second, exact for 29.97 too."""
        return Fraction(self.fps).limit_denominator(_FINEST_RATE)

    @property
    def gop_frames(self) -> int:
        return max(1, round(self.gop_s * self.fps))

    def options(self) -> dict[str, str]:
        """The encoder's options."""
        gop = str(self.gop_frames)
        options = {"g": gop, "keyint_min": gop, "sc_threshold": "0", "bf": str(self.bframes)}
        options |= {"threads": str(self.threads)} if self.threads else {}
        options |= {"mbtree": "0"} if self.repeatable else {}
        return options | {"preset": "veryfast"} if self.codec.startswith("libx26") else options


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a stream: a file, and where in the stream it begins."""

    path: Path
    from_s: float
    duration_s: float

    @property
    def to_s(self) -> float:
        return self.from_s + self.duration_s


def film(
    footage: Footage, *, seconds: float, fps: float = 25.0, from_s: float = 0.0, size_px: tuple[int, int] = (640, 360)
) -> Iterator[Picture]:
    """The pictures of a stretch of footage, `fps` a second. `size_px` is width, height."""
    for number in range(round(seconds * fps)):
        yield footage.frame(from_s + number / fps, *size_px)


def write_video(path: Path, pictures: Iterable[Picture], encoding: Encoding | None = None) -> Path:
    """Encode pictures, all of the first one's size, into a file; its suffix names the container (mp4, mkv, ts, flv)."""
    container_format = {".ts": "mpegts", ".mkv": "matroska"}.get(path.suffix)
    with av.open(str(path), "w", format=container_format) as container:
        _encode(container, pictures, encoding or Encoding())
    return path


def encoded(pictures: Iterable[Picture], encoding: Encoding | None = None) -> bytes:
    """The bytes of an MP4 file of pictures, for where no file can be written."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        _encode(container, pictures, encoding or Encoding())
    return file.getvalue()


def write_segments(folder: Path, pictures: Iterable[Picture], encoding: Encoding | None = None) -> tuple[Segment, ...]:
    """Encode pictures into MPEG-TS segments of one GOP each, `000000.ts` and so on, their times running on."""
    encoding = encoding or Encoding()
    options = {"segment_format": "mpegts", "segment_time": f"{encoding.gop_s:.6f}"}
    with av.open(str(folder / "%06d.ts"), "w", format="segment", options=options) as container:
        frames = _encode(container, pictures, encoding)
    return tuple(
        Segment(
            path=folder / f"{number:06d}.ts",
            from_s=float(first / encoding.rate),
            duration_s=float(min(encoding.gop_frames, frames - first) / encoding.rate),
        )
        for number, first in enumerate(range(0, frames, encoding.gop_frames))
    )


def write_image(path: Path, picture: Picture) -> Path:
    """Save one picture; the suffix names the format (png, jpg, webp). Raises UsageError when it cannot be written."""
    try:
        done, encoded = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if done:
            path.write_bytes(encoded.tobytes())
    except (cv2.error, OSError) as error:
        raise UsageError("write picture", path, str(error), hint="is the folder there and writable?") from error
    return path


def read_video(path: Path) -> Iterator[Picture]:
    """Every picture of a video of ours, in order, as RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _encode(container: OutputContainer, pictures: Iterable[Picture], encoding: Encoding) -> int:
    """Encode and mux all pictures; how many there were."""
    rest = iter(pictures)
    first = next(rest, None)
    stream = container.add_stream(encoding.codec, rate=encoding.rate, options=encoding.options())
    if first is None or not isinstance(stream, VideoStream):
        raise UsageError("encode video", encoding.codec, "there are no pictures, or it is no video codec")
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = encoding.pixel_format
    stream.bit_rate = encoding.bit_rate_bps
    count = 0
    for picture in chain((first,), rest):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = count
        frame.time_base = 1 / encoding.rate
        container.mux(stream.encode(frame))
        count += 1
    container.mux(stream.encode(None))
    return count
