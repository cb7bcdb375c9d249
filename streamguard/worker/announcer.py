"""A stream's change of state, told to all who want to know: once, and in no more lines of the log than it may have."""

import logging
from collections.abc import Callable

import structlog

from streamguard.worker.streams import Stream, StreamState
from streamguard.worker.watcher import Watcher

log = structlog.get_logger()


class Announcer:
    def __init__(self, watchers: tuple[Watcher, ...], *, clock: Callable[[], float]) -> None:
        self._watchers = watchers
        self._clock = clock

    def become(self, stream: Stream, state: StreamState, reason: str = "", *, kind: str = "") -> None:
        """`kind`: the reason without what it is about. A decoder tells it first, and then fails with it."""
        if (state, reason) == (stream.state, stream.reason):
            return
        stream.state, stream.reason = state, reason
        if not stream.told.knows(state, kind or reason):
            is_bad = stream.failed or state in (StreamState.BLIND, StreamState.STALLED)
            because = {"reason": reason} if reason else {}
            level = logging.WARNING if is_bad else logging.INFO
            if self.line(stream, "stream_state", level=level, state=state.value, **because):
                stream.told.note(state, kind or reason)
        for watcher in self._watchers:
            watcher.state_changed(stream)

    def line(self, stream: Stream, event: str, *, level: int = logging.INFO, **keys: object) -> bool:
        """Whether there was room for the line."""
        passes = stream.line_limit.passes(self._clock())
        if passes:
            keys |= stream.line_limit.left_out_before()
            if stream.spec.origin is not None:
                keys["server"] = stream.spec.origin.server
            log.log(level, event, stream=stream.spec.stream, session_id=stream.session, **keys)
        return passes
