"""What enters is tried before it is believed: against harmless pictures, against what was thrown out before, and
against itself.

A list is hostile until shown otherwise: one hash of a news studio kills every bulletin, ten thousand hashes of nothing
hide it. Only hashes are seen here, so a verdict rests on what any PDQ hash shows of its picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from streamguard.core.pdq import MIN_QUALITY
from streamguard.library.common_pictures import common_pictures
from streamguard.library.faiss_flat import MOST_HITS, FlatIndex
from streamguard.library.pdq_index import MOST_BITS, PdqIndex
from streamguard.types import PDQ_BITS, PDQ_BYTES, Codes

MOST_BENIGN = 20_000
"""Harmless pictures that a library keeps: each costs an import 16 lookups."""


class Reason(IntEnum):
    """Why a hash is in quarantine. The numbers are the book's, and stay."""

    NONE = 0
    FLAT = 1
    COMMON = 2
    CLASH = 3
    FLOOD = 4
    DISPUTED = 5
    COMPANY = 6
    BY_HAND = 7

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Reason.NONE: "",
    Reason.FLAT: "no picture with something in it has this hash",
    Reason.COMMON: "harmless pictures look like it",
    Reason.CLASH: "it looks like a hash that was dropped, or that another source has under another label",
    Reason.FLOOD: "a large part of its list looks like it",
    Reason.DISPUTED: "more say that it is wrong than that it is right",
    Reason.COMPANY: "so much of its list is in quarantine that none of it is believed",
    Reason.BY_HAND: "an operator says that it is wrong",
}

_USUAL_BITS_SET = PDQ_BITS // 2
"""A bit is set where a coefficient is above the median of all: in half of them, but where many are equal, as they are
in flat and in symmetric pictures. Hashes that nobody made from a picture have 128 bits once in twenty.
"""

_OF_A_POISONER = (Reason.FLAT, Reason.COMMON, Reason.FLOOD)

_FLOOD_SAMPLE = 1024
_FLOOD_SHARE = 0.01
_FLOOD_LEAST = 64
_COMPANY_SHARE = 0.2
_COMPANY_LEAST = 3
_BLOCK_ROWS = 1 << 18
_FLAT_ROWS = 1 << 14
_FEW_QUERIES = 4096

_SIDE = 16
_ODD = np.arange(1, _SIDE + 1) % 2 == 1
_FLIPS = (
    np.zeros((_SIDE, _SIDE), np.bool_),
    np.broadcast_to(_ODD, (_SIDE, _SIDE)),
    np.broadcast_to(_ODD[:, None], (_SIDE, _SIDE)),
    _ODD ^ _ODD[:, None],
)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What a list is tried against: hashes of harmless pictures, and those that are rivals or were dropped."""

    benign: Codes
    rivals: Codes


def judged(
    codes: Codes, qualities: NDArray[np.uint8], *, disputed: NDArray[np.bool_], known: Known, seed: int = 0
) -> NDArray[np.uint8]:
    """A Reason for each hash of a list, each hash once, sorted. The same list is judged the same."""
    reasons = np.zeros(len(codes), np.uint8)
    _mark(reasons, flat(codes, qualities), Reason.FLAT)
    _mark(reasons, disputed, Reason.DISPUTED)
    _mark(reasons, near_any(codes, views_of(np.concatenate([known.benign, common_pictures()]))), Reason.COMMON)
    _mark(reasons, near_any(codes, known.rivals), Reason.CLASH)
    _mark(reasons, floods(codes, seed=seed), Reason.FLOOD)
    keep_company(reasons)
    return reasons


def keep_company(reasons: NDArray[np.uint8]) -> None:
    """Where so much of a list is a poisoner's, none of it is believed."""
    bad = int(np.isin(reasons, _OF_A_POISONER).sum())
    if bad >= _COMPANY_LEAST and bad > _COMPANY_SHARE * len(reasons):
        _mark(reasons, np.ones(len(reasons), np.bool_), Reason.COMPANY)


def near_any(codes: Codes, queries: Codes) -> NDArray[np.bool_]:
    """Which codes lie within the radius of a match of any query."""
    near = np.zeros(len(codes), np.bool_)
    if not len(queries):
        return near
    for start in range(0, len(codes), _BLOCK_ROWS):
        block = np.ascontiguousarray(codes[start : start + _BLOCK_ROWS])
        index = PdqIndex.over(block) if len(queries) > _FEW_QUERIES else FlatIndex(block)
        hits = index.within(queries, radius_bits=MOST_BITS)
        near[start + np.unique(hits.rows)] = True
        full = queries[np.diff(hits.starts) >= MOST_HITS]
        for rows in _in_small_blocks(block, full):
            near[start + rows] = True
    return near


def views_of(codes: Codes) -> Codes:
    """Each code as its picture has it in all 16 views, give or take a few bits: bits of odd frequencies change sides
    where a picture is flipped, and rows with columns where it is turned.
    """
    # As in core.pdq: bit 16 i + j is of row i, column j, and the hash is written from bit 255 on.
    bits = np.unpackbits(codes, axis=1)[:, ::-1].reshape(-1, _SIDE, _SIDE).astype(np.bool_)
    turned = [way ^ flip for way in (bits, bits.transpose(0, 2, 1)) for flip in _FLIPS]
    every = np.concatenate(turned + [~one for one in turned]).reshape(-1, PDQ_BITS)[:, ::-1]
    return np.packbits(every, axis=1).reshape(-1, PDQ_BYTES)


def flat(codes: Codes, qualities: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Those that are of no picture, or of one that carries too little."""
    bits_set = np.bitwise_count(codes).sum(axis=1, dtype=np.int64)
    found: NDArray[np.bool_] = (bits_set != _USUAL_BITS_SET) | (qualities < MIN_QUALITY)
    return found


def floods(codes: Codes, *, seed: int = 0) -> NDArray[np.bool_]:
    """Those around which a hundredth of the list lies, found from a sample of it."""
    flooding = np.zeros(len(codes), np.bool_)
    least = max(_FLOOD_LEAST, min(MOST_HITS, round(_FLOOD_SHARE * len(codes))))
    if len(codes) < least:
        return flooding
    chosen = np.random.default_rng(seed).permutation(len(codes))[:_FLOOD_SAMPLE]
    hits = FlatIndex(codes).within(codes[chosen], radius_bits=MOST_BITS)
    for number in np.flatnonzero(np.diff(hits.starts) >= least).tolist():
        crowd = hits.rows[hits.starts[number] : hits.starts[number + 1]]
        if not flooding[crowd].all():
            for rows in _in_small_blocks(codes, codes[chosen[number]][None]):
                flooding[rows] = True
    return flooding


def _in_small_blocks(codes: Codes, queries: Codes) -> Iterator[NDArray[np.int64]]:
    """Rows near a query that has more hits than an index gives."""
    if len(queries):
        for start in range(0, len(codes), _FLAT_ROWS):
            yield start + np.unique(
                FlatIndex(codes[start : start + _FLAT_ROWS]).within(queries, radius_bits=MOST_BITS).rows
            )


def _mark(reasons: NDArray[np.uint8], where: NDArray[np.bool_], reason: Reason) -> None:
    """The first reason that is found stays."""
    reasons[where & (reasons == Reason.NONE)] = reason
