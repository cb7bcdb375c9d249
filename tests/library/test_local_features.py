"""streamguard.library.local_features: arrays that never change, and the nearest of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.library.faiss_nearest import EXACT_BELOW
from streamguard.library.local_features import (
    FEATURE,
    FRAME,
    NEAREST,
    NONE,
    FeatureSearch,
    LocalFeatures,
    from_references,
    joined,
)
from streamguard.types import CODE_BYTES, ReferenceFrame
from tests.made_features import flipped_bits, made_features, made_frame

SECOND_US = 1_000_000


def _items(*frames: int) -> list[list[ReferenceFrame]]:
    """Items with so many frames each, no two of which have anything in common."""
    return [
        [made_frame(100 * item + number, at_us=number * SECOND_US) for number in range(count)]
        for item, count in enumerate(frames)
    ]


@given(counts=st.lists(st.integers(0, 4), max_size=5))
@settings(max_examples=25, deadline=None)
def test_arrays_hold_what_the_references_hold(counts: list[int]) -> None:
    """A row a frame and a row a feature, in order, each with its item; sound, and as large as they say."""
    items = _items(*counts)
    local = from_references(items)
    frames = [(number, frame) for number, item in enumerate(items) for frame in item]
    assert local.is_sound(items=len(counts))
    assert local.frames["item"].tolist() == [number for number, _ in frames]
    assert local.frames["from_us"].tolist() == [frame.place.from_us for _, frame in frames]
    assert local.codes.tobytes() == b"".join(frame.features.codes.tobytes() for _, frame in frames)
    assert local.rows["frame"].tolist() == [number for number in range(len(frames)) for _ in range(40)]
    assert local.nbytes == local.codes.nbytes + local.rows.nbytes + local.frames.nbytes


@given(counts=st.lists(st.integers(0, 3), min_size=1, max_size=5), chosen=st.integers(0, 31))
@settings(max_examples=40, deadline=None)
def test_only_some_items_are_as_if_the_others_had_never_been(counts: list[int], chosen: int) -> None:
    """Items that are off leave no feature behind, and those that are on keep theirs under their new numbers."""
    items = _items(*counts)
    on = [number for number in range(len(counts)) if chosen >> number & 1]
    renumbered = np.full(len(counts), -1, np.int64)
    renumbered[on] = np.arange(len(on))
    whole = from_references(items)
    before = [array.tobytes() for array in (whole.codes, whole.rows, whole.frames)]
    _assert_equal(whole.of_items(renumbered), from_references([items[number] for number in on]))
    assert [array.tobytes() for array in (whole.codes, whole.rows, whole.frames)] == before


@given(counts=st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=3))
@settings(max_examples=25, deadline=None)
def test_joined_parts_are_one(counts: list[list[int]]) -> None:
    """Segments one after another are what one segment of all their items would be, and none is changed by it."""
    parts = [from_references(_items(*part)) for part in counts]
    firsts = np.cumsum([0, *(len(part) for part in counts)]).tolist()
    before = [part.rows.tobytes() + part.frames.tobytes() for part in parts]
    whole = from_references([frames for part in counts for frames in _items(*part)])
    _assert_equal(joined(list(zip(parts, firsts, strict=False))), whole)
    assert [part.rows.tobytes() + part.frames.tobytes() for part in parts] == before


def _assert_equal(one: LocalFeatures, other: LocalFeatures) -> None:
    for name in ("codes", "rows", "frames"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize(
    "change",
    [
        lambda local: local.rows["frame"].__setitem__(3, 3),
        lambda local: local.rows["mirrored"].__setitem__(0, 2),
        lambda local: local.frames["item"].__setitem__(0, 2),
        lambda local: local.frames["from_us"].__setitem__(0, -1),
        lambda local: local.frames["to_us"].__setitem__(1, 0),
        lambda local: local.frames["width_px"].__setitem__(1, 0),
        lambda local: local.frames["height_px"].__setitem__(2, 0),
    ],
)
def test_impossible_values_are_seen(change: Callable[[LocalFeatures], Any]) -> None:
    """Frames or items that are not there, unknown forms, places that end before they begin, frames without size."""
    local = from_references(_items(1, 2))
    local.frames["from_us"][1] = local.frames["to_us"][1] = SECOND_US
    assert local.is_sound(items=2)
    change(local)
    assert not local.is_sound(items=2)


def test_more_codes_than_rows_are_seen() -> None:
    """Each code has its row."""
    local = from_references(_items(1))
    assert not replace(local, codes=local.codes[:-1]).is_sound(items=1)
    assert NONE.is_sound(items=0)
    assert (NONE.rows.dtype, NONE.frames.dtype) == (FEATURE, FRAME)


@pytest.mark.parametrize("off", [(), (0,), (0, 2, 3), (0, 1, 2, 3, 4)])
def test_the_nearest_of_what_is_live(off: tuple[int, ...]) -> None:
    """As if the others had never been, up to 48 bits away, and in order."""
    items = [[made_frame(7)], *_items(2, 1), [made_frame(7)], [made_frame(7)]]
    live = np.array([number not in off for number in range(len(items))])
    shown = flipped_bits(made_features(7).codes, 20)
    rows, bits = FeatureSearch.over(from_references(items)).nearest(shown, live=live)
    renumbered = np.where(live, np.cumsum(live) - 1, -1)
    alone = FeatureSearch.over(from_references(items).of_items(renumbered))
    expected = alone.nearest(shown)[1]
    assert rows.shape == bits.shape == (40, NEAREST)
    near = np.where(expected <= 48, expected, 1 << 30)
    assert np.array_equal(np.where(bits <= 48, bits, 1 << 30), near)


def test_where_codes_are_filed_goes_with_them() -> None:
    """To other numbers, and to others behind them; of items that are left out nothing stays."""
    rng = np.random.default_rng(0)
    parts = []
    for seed, count in ((0, EXACT_BELOW + 300), (1, 300)):
        rows, frames = np.zeros(count, FEATURE), np.zeros(count // 100, FRAME)
        rows["frame"] = np.arange(count) // 100
        frames["item"] = np.arange(len(frames)) + seed
        parts.append(LocalFeatures(rng.integers(0, 256, (count, CODE_BYTES), np.uint8), rows, frames))
    search = FeatureSearch.over(parts[0])
    local = search.features(parts[0].codes)
    assert local.filed is not None
    first, items = np.arange(len(local.frames)) > 0, len(local.frames)
    fewer = local.of_items(np.where(first, np.cumsum(first) - 1, -1))
    assert fewer.filed is not None
    assert np.array_equal(fewer.filed.lists, local.filed.lists[100:])
    both = joined([(fewer, 0), (parts[1], items)])
    again = FeatureSearch.over(both).features(both.codes).filed
    assert again is not None
    assert again.middles is local.filed.middles
    assert np.array_equal(again.lists[:-300], fewer.filed.lists)
