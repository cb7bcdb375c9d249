import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import SourceRefused, SourceUnavailable, UsageError
from streamguard.ingest.guard import Guard
from streamguard.ingest.news import News, Refusal, Refused

ORIGIN = "http://ingest.internal:8080/live/cam.m3u8"


class Names:
    """A resolver of our own, which counts how often it was asked."""

    def __init__(self, **addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> tuple[str, ...]:
        del port
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError("unknown")
        return tuple(self.addresses[host].split())


def guard(*allow_hosts: str, **addresses: str) -> Guard:
    names = {"ingest.internal": "10.0.0.5", "cdn.example": "93.184.215.14", **addresses}
    return Guard(ORIGIN, allow_hosts=allow_hosts, resolve=Names(**names))


def test_the_operators_own_origin_is_trusted() -> None:
    """The URL that the operator named may lie anywhere, and so may what lies beside it."""
    target = guard().target("seg-1.ts?x=1", base=ORIGIN)
    assert (target.addresses, target.request, target.trusted) == (("10.0.0.5",), "/live/seg-1.ts?x=1", True)


@pytest.mark.parametrize("url", ["http://ingest.internal:6379/", "https://ingest.internal:8080/a.ts"])
def test_another_port_or_scheme_is_another_origin(url: str) -> None:
    """Redis next door is not the ingest server."""
    with pytest.raises(SourceRefused, match="not public"):
        guard().target(url)


def test_public_hosts_may_be_named() -> None:
    """A CDN on the internet is fetched from, without the operator's credentials."""
    target = guard().target("http://cdn.example/a.ts")
    assert (target.addresses, target.trusted) == (("93.184.215.14",), False)


@pytest.mark.promise(6, "names that lead inside, in any notation")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "::127.0.0.1", "fec0::1", "2002:7f00:1::",
        "192.0.0.192", "168.63.129.16", "::ffff:168.63.129.16", "192.88.99.1", "3fff::1",
        "2001:0:53aa:64c:0:0:80ff:fffe", "93.184.215.14 127.0.0.1", "",
    ],
)  # fmt: skip
def test_addresses_inside_are_refused(address: str) -> None:
    """A name that leads inside, in whatever notation, or only with one of its addresses, is not followed."""
    with pytest.raises(SourceRefused, match=r"evil\.example"):
        guard(**{"evil.example": address}).target("http://evil.example/a.ts")


@pytest.mark.parametrize("url", ["http://", "http:///a.m3u8", "http://[::1", "http://h:99999/a.m3u8"])
def test_the_operators_url_must_be_one(url: str) -> None:
    """A URL that makes no sense is the operator's to mend."""
    with pytest.raises(UsageError, match="not a URL"):
        Guard(url)


def test_allowed_hosts() -> None:
    """A host that the operator allows may lie inside."""
    inside = guard("Origin.Internal", **{"origin.internal": "10.0.0.9"})
    assert inside.target("http://origin.internal/a.ts").addresses == ("10.0.0.9",)


@pytest.mark.parametrize(("allowed", "passes"), [("10.0.0.9:8080", True), ("10.0.0.9:80", False), ("10.0.0.9", True)])
def test_one_port_of_an_allowed_host(*, allowed: str, passes: bool) -> None:
    """A host may be allowed on one port alone: Redis may be on its others."""
    inside = guard(allowed, **{"10.0.0.9": "10.0.0.9"})
    if passes:
        assert inside.target("http://10.0.0.9:8080/a.ts").port == 8080
    else:
        with pytest.raises(SourceRefused, match="not public"):
            inside.target("http://10.0.0.9:8080/a.ts")


@pytest.mark.parametrize("allowed", ["::1", "[::1]", "[::1]:8080"])
def test_an_allowed_ipv6_address(allowed: str) -> None:
    """With or without brackets; with a port only in them."""
    assert guard(allowed, **{"::1": "::1"}).target("http://[::1]:8080/a.ts").addresses == ("::1",)
    with pytest.raises(SourceRefused):
        guard("::1:8080", **{"::1": "::1"}).target("http://[::1]:8080/a.ts")


@pytest.mark.parametrize("port", [1, 22, 25, 53, 110, 143, 389, 445, 587, 993, 1023])
def test_ports_where_others_are_at_home(port: int) -> None:
    """Nobody is made to talk to a mail server by a playlist; not even one that is on the internet."""
    with pytest.raises(SourceRefused, match=f"port {port}, where no web server is expected: cdn.example"):
        guard().target(f"http://cdn.example:{port}/a.ts")
    assert guard("cdn.example").target(f"http://cdn.example:{port}/a.ts").port == port


@pytest.mark.parametrize("port", [80, 443, 1024, 8080, 8443, 65535])
def test_ports_of_web_servers(port: int) -> None:
    """Where CDNs are at home."""
    assert guard().target(f"http://cdn.example:{port}/a.ts").port == port


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1/a", Refusal.ADDRESS), ("http://cdn.example:25/a", Refusal.PORT),
        ("file:///etc/passwd", Refusal.SCHEME), ("http://[::1/", Refusal.URL), ("a" * 9000, Refusal.URL),
    ],
)  # fmt: skip
def test_each_refusal_is_told(url: str, why: Refusal) -> None:
    """With its reason, and what it was, once."""
    told: list[News] = []
    names = Names(**{"127.0.0.1": "127.0.0.1", "cdn.example": "93.184.215.14"})
    watching = Guard(ORIGIN, resolve=names, tell=told.append)
    with pytest.raises(SourceRefused) as caught:
        watching.target(url, base=ORIGIN)
    (one,) = told
    assert isinstance(one, Refused)
    assert one.why is why
    assert one.what in str(caught.value)


@pytest.mark.promise(6, "other schemes: file, concat, data, ...")
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://cdn.example/a", "gopher://cdn.example/", "data:text/plain,x", "concat:a|b",
        "http://[::1", "http://[v1.x]/", "http://cdn.example:99999/", "http://cdn.example:x/",
        "a" * 9000,
    ],
)  # fmt: skip
def test_other_urls_are_refused(url: str) -> None:
    """Other schemes, and what is no URL, are refused with a reason."""
    with pytest.raises(SourceRefused):
        guard().target(url, base=ORIGIN)


@pytest.mark.promise(6, "a name that leads elsewhere when it is asked again (DNS rebinding)")
def test_resolved_once() -> None:
    """A name that changes its mind between being vetted and being fetched gains nothing."""
    names = Names(**{"ingest.internal": "10.0.0.5", "fickle.example": "93.184.215.14"})
    watching = Guard(ORIGIN, resolve=names)
    watching.target("http://fickle.example/a.ts")
    names.addresses["fickle.example"] = "127.0.0.1"
    assert watching.target("http://fickle.example/b.ts").addresses == ("93.184.215.14",)
    assert names.asked == ["fickle.example"]


def test_number_of_hosts_is_bounded() -> None:
    """A playlist cannot have us resolve names without end."""
    watching = guard(**{f"h{n}.example": "93.184.215.14" for n in range(20)})
    with pytest.raises(SourceRefused, match="more than 16 hosts"):
        [watching.target(f"http://h{n}.example/") for n in range(20)]


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "localhost.", "ingest.internal.", "0"],
)
def test_odd_names_are_judged_by_what_they_lead_to(host: str) -> None:
    """However a resolver reads a number, and whatever stands at the end of a name: the address counts."""
    with pytest.raises(SourceRefused, match="not public"):
        guard(**{host: "127.0.0.1"}).target(f"http://{host}:8080/a.ts")


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example@evil.example/a", "http://ingest.internal:8080@evil.example/a",
        "http://ingest.internal:8080%2f@evil.example/a", "http://evil.example#@ingest.internal:8080/a",
        "http://evil.example?@ingest.internal:8080/a", "http://evil.example\\@ingest.internal:8080/a",
        "//evil.example/a", "http://EVIL.example:8080/a",
    ],
)  # fmt: skip
def test_the_host_that_is_judged_is_the_one_that_is_connected_to(url: str) -> None:
    """Whatever stands around it to look like another: one reading of the URL serves both."""
    inside = guard(**{"evil.example": "10.6.6.6"})
    with pytest.raises(SourceRefused, match=r"not public: evil\.example"):
        inside.target(url, base=ORIGIN)
    assert guard(**{"evil.example": "93.184.215.14"}).target(url, base=ORIGIN).host == "evil.example"


def test_unknown_host() -> None:
    """A name that nobody knows may be known later."""
    with pytest.raises(SourceUnavailable, match=r"nowhere\.example is not known"):
        guard().target("http://nowhere.example/a.ts")


def test_no_credentials_in_errors() -> None:
    """What is refused is told without user, password or query."""
    watching = Guard("http://u:hunter2@ingest.internal/a.m3u8?token=hunter2", resolve=Names())
    for url in ("http://x:hunter2@[bad/", "http://x:hunter2@nowhere.example/?hunter2", "ftp://x:hunter2@y/"):
        with pytest.raises((SourceRefused, SourceUnavailable)) as caught:
            watching.target(url)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None or "hunter2" not in str(caught.value.__cause__)


@given(st.text(max_size=200))
def test_any_text_is_judged(text: str) -> None:
    """Whatever a playlist names is a target or a documented error."""
    try:
        target = guard().target(text, base=ORIGIN)
    except (SourceRefused, SourceUnavailable):
        return
    assert target.host in ("ingest.internal", "cdn.example")
