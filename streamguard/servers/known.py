"""Which media servers there are, by what an operator calls them."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Protocol

from streamguard.errors import UsageError
from streamguard.servers.hooks import Hooks
from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl
from streamguard.servers.mediamtx import MediaMtx, MediaMtxHooks
from streamguard.servers.nginx_rtmp import NginxRtmp, NginxRtmpHooks
from streamguard.servers.node_media_server import NodeMediaServer, NodeMediaServerHooks
from streamguard.servers.ovenmediaengine import OvenMediaEngine, OvenMediaEngineHooks
from streamguard.servers.server import MediaServer
from streamguard.servers.spec import ServerSpec
from streamguard.servers.srs import Srs, SrsHooks


class _Maker(Protocol):
    def __call__(self, url: ApiUrl, /, *, name: str, limits: ApiLimits) -> MediaServer: ...


_SERVERS: dict[str, _Maker] = {
    "nginx-rtmp": NginxRtmp,
    "node-media-server": NodeMediaServer,
    "srs": Srs,
    "mediamtx": MediaMtx,
    "ovenmediaengine": OvenMediaEngine,
}
_HOOKS: dict[str, Callable[[], Hooks]] = {
    "nginx-rtmp": NginxRtmpHooks,
    "node-media-server": NodeMediaServerHooks,
    "srs": SrsHooks,
    "mediamtx": MediaMtxHooks,
}
SERVER_KINDS = tuple(_SERVERS)


def media_server(spec: ServerSpec, *, limits: ApiLimits = DEFAULT_LIMITS) -> MediaServer:
    """Ready to be asked; nothing has been asked yet. Raises UsageError for a kind that is not known."""
    make = _SERVERS.get(spec.kind)
    if make is None:
        raise _unknown(spec.kind)
    return make(spec.api, name=spec.name, limits=limits)


def hooks_of(kind: str, *, secret: bytes = b"") -> Hooks:
    """Who reads the publish hooks of that kind of server. `secret` is what it signs them with, if it does: only
    OvenMediaEngine, and there it must be. Raises UsageError.
    """
    if kind == "ovenmediaengine":
        return OvenMediaEngineHooks(secret)
    make = _HOOKS.get(kind)
    if make is None:
        raise _unknown(kind)
    return make()


def _unknown(kind: str) -> UsageError:
    meant = get_close_matches(kind, _SERVERS, n=1)
    problem = f"no such kind, did you mean {meant[0]}?" if meant else "no such kind"
    return UsageError("open media server", kind, problem, hint=f"there are {', '.join(_SERVERS)}")
