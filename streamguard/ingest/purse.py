"""What a quiet HLS stream may cost beside the looks that its time to kill takes. No clock and no I/O.

Those looks are never put off, and they are paid first. What is left of an allowance, a part of what all of the stream
carries, is for segments that are read whole though their heads would do. How much it carries is learnt from the lengths
of its segments, and counted by segments as they come: how long they last only the playlist says, and that may lie.
"""

_ALLOWED_SHARE = 0.09
_MOST_SAVED_SEGMENTS = 3.0
_MOST_OWED_SEGMENTS = 2.0
_NEWEST_COUNTS = 0.2


class Purse:
    """One session's, empty at first."""

    def __init__(self) -> None:
        self._segment_bytes = 0.0
        self._has_bytes = 0.0

    def earns(self) -> None:
        """Another segment of a quiet stream came, whatever is fetched of it."""
        self._add(_ALLOWED_SHARE * self._segment_bytes)

    def learns(self, segment_bytes: int) -> None:
        """How long one of them is, all of it."""
        if segment_bytes > 0:
            weight = _NEWEST_COUNTS if self._segment_bytes else 1.0
            self._segment_bytes += weight * (segment_bytes - self._segment_bytes)

    def pays(self, fetched_bytes: int) -> None:
        """So much was fetched while it was quiet. What there is not is owed, as far as some minutes give back."""
        self._add(-fetched_bytes)

    def affords_whole(self) -> bool:
        """Whether there is enough for all of a segment."""
        return 0 < self._segment_bytes <= self._has_bytes

    def _add(self, more_bytes: float) -> None:
        most, least = _MOST_SAVED_SEGMENTS * self._segment_bytes, -_MOST_OWED_SEGMENTS * self._segment_bytes
        self._has_bytes = min(most, max(least, self._has_bytes + more_bytes))
