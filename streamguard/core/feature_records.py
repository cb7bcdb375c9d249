"""Local features as flat records, for whoever passes them on: from a decoder child, or into the library."""

import numpy as np
from numpy.typing import NDArray

from streamguard.types import CODE_BYTES, Features, Places

PLACE_UNITS_A_PX = 32
"""Places are whole 32nds of a pixel."""

_MIRRORED, _STILL = 1, 2

RECORD = np.dtype([("x", "<u2"), ("y", "<u2"), ("flags", "u1"), ("code", "u1", (CODE_BYTES,))])


def to_records(features: Features) -> NDArray[np.void]:
    """A record a feature."""
    records = np.zeros(len(features), RECORD)
    records["x"], records["y"] = in_units(features.places)
    records["flags"] = features.mirrored * _MIRRORED + features.still * _STILL
    records["code"] = features.codes
    return records


def from_records(records: NDArray[np.void], *, width_px: int, height_px: int) -> Features:
    """Raises ValueError for records that no picture of that size has."""
    places = in_pixels(records["x"], records["y"])
    if (
        width_px < 1
        or height_px < 1
        or np.any(places >= (width_px, height_px))
        or np.any(records["flags"] > (_MIRRORED | _STILL))
    ):
        raise ValueError("features with impossible values")
    mirrored, still = ((records["flags"] & flag).astype(np.bool_) for flag in (_MIRRORED, _STILL))
    return Features(width_px, height_px, places, mirrored, records["code"].copy(), still)


def in_units(places: Places) -> NDArray[np.uint16]:
    """The x and the y of each place, two lines."""
    return np.asarray(np.rint(places * PLACE_UNITS_A_PX).T, np.uint16)


def in_pixels(across: NDArray[np.uint16], down: NDArray[np.uint16]) -> Places:
    """A row for each place."""
    return np.asarray(np.stack([across, down], axis=1) / np.float32(PLACE_UNITS_A_PX), np.float32)
