"""How log lines look: an event and its keys, on standard error, as text or JSON."""

import logging
import select
import sys
import time
from contextlib import suppress

import structlog
from structlog.typing import EventDict

from streamguard.config import LogConfig
from streamguard.errors import one_line

_PATIENCE_S = 0.1
_RESTS_TIMES = 9
"""So many times as long as a slow reader was waited for it is not waited for again: it holds nobody up for more than a
tenth of the time.
"""
_PIECE = 1024
"""Characters: a pipe that takes anything takes a page of 4096 bytes."""


def set_up_logs(config: LogConfig) -> None:
    """Once, before anything logs."""
    json_lines = config.format == "json"
    renderer = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=20,
            # The default shows local variables, and those hold URLs with credentials.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _printable,
            *([structlog.processors.format_exc_info] if json_lines else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[config.level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(_Stderr(json_lines=json_lines)),  # type: ignore[arg-type]  # it writes and flushes, no more
    )


def _printable(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Whatever a name or a server's word holds, it neither drives the terminal nor forges another line."""
    return {key: one_line(value) if isinstance(value, str) else value for key, value in line.items()}


class _Stderr:
    """Standard error, as long as somebody reads it: watching neither ends nor waits because a log cannot be written.

    One line at a time, which is the logger's to see to. A reader that stands still is waited for a moment, once, and a
    slow one now and then; from then on lines are left out, and counted in a line that goes before the next one that it
    takes.
    """

    def __init__(self, *, json_lines: bool) -> None:
        self._json_lines = json_lines
        self._left_out = 0
        self._is_cut = False
        """The last line has no end."""
        self._patient_at_s = 0.0

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            told = self._told() + text
            for start in range(0, len(told), _PIECE):
                if not self._takes_more():
                    self._left_out += 1
                    self._is_cut = self._is_cut or start > 0
                    return
                sys.stderr.write(told[start : start + _PIECE])
                sys.stderr.flush()
            self._left_out, self._is_cut = 0, False

    def _takes_more(self) -> bool:
        began_s = time.monotonic()
        is_patient = not self._left_out and began_s >= self._patient_at_s
        takes_more = _takes_more(_PATIENCE_S if is_patient else 0.0)
        if is_patient:
            now_s = time.monotonic()
            self._patient_at_s = now_s + _RESTS_TIMES * (now_s - began_s)
        return takes_more

    def flush(self) -> None:
        """Done with each piece."""

    def _told(self) -> str:
        """What is to be said before the next line."""
        count, end = self._left_out, "\n" if self._is_cut else ""
        if not count:
            return ""
        if self._json_lines:
            return f'{end}{{"count": {count}, "event": "log_lines_left_out", "level": "warning"}}\n'
        return f"{end}log_lines_left_out count={count}\n"


def _takes_more(within_s: float) -> bool:
    """Whether standard error takes a page without making anybody wait, as far as the kernel can tell: it can of pipes,
    sockets and terminals.
    """
    try:
        asked = select.poll()
        asked.register(sys.stderr.fileno(), select.POLLOUT)
    except (OSError, ValueError):  # a test's, or closed
        return True
    return bool(asked.poll(within_s * 1000))
