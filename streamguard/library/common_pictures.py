"""Hashes of pictures that any stream may show, and nobody is cut for: colour bars (of SMPTE, too, as ffmpeg and studios
show them), a spotlight, a disc, grids.

What changes along one axis only (EBU's bars, gradients) has no hash of its own: noise decides it. Nor has what changes
all the time, as ffmpeg's testsrc2 does, and looks another way in every size.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.types import PDQ_BYTES, Codes

_HEIGHT_PX, _WIDTH_PX = 360, 640
_BARS = (180, 162, 131, 112, 84, 65, 35)
"""The luma of the seven colour bars of a test picture."""

_HD_BARS = (180, 168, 145, 133, 63, 51, 28)
_BLACK, _WHITE, _GREY, _IN_PHASE, _QUADRATURE = 16, 235, 180, 57, 44

_Picture = NDArray[np.float64]


@lru_cache(maxsize=1)
def common_pictures() -> Codes:
    """A row of 32 bytes for each."""
    codes = [pdq.from_luma(picture.astype(np.float32))[0] for picture in _pictures()]
    return np.frombuffer(b"".join(codes), np.uint8).reshape(-1, PDQ_BYTES)


def _pictures() -> Iterator[_Picture]:
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
    yield _smpte_bars()
    yield _smpte_hd_bars()


def _smpte_bars() -> _Picture:
    """SMPTE EG 1: bars, castellations, and below -I, white, +Q and the pluge."""
    bar = 1 / 7
    castellations = (35, _BLACK, 84, _BLACK, 131, _BLACK, _GREY)
    reference = [(luma, bar * 5 / 4) for luma in (_IN_PHASE, _WHITE, _QUADRATURE, _BLACK)]
    pluge = [(luma, bar / 3) for luma in (7, _BLACK, 24)]
    return np.concatenate([
        _stripes([(luma, bar) for luma in _BARS], height=2 / 3),
        _stripes([(luma, bar) for luma in castellations], height=1 / 12),
        _stripes([*reference, *pluge, (_BLACK, bar)], height=1 / 4),
    ])  # fmt: skip


def _smpte_hd_bars() -> _Picture:
    """SMPTE RP 219, between grey sides."""
    bar, side = 3 / 28, 1 / 8
    ramp = [(float(luma), 6 * bar / 64) for luma in np.linspace(_BLACK, _WHITE, 64)]
    pluge = [(luma, bar / 3) for luma in (12, _BLACK, 20, _BLACK, 24)]
    black_and_white = [(_BLACK, bar * 3 / 2), (_WHITE, bar * 2), (_BLACK, bar * 5 / 6)]
    return np.concatenate([
        _stripes([(104, side), *[(luma, bar) for luma in _HD_BARS], (104, side)], height=7 / 12),
        _stripes([(188, side), (_IN_PHASE, bar), (_GREY, bar * 6), (32, side)], height=1 / 12),
        _stripes([(219, side), (_QUADRATURE, bar), *ramp, (63, side)], height=1 / 12),
        _stripes([(49, side), *black_and_white, *pluge, (_BLACK, bar), (49, side)], height=1 / 4),
    ])  # fmt: skip


def _stripes(parts: Sequence[tuple[float, float]], *, height: float) -> _Picture:
    """Side by side: (luma, share of the width) of each; `height` as a share of the picture's."""
    lumas, widths = np.array(parts, np.float64).T
    middles = (np.arange(_WIDTH_PX) + 0.5) / _WIDTH_PX
    row = lumas[np.minimum(np.searchsorted(np.cumsum(widths), middles), len(lumas) - 1)]
    return np.tile(row, (round(height * _HEIGHT_PX), 1))
