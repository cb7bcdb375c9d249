"""streamguard.core.features: one search for corners, several numbers of them kept."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from streamguard.core.features import REFERENCE, STREAM_ASPECT, SURROUNDINGS, features, features_of_each
from streamguard.demo.scenes import Flat, Footage, Scene, TextSlides
from streamguard.types import FULL_RANGE, Luma

MOST = (REFERENCE.most, SURROUNDINGS.most, 7)


def _luma(footage: Footage, *, width_px: int, height_px: int) -> Luma:
    return np.asarray(cv2.cvtColor(footage.frame(2.0, width_px, height_px), cv2.COLOR_RGB2GRAY), np.uint8)


@pytest.mark.parametrize("aspect", [None, STREAM_ASPECT])
@pytest.mark.parametrize("footage", [Scene(3), TextSlides(3), Flat()], ids=["moving", "text", "flat"])
def test_each_is_as_if_it_were_asked_for_alone(footage: Footage, aspect: float | None) -> None:
    """What is kept for one number does not depend on the others."""
    luma = _luma(footage, width_px=360, height_px=640)
    how = replace(REFERENCE, aspect=aspect)
    found = features_of_each(luma, levels=FULL_RANGE, how=how, most=MOST)
    assert found == tuple(features(luma, levels=FULL_RANGE, how=replace(how, most=each)) for each in MOST)
    assert len({len(each) for each in found}) == (1 if isinstance(footage, Flat) else len(MOST))


def test_where_there_is_no_picture_each_has_none() -> None:
    """A line, one way or the other."""
    for width_px, height_px in ((20, 640), (640, 20)):
        luma = _luma(Scene(3), width_px=width_px, height_px=height_px)
        assert [len(each) for each in features_of_each(luma, levels=FULL_RANGE, how=REFERENCE, most=MOST)] == [0, 0, 0]
