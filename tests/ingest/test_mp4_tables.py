"""streamguard.ingest.mp4_tables: what the tables of an MP4 claim, whatever it is."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.ingest.mp4_tables import MOST_SAMPLES, samples_named
from tests.faults.bombs import SMALL_PX, box, deep, flat, full_box, many_in_a_run, many_samples


def in_a_track(table: bytes) -> bytes:
    inner = table
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        inner = box(kind, box(b"free", bytes(9)), inner)
    return inner


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (full_box(b"stsz", 0, 7), 7), (full_box(b"stsz", 1, 60_000_000), 60_000_000), (full_box(b"stz2", 4, 9), 9),
        (full_box(b"stts", 5, 5), 0), (box(b"stsz", bytes(5)), 0), (box(b"stsz"), 0),
        (box(b"stsz", bytes(8), struct.pack(">I", 3), size=0), 3),
    ],
)  # fmt: skip
def test_a_table_of_sizes(table: bytes, named: int) -> None:
    """However long it really is."""
    assert samples_named(in_a_track(table)) == named


def test_the_most_of_all() -> None:
    """Of several tracks, and of all fragments."""
    run = box(b"moof", box(b"traf", full_box(b"trun", 30)), box(b"traf", full_box(b"trun", 20)))
    assert samples_named(in_a_track(full_box(b"stsz", 1, 10)) + run + in_a_track(full_box(b"stsz", 1, 25))) == 30


def test_real_ones() -> None:
    """An honest file names its pictures, and what is no MP4 none."""
    assert samples_named(flat(SMALL_PX, form="mp4", pictures=3)) == 3
    assert samples_named(flat(SMALL_PX)) == 0
    assert samples_named(many_samples()) == samples_named(many_in_a_run()) == 60_000_000 > MOST_SAMPLES


def test_long_and_endless_headings() -> None:
    """64-bit lengths count, and one of 0 is the rest."""
    inner = in_a_track(full_box(b"stsz", 1, 5))[8:]
    long = struct.pack(">I4sQ", 1, b"moov", len(inner) + 16) + inner
    assert samples_named(long) == samples_named(box(b"moov", inner, size=0)) == 5


def test_no_depth_and_no_number_is_too_much() -> None:
    """Boxes in boxes, and a million of empty ones, are looked at so far and no farther."""
    assert samples_named(deep()) == 0
    assert samples_named(box(b"free") * 100_000 + in_a_track(full_box(b"stsz", 1, 5))) == 0


@given(st.binary(max_size=200).map(lambda data: in_a_track(full_box(b"stsz", 1, 5))[:90] + data))
def test_any_bytes(data: bytes) -> None:
    """Nothing but a number comes of them."""
    assert samples_named(data) >= 0
