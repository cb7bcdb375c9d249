"""What a calibration rests on, as a picture."""

import cv2
import numpy as np
import pytest

from streamguard.core.calibrate import Near
from streamguard.review.canvas import png
from streamguard.review.tail_picture import draw
from streamguard.types import AssetId
from streamguard.worker.calibrated import Asked, Calibrated, calibrated
from streamguard.worker.calibration_state import Watched

RED = (210, 40, 40)
BLUE = (20, 90, 180)
BAND = (200, 220, 240)


def _result(nats: list[float], *, hours: float = 300.0, kills: float = 1e-5) -> Calibrated:
    near = tuple(Near(600.0 * number, one, AssetId("clip")) for number, one in enumerate(nats))
    watched = Watched("a", "sha256:a", hours * 3600, 1000, (), near, near)
    return calibrated([watched], asked=Asked(kills, 0.01), library_version="1-a", now_unix_s=1.7e9)


def _columns(picture: np.ndarray, colour: tuple[int, int, int], *, least: int) -> list[int]:
    """Those with so many pixels of a colour."""
    inside = (picture[120:690, 140:1235] == colour).all(axis=2).sum(axis=0)
    return [int(column) for column in np.flatnonzero(inside >= least)]


def test_it_shows_the_chosen_mark_the_fit_and_the_band() -> None:
    """The mark stands further right, the less is asked for; fit and band are there."""
    nats = (4.5 + np.random.default_rng(1).exponential(0.9, 200)).tolist()
    strict, loose = (draw(_result(nats, kills=rate)) for rate in (1e-6, 1e-2))
    assert strict.shape == loose.shape == (800, 1280, 3)
    assert max(_columns(loose, RED, least=400)) < max(_columns(strict, RED, least=400))
    for picture in (strict, loose):
        assert len(_columns(picture, BLUE, least=1)) > 100
        assert len(_columns(picture, BAND, least=5)) > 300


@pytest.mark.parametrize("nats", [[], [5.0], [5.0, 39.0, 60.0], [8.0] * 30])
def test_whatever_was_seen_can_be_drawn(nats: list[float]) -> None:
    """Without a tail there is no line that would suggest one."""
    picture = draw(_result(nats, hours=0.01))
    assert _columns(picture, BLUE, least=1) == []
    read = cv2.imdecode(np.frombuffer(png(picture), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert read is not None
    assert np.array_equal(read, picture)
