"""Hashes of pictures that any stream may show, and nobody is cut for: colour bars, a spotlight, a disc, grids.

What changes along one axis only (bars alone, gradients) has no hash of its own: noise decides it.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.types import PDQ_BYTES, Codes

_HEIGHT_PX, _WIDTH_PX = 360, 640
_BARS = (180, 162, 131, 112, 84, 65, 35)
"""The luma of the seven colour bars of a test picture."""


@lru_cache(maxsize=1)
def common_pictures() -> Codes:
    """A row of 32 bytes for each."""
    codes = [pdq.from_luma(picture.astype(np.float32))[0] for picture in _pictures()]
    return np.frombuffer(b"".join(codes), np.uint8).reshape(-1, PDQ_BYTES)


def _pictures() -> Iterator[NDArray[np.float64]]:
    y, x = np.mgrid[0:_HEIGHT_PX, 0:_WIDTH_PX].astype(np.float64)
    across, down = x / _WIDTH_PX, y / _HEIGHT_PX
    bars = np.array(_BARS, np.float64)[(across * len(_BARS)).astype(int)]
    pluge = np.where(across < 1 / 4, 235.0, 16.0)
    yield np.where(down < 2 / 3, bars, np.where(down < 3 / 4, bars[:, ::-1], pluge))
    centre = np.hypot(across - 0.5, (down - 0.5) * _HEIGHT_PX / _WIDTH_PX)
    yield from (255 * np.exp(-((centre / width) ** 2)) for width in (0.1, 0.2, 0.35))
    yield from (np.where(centre < radius, 235.0, 16.0) for radius in (0.1, 0.25))
    yield from (255.0 * (((x // side + y // side) % 2) > 0) for side in (20, 40, 80))
    yield from (np.where((x % side < 2) | (y % side < 2), 235.0, 16.0) for side in (20, 40))  # noqa: PLR2004 - lines
