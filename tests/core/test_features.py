"""streamguard.core.features: the same corners in a picture and in what was made of it, and bounded work on any."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamguard.core import features as features_module
from streamguard.core.feature_records import PLACE_UNITS_A_PX, from_records, to_records
from streamguard.core.features import (
    REFERENCE,
    SQUEEZED,
    STREAM,
    STREAM_ASPECT,
    SURROUNDINGS,
    Extraction,
    features,
    readings,
    reference_features,
)
from streamguard.demo.scenes import Flat, Footage, Scene, TextSlides
from streamguard.drill.attack import Moment
from streamguard.drill.compositions import beside_a_chat
from streamguard.types import CODE_BYTES, FULL_RANGE, LIMITED_RANGE, Features, Levels, Luma, Places
from tests.pictures import HOSTILE, Grey, cropped, inset, luma_of

WIDTH_PX, HEIGHT_PX = 640, 360
NEAR_PX = 4.0
NEAR_BITS = 48
KNOWN = Extraction(longer_side_px=640, most=STREAM.most, both_ways=REFERENCE.both_ways)
"""A reference at the stream's own scale, so that places can be compared, with as many features."""

SEEDS = (1, 2)

Back = Callable[[Places], Places]
"""From places in what was made of a picture to those in the picture."""


def _points(*, across: Callable[[Places], Places], down: Callable[[Places], Places]) -> Back:
    return lambda places: np.stack([across(places), down(places)], axis=1)


# A pixel's middle is at a whole number, so that a mirrored one stands at 639 - x.
_X: Callable[[Places], Places] = lambda at: at[:, 0]  # noqa: E731
_Y: Callable[[Places], Places] = lambda at: at[:, 1]  # noqa: E731
SAME = _points(across=_X, down=_Y)
LEFT_FOR_RIGHT = _points(across=lambda at: WIDTH_PX - 1 - at[:, 0], down=_Y)
TOP_FOR_BOTTOM = _points(across=_X, down=lambda at: HEIGHT_PX - 1 - at[:, 1])
HALF_TURN = _points(across=lambda at: WIDTH_PX - 1 - at[:, 0], down=lambda at: HEIGHT_PX - 1 - at[:, 1])
QUARTER_TURN = _points(across=lambda at: WIDTH_PX - 1 - at[:, 1], down=_X)
THREE_QUARTERS = _points(across=_Y, down=lambda at: HEIGHT_PX - 1 - at[:, 0])


def _read(picture: Luma, how: Extraction = STREAM) -> Features:
    return features(picture, levels=FULL_RANGE, how=how)


def _found_again(known: Features, shown: Features, *, back: Back, mirrored: bool) -> np.ndarray:
    """Which of the shown features are known, by code and place, in the form that they should have."""
    apart_px = np.linalg.norm(back(shown.places)[:, None] - known.places[None], axis=2)
    bits = np.bitwise_count(shown.codes[:, None] ^ known.codes[None]).sum(axis=2)
    form = (shown.mirrored[:, None] != known.mirrored[None]) == mirrored
    return np.asarray(((apart_px <= NEAR_PX) & (bits <= NEAR_BITS) & form).any(axis=1))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("edit", "back", "mirrored", "share"),
    [
        (lambda picture: picture, SAME, False, 0.95),
        (lambda picture: picture[:, ::-1], LEFT_FOR_RIGHT, True, 0.9),
        (lambda picture: picture[::-1], TOP_FOR_BOTTOM, True, 0.8),
        (lambda picture: 255 - picture, SAME, False, 0.85),
        (lambda picture: 255 - picture[:, ::-1], LEFT_FOR_RIGHT, True, 0.8),
        (lambda picture: np.rot90(picture, 2), HALF_TURN, False, 0.7),
        (np.rot90, QUARTER_TURN, False, 0.5),
        (lambda picture: np.rot90(picture, 3), THREE_QUARTERS, False, 0.5),
    ],
    ids=["as it is", "mirrored", "flipped", "negative", "mirrored negative", "half turn", "quarter", "three quarters"],
)
def test_an_edit_keeps_the_codes(
    seed: int, edit: Callable[[Grey], Grey], back: Back, *, mirrored: bool, share: float
) -> None:
    """That share of a picture's features, mirrored, turned or negative, is the known one's: place, code and form."""
    picture = luma_of(Scene(seed))
    again = _found_again(_read(picture, KNOWN), _read(edit(picture)), back=back, mirrored=mirrored)
    assert again.mean() >= share


@pytest.mark.parametrize("seed", SEEDS)
def test_a_form_of_its_own_tells_a_mirror_image(seed: int) -> None:
    """What is not mirrored is hardly ever found as if it were: votes for a picture and for its mirror image differ."""
    picture = luma_of(Scene(seed))
    # Those that lean hardly at all stand in the library in both forms, and are found as either.
    known = _read(picture, Extraction(longer_side_px=640, most=REFERENCE.most))
    assert _found_again(known, _read(picture), back=SAME, mirrored=True).mean() <= 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crop_shows_some_of_them(seed: int) -> None:
    """The middle half of a picture, blown up, has enough of the reference's features to be laid over it."""
    picture = luma_of(Scene(seed), width_px=1280, height_px=720)
    known = _read(picture, REFERENCE)

    def back(places: Places) -> Places:
        return (places * (0.5 * known.width_px / 640) + (known.width_px / 4, known.height_px / 4)).astype(np.float32)

    again = _found_again(known, _read(cropped(picture, share=0.5)), back=back, mirrored=False)
    assert np.count_nonzero(again) >= 20


@pytest.mark.parametrize("seed", SEEDS)
def test_a_picture_in_a_picture_shows_some_of_them(seed: int) -> None:
    """At 40 % of the sides of other footage, too."""
    picture = luma_of(Scene(seed), width_px=1280, height_px=720)
    host = luma_of(Scene(seed + 50), width_px=1280, height_px=720)
    known = _read(picture, REFERENCE)

    def back(places: Places) -> Places:
        in_host = places * (1280 / 640) - (1280 * 0.6 - 20, 720 * 0.6 - 20)
        return (in_host / 0.4 * (known.width_px / 1280)).astype(np.float32)

    again = _found_again(known, _read(inset(picture, into=host, share=0.4)), back=back, mirrored=False)
    assert np.count_nonzero(again) >= 10


def test_strangers_share_few_codes() -> None:
    """Of another scene's features, few look like any of a known picture, wherever they stand."""
    known = _read(luma_of(Scene(1)), REFERENCE)
    for seed in (11, 12, 13):
        shown = _read(luma_of(Scene(seed)))
        bits = np.bitwise_count(shown.codes[:, None] ^ known.codes[None]).sum(axis=2)
        assert np.mean(bits.min(axis=1) <= NEAR_BITS) <= 0.25


@pytest.mark.parametrize("seed", SEEDS)
def test_1080p_is_scaled_as_other_sizes_are(seed: int) -> None:
    """By a quicker way, to the very picture: it shows the features of the picture that OpenCV makes of it."""
    large = cv2.resize(luma_of(Scene(seed)), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    padded = np.zeros((1080, 2048), np.uint8)
    padded[:, :1920] = large
    small = cv2.resize(large, (640, 360), interpolation=cv2.INTER_AREA)
    assert _read(padded[:, :1920]) == _read(np.asarray(large, np.uint8)) == _read(np.asarray(small, np.uint8))


def test_levels_do_not_matter() -> None:
    """A picture in a decoder's limited range, or as floats, has the features that it has in full range."""
    picture = luma_of(Scene(5))
    limited = (16 + picture * np.float32(219 / 255)).astype(np.float32)
    known = _read(picture, KNOWN)
    for levels, luma in ((FULL_RANGE, picture.astype(np.float32)), (LIMITED_RANGE, limited)):
        shown = features(luma, levels=levels, how=STREAM)
        assert _found_again(known, shown, back=SAME, mirrored=False).mean() >= 0.85


def test_corners_are_spread_over_the_picture() -> None:
    """A corner of the picture that is full of detail, twice as strong as the rest, does not take its places."""
    picture = luma_of(Scene(6)) // 2 + 60
    picture[:90, :160] = HOSTILE["noise"]()[:90, :160]
    shown = _read(picture)
    outside = (shown.places[:, 0] > 180) | (shown.places[:, 1] > 110)
    assert np.count_nonzero(outside) >= len(shown) / 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_panel_of_text_leaves_the_picture_its_features(seed: int) -> None:
    """What stands beside a chat has nearly as many as the chat, whose letters have more contrast than its corners."""
    dim = np.repeat(luma_of(Scene(seed))[..., None] // 2 + 64, 3, axis=2)
    picture = beside_a_chat(dim, Moment(0.0, 1, Scene(seed)))
    found = _read(np.ascontiguousarray(picture[..., 0]))
    assert len(found) == STREAM.most
    assert np.count_nonzero(found.places[:, 0] < 0.68 * WIDTH_PX) >= 0.4 * len(found)


def test_a_reference_may_have_a_feature_in_both_forms() -> None:
    """What leans hardly at all stands in the library twice, once each way; a stream's features stand there once."""
    picture = luma_of(Scene(7))
    both = _read(picture, REFERENCE)
    rows = np.concatenate([both.places, both.mirrored[:, None]], axis=1)
    assert REFERENCE.most < len(both) <= 1 + (1 + REFERENCE.both_ways) * REFERENCE.most
    assert len(np.unique(rows, axis=0)) > len(np.unique(both.places, axis=0))
    assert len(_read(picture)) <= STREAM.most


@pytest.mark.parametrize("how", [STREAM, SURROUNDINGS])
@pytest.mark.parametrize("name", HOSTILE)
def test_any_picture_costs_a_bounded_number(name: str, how: Extraction) -> None:
    """Noise, patterns, lines, gigantic and broken pictures have no more features than any other, all of them sound."""
    _assert_sound(features(HOSTILE[name](), levels=FULL_RANGE, how=how), how)


@pytest.mark.parametrize(
    "name", ["one grey", "a line across", "a line down", "no pixel", "nothing but NaN", "checkerboard of pixels"]
)
def test_where_nothing_is_there_is_nothing_found(name: str) -> None:
    """A picture without corners has no features, and is no error."""
    assert len(features(HOSTILE[name](), levels=FULL_RANGE, how=STREAM)) == 0


@given(
    luma=arrays.arrays(
        st.sampled_from([np.uint8, np.float32]),
        arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=70),
        fill=st.nothing(),
    )
    | arrays.arrays(np.float32, (20, 30), elements=st.sampled_from([0.0, 255.0, np.nan, np.inf, -np.inf, 1e38])),
    aspect=st.none() | st.just(STREAM_ASPECT),
)
@settings(max_examples=40, deadline=None)
def test_no_picture_is_an_error(luma: Luma, aspect: float | None) -> None:
    """Whatever the numbers are, there are sound features or none."""
    how = Extraction(longer_side_px=160, most=50, both_ways=0.2, aspect=aspect)
    _assert_sound(features(luma, levels=FULL_RANGE, how=how), how)


def _assert_sound(found: Features, how: Extraction) -> None:
    count = len(found)
    assert count <= (1 + how.both_ways) * how.most
    assert found.codes.shape == (count, CODE_BYTES)
    assert found.places.shape == (count, 2)
    assert len(found.mirrored) == len(found.still) == count
    assert not found.still.any()
    assert np.all((found.places >= 0) & (found.places < (found.width_px, found.height_px)))
    assert max(found.width_px, found.height_px) <= how.longer_side_px
    # As they are sent and kept: nothing is lost on the way.
    assert np.array_equal(found.places * PLACE_UNITS_A_PX, np.rint(found.places * PLACE_UNITS_A_PX))
    again = from_records(to_records(found), width_px=found.width_px, height_px=found.height_px)
    assert again == found


def test_the_same_picture_has_the_same_features() -> None:
    """Each time, and whatever was looked at in between."""
    picture = luma_of(Scene(8))
    first = _read(picture)
    _read(luma_of(Scene(9)))
    assert _read(picture) == first
    assert hash(_read(picture)) == hash(first)
    assert len(_read(luma_of(Flat(90)))) == 0


def test_footage_is_read_in_the_shapes_in_which_it_is_shown() -> None:
    """Portrait and square footage stretched to 16:9 as well; other footage squeezed to half its width, and height."""
    for size_px in ((1920, 1080), (1440, 1080)):
        assert [how.aspect for how in readings(*size_px)] == [None, *(np.divide(*size_px) * by for by in (0.5, 2.0))]
    for size_px in ((1080, 1920), (1080, 1080)):
        assert [how.aspect for how in readings(*size_px)] == [None, STREAM_ASPECT]
    assert readings(1920, 1080)[0] == readings(1080, 1920)[0] == REFERENCE


def test_copies_above_one_another_are_found() -> None:
    """Of a picture squeezed to half its height the squeezed reading has far more features than the plain one."""
    picture = luma_of(Scene(11))
    plain, _, squeezed = (_read(picture, replace(how, most=STREAM.most)) for how in readings(640, 360))
    half = cv2.resize(picture, (640, 180), interpolation=cv2.INTER_AREA)
    shown = _read(np.concatenate([half, half]))
    found = []
    for known in (plain, squeezed):
        scale = np.array([known.width_px, known.height_px]) / (640, 180)
        back: Back = lambda at, scale=scale: at * scale  # type: ignore[misc]  # noqa: E731
        found.append(np.count_nonzero(_found_again(known, shown, back=back, mirrored=False)))
    assert found[1] >= 30
    assert found[1] >= 2 * found[0]


def test_stretched_footage_is_found_in_its_stretched_form() -> None:
    """A portrait that a stream shows stretched to 16:9 has the features of the reference that was stretched to it."""
    portrait = luma_of(Scene(10), width_px=360, height_px=640)
    how = Extraction(longer_side_px=640, most=375, both_ways=0.2, aspect=STREAM_ASPECT)
    known = _read(portrait, how)
    shown = _read(luma_of(Scene(10), width_px=360, height_px=640), Extraction(640, STREAM.most, aspect=16 / 9))
    assert (known.width_px, known.height_px) == (640, 360)
    assert _found_again(known, shown, back=SAME, mirrored=False).mean() >= 0.85


def _luma(footage: Footage, *, width_px: int, height_px: int) -> Luma:
    return np.asarray(cv2.cvtColor(footage.frame(2.0, width_px, height_px), cv2.COLOR_RGB2GRAY), np.uint8)


@pytest.mark.parametrize("how", [REFERENCE, replace(REFERENCE, aspect=STREAM_ASPECT), replace(SQUEEZED, aspect=0.9)])
@pytest.mark.parametrize("footage", [Scene(3), TextSlides(3), Flat()], ids=["moving", "text", "flat"])
def test_both_are_as_if_they_were_asked_for_alone(footage: Footage, how: Extraction) -> None:
    """What is kept does not depend on what else can be seen."""
    luma = _luma(footage, width_px=360, height_px=640)
    found = reference_features(luma, levels=FULL_RANGE, how=how)
    most = how.most, SURROUNDINGS.most
    assert found == tuple(features(luma, levels=FULL_RANGE, how=replace(how, most=each)) for each in most)
    assert len({len(each) for each in found}) == (1 if isinstance(footage, Flat) else 2)


def test_where_there_is_no_picture_there_are_none() -> None:
    """A line, one way or the other."""
    for width_px, height_px in ((20, 640), (640, 20)):
        luma = _luma(Scene(3), width_px=width_px, height_px=height_px)
        assert [len(each) for each in reference_features(luma, levels=FULL_RANGE, how=REFERENCE)] == [0, 0]


@pytest.mark.parametrize("levels", [FULL_RANGE, LIMITED_RANGE])
def test_deep_luma_is_the_same_in_bands_as_in_one_piece(levels: Levels) -> None:
    """Whatever is in it."""
    luma = np.random.default_rng(4).uniform(-20, 300, (200, 300)).astype(np.float32)
    luma[100] = np.nan
    luma[150:, 7] = np.inf
    plane = np.nan_to_num((luma - np.float32(levels.black)) * np.float32(255 / (levels.white - levels.black)))
    whole = np.clip(plane, 0, 255).astype(np.uint8)
    assert np.array_equal(features_module._scaled(luma, levels=levels, size_px=(300, 200)), whole)
