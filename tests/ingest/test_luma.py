import gc

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.demo.scenes import Photo
from streamguard.errors import SourceUnwatchable
from streamguard.ingest.luma import luma_of
from streamguard.types import FULL_RANGE, LIMITED_RANGE

# Odd sides, and lines that need padding.
RGB = Photo(5).frame(0.0, 483, 271)
LUMA = (RGB @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float32)
CODE, QUALITY = pdq.from_luma(LUMA)

YUV = (
    "yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "yuv440p", "yuva420p", "nv12", "nv21", "nv16", "nv24",
    "p010le", "p010be", "p012le", "p016le", "p210le", "p410le",
    "yuv420p10le", "yuv420p10be", "yuv422p10le", "yuv444p10le",
    "yuv420p12le", "yuv422p12le", "yuv444p12le", "yuv420p14le", "yuv420p16le", "yuva444p10le",
    "yuyv422", "uyvy422", "yvyu422", "y210le", "y212le", "xv30le", "vuya", "vuyx", "ayuv", "ayuv64le",
)  # fmt: skip
OTHERS = (
    "yuvj420p", "yuvj422p", "yuvj444p", "rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "0bgr",
    "rgb48le", "rgba64be", "gbrp", "gbrp10le", "gbrp12le", "gbrap", "gbrpf32le", "x2rgb10le",
    "gray", "gray10le", "gray12le", "gray16le", "gray16be",
    "grayf32le", "ya8", "ya16le",
)  # fmt: skip


def converted(name: str, *, full: bool) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(RGB, format="rgb24")
    return frame.reformat(format=name, dst_color_range="JPEG" if full else "MPEG")


def check(frame: av.VideoFrame, *, tolerance: float) -> None:
    """The luma is that of the RGB picture, within rounding, and so is its hash."""
    luma, levels = luma_of(frame)
    assert luma.shape == LUMA.shape
    scaled = (luma.astype(np.float32) - levels.black) * (255 / (levels.white - levels.black))
    assert np.abs(scaled - LUMA).mean() < tolerance
    code, quality = pdq.from_luma(luma, levels=levels)
    assert pdq.distance_bits(code, CODE) <= 6
    assert abs(quality - QUALITY) <= 1


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("name", YUV)
def test_yuv(name: str, *, full: bool) -> None:
    """Every layout of luma and chroma, of 8 to 16 bits, in both ranges."""
    check(converted(name, full=full), tolerance=1.0)


@pytest.mark.parametrize("name", OTHERS)
def test_full_range(name: str) -> None:
    """RGB, grey and the JPEG formats, with and without alpha."""
    check(converted(name, full=True), tolerance=1.0)


@pytest.mark.parametrize("name", ["rgb565le", "rgb8", "bgr4_byte"])
def test_few_colours(name: str) -> None:
    """Coarse RGB is coarse, but the picture is still recognised."""
    luma, levels = luma_of(converted(name, full=True))
    assert pdq.distance_bits(pdq.from_luma(luma, levels=levels)[0], CODE) <= 24


def test_range() -> None:
    """Limited is what a stream is that does not say."""
    frame = converted("yuv420p", full=False)
    frame.color_range = 0
    assert luma_of(frame)[1] == LIMITED_RANGE
    frame.color_range = 2
    assert luma_of(frame)[1] == FULL_RANGE


def test_grey_range() -> None:
    """Grey is full range unless it says otherwise."""
    frame = converted("gray", full=True)
    frame.color_range = 0
    assert luma_of(frame)[1] == FULL_RANGE
    frame.color_range = 1
    assert luma_of(frame)[1] == LIMITED_RANGE


def test_no_copy_and_no_danger() -> None:
    """Eight bits of luma are not copied, and stay valid when the frame is gone."""
    frame = converted("yuv420p", full=False)
    luma, _ = luma_of(frame)
    assert not luma.flags.owndata
    expected = luma.copy()
    del frame
    gc.collect()
    for _ in range(8):
        converted("yuv420p", full=False)
    np.testing.assert_array_equal(luma, expected)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (65, 5), (1919, 3)])
def test_small_and_odd(size: tuple[int, int]) -> None:
    """No size is too small or too odd to have a luma plane."""
    picture = np.asarray(cv2.resize(RGB, size), np.uint8)
    for name in ("yuv420p", "yuv420p10le", "rgb24", "gray"):
        luma, _ = luma_of(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=name))
        assert luma.shape == (size[1], size[0])


def test_palette() -> None:
    """A palette is looked up, not taken for luma."""
    levels = np.arange(256, dtype=np.uint8)
    frame = av.VideoFrame(256, 16, "pal8")
    inverted = np.stack([255 - levels, 255 - levels, 255 - levels, np.full(256, 255, np.uint8)], axis=1)
    _fill(frame, 0, np.tile(levels, (16, 1)))
    frame.planes[1].update(inverted.tobytes())
    luma, found = luma_of(frame)
    np.testing.assert_allclose(luma, np.tile(255.0 - levels, (16, 1)), atol=1)
    assert found == FULL_RANGE


@pytest.mark.parametrize("name", ["gray32le", "rgb96le", "yaf32le", "yaf16be"])
def test_format_without_a_way(name: str) -> None:
    """A format that FFmpeg cannot convert, or dies of, is a documented error."""
    with pytest.raises(SourceUnwatchable, match=f"read picture {name}"):
        luma_of(av.VideoFrame(64, 64, name))


def _fill(frame: av.VideoFrame, plane: int, rows: NDArray[np.uint8]) -> None:
    """Rows into a plane whose lines may be padded."""
    line = frame.planes[plane].line_size
    padded = np.zeros((rows.shape[0], line), np.uint8)
    padded[:, : rows.shape[1]] = rows
    frame.planes[plane].update(padded.tobytes())
