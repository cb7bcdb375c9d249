"""streamguard.core.stillness.same_place: the features that one picture has at the same place as another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamguard.core.stillness import SAME_CODE_BITS, SAME_PLACE_PX, same_place
from streamguard.types import CODE_BYTES, NO_FEATURES, Codes, Features, Places


def _features(places: Places, codes: Codes) -> Features:
    none = np.zeros(len(places), np.bool_)
    return Features(512, 288, places, none, codes, none)


def _scattered(seed: int, count: int, *, width_px: int) -> Features:
    """Few codes, each a few bits off, at places of whole 32nds of a pixel: many are near, and many of those alike."""
    rng = np.random.default_rng(seed)
    places = (rng.integers(0, (width_px * 32, 100 * 32), (count, 2)) / np.float32(32)).astype(np.float32)
    codes = np.random.default_rng(0).integers(0, 256, (4, CODE_BYTES), np.uint8)[rng.integers(0, 4, count)]
    noise = rng.random((count, CODE_BYTES * 8)) < rng.uniform(0.0, 0.2)
    return _features(places, codes ^ np.packbits(noise, axis=1))


def _by_definition(found: Features, other: Features) -> NDArray[np.bool_]:
    """Each with each."""
    near = np.abs(found.places[:, None] - other.places[None]).max(axis=2, initial=0.0) <= SAME_PLACE_PX
    alike = np.bitwise_count(found.codes[:, None] ^ other.codes[None]).sum(axis=2, dtype=np.int64) <= SAME_CODE_BITS
    return np.asarray((near & alike).any(axis=1))


@given(
    seed=st.integers(0, 1 << 30),
    counts=st.tuples(st.integers(0, 120), st.integers(0, 120)),
    width_px=st.sampled_from([1, 9, 100, 512]),
)
def test_those_that_are_near_and_alike_are_found(seed: int, counts: tuple[int, int], width_px: int) -> None:
    """Just those that have a feature of the other picture within 8 pixels on each axis and 44 bits, as if each were
    compared with each.
    """
    found, other = (_scattered(seed + i, count, width_px=width_px) for i, count in enumerate(counts))
    assert np.array_equal(same_place(found, other), _by_definition(found, other))


@pytest.mark.parametrize(
    ("across", "down", "bits", "same"),
    [
        (8.0, -8.0, 44, True),
        (-8.0, 8.0, 44, True),
        (8.03125, 0.0, 0, False),
        (-8.03125, 0.0, 0, False),
        (0.0, 8.03125, 0, False),
        (0.0, 0.0, 45, False),
    ],
)
def test_the_limits_belong_to_the_same(across: float, down: float, bits: int, *, same: bool) -> None:
    """8 pixels along and down, and 44 bits, are the same place and the same code; a 32nd or a bit more are not."""
    code = np.zeros((1, CODE_BYTES), np.uint8)
    changed = np.packbits(np.arange(CODE_BYTES * 8) < bits).reshape(1, -1)
    one = _features(np.array([[100.0, 100.0]], np.float32), code)
    other = _features(np.array([[100.0 + across, 100.0 + down]], np.float32), changed)
    assert bool(same_place(one, other)[0]) is same


def test_pictures_without_features_have_nothing_in_common() -> None:
    """Neither with others nor with each other."""
    some = _scattered(1, 5, width_px=9)
    assert not same_place(some, NO_FEATURES).any()
    assert len(same_place(NO_FEATURES, some)) == 0
    assert len(same_place(NO_FEATURES, NO_FEATURES)) == 0
