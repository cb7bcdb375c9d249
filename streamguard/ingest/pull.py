"""How a publisher that a server lists is pulled from it: exactly that one, or not at all."""

from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from streamguard.errors import SourceRefused, UsageError
from streamguard.ingest.options import RtmpNames
from streamguard.ingest.urls import SourceKind, public_url, scheme_of, source_kind
from streamguard.servers.names import why_unwatchable

_MOST_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Pull:
    """Where to pull one stream. `url` may hold credentials, `public_url` never."""

    url: str = field(repr=False)
    public_url: str
    rtmp: RtmpNames


def check_pull_url(url: str) -> str:
    """A server's pull URL: rtmp(s)://[user:password@]host[:port][?query], and the query is asked with each stream.

    HLS is none: a playlist goes on with what the last publisher left in it, and a kill would hit the next one.
    Raises UsageError.
    """
    hint = (
        "in `pull` of [[discover]], or after the comma of --discover, give rtmp://HOST:PORT or rtmps://HOST:PORT; "
        "the names of application and stream are added to it"
    )
    if not _is_rtmp(url):
        raise UsageError("pull from", public_url(url) if scheme_of(url) else "", "not an RTMP server", hint=hint)
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    if not has_host or parts.path.strip("/") or parts.fragment:
        raise UsageError("pull from", public_url(url), "not just a host and a port", hint=hint)
    return url


def _is_rtmp(url: str) -> bool:
    try:
        return bool(scheme_of(url)) and source_kind(url) is SourceKind.RTMP
    except UsageError:  # its hint is for streams, which may be more than this
        return False


def pull_of(path: str, *, at: str) -> Pull:
    """How to pull `path` (`app/name`, on MediaMTX also a name alone) from the server at the pull URL `at`.

    Raises SourceRefused, with the reason, for a name that would have to be guessed or would be understood as another.
    """
    if problem := why_unwatchable(path):
        raise SourceRefused("pull stream", path[:_MOST_SHOWN], problem)
    app, _, name = path.partition("/")
    base, _, query = at.partition("?")
    url = f"{base.rstrip('/')}/{quote(path)}"
    return Pull(url, public_url(url), RtmpNames(app, f"{name}?{query}" if query else name))
