"""Which media servers there are, and whom else to tell, by what an operator calls them."""

from difflib import get_close_matches
from typing import Protocol

from streamguard.errors import UsageError
from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl
from streamguard.servers.mediamtx import MediaMtx
from streamguard.servers.nginx_rtmp import NginxRtmp
from streamguard.servers.node_media_server import NodeMediaServer
from streamguard.servers.ovenmediaengine import OvenMediaEngine
from streamguard.servers.server import MediaServer
from streamguard.servers.spec import ServerSpec
from streamguard.servers.srs import Srs
from streamguard.servers.webhook import Told, Webhook


class _Maker(Protocol):
    def __call__(self, url: ApiUrl, /, *, name: str, limits: ApiLimits) -> MediaServer: ...


_SERVERS: dict[str, _Maker] = {
    "nginx-rtmp": NginxRtmp,
    "node-media-server": NodeMediaServer,
    "srs": Srs,
    "mediamtx": MediaMtx,
    "ovenmediaengine": OvenMediaEngine,
}
SERVER_KINDS = tuple(_SERVERS)
WEBHOOK = "webhook"


def media_server(spec: ServerSpec, *, limits: ApiLimits = DEFAULT_LIMITS) -> MediaServer:
    """Ready to be asked; nothing has been asked yet. Raises UsageError for a kind that is not known."""
    make = _SERVERS.get(spec.kind)
    if spec.kind == WEBHOOK:
        problem = "it can be told of kills, and lists nobody"
        raise UsageError("open media server", spec.name, problem, hint=f"there are {', '.join(_SERVERS)}")
    if make is None:
        meant = get_close_matches(spec.kind, _SERVERS, n=1)
        problem = f"no such kind, did you mean {meant[0]}?" if meant else "no such kind"
        raise UsageError("open media server", spec.kind, problem, hint=f"there are {', '.join(_SERVERS)}")
    return make(spec.api, name=spec.name, limits=limits)


def webhook(spec: ServerSpec, *, key: bytes | None, limits: ApiLimits = DEFAULT_LIMITS) -> Told:
    """Whom `webhook@NAME=URL` names. Raises UsageError where it is another kind, or there is no key to sign with."""
    if spec.kind != WEBHOOK:
        raise UsageError("open webhook", spec.name, f"{spec.kind} is none", hint="webhook@NAME=https://HOST/PATH")
    if key is None:
        raise UsageError("open webhook", spec.name, "there is no key to sign with", hint="--key-file, signals.hmac_key")
    return Webhook(spec.api, name=spec.name, key=key, limits=limits)
