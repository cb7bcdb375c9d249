"""streamguard.library.canaries: a version is asked for what it must know before it serves."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged
from streamguard.library import local_features
from streamguard.library.canaries import Answering, Questions, check_answers, questions
from streamguard.library.chunk_tables import ChunkTables, Layout
from streamguard.library.faiss_flat import MOST_HITS, Counts, Hits
from streamguard.library.live_set import LiveSegment
from streamguard.library.local_features import NONE, Asset, FeatureSearch, LocalFeatures
from streamguard.library.pdq_index import PdqIndex
from streamguard.library.segments import PLACE
from streamguard.library.shard import Arrays, Part
from streamguard.types import PDQ_BYTES, AssetId, Codes, MediaKind

LIBRARY = Path("/known")
SEGMENTS = [LiveSegment(id=f"{number:08d}-0123456789ab", manifest_sha256="0" * 64) for number in (1, 2, 3)]


class Version:
    """Two segments: the first has item a, the second b (twelve looks) and c (eight); both have features."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.codes: Codes = rng.integers(0, 256, (50, PDQ_BYTES), np.uint8)
        self.features: Codes = rng.integers(0, 256, (65, PDQ_BYTES), np.uint8)
        self.named = np.repeat(np.array([0, 1, 2], np.uint32), [30, 12, 8])
        self.ids = [AssetId(name) for name in "abc"]
        items = [0] * 30, [0] * 12 + [1] * 8
        self.parts = [
            _part(self.ids[:1], self.codes[:30], items=items[0], features=self.features[:40]),
            _part(self.ids[1:], self.codes[30:], items=items[1], features=self.features[40:]),
        ]

    def ask(self, *, index: PdqIndex | None = None, features: Codes | None = None) -> None:
        """Of an index and a search for features that hold what it has, or of others."""
        check_answers(
            LIBRARY,
            questions(self.parts, SEGMENTS[: len(self.parts)]),
            by=Answering(
                index or PdqIndex.over(self.codes),
                _search(self.features if features is None else features),
                self.named,
                self.ids,
            ),
        )


def _part(ids: Sequence[AssetId], codes: Codes, *, items: list[int], features: Codes) -> Part:
    """`items`: of which asset each look is."""
    places = np.zeros(len(items), PLACE)
    places["item"] = items
    frames = np.zeros(1 if ids else 0, local_features.FRAME)
    local = LocalFeatures(features, np.zeros(len(features), local_features.FEATURE), frames)
    assets = tuple(Asset(id_, "", MediaKind.VIDEO) for id_ in ids)
    return Part.of(assets, Arrays(len(ids), codes, places, local), {})


def _search(codes: Codes) -> FeatureSearch:
    frames = np.zeros(1, local_features.FRAME)
    return FeatureSearch.over(LocalFeatures(codes, np.zeros(len(codes), local_features.FEATURE), frames))


def _in_tables(codes: Codes, *, tables_of: Codes) -> PdqIndex:
    layout = Layout(16, 14)
    made = PdqIndex.over(codes, layouts=((0, layout),), dear_share=1.0)
    return replace(made, _tables=ChunkTables.over(tables_of, layout=layout))


def _without(codes: Codes, rows: slice) -> Codes:
    """Other codes there."""
    changed = codes.copy()
    changed[rows] ^= 0x55
    return changed


LOOKS_OF = {"a": slice(0, 30), "b": slice(30, 42), "c": slice(42, 50)}


def test_a_version_that_answers_passes() -> None:
    """By a flat index, by tables, and one without any features."""
    version = Version()
    version.ask()
    version.ask(index=_in_tables(version.codes, tables_of=version.codes))
    version.parts = [replace(part, arrays=replace(part.arrays, local=NONE)) for part in version.parts]
    version.ask(features=version.features[:0])


@pytest.mark.parametrize("item", LOOKS_OF)
@pytest.mark.parametrize("wrong", ["codes", "tables"])
def test_an_item_that_is_not_found_is_named(item: str, wrong: str) -> None:
    """Whichever it is of a segment's, and whether its codes or only the way to them is lost."""
    version = Version()
    lost = _without(version.codes, LOOKS_OF[item])
    index = PdqIndex.over(lost) if wrong == "codes" else _in_tables(version.codes, tables_of=lost)
    with pytest.raises(LibraryDamaged, match=f"{item} is not found by its own fingerprint.*library verify") as error:
        version.ask(index=index)
    assert error.value.subject.endswith(SEGMENTS[0 if item == "a" else 1].id)


def test_an_item_that_is_found_under_another_name_is_refused() -> None:
    """An innocent's verdict would hang on it."""
    version = Version()
    version.named[42:] = 1
    with pytest.raises(LibraryDamaged, match="c is not found"):
        version.ask()


def test_features_that_are_not_found_are_seen() -> None:
    """Of the one segment alone; that a few are not found is how an inexact search is."""
    version = Version()
    version.ask(features=_without(version.features, slice(40, 45)))
    with pytest.raises(LibraryDamaged, match="not found by their own features") as error:
        version.ask(features=_without(version.features, slice(40, 65)))
    assert error.value.subject.endswith(SEGMENTS[1].id)


def test_a_segment_of_which_all_is_off_is_asked_nothing() -> None:
    """No writer of ours leaves one in, but others may."""
    version = Version()
    version.parts.append(_part([], version.codes[:0], items=[], features=version.features[:0]))
    version.ask()


def test_a_library_of_equal_codes_passes() -> None:
    """More stand in one place than are ever told: then any of them will do."""
    count = MOST_HITS + 100
    codes = np.zeros((count, PDQ_BYTES), np.uint8)
    asked = questions([_part([AssetId("a")], codes, items=[0] * count, features=codes[:50])], SEGMENTS[:1])
    named = np.zeros(count, np.uint32)
    search = _search(codes[:50])
    check_answers(LIBRARY, asked, by=Answering(PdqIndex.over(codes), search, named, [AssetId("a")]))


def test_some_of_very_many_are_asked_for() -> None:
    """Of ten thousand items in one segment at most 512, at even steps: it costs the same for ever."""
    count = 10_000
    asked: list[int] = []

    class Counting(PdqIndex):
        def within(self, queries: Codes, *, radius_bits: int, counts: Counts | None = None) -> Hits:
            hits = super().within(queries, radius_bits=radius_bits, counts=counts)
            asked.extend(hits.rows.tolist())
            return hits

    codes = np.random.default_rng(6).integers(0, 256, (count, PDQ_BYTES), np.uint8)
    made = PdqIndex.over(codes)
    ids = [AssetId(f"i{number}") for number in range(count)]
    some = questions([_part(ids, codes, items=list(range(count)), features=codes[:0])], SEGMENTS[:1])
    index = Counting(made._flat, None, made._dear_share)
    by = Answering(index, _search(codes[:0]), np.arange(count, dtype=np.uint32), ids)
    check_answers(LIBRARY, some, by=by)
    assert len(asked) == 512
    assert (min(asked), max(asked)) == (0, count - 1)


def test_enough_of_a_segments_features_are_asked_for() -> None:
    """Of one with ten thousand 256, at even steps: each addition is asked for as it comes."""
    count = 10_000
    part = _part(
        [AssetId("a")], np.zeros((1, PDQ_BYTES), np.uint8), items=[0], features=np.zeros((count, PDQ_BYTES), np.uint8)
    )
    (asked,) = questions([part], SEGMENTS[:1])
    assert len(asked.feature_rows) == 256
    assert (asked.feature_rows[0], asked.feature_rows[-1]) == (0, count - 1)


def test_the_questions_are_what_was_read() -> None:
    """Rows, names and codes are taken from the parts before anything is made of them: what loses, mixes up or renames
    looks while they are put together is found by it.
    """
    version = Version()
    first, second = questions(version.parts, SEGMENTS[:2])
    assert isinstance(first, Questions)
    assert (first.rows.tolist(), first.items) == ([14], ["a"])
    assert (second.rows.tolist(), second.items) == ([35, 45], ["b", "c"])
    assert np.array_equal(second.codes, version.codes[[35, 45]])
    assert second.feature_rows.tolist() == list(range(40, 65))
    assert questions(version.parts, [None, SEGMENTS[1]])[0].rows.tolist() == [35, 45]
    version.parts.reverse()
    with pytest.raises(LibraryDamaged, match="is not found by its own fingerprint"):
        version.ask()
