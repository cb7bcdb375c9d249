"""Large pictures in means: of which sizes, the same values as ever, and hashes that are the picture's own."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.core.features import STREAM, features
from streamguard.core.fingerprints import fingerprints
from streamguard.core.reducing import reduced
from streamguard.demo.scenes import Scene
from streamguard.types import FULL_RANGE, Frame, MediaTime


def _frame(width_px: int, height_px: int, *, seed: int = 3) -> Frame:
    picture = Scene(seed).frame(1.0, width_px, height_px)
    return Frame(MediaTime(1, 0), 0.0, np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8), FULL_RANGE)


def _noise(width_px: int, height_px: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height_px, width_px), np.uint8)


@pytest.mark.parametrize(
    ("size_px", "each_px"),
    [
        ((1920, 1080), 3),
        ((1080, 1920), 3),
        ((1280, 720), 2),
        ((3840, 2160), 6),
        ((1920, 1083), 3),
        ((1920, 768), 3),
        ((1920, 765), 1),
        ((768, 1920), 3),
        ((6400, 10), 1),
        ((640, 360), 1),
        ((320, 180), 1),
        ((854, 480), 1),
        ((1920, 1088), 1),
        ((1919, 1080), 1),
        ((1, 1), 1),
        ((0, 0), 1),
    ],
)
def test_only_what_comes_down_by_a_whole_number_is_reduced(size_px: tuple[int, int], each_px: int) -> None:
    """To the same means, to the last bit, as OpenCV makes in one piece: a library was read from these."""
    luma = _noise(*size_px)
    means, found_px = reduced(luma)
    assert found_px == each_px
    if each_px == 1:
        assert means is luma
    else:
        smaller_px = size_px[0] // each_px, size_px[1] // each_px
        assert np.array_equal(means, cv2.resize(luma, smaller_px, interpolation=cv2.INTER_AREA))
        assert reduced(means)[0] is means


def test_deep_luma_is_left_as_it_is() -> None:
    """It is scaled where features are read, in bands."""
    luma = np.full((1080, 1920), 90, np.float32)
    assert reduced(luma)[0] is luma


def test_a_decoder_s_plane_with_padding_is_reduced_as_its_copy_is() -> None:
    """Without what stands behind its lines."""
    luma = _noise(1920, 1080)
    padded = np.zeros((1080, 1984), np.uint8)
    padded[:, :1920] = luma
    assert np.array_equal(reduced(padded[:, :1920])[0], reduced(luma)[0])


@pytest.mark.parametrize("size_px", [(1920, 1080), (1080, 1920), (1280, 720), (3840, 2160), (1280, 512)])
@pytest.mark.parametrize("seed", range(1, 5))
def test_hashes_are_those_of_the_whole_picture(size_px: tuple[int, int], seed: int) -> None:
    """But for a bit or two, in every view."""
    frame = _frame(*size_px, seed=seed)
    means, each_px = reduced(frame.luma)
    whole = pdq.fingerprint(frame.luma, levels=frame.levels)
    ours = pdq.fingerprint(means, levels=frame.levels, mean_of_px=each_px)
    assert abs(whole.quality - ours.quality) <= 2
    assert max(map(pdq.distance_bits, whole.codes, ours.codes)) <= 4


def test_even_of_64_by_64_means() -> None:
    """A picture of just that size is taken as it is; so many means stand for a larger one, which is blurred."""
    luma = np.asarray(cv2.cvtColor(Scene(4).frame(0.0, 192, 192), cv2.COLOR_RGB2GRAY), np.uint8)
    means = cv2.resize(luma, (64, 64), interpolation=cv2.INTER_AREA).astype(np.uint8)
    whole = pdq.fingerprint(luma).codes[0]
    assert pdq.distance_bits(pdq.fingerprint(means, mean_of_px=3).codes[0], whole) <= 8
    assert pdq.distance_bits(pdq.fingerprint(means).codes[0], whole) > 8


def test_a_stream_s_fingerprints_are_of_the_means() -> None:
    """The sizes that they tell are the picture's, and features are the same as from all of it."""
    frame = _frame(1920, 1080)
    seen = fingerprints(frame, local=STREAM)
    means, each_px = reduced(frame.luma)
    assert seen.prints == (pdq.fingerprint(means, levels=frame.levels, mean_of_px=each_px),)
    assert (seen.width_px, seen.height_px) == (1920, 1080)
    whole = features(frame.luma, levels=frame.levels, how=STREAM)
    assert np.array_equal(seen.features.codes, whole.codes)
    assert np.array_equal(seen.features.places, whole.places)


def test_what_is_inside_bars_is_read_from_the_whole_picture() -> None:
    """The bars are found in the means; between them there may be too few."""
    frame = _frame(1920, 1080)
    frame.luma[:, :660] = frame.luma[:, -660:] = 0
    _, inside = fingerprints(frame, local=STREAM).prints
    assert (inside.region.top, inside.region.bottom) == (0.0, 1.0)
    assert inside.region.left == pytest.approx(660 / 1920, abs=1 / 640)
    assert inside.region.right == pytest.approx(1260 / 1920, abs=1 / 640)
    assert inside == pdq.fingerprint(frame.luma, levels=frame.levels, region=inside.region)
