"""streamguard.review.canvas: letters that cannot break it, and thumbnails from who knows where."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.thumbnails import LONGER_SIDE_PX
from streamguard.review.canvas import (
    AMBER,
    GREEN,
    Colour,
    Picture,
    decoded,
    fitted,
    legend,
    panel,
    plain,
    png,
    text_width_px,
    write,
)
from tests.evidence import SHOWN, grey_thumbnail

GOOD = grey_thumbnail(SHOWN)


@given(text=st.text(st.characters(), max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_text_can_be_written(text: str) -> None:
    """Whatever stands in a stream's name: it is drawn in plain letters, or question marks."""
    picture = np.zeros((40, 200, 3), np.uint8)
    write(picture, text, at=(5, 30), size_px=20)
    assert all(" " <= letter <= "~" for letter in plain(text))
    assert len(plain(text)) <= 203


def test_letters_are_drawn() -> None:
    """What is written is there to be seen, and what is none is a question mark."""
    one, other = np.zeros((40, 200, 3), np.uint8), np.zeros((40, 200, 3), np.uint8)
    write(one, "caf\u00e9", at=(5, 30), size_px=20)
    write(other, "caf?", at=(5, 30), size_px=20)
    assert one.any()
    assert np.array_equal(one, other)


def test_text_is_cut_to_its_room() -> None:
    """With dots where something is missing."""
    assert fitted("short", width_px=500, size_px=20) == "short"
    cut = fitted("x" * 150, width_px=300, size_px=20)
    assert cut.endswith("x...")
    assert 250 < text_width_px(cut, size_px=20) <= 300


def test_a_thumbnail_is_decoded() -> None:
    """Grey, as RGB, at its size."""
    (picture,) = decoded(GOOD)
    assert picture.shape == (90, 160, 3)
    assert np.array_equal(picture[..., 0], picture[..., 2])


@pytest.mark.parametrize(
    "data",
    [b"", b"nothing", GOOD[:40] + GOOD[-2:], bytes(cv2.imencode(".jpg", SHOWN)[1].tobytes())],
    ids=["empty", "text", "cut short", "large"],
)
def test_what_is_none_shows_nothing(data: bytes) -> None:
    """It is never decoded where its head does not say that it is small and grey."""
    assert decoded(data) == ()


@given(flips=st.lists(st.tuples(st.integers(2, len(GOOD) - 3), st.integers(0, 255)), max_size=8))
@settings(max_examples=150, deadline=None)
def test_a_hostile_thumbnail_is_small_or_nothing(flips: list[tuple[int, int]]) -> None:
    """Whatever its bytes are, no more than a thumbnail comes of it."""
    data = bytearray(GOOD)
    for place, value in flips:
        data[place] = value
    for picture in decoded(bytes(data)):
        assert max(picture.shape[:2]) <= LONGER_SIDE_PX


def test_a_png_has_the_colours() -> None:
    """RGB in, the same colours out."""
    picture = np.zeros((20, 20, 3), np.uint8)
    panel(picture, left_top=(5, 5), size_px=(10, 10))
    picture[0, 0] = (255, 10, 0)
    read = cv2.imdecode(np.frombuffer(png(picture), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(np.asarray(read), picture)


def test_a_legend_names_each_colour_beside_a_dot_of_it() -> None:
    """On one line, in order; what is after a longer name stands further to the right."""
    first, second = (
        _legend_of([(GREEN, words), (AMBER, "others")]) for words in ("these", "these, which have a longer name")
    )
    for picture in (first, second):
        (green, amber) = (np.nonzero((picture == colour).all(axis=2))[1] for colour in (GREEN, AMBER))
        assert green.size > 40
        assert amber.size > 40
        assert green.max() < amber.min()
    ends = [np.nonzero((picture == AMBER).all(axis=2))[1].min() for picture in (first, second)]
    assert ends[1] > ends[0] + 50


def _legend_of(parts: list[tuple[Colour, str]]) -> Picture:
    picture: Picture = np.zeros((40, 600, 3), np.uint8)
    legend(picture, parts, at=(5, 30), size_px=17)
    return picture
