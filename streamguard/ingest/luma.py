"""The luma plane of a decoded picture, whatever its pixel format.

A Y plane of 8 bits is a view into the decoder's own buffer, which it keeps alive. Deeper ones are scaled to the range
of 8 bits as float32. Everything that has no Y plane goes through RGB and the weights of the PDQ reference.
"""

from functools import lru_cache
from typing import TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from streamguard.errors import SourceUnwatchable
from streamguard.types import FULL_RANGE, LIMITED_RANGE, Levels, Luma

_FULL_RANGE_FLAG = 2  # AVCOL_RANGE_JPEG
_LIMITED_RANGE_FLAG = 1  # AVCOL_RANGE_MPEG
_BYTE_BITS = 8
_RGB_TO_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_Sample = TypeVar("_Sample", np.uint8, np.uint16)

# Formats whose samples stand in the upper bits of 16: P010 and its kin.
_UPPER_BITS = frozenset({"p010", "p012", "p210", "p212", "p410", "p412", "yuv444p10msb", "yuv444p12msb"})
# FFmpeg has no way from these and ends the whole process over it (8.1).
_FATAL = frozenset({"yaf16", "yaf32"})
# Y and chroma, or grey and alpha, interleaved in one plane: the nearest format that keeps them apart.
_UNPACKED = {
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "ya8": "gray",
    "ya16": "gray16le",
    "y210": "yuv422p10le",
    "y212": "yuv422p12le",
    "xv30": "yuv444p10le",
    "xv36": "yuv444p12le",
    "vuya": "yuv444p",
    "vuyx": "yuv444p",
    "vyu444": "yuv444p",
    "ayuv": "yuv444p",
    "ayuv64": "yuv444p16le",
}


def luma_of(frame: av.VideoFrame) -> tuple[Luma, Levels]:
    """The picture's luma, height x width, and which values are black and white.

    uint8 as it stands in the frame (a view: don't write), else float32 in the range of 8 bits. Alpha is
    ignored, as the PDQ reference does. Raises SourceUnwatchable for a format that FFmpeg cannot convert.
    """
    if _has_y_plane(frame.format.name):
        return _y_plane(frame, range_flag=frame.color_range)
    unpacked = _UNPACKED.get(_without_endianness(frame.format.name))
    if unpacked is not None:
        return _y_plane(_converted(frame, unpacked), range_flag=frame.color_range)
    rgb = _packed(_converted(frame, "rgb24"))
    return np.asarray(rgb @ _RGB_TO_LUMA, np.float32), FULL_RANGE


def _converted(frame: av.VideoFrame, format_name: str) -> av.VideoFrame:
    no_way = SourceUnwatchable("read picture", frame.format.name, "there is no way from this pixel format to luma")
    if _without_endianness(frame.format.name) in _FATAL:
        raise no_way
    try:
        return frame.reformat(format=format_name)
    except MemoryError:  # of the process, and no fault of the format
        raise
    except (av.FFmpegError, ValueError) as error:
        raise no_way from error


def _y_plane(frame: av.VideoFrame, *, range_flag: int) -> tuple[Luma, Levels]:
    layout = frame.format
    bits = layout.components[0].bits
    full = range_flag == _FULL_RANGE_FLAG or _is_full_by_name(layout.name, range_flag)
    if bits == _BYTE_BITS:
        return _samples(frame, np.dtype(np.uint8)), FULL_RANGE if full else LIMITED_RANGE
    samples = _samples(frame, np.dtype(">u2" if layout.is_big_endian else "<u2"))
    unit = 256 if _without_endianness(layout.name) in _UPPER_BITS else 1 << (bits - _BYTE_BITS)
    # Full range of n bits ends at 2^n - 1, which is a little more than 255 units of 8 bits.
    levels = Levels(0.0, ((1 << bits) - 1) / (1 << (bits - _BYTE_BITS))) if full else LIMITED_RANGE
    luma = samples.astype(np.float32)
    luma *= np.float32(1 / unit)  # in its place: a large picture takes no more than twice as much
    return luma, levels


def _samples(frame: av.VideoFrame, dtype: np.dtype[_Sample]) -> NDArray[_Sample]:
    """The first plane without the padding at the end of its lines. Bottom-up pictures come out upright."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, abs(plane.line_size))[: frame.height]
    if plane.line_size < 0:
        lines = lines[::-1]
    return lines[:, : frame.width * dtype.itemsize].view(dtype)


def _packed(frame: av.VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height]
    return lines[:, : frame.width * 3].reshape(frame.height, frame.width, 3)


@lru_cache(maxsize=256)
def _has_y_plane(format_name: str) -> bool:
    """Whether plane 0 holds luma samples of 8 to 16 bits and nothing else."""
    layout = av.VideoFormat(format_name)
    components = layout.components
    alone = [component for component in components if component.plane == 0]
    return (
        not layout.is_rgb
        and not layout.has_palette
        and not layout.is_bayer
        and not layout.is_bit_stream
        and len(alone) == 1
        and _BYTE_BITS <= components[0].bits <= 2 * _BYTE_BITS
        and not format_name.startswith(("xyz", "gbr", "grayf"))
    )


def _is_full_by_name(format_name: str, range_flag: int) -> bool:
    """Without a flag, the old JPEG formats and grey are full range, as FFmpeg takes them."""
    if format_name.startswith("yuvj"):
        return True
    return format_name.startswith("gray") and range_flag != _LIMITED_RANGE_FLAG


def _without_endianness(format_name: str) -> str:
    return format_name.removesuffix("le").removesuffix("be")
