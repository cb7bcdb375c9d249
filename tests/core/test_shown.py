"""streamguard.core.shown: what a stream has shown, as a reference."""

from dataclasses import replace

from streamguard.core.features import STREAM
from streamguard.core.shown import as_reference, sessions
from streamguard.core.telling import review_only
from streamguard.demo.scenes import Flat, Scene, StillScene
from streamguard.types import MediaKind, MediaTime, Place
from tests.live_keyframes import live_keyframes


def test_it_is_footage_whose_time_begins_with_the_first_keyframe() -> None:
    """A look and a frame for each keyframe that is a moment of its own, with the features that were sent of it."""
    shown = live_keyframes(Scene(7), seconds=20)
    reference = as_reference(shown)
    assert (reference.kind, reference.duration_us, reference.frames_seen) == (MediaKind.VIDEO, 18_000_000, 10)
    assert reference.prints[0].place == Place(0, 0)
    assert [frame.place.from_us for frame in reference.frames] == [2_000_000 * number for number in range(10)]
    first = reference.frames[0]
    assert max(first.features.width_px, first.features.height_px) == STREAM.longer_side_px
    assert (first.features.codes == shown[0].features.codes).all()
    assert shown[0].features.still.all(), "nobody knew then which of them come and go"
    assert not first.features.still.any()
    assert not any(frame.thumbnail for frame in reference.frames)


def test_what_moves_can_earn_a_kill_and_a_still_camera_cannot() -> None:
    """As footage from a file: keyframes that all look alike tell where the camera stood, not when."""
    assert not review_only(as_reference(live_keyframes(Scene(7), seconds=20)))
    assert review_only(as_reference(live_keyframes(StillScene(4), seconds=20)))


def test_nothing_to_see_is_no_look() -> None:
    """Black keyframes are counted, and give nothing to find; nor does no keyframe at all."""
    black = as_reference(live_keyframes(Flat(), seconds=8))
    assert (black.prints, black.frames, black.frames_seen, black.blank_share) == ((), (), 4, 1.0)
    assert (as_reference(()).prints, as_reference(()).duration_us) == ((), 0)


def test_each_connection_is_footage_of_its_own() -> None:
    """Clocks of two sessions have nothing in common; within one, keyframes are put in order, each moment once."""
    first = live_keyframes(Scene(7), seconds=8, session=3)
    again = [replace(one, at=MediaTime(9, one.at.pts_us)) for one in first[:2]]
    mixed = [first[1], again[0], first[0], first[1], *first[2:], again[1]]
    assert sessions(mixed) == (tuple(first), tuple(again))
    assert sessions(()) == ()
