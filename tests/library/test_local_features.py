"""streamguard.library.local_features: arrays that never change, and which frames a stream's features vote for."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.features import REFERENCE, STREAM, features
from streamguard.core.geometry import Geometry, align
from streamguard.demo.scenes import Scene, TextSlides
from streamguard.library.local_features import (
    FEATURE,
    FRAME,
    GLANCE_FROM,
    GLANCE_VOTES,
    MOST_FRAMES,
    NEAREST_BITS,
    NONE,
    Asset,
    FeatureSearch,
    LocalFeatures,
    from_references,
    joined,
)
from streamguard.types import (
    FULL_RANGE,
    NO_FEATURES,
    Alignment,
    AssetId,
    Features,
    MediaKind,
    Place,
    ReferenceFrame,
    Votes,
)
from tests.made_features import flipped_bits, made_features, made_frame, taken
from tests.made_features import joined as put_together
from tests.pictures import HOSTILE, luma_of

SECOND_US = 1_000_000


def _assets(count: int) -> tuple[Asset, ...]:
    return tuple(Asset(AssetId(f"item-{number}"), "test", MediaKind.VIDEO) for number in range(count))


def _items(*frames: int) -> list[list[ReferenceFrame]]:
    """Items with so many frames each, no two of which have anything in common."""
    return [
        [made_frame(100 * item + number, at_us=number * SECOND_US) for number in range(count)]
        for item, count in enumerate(frames)
    ]


def _search(items: Sequence[Sequence[ReferenceFrame]]) -> FeatureSearch:
    return FeatureSearch.over(from_references(items))


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


def test_a_copy_votes_for_its_frame() -> None:
    """Features like those of one frame give that frame's votes: whose it is, when, and the places on both sides."""
    items = _items(3, 3)
    known = items[1][2]
    shown = replace(known.features, codes=flipped_bits(known.features.codes, 30), width_px=640, height_px=360)
    votes = _search(items).vote(shown, _assets(2))[0]
    assert (votes.asset, votes.label, votes.kind, votes.place) == ("item-1", "test", MediaKind.VIDEO, known.place)
    assert (votes.stream_size_px, votes.frame_size_px) == ((640, 360), (512, 288))
    assert not votes.mirrored
    assert np.array_equal(votes.stream_places, shown.places)
    assert np.array_equal(votes.frame_places, known.features.places)
    assert np.array_equal(votes.seen_elsewhere, known.seen_elsewhere)


def test_a_mirror_image_votes_for_the_mirrored_frame() -> None:
    """Features in the other form are votes for the frame's mirror image, apart from those in the same form."""
    items = _items(2)
    known = items[0][0].features
    form = known.mirrored.copy()
    form[:25] = ~form[:25]
    votes = _search(items).vote(replace(known, mirrored=form), _assets(1))
    assert [(one.mirrored, len(one.stream_places)) for one in votes] == [(True, 25), (False, 15)]


@pytest.mark.parametrize(("bits", "votes"), [(NEAREST_BITS, 1), (NEAREST_BITS + 1, 0)])
def test_codes_vote_within_48_bits(bits: int, votes: int) -> None:
    """What is farther away is a stranger's."""
    items = _items(1)
    shown = replace(items[0][0].features, codes=flipped_bits(items[0][0].features.codes, bits))
    assert len(_search(items).vote(shown, _assets(1))) == votes


@pytest.mark.parametrize(("count", "votes"), [(5, 0), (6, 1)])
def test_fewer_than_six_votes_are_none(count: int, votes: int) -> None:
    """Too few to lay a frame over a picture."""
    items = _items(1)
    shown = taken(items[0][0].features, np.arange(40) < count)
    assert len(_search(items).vote(shown, _assets(1))) == votes


def test_at_most_eight_frames_are_looked_at() -> None:
    """However many frames of the library one picture looks like: those with the most votes, the most first."""
    items = [[made_frame(number, at_us=number * SECOND_US) for number in range(20)]]
    shown = put_together(*(taken(frame.features, np.arange(40) < 6 + number) for number, frame in enumerate(items[0])))
    votes = _search(items).vote(shown, _assets(1))
    assert len(votes) == MOST_FRAMES
    assert [len(one.stream_places) for one in votes] == list(range(25, 17, -1))


def test_what_tells_when_weighs_more() -> None:
    """Frames that only show the same place do not crowd out the moment that is shown."""
    background = [made_frame(number, at_us=number * SECOND_US, seen_elsewhere=255) for number in range(9)]
    moment = made_frame(50, at_us=50 * SECOND_US, count=10)
    shown = put_together(*(frame.features for frame in (*background, moment)))
    votes = _search([[*background, moment]]).vote(shown, _assets(1))
    assert votes[0].place == moment.place
    assert len(votes) == MOST_FRAMES


def test_frames_with_too_few_votes_crowd_out_none() -> None:
    """Not even where each of theirs tells when, and none of the many for another frame does."""
    few = [made_frame(number, at_us=number * SECOND_US) for number in range(MOST_FRAMES)]
    held = made_frame(50, at_us=50 * SECOND_US, count=20, seen_elsewhere=255)
    some = (taken(frame.features, np.arange(40) < 5) for frame in few)
    votes = _search([[*few, held]]).vote(put_together(*some, held.features), _assets(1))
    assert [one.place for one in votes] == [held.place]


def test_several_copies_of_one_scene_all_get_votes() -> None:
    """Four items that hold the same frame are found by the same features."""
    items = [[made_frame(1)] for _ in range(4)]
    votes = _search(items).vote(made_features(1), _assets(4))
    assert {one.asset for one in votes} == {f"item-{number}" for number in range(4)}


def test_nothing_votes_for_nothing() -> None:
    """An empty library, a picture without features, a picture of strangers."""
    assert FeatureSearch.over(NONE).vote(made_features(1), ()) == ()
    assert _search([[], []]).vote(made_features(1), _assets(2)) == ()
    search = _search(_items(3))
    assert search.vote(NO_FEATURES, _assets(1)) == ()
    assert search.vote(made_features(999, count=350), _assets(1)) == ()


def test_marks_of_the_stream_go_along() -> None:
    """What stands still in the stream is told of each vote, in the order of the votes."""
    items = _items(1)
    still = np.arange(40) % 3 == 0
    (votes,) = _search(items).vote(replace(items[0][0].features, still=still), _assets(1))
    assert np.array_equal(votes.still, still)


@pytest.mark.parametrize("count", [0, 6, 12, 40])
def test_a_glance_finds_what_is_plain_to_see(count: int) -> None:
    """A picture that shows 40 of a frame's features gets the same votes whether it is looked at closely or not; one
    with a few, as strangers have, none at a glance.
    """
    items = _items(3)
    strangers = made_features(999, count=GLANCE_FROM + 200)
    shown = put_together(taken(items[0][1].features, np.arange(40) < count), strangers)
    search = _search(items)
    at_a_glance, closely = (search.vote(shown, _assets(1), closely=closely) for closely in (False, True))
    assert len(closely) == (count >= 6)
    assert _plain(at_a_glance) == (_plain(closely) if count > 3 * GLANCE_VOTES else [])


def test_pictures_with_few_features_are_looked_at_closely() -> None:
    """A third of them would be too few to tell anything."""
    items = _items(2)
    shown = put_together(taken(items[0][1].features, np.arange(40) < 6), made_features(999, count=GLANCE_FROM - 7))
    assert len(shown) == GLANCE_FROM - 1
    assert len(_search(items).vote(shown, _assets(1), closely=False)) == 1


def _plain(votes: Sequence[Votes]) -> list[tuple[object, ...]]:
    return [
        (one.asset, one.place, one.mirrored, one.stream_places.tolist(), one.frame_places.tolist(), one.still.tolist())
        for one in votes
    ]


@pytest.fixture(scope="module")
def scenes() -> FeatureSearch:
    """A library of made scenes, 24 frames; every feature tells when."""
    items = []
    for seed in range(8):
        read = [features(luma_of(Scene(seed), second), levels=FULL_RANGE, how=REFERENCE) for second in (1.0, 5.0, 9.0)]
        items.append(
            [
                ReferenceFrame(Place(number * SECOND_US, number * SECOND_US), found, np.zeros(len(found), np.uint8))
                for number, found in enumerate(read)
            ]
        )
    return _search(items)


def _alignments(search: FeatureSearch, shown: Features) -> list[Alignment]:
    return [found for votes in search.vote(shown, _assets(8)) for found in align(votes, Geometry())]


@pytest.mark.parametrize("seed", [2, 5])
def test_made_scenes_find_themselves(scenes: FeatureSearch, seed: int) -> None:
    """The picture, and its mirror image, are laid over their own frame by dozens of features."""
    for mirrored in (False, True):
        picture = luma_of(Scene(seed), 5.2)
        shown = features(picture[:, ::-1] if mirrored else picture, levels=FULL_RANGE, how=STREAM)
        best = max(_alignments(scenes, shown), key=lambda found: found.telling)
        assert (best.asset, best.place.from_us, best.mirrored) == (f"item-{seed}", SECOND_US, mirrored)
        assert best.telling >= 30


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_are_nothing_that_is_known(scenes: FeatureSearch, name: str) -> None:
    """Noise, patterns, text and broken pictures are laid over no made scene."""
    assert _alignments(scenes, features(HOSTILE[name](), levels=FULL_RANGE, how=STREAM)) == []


@pytest.mark.parametrize("seed", range(20, 26))
def test_strangers_are_nothing_that_is_known(scenes: FeatureSearch, seed: int) -> None:
    """Other scenes, and slides of text, get votes now and then, but no map explains enough of them to count."""
    for footage in (Scene(seed), TextSlides(seed)):
        shown = features(luma_of(footage, 1.0), levels=FULL_RANGE, how=STREAM)
        assert all(found.features < 8 for found in _alignments(scenes, shown))
