"""Condensed footage: a look for each time the picture moved on, and how much each tells about when."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.core.references import AlikeRule, condense
from streamguard.types import (
    MOST_ALIKE_SHARE,
    PDQ_BYTES,
    WHOLE_PICTURE,
    Fingerprint,
    Fingerprints,
    MediaKind,
    MediaTime,
    Reference,
    Region,
    View,
    tells_when,
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
    assert {look.alike_share for look in reference.prints} == {0.0}
    assert not reference.review_only


def test_still_camera_tells_nothing() -> None:
    """Where every moment looks like every other, no look tells when, though some are 8 bits apart and more."""
    rng = np.random.default_rng(3)
    reference = _video(_look(1, turned_bits=int(rng.integers(0, 40))) for _ in range(20 * FPS))
    assert len(reference.prints) > 10
    assert min(look.alike_share for look in reference.prints) > 0.9
    assert reference.review_only


def test_shot_that_comes_back_tells_nothing() -> None:
    """A camera that the footage cuts back to every few seconds is known by its look, but not when; the others tell."""
    shots = [0, 1, 0, 2, 0, 3, 0, 4]
    reference = _video(_look(shot) for shot in shots for _ in range(2 * FPS))
    tells = {look.code: tells_when(look.alike_share) for look in reference.prints}
    assert not tells[_look(0).codes[View.UPRIGHT]]
    assert sum(tells.values()) == 4


def test_held_shots_tell_nothing() -> None:
    """Two cameras that stand still, one after the other: both looks are held too long to tell when."""
    reference = _video(_look(shot) for shot in (0, 1) for _ in range(10 * FPS))
    assert len(reference.prints) == 2
    assert min(look.alike_share for look in reference.prints) > MOST_ALIKE_SHARE
    assert reference.review_only


def test_alike_is_wider_than_a_match() -> None:
    """Moments beyond the match radius but within `alike_bits` still count as alike; the rule is the caller's."""
    frames = _frames(_look(1, turned_bits=0 if i < 10 * FPS else 40) for i in range(20 * FPS))
    narrow = condense(frames, kind=MediaKind.VIDEO, alike=AlikeRule(alike_bits=31))
    wide = condense(frames, kind=MediaKind.VIDEO, alike=AlikeRule(alike_bits=44))
    assert all(look.alike_share < 0.5 for look in narrow.prints)
    assert all(look.alike_share == 1.0 for look in wide.prints)


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
    assert reference.review_only


def test_video_of_one_frame_tells_nothing() -> None:
    """There is no other moment to be different from."""
    reference = _video([_look(1)])
    assert [look.alike_share for look in reference.prints] == [1.0]
    assert (reference.duration_us, reference.review_only) == (0, True)


def test_short_clip_still_has_other_moments() -> None:
    """In two seconds of moving footage, neighbours are nearer than in a long clip, and there are others."""
    reference = _video(_look(i) for i in range(2 * FPS))
    assert not reference.review_only


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
    assert (look.place.from_us, look.place.to_us, look.alike_share) == (0, 0, 0.0)
    assert (reference.duration_us, reference.review_only) == (0, False)


def test_shares_survive_the_library() -> None:
    """Shares are kept as 32-bit floats there, and are such floats from the start: no look changes sides on the way."""
    reference = _video(_look(0 if i % 7 == 0 else i) for i in range(30 * FPS))
    shares = [look.alike_share for look in reference.prints]
    assert len(set(shares)) > 1
    assert shares == [float(np.float32(share)) for share in shares]


def test_long_footage_is_sampled() -> None:
    """An hour is compared at a few hundred moments, and still tells its looks apart."""
    reference = _video((_look(i // 2) for i in range(3600)), fps=1)
    assert len(reference.prints) == 1800
    assert max(look.alike_share for look in reference.prints) == 0.0
