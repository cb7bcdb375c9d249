"""Which addresses an HLS playlist may make us fetch.

A playlist is written by whoever sends the stream, and our worker stands inside the operator's network. The operator's
own URL names an origin that is trusted; all that a playlist or a redirect names beside it must be http(s) and lie on
that origin, on a host that the operator allows, or on the public internet, where HTTP is at home. A host is resolved
once a session, and the connection goes to the address that was vetted, so a name that changes its mind in between gains
nothing.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from streamguard.errors import SourceRefused, SourceUnavailable, UsageError
from streamguard.ingest.news import Refusal, Refused, Tell, ignore
from streamguard.ingest.urls import public_url, scheme_of
from streamguard.timed_connections import resolve

Resolve = Callable[[str, int], tuple[str, ...]]
"""Host and port to IP addresses. Raises OSError."""

_PORTS = {"http": 80, "https": 443}
_MAX_URL_CHARS = 8192
_MAX_HOSTS = 16
_OTHERS_PORTS_BELOW = 1024
"""Of mail, files and names, mostly: some of their servers can be talked to in the lines of a request."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
"""Whatever an operator's own translator makes of it."""
_NOBODYS = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")))
"""Of protocols, of examples, and of clouds that answer their own machines there (Oracle's, Azure's): Python takes some
of them, or all, for public.
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be fetched, and the addresses to connect to. `trusted`: the operator's own origin."""

    url: str
    scheme: str
    host: str
    port: int
    request: str
    addresses: tuple[str, ...]
    trusted: bool


class Guard:
    """One session's judgement, and its memory of what each host resolved to. Raises UsageError for no URL at all."""

    def __init__(
        self, origin_url: str, *, allow_hosts: tuple[str, ...] = (), resolve: Resolve = resolve, tell: Tell = ignore
    ) -> None:  # fmt: skip
        """`tell` hears of each refusal."""
        self._allowed = frozenset(host.lower() for host in allow_hosts)
        self._resolve = resolve
        self._tell = tell
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._subject = public_url(origin_url)
        try:
            self._origin = self._key(self._parsed(origin_url))
        except SourceRefused:
            raise UsageError("open stream", self._subject, "not a URL", hint="check its host and port") from None

    def target(self, url: str, *, base: str = "") -> Target:
        """What to connect to for a URL, relative to `base`. Raises SourceRefused; SourceUnavailable: no such host."""
        parsed = self._parsed(self._joined(base, url))
        scheme, host, port = self._key(parsed)
        trusted = (scheme, host, port) == self._origin
        free = trusted or self._is_allowed(host, port)
        if not free and port < _OTHERS_PORTS_BELOW and port not in _PORTS.values():
            raise self._refused(Refusal.PORT, host, f"port {port}, where no web server is expected")
        addresses = self._vetted(host, port, free=free)
        return Target(parsed.url, scheme, host, port, parsed.request_uri, addresses, trusted)

    def _is_allowed(self, host: str, port: int) -> bool:
        """By its name alone, on every port; or on this one."""
        bare = () if ":" in host else (host, f"{host}:{port}")
        return not self._allowed.isdisjoint((host, f"[{host}]", f"[{host}]:{port}", *bare))

    def _vetted(self, host: str, port: int, *, free: bool) -> tuple[str, ...]:
        if host not in self._addresses:
            if len(self._addresses) >= _MAX_HOSTS:
                raise self._refused(Refusal.NAMES, host, f"the playlist names more than {_MAX_HOSTS} hosts")
            try:
                self._addresses[host] = self._resolve(host, port)
            except (OSError, UnicodeError) as error:
                problem = f"host {_shown(host)} is not known"
                raise SourceUnavailable("open stream", self._subject, problem, hint="is its name right?") from error
        addresses = self._addresses[host]
        if not addresses or not (free or all(_is_public(address) for address in addresses)):
            raise self._refused(Refusal.ADDRESS, host, "an address that is not public")
        return addresses

    def _joined(self, base: str, url: str) -> str:
        if len(url) > _MAX_URL_CHARS:
            raise self._refused(Refusal.URL, "", f"a URL longer than {_MAX_URL_CHARS} characters")
        try:
            return urljoin(base, url)
        except ValueError:
            # Its message may hold the URL with a password in it: not chained.
            raise self._refused(Refusal.URL, "", "a URL that cannot be understood") from None

    def _parsed(self, url: str) -> Url:
        if scheme_of(url) not in _PORTS:
            what = f"a URL that is not http or https ({_shown(url.partition(':')[0])}:)"
            raise self._refused(Refusal.SCHEME, "", what)
        try:
            return parse_url(url)
        except LocationParseError:
            raise self._refused(Refusal.URL, "", "a URL that cannot be understood") from None

    def _key(self, parsed: Url) -> tuple[str, str, int]:
        """Scheme, host and port: the origin."""
        if not parsed.scheme or not parsed.host:
            raise self._refused(Refusal.URL, "", "a URL without a host")
        return parsed.scheme, parsed.host.strip("[]").lower(), parsed.port or _PORTS[parsed.scheme]

    def _refused(self, why: Refusal, host: str, what: str) -> SourceRefused:
        where = f"{what}: {_shown(host)}" if host else what
        self._tell(Refused(why, where))
        hint = "add the host to ingest.allow_hosts if it is yours" if host else "only http(s) is followed"
        return SourceRefused("fetch for", self._subject, f"the playlist or a redirect leads to {where}", hint=hint)


def _is_public(address: str) -> bool:
    """Whether anybody on the internet could reach it; an IPv4 address inside an IPv6 one counts by itself."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if any(ip.version == network.version and ip in network for network in _NOBODYS):
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _LOCAL_NAT64 or ip.is_site_local:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _shown(text: str) -> str:
    """Somebody else's text, made safe for a line of ours."""
    return "".join(char if char.isprintable() else "?" for char in text[:100])
