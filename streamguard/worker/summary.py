"""How a watch went, told at its end."""

from collections import deque
from dataclasses import dataclass

from streamguard.ingest.discovery import DiscoveryState
from streamguard.worker.matcher import Matched
from streamguard.worker.streams import Stream, StreamStatus
from streamguard.worker.watcher import Watcher

_LAGS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Totals:
    """Of streams that left before the end: discovered ones, whose publishers had gone."""

    streams: int = 0
    never_watched: int = 0
    keyframes: int = 0
    decisions: int = 0
    restarts: int = 0
    reconnects: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """How a watch went. `undelivered` signals are in the outbox, None where it failed; `lost` ones are nowhere: they
    could not be made durable. `streams` are those that were there at the end.
    """

    seconds: float
    streams: tuple[StreamStatus, ...]
    lag_p50_s: float | None
    lag_p99_s: float | None
    lag_max_s: float | None
    undelivered: int | None
    lost: int
    departed: Totals = Totals()
    discovery: tuple[DiscoveryState, ...] = ()

    @property
    def never_watched(self) -> tuple[StreamStatus, ...]:
        return tuple(status for status in self.streams if not status.keyframes)

    def as_json(self) -> dict[str, object]:
        def rounded(value: float | None) -> float | None:
            return None if value is None else round(value, 4)

        left = self.departed
        return {
            "summary": True,
            "seconds": round(self.seconds, 1),
            "streams": left.streams + len(self.streams),
            "left": left.streams,
            "never_watched": left.never_watched + len(self.never_watched),
            "keyframes": left.keyframes + sum(status.keyframes for status in self.streams),
            "decisions": left.decisions + sum(status.decisions for status in self.streams),
            "lag_s": {"p50": rounded(self.lag_p50_s), "p99": rounded(self.lag_p99_s), "max": rounded(self.lag_max_s)},
            "restarts": left.restarts + sum(status.restarts for status in self.streams),
            "reconnects": left.reconnects + sum(max(0, status.sessions - 1) for status in self.streams),
            "undelivered": self.undelivered,
            "lost": self.lost,
            "by_server": [
                {"server": one.server, "problem": one.problem, "listings": one.listings, "failures": one.failures}
                for one in self.discovery
            ],
            "by_stream": [status.as_json() for status in self.streams],
        }


class Departures:
    """Adds up what is to be told of discovered streams when they are long gone."""

    def __init__(self) -> None:
        self.totals = Totals()

    @property
    def watcher(self) -> Watcher:
        return Watcher(left=self._left)

    def _left(self, stream: Stream) -> None:
        before = self.totals
        self.totals = Totals(
            streams=before.streams + 1,
            never_watched=before.never_watched + (not stream.keyframes),
            keyframes=before.keyframes + stream.keyframes,
            decisions=before.decisions + stream.decisions,
            restarts=before.restarts + stream.restarts.total(),
            reconnects=before.reconnects + max(0, stream.sessions - 1),
        )


class Lags:
    """The last lags, and the longest of all, for the summary."""

    def __init__(self) -> None:
        self._lags_s: deque[float] = deque(maxlen=_LAGS_KEPT)
        self.most_s: float | None = None

    def quantile(self, share: float) -> float | None:
        ordered = sorted(self._lags_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def keep(self, stream: Stream, _matched: Matched) -> None:
        lag_s = stream.lag_s or 0.0
        self._lags_s.append(lag_s)
        self.most_s = max(lag_s, self.most_s or 0.0)
