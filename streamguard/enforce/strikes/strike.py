"""A strike: a publisher that was killed for known footage is refused for a while, by what it can be known by again."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from streamguard.core.strikes import Standing, StrikeRecord
from streamguard.errors import UsageError
from streamguard.types import STEERING, SessionId, StreamId

ENFORCER = "enforcer"
"""Who strikes, where nobody else is named."""
LONGEST_KEY = 1000
LONGEST_TEXT = 500
_KINDS = ("stream", "address", "account")
_UNFIT = re.compile(rf"[{STEERING}\ud800-\udfff]")
"""What cannot be shown, or be sent to Redis: JSON can hold halves of characters."""
_IPV6_PREFIX_BITS = 64


@dataclass(frozen=True, slots=True)
class Strike:
    """One kill-signal's consequence at the gate: whoever has one of the `keys` is refused.

    Keys are like `stream:live/cam`, `address:203.0.113.9`, `account:anna`. `session` is the one that was killed, by
    its server's own id; `decided_unix_s` is the worker's clock, and for people only.
    """

    signal_id: str
    keys: tuple[str, ...]
    stream: StreamId
    session: SessionId
    reference: str
    reason: str
    decided_unix_s: float


@dataclass(frozen=True, slots=True)
class StrikeTerms:
    """How long the first, the second, ... strike refuses, and how long strikes and their audit are remembered."""

    refuse_for_s: tuple[float, ...] = (600.0, 3600.0, 86_400.0, 604_800.0)
    remember_s: float = 7_776_000.0


@dataclass(frozen=True, slots=True)
class StruckKey:
    """A key that is refused now."""

    key: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of one key: who did what, when and why, and how the key stands since."""

    action: str
    key: str
    who: str
    why: str
    signal_id: str
    at_unix_ms: int
    standing: Standing


def record_of(strike: Strike, *, who: str, now_unix_ms: int) -> StrikeRecord:
    """As it is remembered; until when is for core.strikes to say."""
    return StrikeRecord(
        signal_id=strike.signal_id[:LONGEST_KEY],
        stream=StreamId(strike.stream[:LONGEST_KEY]),
        session=SessionId(strike.session[:LONGEST_KEY]),
        reference=fit(strike.reference),
        reason=fit(strike.reason),
        who=fit(who),
        at_unix_ms=now_unix_ms,
        until_unix_ms=now_unix_ms,
    )


def fit(text: str) -> str:
    """Short enough to be kept, and safe to be shown."""
    return _UNFIT.sub(" ", text)[:LONGEST_TEXT]


def publisher_keys(
    stream: StreamId, *, address: str = "", arguments: Mapping[str, str], by_address: bool, account_argument: str | None
) -> tuple[str, ...]:
    """What a publisher can be known by again: its stream always, its address and account where that was asked for."""
    keys = [f"stream:{stream}"]
    if by_address and address:
        keys.append(f"address:{_network(address)}")
    if account_argument is not None and (account := arguments.get(account_argument)):
        keys.append(f"account:{account}")
    return tuple(keys)


def read_key(text: str) -> str:
    """A key as it is stored. Raises UsageError where it is none."""
    kind, colon, rest = text.partition(":")
    if kind not in _KINDS or not colon or not rest:
        hint = "give stream:APP/NAME, address:IP or account:NAME"
        raise UsageError("read strike key", text[:100], "it is none", hint=hint)
    if len(text) > LONGEST_KEY or _UNFIT.search(text):
        raise UsageError("read strike key", text[:100], f"over {LONGEST_KEY} characters, or one that cannot be shown")
    if kind != "address":
        return text
    network = _network(rest)
    if "/" in network and not _is_whole_network(network):
        raise UsageError("read strike key", text[:100], "no IP address", hint="address:203.0.113.9, say")
    return f"address:{network}"


def _network(address: str) -> str:
    """An IPv4 address as it is; of an IPv6 address the /64, for a publisher has all of those at its choice.

    What is no address comes back with a slash, or as it is where it has one.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address if "/" in address else f"/{address}"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _IPV6_PREFIX_BITS), strict=False))


def _is_whole_network(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return False
    return isinstance(network, ipaddress.IPv6Network) and network.prefixlen == _IPV6_PREFIX_BITS
