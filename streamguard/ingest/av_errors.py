"""FFmpeg's words turned into ours: one table, for opening and for reading.

FFmpeg's own messages are never shown: they hold the whole URL, with its password.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av

from streamguard.errors import SourceError, SourceRefused, SourceStalled, SourceUnavailable, SourceUnwatchable

_Kind = type[SourceError]


@dataclass(frozen=True, slots=True)
class _Row:
    """One class of FFmpeg's errors: what it is for us while opening and while reading, and what to say."""

    foreign: tuple[type[BaseException], ...]
    opening: _Kind
    reading: _Kind
    problem: str
    hint: str = ""


_UP = "is the server up, and the address right?"
_LIVE = "is the stream live, and its name right?"

# The first row that fits counts, so the special ones come first.
_TABLE = (
    _Row((av.error.ExitError, av.error.TimeoutError), SourceUnavailable, SourceStalled, "no answer in time", _LIVE),
    _Row((av.error.ConnectionRefusedError,), SourceUnavailable, SourceUnavailable, "connection refused", _UP),
    _Row(
        (av.error.ConnectionResetError, av.error.ConnectionAbortedError, av.error.BrokenPipeError),
        SourceUnavailable, SourceUnavailable, "the server closed the connection", _LIVE,
    ),
    _Row((av.error.PermissionError,), SourceUnavailable, SourceRefused, "the server does not play it", _LIVE),
    _Row(
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        SourceRefused, SourceRefused, "not allowed", "are the credentials right?",
    ),
    _Row((av.error.HTTPNotFoundError,), SourceUnavailable, SourceUnavailable, "not found", _LIVE),
    _Row((av.error.HTTPError, av.error.HTTPClientError), SourceUnavailable, SourceUnavailable, "HTTP error", _UP),
    _Row(
        (av.error.ProtocolNotFoundError, av.error.DemuxerNotFoundError),
        SourceRefused, SourceRefused, "this protocol or format is not allowed here", "see the README for what is",
    ),
    _Row(
        (av.error.ArgumentError,),
        SourceUnwatchable, SourceUnwatchable, "this is of a format that is not read here",
    ),
    _Row(
        (av.error.InvalidDataError, UnicodeDecodeError),
        SourceUnwatchable, SourceUnwatchable, "this is no audio or video that can be read",
    ),
    _Row(
        (av.error.DecoderNotFoundError, av.error.PatchWelcomeError, av.error.NotImplementedError,
         av.error.ExperimentalError),
        SourceUnwatchable, SourceUnwatchable, "there is no decoder for it",
    ),
    _Row(
        (av.error.MemoryError, MemoryError),
        SourceUnwatchable, SourceUnwatchable, "it needs more memory than a decoder may have",
        "raise ingest.decoder_memory_mib if the stream is honest",
    ),
    _Row((av.error.EOFError,), SourceUnavailable, SourceUnavailable, "it ended before the first picture", _LIVE),
    # nginx-rtmp says this of an application it does not have, and so does any server that hangs up.
    _Row(
        (av.error.OSError, OSError),
        SourceUnavailable, SourceUnavailable, "the connection broke, or there is no such application or stream",
        "are its names right, is the stream live, and with rtmps the certificate good?",
    ),
    _Row((av.FFmpegError, ValueError), SourceUnavailable, SourceUnavailable, "FFmpeg could not go on"),
)  # fmt: skip

FOREIGN = (av.FFmpegError, OSError, ValueError, MemoryError)
"""What PyAV raises: catch these, no more."""


def ours(error: BaseException, *, operation: str, subject: str, opening: bool) -> SourceError:
    """Our error for one of PyAV's, without the address that FFmpeg put into its own.

    Raise it `from` the foreign one: that is stripped of the address as well, for tracebacks that get logged.
    """
    row = next(row for row in _TABLE if isinstance(error, row.foreign))
    detail = ""
    if isinstance(error, av.FFmpegError):
        detail = f" ({error.strerror})" if error.strerror else ""
        error.args = error.args[:2]
    kind = row.opening if opening else row.reading
    return kind(operation, subject, f"{row.problem}{detail}", hint=row.hint)


@contextmanager
def as_ours(operation: str, subject: str, *, opening: bool) -> Iterator[None]:
    """Every PyAV error inside comes out as a SourceError."""
    try:
        yield
    except FOREIGN as error:
        raise ours(error, operation=operation, subject=subject, opening=opening) from error
