"""streamguard.library.harmless: the library's guard is asked of pictures that are about to become known."""

import numpy as np

from streamguard.core.fingerprints import fingerprints
from streamguard.demo.scenes import Flat, Footage, Scene, StillScene
from streamguard.library.common_pictures import common_pictures
from streamguard.library.harmless import harmless_among
from streamguard.library.poison import Known
from streamguard.types import FULL_RANGE, Codes, Fingerprints, Frame, MediaTime, View
from tests.core.made_looks import keyframe as with_code
from tests.pictures import luma_of

NOTHING = np.empty((0, 32), np.uint8)


def keyframe(footage: Footage) -> Fingerprints:
    return fingerprints(Frame(MediaTime(1, 0), 0.0, luma_of(footage), FULL_RANGE))


def codes(footage: Footage) -> Codes:
    return np.frombuffer(keyframe(footage).prints[0].codes[View.UPRIGHT], np.uint8).reshape(1, -1)


def test_harmless_pictures_are_told() -> None:
    """Those that the library was given, and those that somebody threw out; what is black looks like nothing."""
    known = Known(codes(StillScene(3)), codes(Scene(4)))
    asked = [keyframe(footage) for footage in (StillScene(3), Scene(4), Scene(5), Flat())]
    assert harmless_among(asked, known) == (True, True, False, False)
    assert harmless_among([], known) == ()
    assert harmless_among(asked, Known(NOTHING, NOTHING)) == (False,) * 4


def test_every_library_knows_some() -> None:
    """Test pictures, say, in any of a picture's prints."""
    one = with_code(1, at_s=0.0)
    bars = common_pictures()[0].tobytes()
    look = one.prints[0]
    shown = type(one)(one.at, 0.0, 320, 180, (look, type(look)(look.region, 90, (bars, *look.codes[1:]))))
    assert harmless_among([one, shown], Known(NOTHING, NOTHING)) == (False, True)
