"""Whose publish hooks are read by what."""

from collections.abc import Mapping

from streamguard.servers.hooks import Hooks
from streamguard.servers.mediamtx import MediaMtxHooks
from streamguard.servers.nginx_rtmp import NginxRtmpHooks
from streamguard.servers.node_media_server import NodeMediaServerHooks
from streamguard.servers.ovenmediaengine import OvenMediaEngineHooks
from streamguard.servers.srs import SrsHooks

HOOKS: Mapping[str, Hooks] = {
    "nginx-rtmp": NginxRtmpHooks(),
    "node-media-server": NodeMediaServerHooks(),
    "srs": SrsHooks(),
    "mediamtx": MediaMtxHooks(),
}
"""Of the kinds that sign nothing: who may ask is for the network to say."""


def hooks_with_secrets(*, ovenmediaengine: bytes | None) -> Mapping[str, Hooks]:
    """HOOKS, and those of the kinds that sign their requests, where their secret is known. Raises UsageError for an
    empty one.
    """
    if ovenmediaengine is None:
        return HOOKS
    return {**HOOKS, "ovenmediaengine": OvenMediaEngineHooks(ovenmediaengine)}
