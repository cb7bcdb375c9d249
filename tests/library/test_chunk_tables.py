"""streamguard.library.chunk_tables: where in a library codes near a query may stand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.library import turns
from streamguard.library.chunk_tables import ChunkTables, Layout
from streamguard.types import PDQ_BITS, PDQ_BYTES, Codes
from tests.made_features import flipped_bits

_STRETCH_ROWS = turns._STRETCH_ROWS
"""More codes are dealt with so many at a time."""

LAYOUTS = [Layout(16, 14), Layout(16, 16), Layout(14, 18), Layout(13, 19)]


def _codes(count: int, *, seed: int = 0) -> Codes:
    return np.random.default_rng(seed).integers(0, 256, (count, PDQ_BYTES), np.uint8)


def _candidates(tables: ChunkTables, queries: Codes) -> list[list[int]]:
    return [np.sort(tables.candidates(*spans)).tolist() for spans in zip(*tables.spans(queries), strict=True)]


def _compared(codes: Codes, queries: Codes, layout: Layout) -> list[list[int]]:
    """The same, found by comparing every chunk."""
    bits = np.unpackbits(codes, axis=1, bitorder="little")
    asked = np.unpackbits(queries, axis=1, bitorder="little")
    return [
        sorted(
            row
            for start in layout.starts
            for row in np.flatnonzero((bits ^ own)[:, start : start + layout.bits].sum(axis=1) <= 1).tolist()
        )
        for own in asked
    ]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_candidates_agree_with_comparing_chunks(layout: Layout) -> None:
    """A row comes once for each chunk in which it is the query's but for one bit, and no other row comes."""
    codes = _codes(300)
    codes[100:] = flipped_bits(codes[:200], 60, seed=1)
    queries = flipped_bits(codes[:20], 20, seed=2)
    assert _candidates(ChunkTables.over(codes, layout=layout), queries) == _compared(codes, queries, layout)


def test_candidates_agree_where_codes_are_dealt_with_in_several_stretches() -> None:
    """Also of values that thousands of codes have, and of those that none has."""
    layout = Layout(16, 14)
    codes = _codes(3 * _STRETCH_ROWS + 5)
    codes[7 : 2 * _STRETCH_ROWS] = codes[7]
    codes[:_STRETCH_ROWS, 0] = 255
    codes[_STRETCH_ROWS:, 4] = 0
    queries = codes[[0, 7, 2 * _STRETCH_ROWS, -1]]
    assert _candidates(ChunkTables.over(codes, layout=layout), queries) == _compared(codes, queries, layout)


@settings(max_examples=60, deadline=None)
@given(
    layout=st.sampled_from(LAYOUTS),
    flips=st.lists(st.integers(0, PDQ_BITS - 1), max_size=31, unique=True),
    seed=st.integers(0, 9),
)
def test_what_is_few_bits_away_is_always_a_candidate(*, layout: Layout, flips: list[int], seed: int) -> None:
    """Whichever bits differ, fewer than two for each chunk cannot hide a code."""
    codes = _codes(50, seed=seed)
    query = np.unpackbits(codes[7:8], axis=1)
    query[0, flips[: 2 * layout.chunks - 1]] ^= 1
    assert 7 in _candidates(ChunkTables.over(codes, layout=layout), np.packbits(query, axis=1))[0]


def test_the_chunks_do_not_overlap_and_stay_inside() -> None:
    """Each bit belongs to one chunk at most: otherwise one flipped bit could spoil two."""
    for layout in LAYOUTS:
        ends = [start + layout.bits for start in layout.starts]
        assert all(end <= start for end, start in zip(ends, [*layout.starts[1:], PDQ_BITS], strict=True))


def test_memory_is_four_bytes_a_chunk_and_code() -> None:
    """And four for each value that a chunk may have."""
    layout = Layout(16, 14)
    assert ChunkTables.over(_codes(1000), layout=layout).nbytes == 16 * 4 * (1000 + (1 << 14) + 1)
