"""streamguard.core.stillness: what a stream shows at the same place for seconds is marked, and little is remembered."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamguard.core.features import STREAM, features
from streamguard.core.stillness import SAME_CODE_BITS, SAME_PLACE_PX, StreamMemory, same_place
from streamguard.demo.scenes import Scene, StillScene
from streamguard.types import CODE_BYTES, FULL_RANGE, NO_FEATURES, Codes, Features, Fingerprints, MediaTime, Places
from tests.made_features import flipped_bits, joined, made_features
from tests.pictures import luma_of


def _keyframe(at_s: float, found: Features, *, session: int = 1) -> Fingerprints:
    return Fingerprints(MediaTime(session, round(at_s * 1e6)), 0.0, 640, 360, (), found)


WALL = made_features(1, count=30)
"""What stands still."""


def _people(at_s: float) -> Features:
    return made_features(100 + round(at_s * 10), count=20)


def _shown(memory: StreamMemory, at_s: float) -> np.ndarray:
    """The marks of a keyframe that shows the wall and people who come and go."""
    return memory.marked(_keyframe(at_s, joined(WALL, _people(at_s)))).features.still


def test_what_stands_still_is_marked() -> None:
    """From the second keyframe on: the wall is marked, the people are not."""
    memory = StreamMemory()
    _shown(memory, 0.0)
    for at_s in (2.0, 4.0, 6.0, 9.0, 19.0):
        marks = _shown(memory, at_s)
        assert marks[:30].all()
        assert not marks[30:].any()


@pytest.mark.parametrize("later_s", [0.1, 0.5, 1.0, 1.4])
def test_at_the_start_of_a_session_all_is_marked(later_s: float) -> None:
    """As long as nothing is old enough to compare with, nobody knows what comes and goes: nothing tells when."""
    memory = StreamMemory()
    assert _shown(memory, 0.0).all()
    assert _shown(memory, later_s).all()


def test_what_stood_between_keyframes_before_is_still_there_too() -> None:
    """Another camera may be seen between keyframes alone: its wall tells nothing from the second time on."""
    memory = StreamMemory()
    wall = made_features(2, count=30)
    memory.marked(_keyframe(0.0, WALL))
    marks = []
    for at_s in (2.0, 4.0, 6.0):
        memory.marked(_keyframe(at_s, WALL))
        between = replace(_keyframe(at_s + 0.1, joined(wall, _people(at_s))), between=True)
        marks.append(memory.marked(between).features.still)
    assert not marks[0].any()
    assert all(later[:30].all() and not later[30:].any() for later in marks[1:])


def test_a_gap_is_looked_across() -> None:
    """After a minute without keyframes the last ones before it are what there is to compare with."""
    memory = StreamMemory()
    _shown(memory, 0.0)
    _shown(memory, 2.0)
    marks = _shown(memory, 62.0)
    assert marks[:30].all()
    assert not marks[30:].any()


@pytest.mark.parametrize("ago_s", [1.5, 4.0, 8.0])
def test_it_looks_back_at_several_times(ago_s: float) -> None:
    """What the stream showed 1.5, 4 or 8 s ago and not in between stands still as well: a car may have covered it."""
    memory = StreamMemory()
    for step in range(21):
        at_s = step * 0.5
        found = joined(WALL, _people(at_s)) if at_s in {10.0, 10.0 - ago_s} else _people(at_s)
        marks = memory.marked(_keyframe(at_s, found)).features.still
    assert marks[:30].all()
    assert not marks[30:].any()


@pytest.mark.parametrize("ago_s", [1.5, 4.0, 8.0])
def test_it_looks_as_far_back_where_keyframes_are_dense(ago_s: float) -> None:
    """With a keyframe every tenth of a second, what is remembered is not just the last six seconds."""
    memory = StreamMemory()
    for step in range(121):
        ago = 12.0 - step / 10
        found = joined(WALL, _people(step)) if ago == 0.0 or ago_s <= ago <= ago_s + 0.6 else _people(step)
        marks = memory.marked(_keyframe(step / 10, found)).features.still
    assert marks[:30].all()
    assert not marks[30:].any()


def test_the_keyframe_is_otherwise_unchanged() -> None:
    """Only the marks are new; a keyframe without features is none the worse."""
    memory = StreamMemory()
    first = _keyframe(0.0, WALL)
    marked = memory.marked(first)
    assert replace(marked, features=replace(marked.features, still=WALL.still)) == first
    empty = _keyframe(2.0, NO_FEATURES)
    assert memory.marked(empty) == empty
    assert not first.features.still.any()


@given(steps_s=st.lists(st.sampled_from([0.01, 0.04, 0.2, 0.49, 0.5, 1.0, 2.0, 7.0, 21.0, 100.0]), max_size=120))
@settings(max_examples=30, deadline=None)
def test_memory_is_bounded(steps_s: list[float]) -> None:
    """However dense or sparse keyframes are, at most 64 are remembered, and none for much longer than 20 s."""
    memory, at_s = StreamMemory(), 0.0
    for step_s in steps_s:
        at_s += step_s
        memory.marked(_keyframe(at_s, WALL))
        assert len(memory._past) <= 64
        assert all(-0.001 <= at_s - past.at.pts_us / 1e6 <= 20.501 for past in memory._past)


def test_a_thousand_keyframes_a_second_apart_cost_the_same() -> None:
    """Dense ones are passed over, so that what is remembered always reaches far enough back."""
    memory = StreamMemory()
    for number in range(1000):
        marks = _shown(memory, number * 0.04)
    assert len(memory._past) <= 64
    assert marks[:30].all()
    assert not marks[30:].any()


@pytest.mark.parametrize(
    ("shift_px", "bits", "same"),
    [
        (0.0, 0, True),
        (SAME_PLACE_PX, 0, True),
        (SAME_PLACE_PX + 0.5, 0, False),
        (0.0, SAME_CODE_BITS, True),
        (0.0, SAME_CODE_BITS + 1, False),
        (SAME_PLACE_PX, SAME_CODE_BITS, True),
    ],
)
def test_same_place_and_same_code(shift_px: float, bits: int, *, same: bool) -> None:
    """Up to 8 pixels along either axis and 44 of 256 bits; both."""
    for axis in (0, 1):
        places = WALL.places.copy()
        places[:, axis] += shift_px
        other = replace(WALL, places=places, codes=flipped_bits(WALL.codes, bits))
        assert same_place(WALL, other).tolist() == [same] * len(WALL)


def test_nothing_is_at_the_same_place_as_nothing() -> None:
    """Pictures without features, on either side."""
    assert same_place(NO_FEATURES, WALL).shape == (0,)
    assert not same_place(WALL, NO_FEATURES).any()


def test_a_still_camera_stands_still_and_a_moving_one_does_not() -> None:
    """Made footage: of a locked-off camera nearly all is marked, of a camera that moves only little."""
    shares = []
    for footage in (StillScene(3), Scene(3)):
        memory = StreamMemory()
        for at_s in (0.0, 2.0, 4.0):
            found = features(luma_of(footage, at_s), levels=FULL_RANGE, how=STREAM)
            marked = memory.marked(_keyframe(at_s, found))
        shares.append(marked.features.still.mean())
    still, moving = shares
    assert still >= 0.8
    assert moving <= 0.2


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
