"""Which media servers there are, by what an operator calls them."""

from collections.abc import Callable
from difflib import get_close_matches

from streamguard.errors import UsageError
from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl
from streamguard.servers.nginx_rtmp import NginxRtmp
from streamguard.servers.server import MediaServer
from streamguard.servers.spec import ServerSpec


def _nginx_rtmp(url: ApiUrl, name: str, limits: ApiLimits) -> MediaServer:
    return NginxRtmp(url, name=name, limits=limits)


_SERVERS: dict[str, Callable[[ApiUrl, str, ApiLimits], MediaServer]] = {
    "nginx-rtmp": _nginx_rtmp,
}
SERVER_KINDS = tuple(_SERVERS)


def media_server(spec: ServerSpec, *, limits: ApiLimits = DEFAULT_LIMITS) -> MediaServer:
    """Ready to be asked; nothing has been asked yet. Raises UsageError for a kind that is not known."""
    make = _SERVERS.get(spec.kind)
    if make is None:
        meant = get_close_matches(spec.kind, _SERVERS, n=1)
        problem = f"no such kind, did you mean {meant[0]}?" if meant else "no such kind"
        raise UsageError("open media server", spec.kind, problem, hint=f"there are {', '.join(_SERVERS)}")
    return make(spec.api, spec.name, limits)
