"""streamguard.library.pdq_index: all codes within a radius, in small libraries and in large ones."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core import pdq
from streamguard.demo.scenes import Scene
from streamguard.library.chunk_tables import Layout
from streamguard.library.faiss_flat import MOST_HITS, FlatIndex, Hits
from streamguard.library.pdq_index import LAYOUTS, MOST_BITS, TABLES_FROM, PdqIndex
from streamguard.library.segments import PLACE
from streamguard.types import FULL_RANGE, PDQ_BYTES, Codes, View
from tests.made_features import flipped_bits
from tests.pictures import luma_of

NEVER_DEAR = float("inf")
"""Tables answer every query, however small the library: otherwise most would be answered by looking at every code."""

EXACT = [layout for _, layout in LAYOUTS if 2 * layout.chunks > MOST_BITS]
NEARLY = [layout for _, layout in LAYOUTS if layout not in EXACT]


def _random(count: int, *, seed: int = 0) -> Codes:
    return np.random.default_rng(seed).integers(0, 256, (count, PDQ_BYTES), np.uint8)


def _triples(hits: Hits) -> set[tuple[int, int, int]]:
    """(query, row, distance in bits) of each."""
    queries = np.repeat(np.arange(len(hits.starts) - 1), np.diff(hits.starts))
    return set(zip(queries.tolist(), hits.rows.tolist(), hits.distances_bits.tolist(), strict=True))


def _near(codes: Codes, bits: Sequence[int]) -> Codes:
    """For each distance a copy of some of the codes, that far away."""
    return np.concatenate([flipped_bits(codes, distance, seed=distance) for distance in bits])


@pytest.fixture(scope="module")
def made() -> Codes:
    """Codes of made scenes, 20,000 times with some of their bits changed: as uneven as codes of pictures are."""
    pictures = [luma_of(Scene(seed), float(at_s)) for seed in range(12) for at_s in range(3)]
    looks = [pdq.fingerprint(picture, levels=FULL_RANGE) for picture in pictures]
    codes = np.frombuffer(b"".join(look.codes[View.UPRIGHT] for look in looks), np.uint8).reshape(-1, PDQ_BYTES)
    many = np.tile(codes, (20_000 // len(codes), 1))
    turned = np.random.default_rng(5).integers(0, 60, len(many))
    return np.concatenate([flipped_bits(many[turned == bits], bits, seed=bits) for bits in range(60)])


@pytest.mark.parametrize("layout", EXACT, ids=str)
@pytest.mark.parametrize("codes", ["made", "random"])
def test_a_library_of_up_to_two_million_finds_all(layout: Layout, codes: str, request: pytest.FixtureRequest) -> None:
    """Whatever looking at every code finds, at each distance up to 31 bits, the tables find, and nothing else."""
    known: Codes = request.getfixturevalue("made") if codes == "made" else _random(8000)
    queries = _near(known[::997], range(MOST_BITS + 1))
    found = _triples(
        PdqIndex.over(known, layouts=[(0, layout)], dear_share=NEVER_DEAR).within(queries, radius_bits=MOST_BITS)
    )
    assert found == _triples(FlatIndex(known).within(queries, radius_bits=MOST_BITS))
    assert len(found) >= len(queries)


@pytest.mark.parametrize("layout", NEARLY, ids=str)
@pytest.mark.parametrize("codes", ["made", "random"])
def test_a_larger_library_finds_nearly_all(layout: Layout, codes: str, request: pytest.FixtureRequest) -> None:
    """Of what is 28 to 31 bits away 99 % is found, of what is nearer all; no distance is wrong."""
    known: Codes = request.getfixturevalue("made") if codes == "made" else _random(8000)
    queries = _near(known[::200], range(22, MOST_BITS + 1))
    found = _triples(
        PdqIndex.over(known, layouts=[(0, layout)], dear_share=NEVER_DEAR).within(queries, radius_bits=MOST_BITS)
    )
    exact = _triples(FlatIndex(known).within(queries, radius_bits=MOST_BITS))
    assert found <= exact
    sure = {hit for hit in exact if hit[2] < 2 * layout.chunks}
    assert sure <= found
    assert len(found - sure) >= 0.99 * len(exact - sure)


@settings(max_examples=40, deadline=None)
@given(
    layout=st.sampled_from([layout for _, layout in LAYOUTS]),
    count=st.integers(1, 400),
    radius_bits=st.integers(0, 140),
    seed=st.integers(0, 20),
)
def test_no_answer_is_wrong(*, layout: Layout, count: int, radius_bits: int, seed: int) -> None:
    """For any radius, also one that the tables are not made for, what is found is just so far away, and found once."""
    codes = np.concatenate([_random(count, seed=seed), _random(count, seed=seed)])
    queries = _near(codes[:4], [0, 9, 25])
    hits = PdqIndex.over(codes, layouts=[(0, layout)], dear_share=NEVER_DEAR).within(queries, radius_bits=radius_bits)
    exact = _triples(FlatIndex(codes).within(queries, radius_bits=radius_bits))
    assert _triples(hits) == {hit for hit in exact if hit in _triples(hits)}
    assert len(_triples(hits)) == len(hits.rows)
    assert {hit for hit in exact if hit[2] <= min(25, radius_bits)} <= _triples(hits)


@pytest.mark.parametrize("count", [0, 1, TABLES_FROM - 1])
def test_a_small_library_has_no_tables(count: int) -> None:
    """It takes no more memory than its codes, and answers at any radius."""
    index = PdqIndex.over(_random(count))
    assert index.nbytes == count * PDQ_BYTES
    assert len(index.within(_random(3), radius_bits=256).rows) == 3 * min(count, MOST_HITS)


@pytest.mark.parametrize("count", [least for least, _ in LAYOUTS[:2]])
def test_tables_are_small_even_where_they_begin(count: int) -> None:
    """With its place and that one's number a code takes less than 150 bytes."""
    assert PdqIndex.over(_random(count)).nbytes <= count * (150 - PLACE.itemsize - 4)


def test_a_million_equal_codes_are_answered() -> None:
    """They are all candidates, so no table is asked; of each query the nearest are kept, of equals the first."""
    codes = np.concatenate([_random(1000), np.repeat(_random(1, seed=1), 1_000_000, axis=0)])
    queries = np.concatenate([_near(codes[-1:], [0, 31, 32]), codes[:1]])
    hits = PdqIndex.over(codes).within(queries, radius_bits=MOST_BITS)
    assert np.diff(hits.starts).tolist() == [MOST_HITS, MOST_HITS, 0, 1]
    assert set(hits.distances_bits[:MOST_HITS].tolist()) == {0}
    assert hits.rows[:MOST_HITS].tolist() == list(range(1000, 1000 + MOST_HITS))
    assert hits.rows[-1] == 0


def test_a_query_with_many_candidates_looks_at_every_code() -> None:
    """A hostile list of codes far apart that share a chunk costs its queries no more than having no tables would; seen
    by what tables of two chunks miss, three bits off in each.
    """
    codes, query = _random(30_000), _random(1, seed=3)
    codes[7] = query[0]
    codes[7, [0, 16]] ^= 0b111
    layouts = [(0, Layout(2, 18))]
    assert _triples(PdqIndex.over(codes, layouts=layouts).within(query, radius_bits=MOST_BITS)) == set()
    codes[20_000:, :3] = query[0, :3]
    hostile = PdqIndex.over(codes, layouts=layouts)
    queries = np.concatenate([codes[9:10], query, codes[5:6]])
    assert _triples(hostile.within(queries, radius_bits=MOST_BITS)) == {(0, 9, 0), (1, 7, 6), (2, 5, 0)}


def test_many_threads_ask_one_index() -> None:
    """Threads that ask at once get the answers that they would get alone."""
    codes = _random(5000)
    index = PdqIndex.over(codes, layouts=[(0, LAYOUTS[-1][1])])
    asked = [flipped_bits(codes[start : start + 16], 20) for start in range(0, 400, 16)]
    alone = [_triples(index.within(queries, radius_bits=MOST_BITS)) for queries in asked]
    with ThreadPoolExecutor(8) as pool:
        at_once = pool.map(lambda queries: _triples(index.within(queries, radius_bits=MOST_BITS)), asked * 5)
        assert list(at_once) == alone * 5
