"""All that is kept of a frame: the whole picture, and what stands between its bars."""

import sys

import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.stillness import StreamMemory
from streamguard.demo import textures
from streamguard.errors import FingerprintError
from streamguard.types import FULL_RANGE, LIMITED_RANGE, WHOLE_PICTURE, Frame, Luma, MediaTime, View

AT = MediaTime(3, 4_000_000)


def _picture(width_px: int, height_px: int) -> Luma:
    return (40 + textures.canvas(np.random.default_rng(5), width_px, height_px)[..., 1] // 2).astype(np.uint8)


def test_frame_is_carried_over() -> None:
    """When and how large the frame was stays with its fingerprints."""
    kept = fingerprints(Frame(AT, 12.5, _picture(320, 180)))
    assert (kept.at, kept.arrived_s, kept.width_px, kept.height_px) == (AT, 12.5, 320, 180)


def test_plain_picture_has_one_print() -> None:
    """Without bars there is the whole picture alone, with the eight views."""
    (whole,) = fingerprints(Frame(AT, 0.0, _picture(320, 180))).prints
    assert whole == pdq.fingerprint(_picture(320, 180), levels=LIMITED_RANGE)
    assert len(whole.codes) == 8


def test_picture_in_bars_has_two_prints() -> None:
    """The whole picture comes first, then the one between the bars, which is that of the picture without them."""
    picture = _picture(320, 180)
    framed = np.full((240, 320), 16, np.uint8)
    framed[30:210] = picture
    whole, inside = fingerprints(Frame(AT, 0.0, framed)).prints
    assert whole.region == WHOLE_PICTURE
    assert inside.region.top == pytest.approx(30 / 240)
    assert inside.codes == pdq.fingerprint(picture, levels=LIMITED_RANGE).codes
    assert pdq.distance_bits(whole.codes[View.UPRIGHT], inside.codes[View.UPRIGHT]) > 31


def test_black_has_no_quality() -> None:
    """Black is kept as one print of quality 0, which nothing matches against."""
    (black,) = fingerprints(Frame(AT, 0.0, np.zeros((180, 320), np.uint8), FULL_RANGE)).prints
    assert black.quality < pdq.MIN_QUALITY


@pytest.mark.parametrize(
    "luma",
    [np.zeros((20, 20, 3), np.uint8), np.zeros(20, np.uint8), np.full((90, 160), np.nan, np.float32)],
    ids=["3-D", "1-D", "NaN"],
)
def test_no_picture_raises(luma: Luma) -> None:
    """What is no luma plane is our error, whatever NumPy would have said."""
    with pytest.raises(FingerprintError):
        fingerprints(Frame(AT, 0.0, luma))


@pytest.mark.skipif(not hasattr(sys, "_clear_type_cache"), reason="a Python that calls it otherwise")
def test_looks_leave_no_names_with_python() -> None:
    """As `np.cumsum` does, up to 4,096 of them: each stream's process would grow by them for hours."""
    memory, looks, picture = StreamMemory(), 40, _picture(320, 180)
    for number in range(2 * looks):
        if number == looks:  # what is made once is made
            sys._clear_type_cache()
        at = MediaTime(1, number * 2_000_000)
        memory.marked(fingerprints(Frame(at, 0.0, picture), local=STREAM))
    kept = sys.getallocatedblocks()
    sys._clear_type_cache()

    assert kept - sys.getallocatedblocks() < looks / 4
