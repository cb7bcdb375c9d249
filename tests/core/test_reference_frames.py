"""streamguard.core.reference_frames: frames by what they show, and features by how much they tell about *when*."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.features import REFERENCE, SURROUNDINGS, features
from streamguard.core.reference_frames import (
    EVERY_S,
    NEW_FEATURES,
    SOONER_S,
    FrameSampler,
    Sampled,
    reference_frames,
)
from streamguard.demo.scenes import StillScene
from streamguard.types import FULL_RANGE, NO_FEATURES, Features, MediaKind, Place, ReferenceFrame
from tests.made_features import flipped_bits, joined, made_features, taken
from tests.pictures import luma_of

FPS = 25
TELLING = 12
"""Up to so many of 255 other moments, a feature tells when (core.geometry)."""


def _nothing() -> None:
    pass


def _codes(seconds: float, *, every_s: float, seed: int = 0) -> list[tuple[int, bytes]]:
    """A clip at 25 frames a second whose picture is another one every `every_s`."""
    return [
        (round(number / FPS * 1e6), np.random.default_rng([seed, int(number / FPS / every_s)]).bytes(32))
        for number in range(round(seconds * FPS))
    ]


def _wanted_us(clip: Sequence[tuple[int, bytes]]) -> list[int]:
    sampler = FrameSampler()
    return [at_us for at_us, code in clip if sampler.wants(at_us, code)]


def _kept(frames: Sequence[Sampled], *, kind: MediaKind = MediaKind.VIDEO) -> tuple[ReferenceFrame, ...]:
    return reference_frames(frames, kind=kind, duration_us=frames[-1].at_us, on_frame=_nothing)


def _sampled(at_s: float, *parts: Features) -> Sampled:
    found = parts[0] if len(parts) == 1 else joined(*parts)
    return Sampled(round(at_s * 1e6), found, found)


def test_a_still_minute_is_looked_at_once_a_second() -> None:
    """And the first frame always is."""
    wanted = _wanted_us(_codes(60.0, every_s=100.0))
    assert wanted == [second * 1_000_000 for second in range(60)]


def test_a_fast_clip_is_looked_at_more_often() -> None:
    """Where the picture changes wholly every 0.3 s, each of these pictures is seen, at most four a second."""
    wanted = _wanted_us(_codes(6.0, every_s=0.3))
    assert {at_us // 300_000 for at_us in wanted} == set(range(20))
    assert len(wanted) <= 24


def test_a_clip_of_a_fifth_of_a_second_is_seen() -> None:
    """However short it is, its first frame is."""
    assert _wanted_us(_codes(0.2, every_s=0.04)) == [0]


@given(steps_us=st.lists(st.integers(1, 400_000), max_size=80), seed=st.integers(0, 5))
def test_the_cost_of_a_clip_is_bounded(steps_us: list[int], seed: int) -> None:
    """Whatever is shown, never more than four frames a second, and never less than one where there are frames."""
    times_us = np.cumsum([0, *steps_us]).tolist()
    wanted = _wanted_us([(at_us, np.random.default_rng([seed, at_us]).bytes(32)) for at_us in times_us])
    gaps_us = [later - earlier for earlier, later in pairwise(wanted)]
    assert wanted[0] == 0
    assert all(SOONER_S * 1e6 <= gap_us <= EVERY_S * 1e6 + 400_000 for gap_us in gaps_us)


def test_a_still_minute_does_not_cost_sixty_frames() -> None:
    """A picture that stays is one frame, whose place lasts as long as it stays."""
    found = made_features(1)
    (frame,) = _kept([_sampled(second, found) for second in range(60)])
    assert (frame.place, frame.features) == (Place(0, 59_000_000), found)


def test_a_still_camera_costs_little() -> None:
    """Made footage: a locked-off camera of twelve seconds, with somebody walking, is few frames."""
    frames = []
    for second in range(12):
        luma = luma_of(StillScene(3), second)
        kept, all_of_it = (features(luma, levels=FULL_RANGE, how=how) for how in (REFERENCE, SURROUNDINGS))
        frames.append(Sampled(second * 1_000_000, kept, all_of_it))
    reference = _kept(frames)
    assert len(reference) <= 6
    shares = [np.mean(frame.seen_elsewhere > TELLING) for frame in reference]
    assert min(shares) >= 0.6  # most of it is the place, and tells nothing of the time


def test_what_changes_is_kept() -> None:
    """Each of a clip's pictures that has nothing in common with the last is a frame of its own, in order of time."""
    frames = _kept([_sampled(0.25 * number, made_features(number)) for number in range(12)])
    assert [frame.place.from_us for frame in frames] == [250_000 * number for number in range(12)]
    assert [frame.features for frame in frames] == [made_features(number) for number in range(12)]


@pytest.mark.parametrize(("new", "kept"), [(NEW_FEATURES - 1, 1), (NEW_FEATURES, 2)])
def test_a_few_new_features_are_no_new_frame(new: int, kept: int) -> None:
    """Somebody small who comes into the picture prolongs the frame's place; twenty new features are a new frame."""
    wall = made_features(1, count=100)
    frames = _kept([_sampled(0.0, wall), _sampled(1.0, wall, made_features(2, count=new))])
    assert len(frames) == kept
    assert frames[-1].place.to_us == 1_000_000


def test_frames_without_features_are_left_out() -> None:
    """Black between two shots: nothing is kept of it, and a clip of nothing but black has no frames at all."""
    black = Sampled(1_000_000, NO_FEATURES, NO_FEATURES)
    frames = _kept([_sampled(0.0, made_features(1)), black, _sampled(2.0, made_features(2))])
    assert [frame.place for frame in frames] == [Place(0, 0), Place(2_000_000, 2_000_000)]
    assert _kept([black]) == ()
    assert reference_frames([], kind=MediaKind.VIDEO, duration_us=0, on_frame=_nothing) == ()


@pytest.mark.parametrize(("dark_s", "places"), [(0.5, 1), (10.0, 2)])
def test_what_comes_back_after_black_is_another_place(dark_s: float, places: int) -> None:
    """A title before and after ten seconds of black stands at two places, and not at their middle; a blink is none."""
    title, black = made_features(1), Sampled(1_000_000, NO_FEATURES, NO_FEATURES)
    frames = _kept([_sampled(0.0, title), _sampled(0.9, title), black, _sampled(1.0 + dark_s, title)])
    assert len(frames) == places
    assert (frames[0].place.from_us, frames[-1].place.to_us) == (0, round((1.0 + dark_s) * 1e6))


def test_the_background_tells_nothing_and_people_do() -> None:
    """What all other moments show at the same place counts as seen everywhere, what none shows as seen nowhere."""
    wall = made_features(1, count=30)
    frames = _kept([_sampled(2.0 * number, wall, made_features(10 + number, count=25)) for number in range(8)])
    assert len(frames) == 8
    for frame in frames:
        assert frame.seen_elsewhere[:30].tolist() == [255] * 30
        assert frame.seen_elsewhere[30:].tolist() == [0] * 25


def test_what_comes_back_tells_little() -> None:
    """A title that one other moment of many shows as well is seen there; even one in ten is too much to tell when."""
    title = made_features(1, count=30)
    frames = [_sampled(2.0 * number, made_features(10 + number)) for number in range(11)]
    frames[0] = _sampled(0.0, title)
    frames[10] = _sampled(20.0, title)
    first, *rest = _kept(frames)
    assert all(TELLING < share <= 64 for share in first.seen_elsewhere)
    assert not rest[0].seen_elsewhere.any()


def test_the_surroundings_count_although_they_are_not_kept() -> None:
    """A corner that just missed being kept at another moment was there all the same."""
    wall = made_features(1, count=60)
    frames = [Sampled(2_000_000 * number, taken(wall, np.arange(60) % 2 == number % 2), wall) for number in range(6)]
    for frame in _kept(frames):
        assert frame.seen_elsewhere.tolist() == [255] * 30


def test_codes_that_differ_a_little_are_the_same() -> None:
    """Noise changes some bits of what stands still."""
    wall = made_features(1, count=30)
    noisy = [
        Features(wall.width_px, wall.height_px, wall.places, wall.mirrored, codes, wall.still)
        for codes in (flipped_bits(wall.codes, 20, seed=number) for number in range(6))
    ]
    frames = _kept([_sampled(2.0 * number, part, made_features(90 + number)) for number, part in enumerate(noisy)])
    assert all((frame.seen_elsewhere[:30] == 255).all() for frame in frames)


def test_neighbours_in_time_do_not_count() -> None:
    """What lasts a second is one moment, not two: pictures of the same second always look alike."""
    shot = made_features(1, count=30)
    frames = [_sampled(0.5 * number, shot, made_features(50 + number)) for number in range(3)]
    frames += [_sampled(5.0 + number, made_features(70 + number)) for number in range(5)]
    for frame in _kept(frames)[:3]:
        assert not frame.seen_elsewhere[:30].any()


def test_a_video_without_another_moment_tells_nothing() -> None:
    """A clip of one frame may be a still of anything; an image has no other moment, and is told by being seen."""
    (of_video,) = _kept([_sampled(0.0, made_features(1))])
    (of_image,) = _kept([_sampled(0.0, made_features(1))], kind=MediaKind.IMAGE)
    assert set(of_video.seen_elsewhere.tolist()) == {255}
    assert set(of_image.seen_elsewhere.tolist()) == {0}


def test_a_short_clip_has_other_moments_too() -> None:
    """In a clip of a second, 15 % of it apart is another moment."""
    wall = made_features(1, count=30)
    frames = _kept([_sampled(0.25 * number, wall, made_features(10 + number)) for number in range(5)])
    assert all((frame.seen_elsewhere[:30] == 255).all() for frame in frames)
    assert all(not frame.seen_elsewhere[30:].any() for frame in frames)


def test_progress_is_told_after_each_frame() -> None:
    """Hours of footage take minutes, so somebody wants to know that it goes on."""
    told: list[int] = []
    frames = [_sampled(number, made_features(number)) for number in range(9)]
    reference_frames(frames, kind=MediaKind.VIDEO, duration_us=8_000_000, on_frame=lambda: told.append(1))
    assert len(told) == 9


@given(
    shown=st.lists(st.tuples(st.integers(1, 2_000_000), st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=12)
)
@settings(max_examples=40, deadline=None)
def test_places_never_overlap(shown: list[tuple[int, int, int]]) -> None:
    """Whatever a clip shows, its frames come in order, each with one share a feature, and no place reaches the next."""
    at_us, frames = 0, []
    for step_us, seed, count in shown:
        at_us += step_us
        found = made_features(seed, count=count)
        frames.append(Sampled(at_us, found, found))
    reference = _kept(frames)
    for frame in reference:
        assert len(frame.seen_elsewhere) == len(frame.features) > 0
        assert frame.place.from_us <= frame.place.to_us
    assert all(earlier.place.to_us < later.place.from_us for earlier, later in pairwise(reference))
