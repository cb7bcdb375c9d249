"""What the library's guard against poison says of pictures that are about to become known: see library.poison.

They are no list, of which somebody may have made a flood: only whether a picture looks like harmless ones, or like one
that an operator has thrown out, is asked.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamguard.core import pdq
from streamguard.library.common_pictures import common_pictures
from streamguard.library.exchange.book import Book
from streamguard.library.exchange.hashes import HashKind, as_codes
from streamguard.library.exchange.schema import HashState
from streamguard.library.poison import near_any, views_of
from streamguard.types import PDQ_BYTES, Codes, Fingerprints, View

_MOST_DROPPED = 20_000


class HarmlessPictures:
    """Those of one library, read once, with those that every library has."""

    def __init__(self, library: Path) -> None:
        """Raises LibraryMissing, LibraryError, LibraryDamaged."""
        with Book.open(library, read_only=True) as book:
            benign = [row["code"] for row in book.rows("SELECT code FROM benign")]
            dropped = [
                row["code"]
                for row in book.rows(
                    "SELECT code FROM hashes WHERE kind = ? AND state = ? LIMIT ?",
                    *(HashKind.PDQ, HashState.DROPPED, _MOST_DROPPED),
                )
            ]
        every_view = views_of(np.concatenate([_codes(benign), common_pictures()]))
        self._harmless: Codes = np.concatenate([every_view, _codes(dropped)])

    def among(self, keyframes: Sequence[Fingerprints]) -> tuple[bool, ...]:
        """Of each, whether it looks like one of them, whole or without its black bars."""
        looks = [
            (number, look.codes[View.UPRIGHT])
            for number, keyframe in enumerate(keyframes)
            for look in keyframe.prints
            if look.quality >= pdq.MIN_QUALITY
        ]
        if not looks:
            return (False,) * len(keyframes)
        near = near_any(as_codes([code for _, code in looks]), self._harmless)
        found = {number for (number, _), is_near in zip(looks, near.tolist(), strict=True) if is_near}
        return tuple(number in found for number in range(len(keyframes)))


def _codes(codes: Sequence[bytes]) -> Codes:
    return as_codes(list(codes)) if codes else np.empty((0, PDQ_BYTES), np.uint8)
