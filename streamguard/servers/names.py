"""What publishers call themselves, made into the key of a stream: safe to show, and the same wherever it comes from.

A publisher chooses its name, and may put anything into it that its server lets through.
"""

import hashlib
import ipaddress
import re

from streamguard.types import STEERING, StreamId

MAX_KEY_CHARS = 500
_UNSHOWN = re.compile(rf"[{STEERING}\ud800-\udfff]")


def stream_key(app: str, name: str) -> StreamId:
    """`app/name`. Of one with characters that steer a terminal, or of one that is very long, a readable part and a
    hash of all: no name can be another's key.
    """
    return path_key(f"{app}/{name}")


def path_key(raw: str) -> StreamId:
    """The same of a server whose streams have paths, of one part or of several."""
    shown = _UNSHOWN.sub("?", raw)
    if shown == raw and len(raw) <= MAX_KEY_CHARS:
        return StreamId(raw)
    digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return StreamId(f"{shown[: MAX_KEY_CHARS - 20]}~{digest}")


def ip_address(text: str) -> str:
    """An address in its shortest form, an IPv4 one inside IPv6 as itself, without port and zone; "" for no address."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        ip = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip)
