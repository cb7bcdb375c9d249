"""All streams that this worker, or all workers between them, are to watch: named ones, and those from elsewhere.

Named ones are exchanged where the configuration is read anew; elsewhere is discovery, and the list in Redis.
"""

import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from streamguard.enforce.sharing.shared_streams import SharedList, SharedStream
from streamguard.errors import SignalsError, UsageError
from streamguard.ingest.urls import SourceKind, public_url, source_kind
from streamguard.worker.streams import StreamSpec

_READ_EVERY_S = 1.0

log = structlog.get_logger()


class SharedStreamList(Protocol):
    """The list in Redis; `read` raises SignalsError."""

    def read(self) -> SharedList: ...

    def close(self) -> None: ...


class NamedStreams:
    """Those that the operator named, beside others. `specs()` from one thread, `replace()` from any."""

    def __init__(self, named: Iterable[StreamSpec], *, others: Callable[[], frozenset[StreamSpec]]) -> None:
        self._named = frozenset(named)
        self._others = others
        self._last = (self._named, frozenset[StreamSpec](), self._named)

    def replace(self, named: Iterable[StreamSpec]) -> None:
        """These are all that are named."""
        self._named = frozenset(named)

    def specs(self) -> frozenset[StreamSpec]:
        """All of both; the same object while nothing has changed."""
        named, others = self._named, self._others()
        if self._last[0] is not named or self._last[1] is not others:
            self._last = (named, others, named | others)
        return self._last[2]


class Wanted:
    """`specs()` from any thread; `refresh()` from one; `replace()` from any."""

    def __init__(
        self,
        named: Iterable[StreamSpec],
        *,
        discovered: Callable[[], frozenset[StreamSpec]],
        shared: SharedStreamList,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._named = frozenset(named)
        self._discovered = discovered
        self._shared = shared
        self._clock = clock
        self._read_at_s = -_READ_EVERY_S
        self._listed: frozenset[StreamSpec] = frozenset()
        self._last = (self._named, frozenset[StreamSpec](), self._listed, self._named)
        self.problem = ""
        """What is wrong with the list, in words; other threads may read it."""

    def specs(self) -> frozenset[StreamSpec]:
        """The same object while nothing has changed. A name in the worker's configuration goes before the list's."""
        named, discovered, listed = self._named, self._discovered(), self._listed
        last = self._last
        if last[0] is not named or last[1] is not discovered or last[2] is not listed:
            names = {spec.stream for spec in named}
            own = named | frozenset(spec for spec in listed if spec.stream not in names)
            self._last = last = (named, discovered, listed, own | discovered)
        return last[3]

    def replace(self, named: Iterable[StreamSpec]) -> None:
        """These are all that this worker's operator names."""
        self._named = frozenset(named)

    def refresh(self) -> None:
        """Read the list, if it is time. One that cannot be read is as it was."""
        if self._clock() - self._read_at_s < _READ_EVERY_S:
            return
        self._read_at_s = self._clock()
        try:
            found = self._shared.read()
        except SignalsError as error:
            self._became(str(error))
            return
        specs = frozenset(spec for stream in found.streams if (spec := spec_of(stream)))
        refused = found.refused + len(found.streams) - len(specs)
        self._became(f"{refused} of the shared list cannot be watched" if refused else "")
        if specs != self._listed:
            self._listed = specs

    def close(self) -> None:
        """The list is read no more."""
        self._shared.close()

    def _became(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            tell = log.warning if problem else log.info
            tell("shared_streams", problem=problem, streams=len(self._listed))


def spec_of(stream: SharedStream) -> StreamSpec | None:
    """None for what no worker should open because somebody wrote it into Redis: files above all."""
    try:
        if source_kind(stream.url) is SourceKind.FILE:
            return None
    except UsageError:
        return None
    return StreamSpec(stream.stream, stream.url, public_url(stream.url), once=False)
