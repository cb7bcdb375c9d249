"""How log lines look: an event and its keys, on standard error, as text or JSON."""

import logging
import sys
from contextlib import suppress

import structlog
from structlog.typing import EventDict

from streamguard.config import LogConfig
from streamguard.errors import one_line


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
        logger_factory=structlog.WriteLoggerFactory(_Stderr()),  # type: ignore[arg-type]  # it writes and flushes, no more
    )


def _printable(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Whatever a name or a server's word holds, it neither drives the terminal nor forges another line."""
    return {key: one_line(value) if isinstance(value, str) else value for key, value in line.items()}


class _Stderr:
    """Standard error, as long as somebody reads it: watching does not end because a log cannot be written."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
