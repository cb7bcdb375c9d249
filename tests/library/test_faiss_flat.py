"""streamguard.library.faiss_flat: exact search in 256-bit codes."""

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged
from streamguard.library.faiss_flat import MOST_HITS, FlatIndex, from_bytes, to_bytes
from streamguard.types import Codes


@pytest.fixture
def codes() -> Codes:
    """Five codes from a seed."""
    return np.random.default_rng(3).integers(0, 256, (5, 32), dtype=np.uint8)


def test_the_radius_is_inclusive(codes: Codes) -> None:
    """FAISS leaves out what lies exactly on the radius; we do not."""
    query = codes[2:3].copy()
    query[0, 0] ^= 0b111
    assert FlatIndex(codes).within(query, radius_bits=3).rows.tolist() == [2]
    assert FlatIndex(codes).within(query, radius_bits=2).rows.tolist() == []


def test_hits_are_told_apart_by_query(codes: Codes) -> None:
    """Each query has its own stretch of the hits, empty when nothing is near."""
    hits = FlatIndex(codes).within(np.stack([codes[4], ~codes[4], codes[0]]), radius_bits=0)
    assert hits.starts.tolist() == [0, 1, 1, 2]
    assert hits.rows.tolist() == [4, 0]
    assert hits.distances_bits.tolist() == [0, 0]


def test_an_empty_index_finds_nothing(codes: Codes) -> None:
    """No codes, no hits, no error."""
    index = FlatIndex(codes[:0])
    assert index.rows == 0
    assert index.within(codes, radius_bits=256).rows.tolist() == []
    assert index.codes().shape == (0, 32)


def test_blocks_are_one_library(codes: Codes) -> None:
    """Codes on both sides of a block's end are found under their own rows, nearest first."""
    many = np.random.default_rng(4).integers(0, 256, ((1 << 18) + 10, 32), dtype=np.uint8)
    many[(1 << 18) - 1] = many[(1 << 18) + 3] = codes[1]
    many[5] = codes[1] ^ np.uint8(1)
    hits = FlatIndex(many).within(codes[1:3], radius_bits=32)
    assert hits.starts.tolist() == [0, 3, 3]
    assert hits.rows.tolist() == [(1 << 18) - 1, (1 << 18) + 3, 5]
    assert hits.distances_bits.tolist() == [0, 0, 32]


def test_of_many_hits_the_nearest_are_kept(codes: Codes) -> None:
    """However many codes are near, the nearest of them come, of equals the first, also from the last block."""
    many = np.repeat(codes[:1], (1 << 18) + 100, axis=0)
    many[: 1 << 17, 0] ^= 1
    hits = FlatIndex(many).within(codes[:2], radius_bits=5)
    assert np.diff(hits.starts).tolist() == [MOST_HITS, 0]
    assert hits.rows.tolist() == list(range(1 << 17, (1 << 17) + MOST_HITS))
    many[: 1 << 18, 0] = codes[0, 0] ^ 1
    hits = FlatIndex(many).within(codes[:1], radius_bits=5)
    assert hits.rows[:101].tolist() == [*range(1 << 18, (1 << 18) + 100), 0]
    assert len(hits.rows) == MOST_HITS


def test_bytes_there_and_back(codes: Codes) -> None:
    """What is written is read; a wrong count, a cut and an extra byte are damage."""
    data = to_bytes(codes)
    assert np.array_equal(from_bytes(data, rows=5, path="x").codes(), codes)
    for bad, rows in (
        (data, 4),
        (data, 6),
        (data[:-1], 5),
        (data + b"\0", 5),
        (b"", 5),
        (b"", 0),
        (b"IBxF", 0),
        (data[:20] + b"\0" + data[21:], 5),
    ):
        with pytest.raises(LibraryDamaged):
            from_bytes(bad, rows=rows, path="x")
