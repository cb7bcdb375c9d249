"""streamguard.core.thumbnails: small enough whatever the picture, and looked into without being decoded."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.thumbnails import LONGER_SIDE_PX, MOST_BYTES, is_thumbnail, thumbnail
from streamguard.demo.scenes import Scene
from streamguard.types import FULL_RANGE, LIMITED_RANGE, Luma

GREY = np.asarray(cv2.cvtColor(Scene(1).frame(1.0), cv2.COLOR_RGB2GRAY), np.uint8)
GOOD = thumbnail(GREY, levels=FULL_RANGE)


def _decoded(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def _jpeg(picture: np.ndarray, *options: int) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, options)[1].tobytes())


def test_it_shows_the_picture() -> None:
    """A sixteenth of the area, grey, and recognisably the same."""
    shown = _decoded(GOOD)
    assert shown.shape == (90, 160)
    same = cv2.resize(GREY, (160, 90), interpolation=cv2.INTER_AREA)
    assert float(np.corrcoef(shown.ravel(), same.ravel())[0, 1]) > 0.98


@pytest.mark.parametrize(
    "shape", [(1080, 1920), (1920, 1080), (90, 160), (3, 5), (160, 160), (2, 2000), (1, 1), (0, 0)]
)
def test_noise_of_any_shape_is_small_enough(shape: tuple[int, int]) -> None:
    """The worst picture there is keeps to the limits, or has no thumbnail."""
    noise = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    data = thumbnail(noise, levels=FULL_RANGE)
    assert len(data) <= MOST_BYTES
    assert is_thumbnail(data) is (min(shape) >= 2 and max(shape) < 100 * min(shape))
    if data:
        assert max(_decoded(data).shape) <= LONGER_SIDE_PX


def test_levels_are_stretched() -> None:
    """Black of a limited range is black, and white is white; deeper samples and broken ones are taken too."""
    bars: Luma = np.repeat(np.array([[16, 235]], np.float32), 80, axis=1).repeat(90, axis=0)
    shown = _decoded(thumbnail(bars, levels=LIMITED_RANGE))
    assert shown[:, :70].max() < 10
    assert shown[:, 90:].min() > 245
    assert is_thumbnail(thumbnail(np.full((90, 160), np.nan, np.float32), levels=LIMITED_RANGE))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty", b""),
        ("png", bytes(cv2.imencode(".png", GREY[:90, :160])[1].tobytes())),
        ("larger", _jpeg(GREY[:161, :100])),
        ("wider", _jpeg(GREY[:100, :161], cv2.IMWRITE_JPEG_QUALITY, 5)),
        ("colours", _jpeg(np.zeros((20, 20, 3), np.uint8))),
        ("progressive", _jpeg(GREY[:90, :160], cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 20)),
        ("cut short", GOOD[:-2]),
        ("no size", GOOD.replace(b"\xff\xc0\x00\x0b\x08\x00\x5a\x00\xa0", b"\xff\xc0\x00\x0b\x08\x00\x00\x00\xa0")),
        ("huge", GOOD.replace(b"\xff\xc0\x00\x0b\x08\x00\x5a\x00\xa0", b"\xff\xc0\x00\x0b\x08\xff\xff\xff\xff")),
        ("long", GOOD[:-2] + b"\0" * MOST_BYTES + b"\xff\xd9"),
        ("endless head", b"\xff\xd8" + b"\xff\xe0\x00\x02" * 1000 + b"\xff\xd9"),
    ],
)
def test_what_is_none_is_told_by_its_head(name: str, data: bytes) -> None:
    """Other formats, larger pictures, colours, other kinds of JPEG, and heads that lie."""
    assert is_thumbnail(GOOD)
    assert not is_thumbnail(data), name


@pytest.mark.parametrize("marker", [b"\xff\xff", b"\xff\x01", b"\xff\xd0", b"\xff\xd8", b"\xff\xdc"])
def test_nothing_hides_before_the_head(marker: bytes) -> None:
    """A marker that decoders take to have no length, or skip: what we would skip is a huge picture to them."""
    hidden = bytearray(_jpeg(GREY[:64, :64]))
    at = hidden.index(b"\xff\xc0") + 5
    hidden[at : at + 4] = b"\x7d\x00\x7d\x00"
    bomb = GOOD[:2] + marker + len(hidden).to_bytes(2, "big") + hidden[2:] + GOOD[2:]
    assert not is_thumbnail(bomb)
    assert not is_thumbnail(GOOD[:2] + b"\xff\xe0\x00\x00" + GOOD[2:])


@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6), cut=st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_damaged_ones_are_an_answer(flips: list[tuple[int, int]], cut: int) -> None:
    """Whatever the bytes are, the answer is yes or no; and where it is yes, decoding makes nothing large of it."""
    data = bytearray(GOOD)
    for place, value in flips:
        data[place % len(data)] = value
    damaged = bytes(data[: len(data) - cut])
    if is_thumbnail(damaged):
        shown: object = cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert not isinstance(shown, np.ndarray) or shown.size <= LONGER_SIDE_PX**2
