"""A worker that drains gives its leases away: what it offers to the others, and until when."""

from collections.abc import Callable, Collection, Mapping

from streamguard.core.leases import ANYBODY, WorkerId, to_give_away
from streamguard.types import StreamId

OVERLAP_S = 4.0
"""Whoever takes a stream over needs so long to connect and to have a keyframe: it is watched here meanwhile."""


class Leaving:
    """`until_s`: when it is over, by the clock of whoever asks. `then` is to be called when all is given away."""

    def __init__(self, *, until_s: float, then: Callable[[], None]) -> None:
        self.until_s = until_s
        self.then = then
        self._offered_at_s: dict[StreamId, float] = {}

    def offers(
        self, epochs: Mapping[StreamId, int], *, idle: Collection[StreamId], now_s: float
    ) -> list[tuple[StreamId, int, WorkerId]]:
        """All that is to be on offer now, to whoever wants it, of the streams with an epoch of ours. Said anew in each
        turn, for a Redis that lost its data has forgotten it. What shows something suspect goes last: a move forgets
        what was seen.
        """
        mine = sorted((stream for stream, epoch in epochs.items() if epoch), key=lambda one: (one not in idle, one))
        offered_at_s = {stream: self._offered_at_s[stream] for stream in mine if stream in self._offered_at_s}
        offered_for_s = {stream: now_s - at_s for stream, at_s in offered_at_s.items()}
        # Of the last one, too, the other must see something before this worker ends.
        left_s = self.until_s - OVERLAP_S - now_s
        new = to_give_away(mine, offered_for_s=offered_for_s, left_s=left_s)
        self._offered_at_s = offered_at_s | dict.fromkeys(new, now_s)
        return [(stream, epochs[stream], ANYBODY) for stream in self._offered_at_s]
