"""Reference files, videos and images: every picture of them, in order, with times from 0.

A reference may come from an enemy. FFmpeg is told which formats may be, none of which names other files, is given the
bytes and not the path, and may open nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamguard.errors import SourceUnwatchable, UsageError
from streamguard.ingest.av_errors import FOREIGN, as_ours
from streamguard.ingest.codecs import WHITELIST
from streamguard.ingest.keyframes import pick_video, why_blind
from streamguard.ingest.luma import luma_of
from streamguard.ingest.news import Damaged, Tell, ignore
from streamguard.regular_files import HeldFile, open_regular
from streamguard.types import Frame, MediaKind, MediaTime

MAX_PIXELS = 16384 * 16384
"""For references, which are decoded in a child of limited memory; streams have ingest.max_pixels."""

_IMAGE_FORMATS = (
    "bmp_pipe", "gem_pipe", "j2k_pipe", "jpeg_pipe", "jpegls_pipe", "jpegxl_pipe", "pam_pipe", "pbm_pipe", "pcx_pipe",
    "pgm_pipe", "png_pipe", "ppm_pipe", "qoi_pipe", "sgi_pipe", "tiff_pipe", "webp_pipe",
)  # fmt: skip
_EITHER_FORMATS = ("apng", "gif", "webp", "jpegxl_anim")
_VIDEO_FORMATS = (
    "3gp", "asf", "av1", "avi", "dv", "flv", "h264", "hevc", "ivf", "matroska", "mjpeg", "mov", "mp4", "mpeg", "mpegts",
    "mpegvideo", "mxf", "nut", "obu", "ogg", "vvc", "webm", "yuv4mpegpipe",
)  # fmt: skip
_WHITELIST = ",".join((*_IMAGE_FORMATS, *_EITHER_FORMATS, *_VIDEO_FORMATS))

# HEIF keeps a picture in tiles that FFmpeg hands out one by one: one tile is not the picture.
_TILED_BRANDS = frozenset({"heic", "heix", "heim", "heis", "mif1", "msf1"})
_FALLBACK_STEP_US = 40_000


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file says of itself. `duration_s` is 0 for an image, and for a video that does not say."""

    kind: MediaKind
    duration_s: float
    width_px: int
    height_px: int
    codec: str


def describe(path: Path | str | HeldFile, *, max_pixels: int = MAX_PIXELS) -> MediaInfo:
    """Kind, length and size of a video or an image.

    Raises UsageError: no such file; SourceUnwatchable: no picture in it, or one of more than `max_pixels`.
    """
    file = as_path(path)
    with opened_file(file, max_pixels=max_pixels) as container:
        video = _video(container, file, max_pixels=max_pixels)
        codec = video.codec_context
        kind = _kind(container, video)
        duration_s = 0.0 if kind is MediaKind.IMAGE else _duration_s(container, video)
        return MediaInfo(kind, duration_s, codec.width, codec.height, codec.name)


def looks(
    path: Path | str | HeldFile, *, every_s: float | None = None, tell: Tell = ignore, max_pixels: int = MAX_PIXELS
) -> Iterator[Frame]:
    """Every picture of a video or an image, or the first of each `every_s` seconds; times from 0, always forward.

    What cannot be decoded is passed over and told as Damaged at the end. Raises UsageError: no such file;
    SourceUnwatchable: nothing in it could be decoded, or it is larger than `max_pixels`.
    """
    file = as_path(path)
    with opened_file(file, max_pixels=max_pixels) as container:
        video = _video(container, file, max_pixels=max_pixels)
        video.codec_context.thread_type = "AUTO"
        video.codec_context.options = {"max_pixels": str(max_pixels)}
        damaged = 0
        times = _Times(every_s)
        for frame in _pictures(container, video):
            if frame is None:
                damaged += 1
                continue
            at_us = times.of(frame)
            if at_us is not None:
                luma, levels = luma_of(frame)
                yield Frame(MediaTime(0, at_us), at_us / 1_000_000, luma, levels)
    if damaged:
        tell(Damaged("packet", damaged))
    if not times.seen:
        hint = f"is the file whole, and its picture of no more than {_millions(max_pixels)}?"
        raise SourceUnwatchable("read", file, "no picture in it can be decoded", hint=hint)


def as_path(path: Path | str | HeldFile) -> Path | HeldFile:
    """The path of a file that is there; of one that is held, itself. Raises UsageError."""
    if isinstance(path, HeldFile):
        return path
    file = Path(path)
    try:
        if file.is_file():
            return file
        problem = "is a folder, not a file" if file.is_dir() else "not a file" if file.exists() else "no such file"
    except (OSError, ValueError) as error:
        raise UsageError("open", file, f"not a usable path: {error}", hint="check the path") from error
    raise UsageError("open", file, problem, hint="check the path")


def held_file(path: Path | str) -> HeldFile:
    """Opened, for whoever may not open it later. Raises UsageError."""
    file = as_path(path)
    if isinstance(file, HeldFile):
        return file
    try:
        return HeldFile.of(file)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path | HeldFile, error: OSError) -> UsageError:
    return UsageError("open", file, error.strerror or "cannot be read", hint="check its permissions")


@contextmanager
def opened_file(file: Path | HeldFile, *, max_pixels: int = MAX_PIXELS) -> Iterator[InputContainer]:
    """The file opened by its content alone: nothing it names is opened, and neither its name nor its place counts."""
    try:
        opened = file.open() if isinstance(file, HeldFile) else open_regular(file)
    except OSError as error:
        raise _unreadable(file, error) from error
    # It is named by its number: FFmpeg would take a name's ending for a hint at the format.
    with opened as raw:
        with as_ours("open", str(file), opening=True):
            container = av.open(
                raw,
                "r",
                options={"format_whitelist": _WHITELIST, "codec_whitelist": WHITELIST, "max_pixels": str(max_pixels)},
                metadata_errors="replace",
                io_open=refuse_nested,
            )
        try:
            yield container
        finally:
            container.close()


def refuse_nested(*_: object) -> NoReturn:
    """PyAV calls this where FFmpeg wants to open something else."""
    raise PermissionError("nothing else may be opened")


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:.0f} million pixels"


def _video(container: InputContainer, file: Path | HeldFile, *, max_pixels: int) -> VideoStream:
    video = pick_video(container)
    unseen = why_blind(container, video, max_pixels=max_pixels, limit=_millions(max_pixels))
    if container.metadata.get("major_brand", "").strip() in _TILED_BRANDS:
        raise SourceUnwatchable("read", file, "HEIF pictures are kept in tiles", hint="convert it to JPEG or PNG")
    if unseen is not None or video is None:
        reason = unseen.reason if unseen else "no video"
        raise SourceUnwatchable("read", file, reason, hint="is it a video or an image?")
    return video


def _pictures(container: InputContainer, video: VideoStream) -> Iterator[av.VideoFrame | None]:
    """Each picture; None for what could not be read or decoded."""
    packets = container.demux(video)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FOREIGN:
            # The demuxer cannot go on from here: what came before is what there is.
            yield None
            return
        try:
            decoded = video.codec_context.decode(packet)
        except FOREIGN:
            yield None
            continue
        for frame in decoded:
            yield None if frame.is_corrupt else frame


class _Times:
    """Times from 0 that only go forward, and which frames are wanted."""

    def __init__(self, every_s: float | None) -> None:
        self._every_us = None if every_s is None else round(every_s * 1_000_000)
        self._first_us: int | None = None
        self._last_us = -1
        self._due_us = 0
        self.seen = 0

    def of(self, frame: av.VideoFrame) -> int | None:
        """The frame's time; None when it is not wanted."""
        stamp = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        stamp_us = None if stamp is None else round(stamp * 1_000_000)
        if self._first_us is None:
            self._first_us = stamp_us
        at_us = -1 if stamp_us is None or self._first_us is None else stamp_us - self._first_us
        if at_us <= self._last_us:
            at_us = 0 if not self.seen else self._last_us + _FALLBACK_STEP_US
        self._last_us = at_us
        self.seen += 1
        if self._every_us is None:
            return at_us
        if at_us < self._due_us:
            return None
        self._due_us = (at_us // self._every_us + 1) * self._every_us if self._every_us > 0 else at_us
        return at_us


def _kind(container: InputContainer, video: VideoStream) -> MediaKind:
    names = container.format.name.split(",")
    if any(name in _IMAGE_FORMATS for name in names):
        return MediaKind.IMAGE
    if any(name in _EITHER_FORMATS for name in names):
        pictures = sum(1 for packet, _ in zip(container.demux(video), range(2), strict=False) if packet.size)
        return MediaKind.IMAGE if pictures == 1 else MediaKind.VIDEO
    return MediaKind.IMAGE if video.frames == 1 else MediaKind.VIDEO


def _duration_s(container: InputContainer, video: VideoStream) -> float:
    if video.duration is not None and video.time_base is not None:
        return max(0.0, float(video.duration * video.time_base))
    return max(0.0, container.duration / av.time_base) if container.duration is not None else 0.0
