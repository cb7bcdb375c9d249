"""Local features from a seed, for tests that need no picture: codes of strangers, at places spread over a picture."""

from dataclasses import replace

import numpy as np

from streamguard.core.feature_records import PLACE_UNITS_A_PX, in_pixels, in_units
from streamguard.types import CODE_BYTES, Codes, Features, Place, Places, ReferenceFrame

SIZE_PX = (512, 288)


def made_features(seed: int, *, count: int = 40, size_px: tuple[int, int] = SIZE_PX) -> Features:
    """Features that have nothing in common with those of another seed, none of them still."""
    rng = np.random.default_rng([seed, 1])
    width_px, height_px = size_px
    units = rng.integers(0, [width_px * PLACE_UNITS_A_PX, height_px * PLACE_UNITS_A_PX], (count, 2)).astype(np.uint16)
    return Features(
        width_px,
        height_px,
        in_pixels(*units.T),
        rng.random(count) < 0.5,
        rng.integers(0, 256, (count, CODE_BYTES), np.uint8),
        np.zeros(count, np.bool_),
    )


def made_frame(seed: int, *, at_us: int = 0, count: int = 40, seen_elsewhere: int = 0) -> ReferenceFrame:
    """One moment of known footage; all of its features are seen elsewhere in it equally often."""
    found = made_features(seed, count=count)
    return ReferenceFrame(Place(at_us, at_us), found, np.full(count, seen_elsewhere, np.uint8))


def moved(found: Features, *, linear: np.ndarray, shift_px: tuple[float, float], size_px: tuple[int, int]) -> Features:
    """The same features where an affine map puts them, those that fall within a picture of that size."""
    places = np.asarray(found.places @ linear.T + shift_px, np.float32)
    inside = np.all((places >= 0) & (places < np.array(size_px) - 1), axis=1)
    return taken(replace(found, places=in_place(places), width_px=size_px[0], height_px=size_px[1]), inside)


def taken(found: Features, rows: np.ndarray) -> Features:
    """Some of the features."""
    return replace(
        found,
        places=found.places[rows],
        mirrored=found.mirrored[rows],
        codes=found.codes[rows],
        still=found.still[rows],
    )


def joined(*parts: Features) -> Features:
    """All of them in one picture."""
    return Features(
        parts[0].width_px,
        parts[0].height_px,
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.mirrored for part in parts]),
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.still for part in parts]),
    )


def in_place(places: Places) -> Places:
    """As they are sent and kept."""
    return in_pixels(*in_units(np.clip(places, 0, 2047)))


def flipped_bits(codes: Codes, bits: int, *, seed: int = 0) -> Codes:
    """Each code with so many of its bits changed, anywhere."""
    rng = np.random.default_rng([seed, 2])
    flips = np.zeros((len(codes), CODE_BYTES * 8), np.uint8)
    flips[:, :bits] = 1
    return np.asarray(codes ^ np.packbits(rng.permuted(flips, axis=1), axis=1), np.uint8)
