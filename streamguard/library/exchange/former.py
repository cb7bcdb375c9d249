"""Hashes of parts that were written anew since a stream was decided on by them: the book has forgotten where in a part
each stood, but what was removed from a library is kept for a rollback.
"""

import numpy as np

from streamguard.errors import LibraryError
from streamguard.library.catalogue import Catalogue
from streamguard.library.live_set import SEGMENTS
from streamguard.library.segments import Segment, read_segment
from streamguard.types import MediaKind


class FormerParts:
    """Of one library. Keeps the segment that was read last: many signals name one part."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._last: tuple[str, Segment | None] = "", None

    def hash_at(self, item: int, *, reference_us: int) -> bytes | None:
        """The hash of a part, removed or not, at a time in it; None where it is not there any more, and for a film."""
        record = self._catalogue.with_number(item)
        if record.kind is not MediaKind.IMAGE:
            return None
        segment = self._segment(record.segment)
        ids = [] if segment is None else [one.id for one in segment.items]
        if segment is None or record.id not in ids:
            return None
        places = segment.places
        is_it = (places["item"] == ids.index(record.id)) & (places["from_us"] == reference_us)
        return next((segment.codes[row].tobytes() for row in np.flatnonzero(is_it)), None)

    def _segment(self, name: str) -> Segment | None:
        if self._last[0] != name:
            self._last = name, self._read(name)
        return self._last[1]

    def _read(self, name: str) -> Segment | None:
        for ref in self._catalogue.segments_named([name]):
            try:
                return read_segment(self._catalogue.path.parent / SEGMENTS, ref)
            except (LibraryError, FileNotFoundError, NotADirectoryError):  # for `library verify` to tell
                return None
        return None
