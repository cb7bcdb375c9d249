"""streamguard.library.feature_votes: which frames a stream's features vote for."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from streamguard.core.features import REFERENCE, STREAM, features
from streamguard.core.geometry import Geometry, align
from streamguard.demo.scenes import Scene, TextSlides
from streamguard.library.feature_votes import GLANCE_FROM, GLANCE_STEP, GLANCE_VOTES, MOST_FRAMES, FeatureVotes, Footage
from streamguard.library.local_features import NEAREST_BITS, NONE, Asset, FeatureSearch, from_references
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


def _search(items: Sequence[Sequence[ReferenceFrame]]) -> FeatureVotes:
    return FeatureVotes.over([Footage(FeatureSearch.over(from_references(items)), _assets(len(items)))])


def test_a_copy_votes_for_its_frame() -> None:
    """Features like those of one frame give that frame's votes: whose it is, when, and the places on both sides."""
    items = _items(3, 3)
    known = items[1][2]
    shown = replace(known.features, codes=flipped_bits(known.features.codes, 30), width_px=640, height_px=360)
    votes = _search(items).vote(shown)[0]
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
    votes = _search(items).vote(replace(known, mirrored=form))
    assert [(one.mirrored, len(one.stream_places)) for one in votes] == [(True, 25), (False, 15)]


@pytest.mark.parametrize(("bits", "votes"), [(NEAREST_BITS, 1), (NEAREST_BITS + 1, 0)])
def test_codes_vote_within_48_bits(bits: int, votes: int) -> None:
    """What is farther away is a stranger's."""
    items = _items(1)
    shown = replace(items[0][0].features, codes=flipped_bits(items[0][0].features.codes, bits))
    assert len(_search(items).vote(shown)) == votes


@pytest.mark.parametrize(("count", "votes"), [(5, 0), (6, 1)])
def test_fewer_than_six_votes_are_none(count: int, votes: int) -> None:
    """Too few to lay a frame over a picture."""
    items = _items(1)
    shown = taken(items[0][0].features, np.arange(40) < count)
    assert len(_search(items).vote(shown)) == votes


def test_at_most_eight_frames_are_looked_at() -> None:
    """However many frames of the library one picture looks like: those with the most votes, the most first."""
    items = [[made_frame(number, at_us=number * SECOND_US) for number in range(20)]]
    shown = put_together(*(taken(frame.features, np.arange(40) < 6 + number) for number, frame in enumerate(items[0])))
    votes = _search(items).vote(shown)
    assert len(votes) == MOST_FRAMES
    assert [len(one.stream_places) for one in votes] == list(range(25, 17, -1))


def test_what_tells_when_weighs_more() -> None:
    """Frames that only show the same place do not crowd out the moment that is shown."""
    background = [made_frame(number, at_us=number * SECOND_US, seen_elsewhere=255) for number in range(9)]
    moment = made_frame(50, at_us=50 * SECOND_US, count=10)
    shown = put_together(*(frame.features for frame in (*background, moment)))
    votes = _search([[*background, moment]]).vote(shown)
    assert votes[0].place == moment.place
    assert len(votes) == MOST_FRAMES


def test_frames_with_too_few_votes_crowd_out_none() -> None:
    """Not even where each of theirs tells when, and none of the many for another frame does."""
    few = [made_frame(number, at_us=number * SECOND_US) for number in range(MOST_FRAMES)]
    held = made_frame(50, at_us=50 * SECOND_US, count=20, seen_elsewhere=255)
    some = (taken(frame.features, np.arange(40) < 5) for frame in few)
    votes = _search([[*few, held]]).vote(put_together(*some, held.features))
    assert [one.place for one in votes] == [held.place]


def test_several_copies_of_one_scene_all_get_votes() -> None:
    """Four items that hold the same frame are found by the same features."""
    items = [[made_frame(1)] for _ in range(4)]
    votes = _search(items).vote(made_features(1))
    assert {one.asset for one in votes} == {f"item-{number}" for number in range(4)}


def test_nothing_votes_for_nothing() -> None:
    """An empty library, a picture without features, a picture of strangers."""
    assert FeatureVotes.over([]).vote(made_features(1)) == ()
    assert FeatureVotes.over([Footage(FeatureSearch.over(NONE), ())]).vote(made_features(1)) == ()
    assert _search([[], []]).vote(made_features(1)) == ()
    search = _search(_items(3))
    assert search.vote(NO_FEATURES) == ()
    assert search.vote(made_features(999, count=350)) == ()


def test_marks_of_the_stream_go_along() -> None:
    """What stands still in the stream is told of each vote, in the order of the votes."""
    items = _items(1)
    still = np.arange(40) % 3 == 0
    (votes,) = _search(items).vote(replace(items[0][0].features, still=still))
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
    at_a_glance, closely = (search.vote(shown, closely=closely) for closely in (False, True))
    assert len(closely) == (count >= 6)
    assert _plain(at_a_glance) == (_plain(closely) if count > GLANCE_STEP * GLANCE_VOTES else [])


def test_pictures_with_few_features_are_looked_at_closely() -> None:
    """A quarter of them would be too few to tell anything."""
    items = _items(2)
    shown = put_together(taken(items[0][1].features, np.arange(40) < 6), made_features(999, count=GLANCE_FROM - 7))
    assert len(shown) == GLANCE_FROM - 1
    assert len(_search(items).vote(shown, closely=False)) == 1


def _plain(votes: Sequence[Votes]) -> list[tuple[object, ...]]:
    return [
        (one.asset, one.place, one.mirrored, one.stream_places.tolist(), one.frame_places.tolist(), one.still.tolist())
        for one in votes
    ]


@pytest.fixture(scope="module")
def scenes() -> FeatureVotes:
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


def _alignments(search: FeatureVotes, shown: Features) -> list[Alignment]:
    return [found for votes in search.vote(shown) for found in align(votes, Geometry())]


@pytest.mark.parametrize("seed", [2, 5])
def test_made_scenes_find_themselves(scenes: FeatureVotes, seed: int) -> None:
    """The picture, and its mirror image, are laid over their own frame by dozens of features."""
    for mirrored in (False, True):
        picture = luma_of(Scene(seed), 5.2)
        shown = features(picture[:, ::-1] if mirrored else picture, levels=FULL_RANGE, how=STREAM)
        best = max(_alignments(scenes, shown), key=lambda found: found.telling)
        assert (best.asset, best.place.from_us, best.mirrored) == (f"item-{seed}", SECOND_US, mirrored)
        assert best.telling >= 30


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_are_nothing_that_is_known(scenes: FeatureVotes, name: str) -> None:
    """Noise, patterns, text and broken pictures are laid over no made scene."""
    assert _alignments(scenes, features(HOSTILE[name](), levels=FULL_RANGE, how=STREAM)) == []


@pytest.mark.parametrize("seed", range(20, 26))
def test_strangers_are_nothing_that_is_known(scenes: FeatureVotes, seed: int) -> None:
    """Other scenes, and slides of text, get votes now and then, but no map explains enough of them to count."""
    for footage in (Scene(seed), TextSlides(seed)):
        shown = features(luma_of(footage, 1.0), levels=FULL_RANGE, how=STREAM)
        assert all(found.features < 8 for found in _alignments(scenes, shown))


def _in_parts(items: Sequence[Sequence[ReferenceFrame]], *sizes: int) -> FeatureVotes:
    """The same items, so many in each part."""
    parts, first = [], 0
    for size in sizes:
        own = from_references(items[first : first + size])
        parts.append(Footage(FeatureSearch.over(own), _assets(len(items))[first : first + size]))
        first += size
    return FeatureVotes.over(parts)


@pytest.mark.parametrize("sizes", [(2, 3), (0, 1, 0, 4), (1, 1, 1, 1, 1), (4, 1, 0)])
@pytest.mark.parametrize("closely", [True, False])
def test_parts_vote_as_one(sizes: tuple[int, ...], *, closely: bool) -> None:
    """However footage is divided, the votes are those of one search over all of it."""
    items = [*_items(2, 0, 3, 1), [made_frame(100, at_us=7)]]  # the last has a frame of the first as well
    shown = put_together(
        taken(made_features(201), np.arange(40) < 30), made_features(100), made_features(999, count=150)
    )
    whole = _search(items).vote(shown, closely=closely)
    assert len(whole) >= 2
    assert sorted(_plain(_in_parts(items, *sizes).vote(shown, closely=closely))) == sorted(_plain(whole))


def test_what_is_off_votes_not_and_hides_nothing() -> None:
    """Behind any number of copies that are switched off the one that is live gets its votes."""
    items = [[made_frame(1)] for _ in range(30)]
    live = np.zeros(30, np.bool_)
    live[[11, 28]] = True
    search = FeatureSearch.over(from_references(items))
    votes = FeatureVotes.over([Footage(search, _assets(30), live)]).vote(made_features(1))
    assert {one.asset for one in votes} == {"item-11", "item-28"}
    assert FeatureVotes.over([Footage(search, _assets(30), np.zeros_like(live))]).vote(made_features(1)) == ()
