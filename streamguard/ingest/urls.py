"""What a stream's URL is called in messages, and what kind of source it names.

A URL is a secret until it is proven otherwise: user names, passwords and tokens travel in it.
"""

import re
from enum import Enum
from urllib.parse import unquote, urlsplit

from streamguard.errors import UsageError
from streamguard.types import STEERING

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_UNPRINTABLE = re.compile(rf"[{STEERING}\ud800-\udfff]")
_HIDDEN = "..."


class SourceKind(Enum):
    RTMP = "rtmp"
    HLS = "hls"
    FILE = "file"


def source_kind(url: str) -> SourceKind:
    """Which reader a URL or a path needs. Raises UsageError for what is not supported."""
    scheme = scheme_of(url)
    if scheme in ("", "file"):
        return SourceKind.FILE
    if scheme in ("rtmp", "rtmps"):
        return SourceKind.RTMP
    if scheme in ("http", "https") and "m3u8" in url.lower():
        return SourceKind.HLS
    raise UsageError(
        "open stream", public_url(url), "not a kind of source that can be watched",
        hint="give rtmp://, rtmps://, http(s)://...m3u8 (HLS) or a file",
    )  # fmt: skip


def scheme_of(url: str) -> str:
    """In lower case; "" for a path."""
    match = _SCHEME.match(url)
    return match["scheme"].lower() if match else ""


def file_path(url: str) -> str:
    """The path that a path or a file:// URL names."""
    return unquote(urlsplit(url).path) if scheme_of(url) == "file" else url


def public_url(url: str) -> str:
    """The URL as it may be shown: no user, no password, no query, no fragment, nothing unprintable. Never raises."""
    match = _SCHEME.match(url)
    if match is None:
        return _UNPRINTABLE.sub("?", url)
    rest = re.split(r"[?#\s]", url[match.end() :], maxsplit=1)[0]
    authority, slash, path = rest.partition("/")
    authority = authority.rpartition("@")[2]
    if "@" in path and (not _is_host_and_port(authority) or ":" in path.rpartition("@")[0]):
        # A password with a slash in it, not encoded: what looks like the path begins in its middle.
        authority, slash, path = path.rpartition("@")[2].partition("/")
    if not _is_host_and_port(authority):
        authority = _HIDDEN
    return _UNPRINTABLE.sub("?", f"{match['scheme'].lower()}://{authority}{slash}{path}")


def _is_host_and_port(authority: str) -> bool:
    return re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]*\]|[^:@\[\]]*)(:\d*)?", authority) is not None
