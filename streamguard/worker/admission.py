"""Which streams get a decoder in this turn of the loop, of those that wait for one.

A start takes the loop as long as the forkserver takes to fork, a few milliseconds; on a machine that has too much to do
it may be seconds, and meanwhile nobody listens to the streams that are watched. So a turn starts no more than a few,
and stops where they take long. Of those that have ended decoders one comes in a turn, after the others.
"""

from collections.abc import Sequence

from streamguard.worker.streams import Stream

STARTS_A_TURN = 4
STARTING_A_TURN_S = 0.05
"""No start begins in a turn that has started for so long already."""

_WAITS_LONGER_S = 5.0
"""So much earlier another one may have come, and goes first."""


def admitted(streams: Sequence[Stream], *, now_s: float, most_at_once: int | None) -> list[Stream]:
    """Those to start now, in order. `most_at_once`: of all decoders; None: one for each stream."""
    # In each turn of the loop all are asked, and nearly all have one.
    waiting = [stream for stream in streams if stream.decoder is None and _waits(stream, now_s)]
    if not waiting:
        return []
    running = sum(stream.decoder is not None for stream in streams)
    free = STARTS_A_TURN if most_at_once is None else min(STARTS_A_TURN, most_at_once - running)
    feared = {id(stream) for stream in waiting if stream.quarantine.is_remembered(now_s)}
    chosen: list[Stream] = []
    for stream in sorted(waiting, key=lambda one: one.start_at_s + (_WAITS_LONGER_S if id(one) in feared else 0.0)):
        if len(chosen) < free and not (id(stream) in feared and any(id(one) in feared for one in chosen)):
            chosen.append(stream)
    return chosen


def _waits(stream: Stream, now_s: float) -> bool:
    return not stream.finished and stream.start_at_s <= now_s
