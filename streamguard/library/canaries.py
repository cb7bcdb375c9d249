"""Before a version serves, it is asked for what it must know: some of each new segment's items, by their fingerprints.

Checksums say that the bytes are those that were written. They do not say that the index built of them in this process
answers, and names the right item: a wrong table, faulty memory or another FAISS would show as nothing found, silently.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamguard.errors import LibraryDamaged
from streamguard.library.faiss_flat import MOST_HITS
from streamguard.library.live_set import SEGMENTS, LiveSegment
from streamguard.library.local_features import FeatureSearch
from streamguard.library.pdq_index import PdqIndex
from streamguard.library.segments import Places
from streamguard.types import AssetId, Codes

_FLIPPED_BITS = 8
"""A stream's picture is never quite the library's."""

_MOST_ITEMS = 512
_MOST_FEATURES = 2048
"""Of all new segments together; but of each an item, and a few features, at least."""

_LEAST_FEATURES = 8
_FOUND_SHARE = 0.75
"""The search for features is not exact: of two middles of lists that are equally far, it may know another first."""


@dataclass(frozen=True, slots=True)
class Part:
    """A segment of a version, and what is live of it.

    `own["item"]` counts `items`. `first_look` and `first_feature` say where its rows begin among all of the version.
    """

    segment: LiveSegment
    items: Sequence[AssetId]
    codes: Codes
    own: Places
    first_look: int
    feature_codes: Codes
    first_feature: int


def check_answers(
    library: Path,
    parts: Sequence[Part],
    *,
    index: PdqIndex,
    named: NDArray[np.uint32],
    ids: Sequence[AssetId],
    search: FeatureSearch,
) -> None:
    """`named`: for each look of the version which of `ids` it is of. The same rows are asked for each time.

    Raises LibraryDamaged with the segment's folder, where one of its items is not found.
    """
    for part in parts:
        for row in _sampled(part.own, most=max(1, _MOST_ITEMS // len(parts))).tolist():
            item = part.items[int(part.own["item"][row])]
            at = part.first_look + row
            if ids[int(named[at])] != item or not _finds(index, part.codes[row], at):
                raise _silent(library, part, f"{item} is not found by its own fingerprint")
        if _found_share(search, part, most=max(_LEAST_FEATURES, _MOST_FEATURES // len(parts))) < _FOUND_SHARE:
            raise _silent(library, part, "its frames are not found by their own features")


def _silent(library: Path, part: Part, problem: str) -> LibraryDamaged:
    hint = f"what to do: streamguard library verify --library {library}; if that finds nothing, is the memory sound?"
    return LibraryDamaged("ask canary", library / SEGMENTS / part.segment.id, problem, hint=hint)


def _sampled(own: Places, *, most: int) -> NDArray[np.int64]:
    """A row in the middle of each item's looks, which stand together; of `most` items at even steps."""
    if not len(own):  # all of it is off, whoever wrote that
        return np.empty(0, np.int64)
    ends = np.append(np.flatnonzero(np.diff(own["item"])), len(own) - 1)
    middles = (np.append(0, ends[:-1] + 1) + ends) // 2
    return np.asarray(middles[np.linspace(0, len(middles) - 1, min(most, len(middles))).astype(np.int64)], np.int64)


def _finds(index: PdqIndex, code: NDArray[np.uint8], row: int) -> bool:
    """Whether a picture a few bits off that code finds the row, or as many others as are ever told."""
    query = code[np.newaxis].copy()
    query[0, 0] ^= (1 << _FLIPPED_BITS) - 1
    hits = index.within(query, radius_bits=_FLIPPED_BITS)
    return hits.distances_bits[hits.rows == row].tolist() == [_FLIPPED_BITS] or len(hits.rows) >= MOST_HITS


def _found_share(search: FeatureSearch, part: Part, *, most: int) -> float:
    """Of some of its features, at even steps: how many find themselves, or one with the same code. 1: it has none."""
    count = len(part.feature_codes)
    if not count:
        return 1.0
    rows = np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
    found, bits = search.nearest(part.feature_codes[rows])
    is_there = (found == rows[:, np.newaxis] + part.first_feature).any(axis=1)
    return float(np.mean(is_there | (bits[:, 0] == 0)))
