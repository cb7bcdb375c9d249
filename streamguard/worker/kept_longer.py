"""What streams that were decided on have shown, for whoever comes later: kept for an hour, not for minutes.

A stream is cut within seconds, and an operator looks at what it has shown besides ten minutes later. So what it showed
around the decision stays when worker.shown forgets it; in memory alone, within bounds, the oldest decision first out.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from streamguard.types import AssetId, Verdict

MOST_KEYFRAMES = 480
MOST_STREAM_BYTES = 8 << 20
"""Of one stream; then its oldest keyframes go."""

MOST_STREAMS = 1000

SHARE = 0.25
"""Of all that may be remembered: the rest is for what all streams have shown lately."""

MOST_VERDICTS = 16
"""Of one stream: the last ones, each for another reference."""


class Kept(Protocol):
    """A keyframe, as far as it is kept here."""

    @property
    def seen_s(self) -> float: ...

    @property
    def session(self) -> int: ...

    @property
    def packed(self) -> bytes: ...


_One = TypeVar("_One", bound=Kept)
Name = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Decided:
    """How a stream was decided on for a reference, when by the worker's clock, and the id of that kill-signal."""

    verdict: Verdict
    at_s: float
    signal: str


Verdicts = Mapping[AssetId, Decided]


@dataclass(slots=True)
class _Stream(Generic[_One]):
    keyframes: deque[_One] = field(default_factory=deque)
    verdicts: dict[AssetId, Decided] = field(default_factory=dict)
    size_bytes: int = 0

    def forget_first(self) -> int:
        """How many bytes that frees."""
        size_bytes = len(self.keyframes.popleft().packed)
        self.size_bytes -= size_bytes
        return size_bytes


class KeptLonger(Generic[_One]):
    """For one thread, or under its user's lock. `keep_s` 0 keeps nothing."""

    def __init__(self, keep_s: float, *, around_s: float, most_bytes: float) -> None:
        """Of what a stream shows, what it shows within `around_s` of a decision is kept; `most_bytes` of all."""
        self._keep_s = keep_s
        self._around_s = around_s
        self._most_bytes = most_bytes
        self._streams: dict[Name, _Stream[_One]] = {}
        self.size_bytes = 0

    def take(self, name: Name, one: _One, *, verdicts: Verdicts) -> None:
        """A keyframe that is forgotten elsewhere; each stream's in order."""
        if not self._keep_s or all(abs(one.seen_s - decided.at_s) > self._around_s for decided in verdicts.values()):
            return
        stream = self._streams.setdefault(name, _Stream())
        stream.verdicts = newest({**stream.verdicts, **verdicts})
        stream.keyframes.append(one)
        stream.size_bytes += len(one.packed)
        self.size_bytes += len(one.packed)
        while len(stream.keyframes) > MOST_KEYFRAMES or stream.size_bytes > MOST_STREAM_BYTES:
            self.size_bytes -= stream.forget_first()
        while self._streams and (self.size_bytes > self._most_bytes or len(self._streams) > MOST_STREAMS):
            self._drop(min(self._streams, key=self._decided_s))

    def names(self) -> tuple[Name, ...]:
        return tuple(self._streams)

    def of(self, name: Name) -> tuple[_One, ...]:
        """The oldest first."""
        return tuple(self._streams[name].keyframes) if name in self._streams else ()

    def verdicts(self, name: Name) -> Verdicts:
        return self._streams[name].verdicts if name in self._streams else {}

    def session(self, name: Name) -> int:
        """That of its newest keyframe; -1 where nothing of it is kept."""
        return max((one.session for one in self.of(name)), default=-1)

    def tick(self, now_s: float) -> None:
        """Forget what is too old."""
        for name, stream in list(self._streams.items()):
            while stream.keyframes and now_s - stream.keyframes[0].seen_s > self._keep_s:
                self.size_bytes -= stream.forget_first()
            if not stream.keyframes:
                del self._streams[name]

    def _decided_s(self, name: Name) -> float:
        return max(decided.at_s for decided in self._streams[name].verdicts.values())

    def _drop(self, name: Name) -> None:
        self.size_bytes -= self._streams.pop(name).size_bytes


def newest(verdicts: Verdicts) -> dict[AssetId, Decided]:
    """The last `MOST_VERDICTS`, the oldest first."""
    kept = sorted(verdicts.items(), key=lambda one: one[1].at_s)[-MOST_VERDICTS:]
    return dict(kept)
