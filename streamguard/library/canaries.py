"""Before a version serves, it is asked for what it must know: some of each new segment's items, by their fingerprints.

Checksums say that the bytes are those that were written. They do not say that the index built of them in this process
answers, and names the right item: a wrong table, faulty memory or another FAISS would show as nothing found, silently.
The questions are taken from what was read, before anything is made of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamguard.errors import LibraryDamaged
from streamguard.library.faiss_flat import MOST_HITS
from streamguard.library.in_threads import in_threads
from streamguard.library.live_set import SEGMENTS, LiveSegment
from streamguard.library.local_features import FeatureSearch
from streamguard.library.pdq_index import PdqIndex
from streamguard.library.shard import Part, Shard
from streamguard.library.turns import GiveWay, nobody_waits
from streamguard.types import AssetId, Codes

_FLIPPED_BITS = 8
"""A stream's picture is never quite the library's."""

_MOST_ITEMS = 512
_MOST_FEATURES = 2048
"""Of all new segments together; but of each an item, and a few features, at least."""

_LEAST_FEATURES = 8
_ENOUGH_FEATURES = 256
"""Of one segment: more would only be what most of an addition costs."""

_FOUND_SHARE = 0.75
"""The search for features is not exact: of two middles of lists that are equally far, it may know another first."""

_FEATURES_AT_ONCE = 128
_AT_ONCE = 16
"""A keyframe asks for as many, so that no library makes this take more memory than serving does."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Some of a segment's looks and features, as they were read, and the rows where a shard has them. `items`: which
    each look is of.
    """

    segment: LiveSegment
    items: Sequence[AssetId]
    codes: Codes
    rows: NDArray[np.int64]
    feature_codes: Codes
    feature_rows: NDArray[np.int64]


def questions(parts: Sequence[Part], names: Sequence[LiveSegment | None]) -> list[Questions]:
    """For a shard of these parts, one after another; none about those that have no name. The same ones each time."""
    named = sum(name is not None for name in names)
    found = []
    look = feature = 0
    for part, name in zip(parts, names, strict=True):
        own, local = part.arrays.places["item"], part.arrays.local.codes
        if name is not None:
            rows = _sampled(own, most=max(1, _MOST_ITEMS // named))
            of_features = _even(len(local), most=min(max(_LEAST_FEATURES, _MOST_FEATURES // named), _ENOUGH_FEATURES))
            items = [part.assets[item].id for item in own[rows].tolist()]
            codes = part.arrays.codes[rows]
            found.append(Questions(name, items, codes, rows + look, local[of_features], of_features + feature))
        look, feature = look + len(own), feature + len(local)
    return found


def ask(library: Path, shard: Shard, asked: Sequence[Questions], *, give_way: GiveWay = nobody_waits) -> None:
    """Raises LibraryDamaged with the segment's folder, where one of its items is not found, or not by its name."""
    by = Answering(shard.index, shard.features, shard.places["item"], [asset.id for asset in shard.assets])
    check_answers(library, asked, by=by, give_way=give_way)


@dataclass(frozen=True, slots=True)
class Answering:
    """What is asked. `named`: for each look which of `ids` it is of."""

    index: PdqIndex
    search: FeatureSearch
    named: NDArray[np.uint32]
    ids: Sequence[AssetId]


def check_answers(
    library: Path, asked: Sequence[Questions], *, by: Answering, give_way: GiveWay = nobody_waits
) -> None:
    """Raises as `ask`."""
    for one, is_found in zip(asked, _found(by.index, asked, give_way), strict=True):
        for item, row, found in zip(one.items, one.rows.tolist(), is_found.tolist(), strict=True):
            if by.ids[int(by.named[row])] != item or not found:
                raise _silent(library, one, f"{item} is not found by its own fingerprint")
        if _found_share(by.search, one, give_way) < _FOUND_SHARE:
            raise _silent(library, one, "its frames are not found by their own features")


def _silent(library: Path, one: Questions, problem: str) -> LibraryDamaged:
    hint = f"what to do: streamguard library verify --library {library}; if that finds nothing, is the memory sound?"
    return LibraryDamaged("ask canary", library / SEGMENTS / one.segment.id, problem, hint=hint)


def _sampled(own: NDArray[np.uint32], *, most: int) -> NDArray[np.int64]:
    """A row in the middle of each item's looks, which stand together; of `most` items at even steps. `own`: whose each
    look is.
    """
    if not len(own):  # all of it is off, whoever wrote that
        return np.empty(0, np.int64)
    own = np.ascontiguousarray(own)
    ends = np.append(np.flatnonzero(own[1:] != own[:-1]), len(own) - 1)
    middles = (np.append(0, ends[:-1] + 1) + ends) // 2
    return np.asarray(middles[np.linspace(0, len(middles) - 1, min(most, len(middles))).astype(np.int64)], np.int64)


def _even(count: int, *, most: int) -> NDArray[np.int64]:
    """Rows at even steps."""
    if not count:
        return np.empty(0, np.int64)
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def _found(index: PdqIndex, asked: Sequence[Questions], give_way: GiveWay) -> Iterator[NDArray[np.bool_]]:
    """For each, whether pictures a few bits off its codes find their rows, or as many others as are ever told."""
    if not asked:
        return iter(())
    codes = np.concatenate([one.codes for one in asked])
    rows = np.concatenate([one.rows for one in asked])
    codes[:, 0] ^= (1 << _FLIPPED_BITS) - 1

    def find(start: int) -> NDArray[np.bool_]:
        give_way()
        own = rows[start : start + _AT_ONCE]
        hits = index.within(codes[start : start + _AT_ONCE], radius_bits=_FLIPPED_BITS)
        many = np.diff(hits.starts)
        is_it = hits.rows == np.repeat(own, many)
        at_it = np.flatnonzero(is_it & (hits.distances_bits == _FLIPPED_BITS))
        is_found = many >= MOST_HITS
        is_found[np.searchsorted(hits.starts, at_it, side="right") - 1] = True
        return is_found

    found = np.concatenate([np.empty(0, np.bool_), *in_threads(find, range(0, len(rows), _AT_ONCE), rows=index.rows)])
    return iter(np.split(found, np.cumsum([len(one.rows) for one in asked])[:-1]))


def _found_share(search: FeatureSearch, one: Questions, give_way: GiveWay) -> float:
    """How many of its features find themselves, or one with the same code. 1: it has none."""
    if not len(one.feature_rows):
        return 1.0
    there = 0
    for start in range(0, len(one.feature_rows), _FEATURES_AT_ONCE):
        give_way()
        some = slice(start, start + _FEATURES_AT_ONCE)
        found, bits = search.nearest(one.feature_codes[some])
        is_there = (found == one.feature_rows[some, np.newaxis]).any(axis=1)
        there += int(np.count_nonzero(is_there | (bits[:, 0] == 0)))
    return there / len(one.feature_rows)
