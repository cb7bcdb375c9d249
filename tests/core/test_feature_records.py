"""streamguard.core.feature_records: local features as flat bytes and back, and what is not believed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.feature_records import PLACE_UNITS_A_PX, RECORD, from_records, in_pixels, in_units, to_records
from streamguard.types import CODE_BYTES, NO_FEATURES, Features
from tests.made_features import made_features

BYTES_A_FEATURE = 37


@given(seed=st.integers(0, 1000), count=st.integers(0, 60), still=st.booleans())
def test_what_is_packed_comes_back(seed: int, count: int, *, still: bool) -> None:
    """Places, forms, codes and marks are what they were, in as many bytes as the library and the pipe reckon with."""
    found = made_features(seed, count=count)
    if still:
        found = Features(
            found.width_px, found.height_px, found.places, found.mirrored, found.codes, np.arange(count) % 3 == 0
        )
    records = to_records(found)
    assert len(records.tobytes()) == count * BYTES_A_FEATURE
    read = from_records(np.frombuffer(records.tobytes(), RECORD), width_px=found.width_px, height_px=found.height_px)
    assert read == found


def test_nothing_is_nothing() -> None:
    """A picture without features has no records."""
    assert from_records(to_records(NO_FEATURES), width_px=1, height_px=1) == NO_FEATURES


@given(across=st.floats(0, 2047), down=st.floats(0, 2047))
def test_places_are_whole_32nds_of_a_pixel(across: float, down: float) -> None:
    """What is lost by rounding is less than anybody measures, and rounding what is rounded changes nothing."""
    places = np.array([[across, down]], np.float32)
    rounded = in_pixels(*in_units(places))
    assert np.abs(rounded - places).max() <= 0.51 / PLACE_UNITS_A_PX
    assert np.array_equal(in_pixels(*in_units(rounded)), rounded)


def _record(*, x: int = 0, y: int = 0, flags: int = 0) -> np.ndarray:
    record = np.zeros(1, RECORD)
    record["x"], record["y"], record["flags"] = x, y, flags
    return record


@pytest.mark.parametrize(
    ("record", "width_px", "height_px"),
    [
        (_record(x=640 * 32), 640, 360),
        (_record(y=360 * 32), 640, 360),
        (_record(x=65_535), 640, 360),
        (_record(flags=4), 640, 360),
        (_record(flags=255), 640, 360),
        (_record(), 0, 360),
        (_record(), 640, 0),
        (_record(), -640, 360),
        (np.zeros(0, RECORD), 0, 0),
    ],
    ids=[
        "right of it",
        "below it",
        "far out",
        "a third flag",
        "all flags",
        "no width",
        "no height",
        "negative",
        "none",
    ],
)
def test_records_that_no_picture_has_are_refused(record: np.ndarray, width_px: int, height_px: int) -> None:
    """A place outside the picture, an unknown flag or a picture without size is a ValueError."""
    with pytest.raises(ValueError, match="impossible values"):
        from_records(record, width_px=width_px, height_px=height_px)


@given(data=st.binary(max_size=BYTES_A_FEATURE * 4), width_px=st.integers(-1, 2048), height_px=st.integers(-1, 2048))
def test_any_bytes_are_features_or_a_value_error(data: bytes, width_px: int, height_px: int) -> None:
    """Nothing that a decoder sends raises anything else, or gives a place outside its picture."""
    records = np.frombuffer(data[: len(data) // BYTES_A_FEATURE * BYTES_A_FEATURE], RECORD)
    try:
        found = from_records(records, width_px=width_px, height_px=height_px)
    except ValueError:
        return
    assert found.codes.shape == (len(records), CODE_BYTES)
    assert np.all(found.places < (width_px, height_px))
    assert to_records(found).tobytes() == records.tobytes()


def test_the_records_can_be_overwritten_afterwards() -> None:
    """Features are values of their own: they do not hang on the buffer that they came in."""
    found = made_features(1, count=5)
    records = to_records(found)
    read = from_records(records, width_px=found.width_px, height_px=found.height_px)
    records[:] = np.zeros(5, RECORD)
    assert read == found
