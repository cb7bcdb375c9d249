import av
import pytest

from streamguard.errors import (
    SourceError,
    SourceRefused,
    SourceStalled,
    SourceUnavailable,
    SourceUnwatchable,
)
from streamguard.ingest.av_errors import as_ours, ours

URL = "rtmp://user:hunter2@host/live/cam"


@pytest.mark.parametrize(
    ("foreign", "opening", "reading"),
    [
        (av.error.ExitError, SourceUnavailable, SourceStalled),
        (av.error.TimeoutError, SourceUnavailable, SourceStalled),
        (av.error.ConnectionRefusedError, SourceUnavailable, SourceUnavailable),
        (av.error.ConnectionResetError, SourceUnavailable, SourceUnavailable),
        (av.error.PermissionError, SourceUnavailable, SourceRefused),
        (av.error.OSError, SourceUnavailable, SourceUnavailable),
        (av.error.EOFError, SourceUnavailable, SourceUnavailable),
        (av.error.HTTPNotFoundError, SourceUnavailable, SourceUnavailable),
        (av.error.HTTPForbiddenError, SourceRefused, SourceRefused),
        (av.error.ProtocolNotFoundError, SourceRefused, SourceRefused),
        (av.error.InvalidDataError, SourceUnwatchable, SourceUnwatchable),
        (av.error.ArgumentError, SourceUnwatchable, SourceUnwatchable),
        (av.error.DecoderNotFoundError, SourceUnwatchable, SourceUnwatchable),
        (av.error.MemoryError, SourceUnwatchable, SourceUnwatchable),
        (av.error.UnknownError, SourceUnavailable, SourceUnavailable),
    ],
)
def test_table(foreign: type[av.FFmpegError], opening: type[SourceError], reading: type[SourceError]) -> None:
    """Each of FFmpeg's errors is one of ours, by what is to be done, while opening and while reading."""
    for is_opening, kind in ((True, opening), (False, reading)):
        error = ours(foreign(5, "its own words", URL), operation="open stream", subject="cam", opening=is_opening)
        assert type(error) is kind
        assert str(error).startswith("open stream cam: ")


@pytest.mark.parametrize(
    "foreign", [MemoryError(), ValueError("x"), OSError(5, "x"), UnicodeDecodeError("a", b"", 0, 1, "x")]
)
def test_pythons_own(foreign: Exception) -> None:
    """Python's own errors that PyAV raises have their place as well."""
    with pytest.raises(SourceError), as_ours("read", "cam", opening=False):
        raise foreign


def test_no_credentials() -> None:
    """The URL that FFmpeg puts into its errors is gone from the cause too."""
    with pytest.raises(SourceError) as caught, as_ours("open stream", "cam", opening=True):
        raise av.error.OSError(5, "I/O error", URL)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__!s} {caught.value.__cause__!r}"
