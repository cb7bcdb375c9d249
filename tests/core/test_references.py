"""Condensed footage: a look for each time the picture moved on, and how much each tells about when."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.core.references import condense
from streamguard.core.telling import review_only
from streamguard.types import (
    PDQ_BITS,
    PDQ_BYTES,
    TELLS_WHEN_BITS,
    WHOLE_PICTURE,
    Fingerprint,
    Fingerprints,
    MediaKind,
    MediaTime,
    Reference,
    Region,
    View,
)

FPS = 12
INSIDE = Region(0.0, 0.1, 1.0, 0.9)


def _look(number: int, *, turned_bits: int = 0, quality: int = 90, region: Region = WHOLE_PICTURE) -> Fingerprint:
    """Two numbers are strangers, about 128 bits apart; `turned_bits` changes that many bits of one."""
    code = np.random.default_rng(number).bytes(PDQ_BYTES)
    turned = int.from_bytes(code) ^ ((1 << turned_bits) - 1)
    return Fingerprint(region, quality, (turned.to_bytes(PDQ_BYTES),) * 8)


def _frames(looks: Iterable[Fingerprint | tuple[Fingerprint, ...]], *, fps: float = FPS) -> list[Fingerprints]:
    return [
        Fingerprints(MediaTime(0, round(i / fps * 1e6)), 0.0, 640, 360, look if isinstance(look, tuple) else (look,))
        for i, look in enumerate(looks)
    ]


def _video(looks: Iterable[Fingerprint | tuple[Fingerprint, ...]], *, fps: float = FPS) -> Reference:
    return condense(_frames(looks, fps=fps), kind=MediaKind.VIDEO)


def _nearest_bits(reference: Reference) -> list[int]:
    return [look.nearest_elsewhere_bits for look in reference.prints]


def test_each_look_that_is_compared_is_told() -> None:
    """Comparing takes minutes for hours of footage; whoever waits for it hears of each look, with and without bars."""
    told: list[None] = []
    frames = _frames((_look(shot), _look(shot, region=INSIDE)) for shot in range(5))
    reference = condense(frames, kind=MediaKind.VIDEO, on_look=lambda: told.append(None))
    assert len(told) == len(reference.prints) == 10


def test_a_look_is_kept_each_time_the_picture_moves_on() -> None:
    """Frames near the last look kept stretch its place; a frame that is farther is a new look."""
    reference = _video(_look(shot, turned_bits=i % 9) for shot in range(3) for i in range(FPS))
    assert [look.code for look in reference.prints] == [_look(shot).codes[View.UPRIGHT] for shot in range(3)]
    assert [(look.place.from_us, look.place.to_us) for look in reference.prints] == [
        (0, 916_667),
        (1_000_000, 1_916_667),
        (2_000_000, 2_916_667),
    ]


def test_slow_drift_is_noticed() -> None:
    """The picture is compared with the look that was kept and not with the frame before: it cannot creep away."""
    reference = _video(_look(1, turned_bits=bits) for bits in range(100))
    kept = [look.code for look in reference.prints]
    assert len(kept) == 12
    assert all(pdq.distance_bits(one, other) == 9 for one, other in pairwise(kept))


def test_places_cover_the_footage() -> None:
    """Between two places lies one frame's time at most: a keyframe at any phase has its place."""
    rng = np.random.default_rng(2)
    reference = _video(_look(number) for number in range(80) for _ in range(rng.integers(1, 6)))
    places = [look.place for look in reference.prints]
    assert places[0].from_us == 0
    assert places[-1].to_us == reference.duration_us
    assert all(0 < later.from_us - earlier.to_us <= 1e6 / FPS + 1 for earlier, later in pairwise(places))


def test_moving_footage_tells_when() -> None:
    """Where every moment looks different, every look tells when."""
    reference = _video(_look(i // 6) for i in range(20 * FPS))
    assert min(_nearest_bits(reference)) > 80
    assert not review_only(reference)


def test_still_camera_tells_nothing() -> None:
    """Where every moment looks like every other, no look tells when, though some are 8 bits apart and more."""
    rng = np.random.default_rng(3)
    reference = _video(_look(1, turned_bits=int(rng.integers(0, 40))) for _ in range(20 * FPS))
    assert len(reference.prints) > 10
    assert max(_nearest_bits(reference)) < TELLS_WHEN_BITS
    assert review_only(reference)


def test_shot_that_comes_back_tells_nothing() -> None:
    """A camera that the footage cuts back to every few seconds is known by its look, but not when; the others tell."""
    shots = [0, 1, 0, 2, 0, 3, 0, 4]
    reference = _video(_look(shot) for shot in shots for _ in range(2 * FPS))
    nearest_bits = dict(zip((look.code for look in reference.prints), _nearest_bits(reference), strict=True))
    assert nearest_bits.pop(_look(0).codes[View.UPRIGHT]) == 0
    assert len(nearest_bits) == 4
    assert min(nearest_bits.values()) > 80


def test_held_shots_tell_nothing() -> None:
    """Two cameras that stand still, one after the other: both looks are held too long to tell when."""
    reference = _video(_look(shot) for shot in (0, 1) for _ in range(10 * FPS))
    assert _nearest_bits(reference) == [0, 0]
    assert review_only(reference)


def test_counts_the_bits_to_the_nearest_other_moment() -> None:
    """The most similar other moment counts, however many others are far, and whether it comes before or after."""
    shots = [_look(1), _look(2), _look(1, turned_bits=30), _look(3), _look(1, turned_bits=50)]
    reference = _video(shot for shot in shots for _ in range(FPS))
    nearest_bits = _nearest_bits(reference)
    assert [nearest_bits[i] for i in (0, 2, 4)] == [30, 20, 20]
    assert min(nearest_bits[1], nearest_bits[3]) > 80


def test_neighbours_are_no_other_moments() -> None:
    """What lies within 1.5 s of a look's middle is the same moment; a frame beyond, and it is another."""
    within, beyond = (
        _video([_look(1)] * frames + [_look(2 + i // FPS) for i in range(10 * FPS)]) for frames in (37, 38)
    )
    assert within.prints[0].nearest_elsewhere_bits > 80
    assert beyond.prints[0].nearest_elsewhere_bits == 0


def test_a_negative_is_as_far_as_can_be() -> None:
    """All 256 bits differ, and are counted as 256."""
    code = _look(1).codes[View.UPRIGHT]
    negative = Fingerprint(WHOLE_PICTURE, 90, (pdq.negative(code),) * 8)
    assert _nearest_bits(_video([_look(1), negative], fps=1)) == [PDQ_BITS, PDQ_BITS]


def test_blank_frames_are_counted_and_not_kept() -> None:
    """Black, flat and faded frames are left out; `blank_share` says how many those were."""
    looks = [_look(i, quality=90 if i % 4 else 49) for i in range(40)]
    reference = _video(looks)
    assert reference.blank_share == 0.25
    assert reference.frames_seen == 40
    assert {look.quality for look in reference.prints} == {90}


def test_place_does_not_bridge_the_black() -> None:
    """A look that is back after seconds of black has two places: in between there was nothing to see."""
    looks = [_look(1)] * FPS + [_look(2, quality=0)] * (5 * FPS) + [_look(1)] * FPS
    places = [look.place for look in _video(looks).prints]
    assert [(place.from_us, place.to_us) for place in places] == [(0, 916_667), (6_000_000, 6_916_667)]


@pytest.mark.parametrize("looks", [[], [_look(1, quality=0)] * 30], ids=["no frame", "all black"])
def test_nothing_to_keep(looks: list[Fingerprint]) -> None:
    """Footage without a frame, or all black, is condensed to nothing, which can earn no kill."""
    reference = _video(looks)
    assert reference.prints == ()
    assert reference.blank_share == (1.0 if looks else 0.0)
    assert review_only(reference)


def test_video_of_one_frame_tells_nothing() -> None:
    """There is no other moment to be different from."""
    reference = _video([_look(1)])
    assert _nearest_bits(reference) == [0]
    assert (reference.duration_us, review_only(reference)) == (0, True)


def test_short_clip_still_has_other_moments() -> None:
    """In two seconds of moving footage, neighbours are nearer than in a long clip, and there are others."""
    reference = _video(_look(i) for i in range(2 * FPS))
    assert not review_only(reference)


def test_footage_in_bars_is_kept_both_ways() -> None:
    """With and without its bars: streams may show either. Each way has its own looks and places."""
    looks = [(_look(i // 6), _look(1000 + i // 6, region=INSIDE)) for i in range(10 * FPS)]
    reference = _video(looks)
    assert len(reference.prints) == 40
    assert reference.prints[0].place == reference.prints[20].place
    assert reference.prints[20].code == _look(1000).codes[View.UPRIGHT]
    assert reference.blank_share == 0.0


def test_blank_bars_and_telling_picture_are_not_blank() -> None:
    """A frame counts as blank only when neither it nor its inside carries anything."""
    reference = _video((_look(i, quality=20), _look(1000 + i, region=INSIDE)) for i in range(FPS))
    assert reference.blank_share == 0.0
    assert len(reference.prints) == FPS


def test_image_is_one_look() -> None:
    """An image has the place 0-0, tells by being seen, and is never for review alone."""
    reference = condense(_frames([_look(1)]), kind=MediaKind.IMAGE)
    (look,) = reference.prints
    assert (look.place.from_us, look.place.to_us, look.nearest_elsewhere_bits) == (0, 0, PDQ_BITS)
    assert (reference.duration_us, review_only(reference)) == (0, False)


def test_long_footage_is_compared_finely() -> None:
    """A title of three seconds that comes back once in an hour and a half does not tell when; all else does."""
    fps, title, back = 4, 1001, 20_001
    shots = [i // 8 + 1 for i in range(90 * 60 * fps)]
    for at in (title, back):
        shots[at : at + 3 * fps] = [0] * 3 * fps
    reference = _video(map(_look, shots), fps=fps)
    untold = [look.place for look in reference.prints if look.nearest_elsewhere_bits < TELLS_WHEN_BITS]
    assert [place.from_us / 1e6 * fps for place in untold] == [title, back]
