"""What publishers call themselves, made into the key of a stream: safe to show, and the same wherever it comes from.

A publisher chooses its name, and may put anything into it that its server lets through.
"""

import hashlib
import ipaddress
import re

from streamguard.types import STEERING, StreamId

MAX_KEY_CHARS = 500
_SHOWN_CHARS = MAX_KEY_CHARS - 20
_UNSHOWN = re.compile(rf"[{STEERING}\ud800-\udfff]")
_UNSURE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")
"""Servers list what they cannot write as one of these (nginx-rtmp: a space), so that several names look alike."""


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
    return StreamId(f"{shown[:_SHOWN_CHARS]}~{digest}")


def why_unwatchable(path: str) -> str:
    """Why nobody could watch what a publisher calls itself, in words: it would be another stream, or none. Empty: it
    can be asked for. `path` is `app/name` as it was listed, or its key.
    """
    if not path or path.startswith("/") or path.endswith("/"):
        return "it has no name that could be asked for"
    if len(path) > _SHOWN_CHARS:
        return f"its name is longer than {_SHOWN_CHARS} characters"
    if "?" in path:  # also what a key has for characters that steer a terminal
        return 'its name holds "?", where the server would end it, or a character that cannot be shown'
    if _UNSURE.search(path):
        return "its name holds white space, or what servers list as such: which stream that is cannot be told"
    return ""


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
