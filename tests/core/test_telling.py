"""Whether known footage can earn a kill at all: what of it tells when."""

import numpy as np
import pytest

from streamguard.core.geometry import Geometry
from streamguard.core.telling import LEAST_FEATURES, review_only
from streamguard.types import (
    CODE_BYTES,
    PDQ_BITS,
    TELLS_WHEN_BITS,
    USUAL_COPY_BITS,
    Features,
    MediaKind,
    Place,
    Reference,
    ReferenceFrame,
    ReferencePrint,
)

FAR_BITS = TELLS_WHEN_BITS + USUAL_COPY_BITS
TELLS = Geometry().telling_elsewhere
STILL = TELLS + 1
"""How many of 255 other moments may have a feature that tells when, and one that does not."""


def _look(from_s: float, to_s: float, *, bits: int = FAR_BITS) -> ReferencePrint:
    return ReferencePrint(Place(round(from_s * 1e6), round(to_s * 1e6)), bytes(32), 90, bits)


def _frame(
    from_s: int, to_s: int, *, telling: int = LEAST_FEATURES, apart_px: float = 20.0, twice: bool = False
) -> ReferenceFrame:
    """A frame with so many features that tell when, in rows of eight, and a hundred over all of it that do not."""
    numbers = np.arange(telling)
    places = np.stack([numbers % 8, numbers // 8], axis=1) * apart_px + 10
    places = np.concatenate([places, places[:1].repeat(telling * twice, axis=0)])
    still = np.random.default_rng(1).integers(0, (512, 288), (100, 2))
    elsewhere = np.array([TELLS] * len(places) + [STILL] * len(still), np.uint8)
    places = np.concatenate([places, still]).astype(np.float32)
    none = np.zeros(len(places), np.bool_)
    features = Features(512, 288, places, none, np.zeros((len(places), CODE_BYTES), np.uint8), none)
    return ReferenceFrame(Place(from_s * 1_000_000, to_s * 1_000_000), features, elsewhere)


def _video(*parts: ReferencePrint | ReferenceFrame) -> Reference:
    prints = tuple(part for part in parts if isinstance(part, ReferencePrint))
    frames = tuple(part for part in parts if isinstance(part, ReferenceFrame))
    return Reference(MediaKind.VIDEO, 60_000_000, 100, 0.0, prints, frames)


@pytest.mark.parametrize(
    "parts",
    [
        (_look(0, 1), _look(2, 3)),
        (_frame(0, 1), _frame(2, 3)),
        (_look(0, 1), _frame(2, 3)),
        (_frame(0, 1), _look(2, 3)),
        (_look(0, 5), _look(2, 3), _look(4, 5), _frame(5, 6)),
        (_look(0, 0.3), _look(0.4, 1.6)),
    ],
    ids=["looks", "frames", "a look and a frame", "a frame and a look", "among others", "just far enough"],
)
def test_two_moments_that_tell_can_earn_a_kill(parts: tuple[ReferencePrint | ReferenceFrame, ...]) -> None:
    """One after the other, as far apart as keyframes that count, by their looks, their features, or one of each."""
    assert not review_only(_video(*parts))


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (_look(0, 1),),
        (_frame(0, 1),),
        (_look(0, 2), _look(1, 3)),
        (_look(0, 5), _frame(2, 3)),
        (_look(0, 0.3), _look(0.4, 0.7)),
        (_look(0, 0.3), _look(0.4, 0.7), _look(0.2, 0.9)),
        (_look(0, 1), _look(2, 3, bits=FAR_BITS - 1)),
        (_frame(0, 1), _frame(2, 3, telling=LEAST_FEATURES - 1)),
        (_frame(0, 1), _frame(2, 3, telling=LEAST_FEATURES // 2, twice=True)),
        (_frame(0, 1), _frame(2, 3, apart_px=5.0)),
        (_frame(0, 1), _frame(2, 3, telling=0)),
    ],
    ids=[
        "nothing", "one look", "one frame", "looks of one moment", "a look and a frame of one moment",
        "too near for two keyframes", "far enough with one that is the same moment",
        "a look that others are like", "a feature too few", "features twice at one place", "a small spot", "none",
    ],
)  # fmt: skip
def test_less_is_for_review_only(parts: tuple[ReferencePrint | ReferenceFrame, ...]) -> None:
    """One moment, two that are the same one, or a second one that tells too little."""
    assert review_only(_video(*parts))


def test_an_image_is_never_for_review_only() -> None:
    """It has no other moments: held, it earns a kill; but for a hash of a list that is trusted no further."""
    assert not review_only(Reference(MediaKind.IMAGE, 0, 1, 0.0, (_look(0, 0, bits=PDQ_BITS),)))
    assert review_only(Reference(MediaKind.IMAGE, 0, 1, 0.0, (_look(0, 0, bits=0),)))
