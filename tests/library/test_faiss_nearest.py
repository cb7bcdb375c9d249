"""streamguard.library.faiss_nearest: the nearest codes, all of them while they are few, nearly all when many."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.features import REFERENCE, STREAM, features
from streamguard.demo.scenes import Scene
from streamguard.library.faiss_nearest import (
    EXACT_BELOW,
    KEPT_TIMES,
    NOT_FILED,
    PROBING,
    Filed,
    Middles,
    NearestCodes,
    Probing,
    are_outgrown,
    filed_together,
)
from streamguard.library.local_features import NEAREST, NEAREST_BITS
from streamguard.types import CODE_BYTES, FULL_RANGE, Codes
from tests.made_features import flipped_bits
from tests.pictures import luma_of

MANY = EXACT_BELOW + 20_000


def _codes(count: int, *, seed: int = 0) -> Codes:
    return np.random.default_rng(seed).integers(0, 256, (count, CODE_BYTES), np.uint8)


@pytest.fixture(scope="module")
def made() -> tuple[Codes, Codes]:
    """Codes of made footage, more than are searched exactly; and those of poorer copies of some of its pictures."""
    pictures = [luma_of(Scene(seed)) for seed in range(25)]
    codes = [features(picture, levels=FULL_RANGE, how=REFERENCE).codes for picture in pictures]
    copies = [np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.8), np.uint8) for picture in pictures[:3]]
    asked = [features(copy, levels=FULL_RANGE, how=STREAM).codes for copy in copies]
    return np.concatenate(codes), np.concatenate(asked)


def _bits(queries: Codes, codes: Codes) -> np.ndarray:
    return np.asarray(np.bitwise_count(queries[:, None] ^ codes[None]).sum(axis=2, dtype=np.int64))


@given(count=st.integers(1, 60), asked=st.integers(1, 10), most=st.integers(1, 6), seed=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_few_codes_are_searched_exactly(*, count: int, asked: int, most: int, seed: int) -> None:
    """The distances are those that counting bits gives, nearest first, and each row is that far away."""
    codes, queries = _codes(count, seed=seed), _codes(asked, seed=seed + 100)
    queries[0] = codes[0]
    rows, bits = NearestCodes(codes).nearest(queries, most=most)
    counted = _bits(queries, codes)
    found = min(most, count)
    assert rows.shape == bits.shape == (asked, most)
    assert np.array_equal(bits[:, :found], np.sort(counted, axis=1)[:, :found])
    assert np.array_equal(np.take_along_axis(counted, rows[:, :found], axis=1), bits[:, :found])
    assert np.all(rows[:, found:] == -1)


_TAKES = """
import faiss, numpy, re, sys
from streamguard.library.faiss_nearest import NearestCodes
from streamguard.spare_memory import give_back

faiss.omp_set_num_threads(1)

def own_bytes():
    give_back()
    return 1024 * int(re.search(r"^Anonymous: +([0-9]+) kB", open("/proc/self/smaps_rollup").read(), re.M)[1])

codes = numpy.random.default_rng(0).integers(0, 256, (int(sys.argv[1]), 32), numpy.uint8)
NearestCodes(codes[:20_000]).nearest(codes[:5], most=4)  # what FAISS needs anyway
before = own_bytes()
nearest = NearestCodes(codes)
print((own_bytes() - before) / nearest.nbytes)
"""


def test_it_takes_as_much_memory_as_it_says() -> None:
    """With the row's number beside each code, and no room to spare in the lists."""
    done = subprocess.run([sys.executable, "-c", _TAKES, "300000"], capture_output=True, text=True, check=True)
    assert 0.9 < float(done.stdout) < 1.15


@pytest.mark.parametrize("count", [EXACT_BELOW + 1, MANY])
def test_lists_are_those_that_faiss_makes(count: int) -> None:
    """Code by code it puts each into the same list, in the same order."""
    codes = np.concatenate([_codes(count - 500), np.repeat(_codes(5, seed=1), 100, axis=0)])
    ours = NearestCodes(codes)._index
    theirs = faiss.IndexBinaryIVF(ours.quantizer, 256, ours.nlist)
    theirs.is_trained = True
    theirs.nprobe = ours.nprobe
    theirs.add(codes)
    assert faiss.serialize_index_binary(ours).tobytes() == faiss.serialize_index_binary(theirs).tobytes()


def test_no_codes_have_no_nearest() -> None:
    """An empty library answers, and finds nothing."""
    nearest = NearestCodes(_codes(0))
    rows, _ = nearest.nearest(_codes(3), most=NEAREST)
    assert nearest.rows == 0
    assert np.all(rows == -1)


def test_no_queries_are_no_answers() -> None:
    """A picture without features asks nothing."""
    rows, bits = NearestCodes(_codes(10)).nearest(_codes(0), most=NEAREST)
    assert rows.shape == bits.shape == (0, NEAREST)


@pytest.mark.parametrize(
    ("probing", "share"),
    list(zip(PROBING.values(), (0.9, 0.8, 0.6, 0.4), strict=True)),
    ids=[f"from {least}" for least in PROBING],
)
def test_many_codes_are_nearly_all_found(made: tuple[Codes, Codes], *, probing: Probing, share: float) -> None:
    """Of the codes of poorer copies, nine in ten find their nearest where it is near enough to vote, and nearly all
    where it is very near; eight, six and four in ten where as few lists are looked at as with many codes, whose lists
    are longer.
    """
    codes, queries = made
    assert len(codes) > EXACT_BELOW
    rows, bits = NearestCodes(codes, probing=probing).nearest(queries, most=NEAREST)
    truth = np.array([_bits(query[None], codes).min() for query in queries])
    found = bits[:, 0] == truth
    assert np.count_nonzero(truth <= NEAREST_BITS) >= 500
    assert found[truth <= NEAREST_BITS].mean() >= share
    assert found[truth <= NEAREST_BITS // 2].mean() >= share + 0.05
    # Whatever it finds is as far as it says, nearest first.
    hit = rows >= 0
    assert np.array_equal(np.bitwise_count(queries[:, None] ^ codes[rows]).sum(axis=2)[hit], bits[hit])
    assert np.all(np.diff(bits, axis=1) >= 0)


def test_the_border_between_few_and_many_changes_little(made: tuple[Codes, Codes]) -> None:
    """One code more than are searched exactly, and nearly all queries still find one as near."""
    codes, queries = made
    few, many = (NearestCodes(codes[:count]) for count in (EXACT_BELOW, EXACT_BELOW + 1))
    _, exact_bits = few.nearest(queries, most=1)
    _, bits = many.nearest(queries, most=1)
    near = exact_bits <= NEAREST_BITS
    assert (bits == exact_bits)[near].mean() >= 0.9


@pytest.mark.parametrize("count", [500, MANY])
def test_equal_codes_are_all_there(count: int) -> None:
    """A library of one code a thousand times over is no special case: it is found, at distance zero."""
    codes = np.repeat(_codes(1), count, axis=0)
    rows, bits = NearestCodes(codes).nearest(codes[:2], most=NEAREST)
    assert np.all(bits == 0)
    assert all(len(set(line)) == NEAREST for line in rows.tolist())


def test_strangers_are_far() -> None:
    """Of random codes none is near enough to another to vote."""
    _, bits = NearestCodes(_codes(2000)).nearest(_codes(200, seed=9), most=1)
    assert np.all(bits > NEAREST_BITS)


@pytest.mark.parametrize("count", [500, MANY])
def test_many_threads_ask_one_index(count: int) -> None:
    """Threads that search at once get the answers that they would get alone."""
    codes = _codes(count)
    nearest = NearestCodes(codes)
    queries = [flipped_bits(codes[number * 10 : number * 10 + 20], 12) for number in range(8)]
    alone = [nearest.nearest(query, most=NEAREST)[0].tolist() for query in queries]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda query: nearest.nearest(query, most=NEAREST)[0].tolist(), queries * 3))
    assert together == alone * 3


def _grown(before: NearestCodes, codes: Codes, new: Codes) -> NearestCodes:
    """One more index, of these codes and others behind them."""
    return NearestCodes(
        np.concatenate([codes, new]), filed=filed_together([(before.filed, len(codes)), (None, len(new))])
    )


def test_what_is_filed_stays_where_it_is_while_a_library_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Middles stay, and only what is new is looked up among them; it is all found, as far as it is."""
    codes, new = _codes(MANY), _codes(700, seed=1)
    before = NearestCodes(codes)
    assert before.filed is not None
    filed: list[int] = []
    monkeypatch.setattr(Middles, "lists_of", _counting(Middles.lists_of, filed))
    after = _grown(before, codes, new)
    assert sum(filed) == len(new)
    assert after.filed is not None
    assert after.filed.middles is before.filed.middles
    assert np.array_equal(after.filed.lists[:MANY], before.filed.lists)
    rows, bits = after.nearest(new[:50], most=1)
    assert rows[:, 0].tolist() == list(range(MANY, MANY + 50))
    assert not bits.any()
    # The one from before is as it was, for those that search it meanwhile.
    assert np.array_equal(before.nearest(codes[:50], most=1)[0][:, 0], np.arange(50))
    assert before.rows == MANY


def _counting(lists_of: Callable[..., Any], filed: list[int]) -> Callable[..., Any]:
    def counted(middles: Middles, codes: Codes, **options: object) -> object:
        filed.append(len(codes))
        return lists_of(middles, codes, **options)

    return counted


def test_kept_middles_give_what_filing_anew_around_them_gives() -> None:
    """Where a code stands does not depend on when it came."""
    codes, new = _codes(MANY), _codes(700, seed=1)
    grown = _grown(NearestCodes(codes), codes, new)
    assert grown.filed is not None
    nobody = Filed(grown.filed.middles, np.full(MANY + 700, NOT_FILED, np.uint16))
    anew = NearestCodes(np.concatenate([codes, new]), filed=nobody)
    both = [faiss.serialize_index_binary(one._index).tobytes() for one in (grown, anew)]
    assert both[0] == both[1]


@pytest.mark.parametrize(("count", "stay"), [(1, True), (KEPT_TIMES, True), (KEPT_TIMES + 1, False)])
def test_middles_are_chosen_anew_when_there_are_many_times_as_many(count: int, *, stay: bool) -> None:
    """Or so few that lists would be short; nearest are found all the same."""
    small, large = _codes(EXACT_BELOW + 1), _codes((EXACT_BELOW + 1) * count)
    large[: len(small)] = small
    before = NearestCodes(small)
    after = _grown(before, small, large[len(small) :])
    back = NearestCodes(small, filed=after.filed and Filed(after.filed.middles, after.filed.lists[: len(small)]))
    for one, other in ((before, after), (after, back)):
        assert one.filed is not None
        assert other.filed is not None
        assert (one.filed.middles is other.filed.middles) is stay
    assert np.array_equal(after.nearest(large[-50:], most=1)[0][:, 0], np.arange(len(large) - 50, len(large)))


def _around(centres: Codes, count: int, *, seed: int) -> Codes:
    """Codes that differ from one of these in a fifth of their bits."""
    rng = np.random.default_rng(seed)
    flips = np.packbits(rng.random((count, 8 * CODE_BYTES)) < 0.2, axis=1)
    return np.asarray(centres[rng.integers(0, len(centres), count)] ^ flips, np.uint8)


@pytest.mark.parametrize(("same", "stay"), [(True, True), (False, False)])
def test_middles_are_chosen_anew_when_what_comes_is_of_another_kind(*, same: bool, stay: bool) -> None:
    """However little came at a time; and then they stay again. More of the same kind changes nothing."""
    ours, theirs = _codes(40, seed=1), _codes(40, seed=2)
    codes = _around(ours, MANY, seed=3)
    first = grown = NearestCodes(codes)
    for step in range(6):
        new = _around(ours if same else theirs, MANY // 5, seed=10 + step)
        grown = _grown(grown, codes, new)
        codes = np.concatenate([codes, new])
    assert first.filed is not None
    assert grown.filed is not None
    assert (grown.filed.middles is first.filed.middles) is stay
    assert not are_outgrown(grown.filed.middles, Middles.among(codes, probing=PROBING[0]), codes)
    again = NearestCodes(codes, filed=grown.filed)
    assert again.filed is not None
    assert again.filed.middles is grown.filed.middles


def test_made_footage_does_not_outgrow_middles(made: tuple[Codes, Codes]) -> None:
    """Scenes of which none was there when middles were chosen stand around them well enough."""
    codes, _ = made
    half = len(codes) // 2
    before, after = (Middles.among(some, probing=PROBING[0]) for some in (codes[:half], codes))
    assert not are_outgrown(before, after, codes)


def test_other_lists_take_other_middles() -> None:
    """Those that were chosen for few codes do not suit as many as ask for other lists."""
    few, many = PROBING[0], PROBING[500_000]
    middles = Middles.among(_codes(EXACT_BELOW + 1), probing=few)
    assert middles.suit(EXACT_BELOW + 1, few)
    assert not middles.suit(EXACT_BELOW + 1, many)


def test_a_library_that_crosses_ten_million_is_not_filed_anew() -> None:
    """There lists are more and shorter; those that it has are not much longer."""
    fewer, more = (PROBING[least] for least in (500_000, 10_000_000))
    middles = Middles(fewer, 9_900_000, ())
    assert more.lists_by_root > fewer.lists_by_root
    assert middles.suit(10_100_000, more)
    assert Middles(more, 10_100_000, ()).suit(9_900_000, fewer)
    assert not middles.suit(20_000_000, more)


def test_filed_codes_stand_around_the_middles_of_most_of_them() -> None:
    """What stood around others is filed anew, and all of it where nothing is filed."""
    large, small = NearestCodes(_codes(MANY)).filed, NearestCodes(_codes(EXACT_BELOW + 1, seed=1)).filed
    assert large is not None
    assert small is not None
    together = filed_together([(small, len(small.lists)), (large, len(large.lists)), (None, 3)])
    assert together is not None
    assert together.middles is large.middles
    assert np.array_equal(together.lists[len(small.lists) : -3], large.lists)
    assert np.all(together.lists[: len(small.lists)] == NOT_FILED)
    assert np.all(together.lists[-3:] == NOT_FILED)
    assert filed_together([(None, 5)]) is None
