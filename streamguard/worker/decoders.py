"""The decoders that run, and those that were ended and are not quite gone; the loop waits for all of them here."""

import contextlib
import selectors
from collections.abc import Callable, Iterable, Iterator

import structlog

from streamguard.core.decide import suspicion_nats
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.streams import RunningDecoder, Stream

_LAST_DECODERS_S = 1.0
_LOOK_AGAIN_S = 0.005
"""What comes meanwhile is looked for no more often: asking the kernel costs, too."""

log = structlog.get_logger()


class Decoders:
    """Starts, waits for and ends the decoders of streams; `stream.decoder` is the one that runs."""

    def __init__(self, start: Callable[[DecoderJob], RunningDecoder], *, clock: Callable[[], float]) -> None:
        """`start` may raise OSError."""
        self._new = start
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._ended: list[RunningDecoder] = []
        self._woke_at_s, self._worked_s = clock(), 0.0

    def start(self, stream: Stream, job: DecoderJob) -> None:
        """Raises OSError: out of processes, files or memory. It may have to be ended all the same."""
        stream.decoder = self._new(job)
        self._selector.register(stream.decoder, selectors.EVENT_READ, stream)

    def ready(self, within_s: float) -> list[Stream]:
        """Those whose decoder has something to say, as soon as there are any."""
        self._worked_s += self._clock() - self._woke_at_s
        ready = self._selector.select(within_s)
        self._woke_at_s = self._clock()
        return [key.data for key, _ in ready]

    def suspects_first(self, within_s: float) -> Iterator[Stream]:
        """Those of `ready` whose sessions say the most for anything known first, the others as they come; whoever has
        something to say meanwhile takes the place that is due to it. Each once, so that none waits for longer than
        until all others have been listened to.
        """
        ready = self.ready(within_s)
        had, waiting = set(map(id, ready)), _suspects_last(ready)
        while waiting:
            yield waiting.pop()
            if waiting and self._clock() - self._woke_at_s >= _LOOK_AGAIN_S:
                come = [stream for stream in self.ready(0.0) if id(stream) not in had]
                if come:
                    had.update(map(id, come))
                    waiting = _suspects_last((*reversed(waiting), *come))

    def worked_s(self) -> float:
        """For how long nobody waited in `ready`, since this was last asked."""
        worked_s, self._worked_s = self._worked_s, 0.0
        return worked_s

    def end(self, stream: Stream) -> None:
        """At once; harmless where none runs."""
        if stream.decoder is None:
            return
        with contextlib.suppress(KeyError):  # it could not be registered
            self._selector.unregister(stream.decoder)
        stream.decoder.end()
        self._ended.append(stream.decoder)
        stream.decoder = None

    def let_go(self) -> None:
        """Of those that are gone by now."""
        self._ended = [decoder for decoder in self._ended if not decoder.gone(within_s=0.0)]

    def close(self) -> None:
        """All were killed at once; each is given the rest of the same second to be gone."""
        until_s = self._clock() + _LAST_DECODERS_S
        left = [d for d in self._ended if not d.gone(within_s=max(0.0, until_s - self._clock()))]
        self._ended.clear()
        if left:
            log.warning("decoders_left", count=len(left), note="the kernel has not ended them yet")
        self._selector.close()


def _suspects_last(streams: Iterable[Stream]) -> list[Stream]:
    """To be taken from the end; of equals the first comes first."""
    return sorted(streams, key=lambda stream: suspicion_nats(stream.decision_state), reverse=True)[::-1]
