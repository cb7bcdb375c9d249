"""streamguard.core.features.reference_features: one search for corners, what is kept and what can be seen."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from streamguard.core.features import (
    REFERENCE,
    SQUEEZED,
    STREAM_ASPECT,
    SURROUNDINGS,
    Extraction,
    features,
    reference_features,
)
from streamguard.demo.scenes import Flat, Footage, Scene, TextSlides
from streamguard.types import FULL_RANGE, Luma


def _luma(footage: Footage, *, width_px: int, height_px: int) -> Luma:
    return np.asarray(cv2.cvtColor(footage.frame(2.0, width_px, height_px), cv2.COLOR_RGB2GRAY), np.uint8)


@pytest.mark.parametrize("how", [REFERENCE, replace(REFERENCE, aspect=STREAM_ASPECT), replace(SQUEEZED, aspect=0.9)])
@pytest.mark.parametrize("footage", [Scene(3), TextSlides(3), Flat()], ids=["moving", "text", "flat"])
def test_both_are_as_if_they_were_asked_for_alone(footage: Footage, how: Extraction) -> None:
    """What is kept does not depend on what else can be seen."""
    luma = _luma(footage, width_px=360, height_px=640)
    found = reference_features(luma, levels=FULL_RANGE, how=how)
    most = how.most, SURROUNDINGS.most
    assert found == tuple(features(luma, levels=FULL_RANGE, how=replace(how, most=each)) for each in most)
    assert len({len(each) for each in found}) == (1 if isinstance(footage, Flat) else 2)


def test_where_there_is_no_picture_there_are_none() -> None:
    """A line, one way or the other."""
    for width_px, height_px in ((20, 640), (640, 20)):
        luma = _luma(Scene(3), width_px=width_px, height_px=height_px)
        assert [len(each) for each in reference_features(luma, levels=FULL_RANGE, how=REFERENCE)] == [0, 0]
