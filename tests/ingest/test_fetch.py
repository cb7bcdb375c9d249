import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

import streamguard.ingest.fetch as fetch_module
from streamguard.errors import SourceError, SourceRefused, SourceUnavailable
from streamguard.ingest.fetch import ByteRange, Fetched, Fetcher, Limits
from streamguard.ingest.guard import Guard
from streamguard.ingest.news import News, Refusal, Refused
from tests.hls_pages import Ranged
from tests.http_server import Answer, Web
from tests.programs import need

LIMITS = Limits(10.0, 100_000)
SHORT = Limits(1.0, 100_000)
"""For servers that would never end."""

FOR_EVER_S = 20.0


def fetch(web: Web, path: str, limits: Limits = LIMITS, *, part: ByteRange | None = None) -> Fetched:
    url = web.url(path)
    with closing(Fetcher(Guard(url), subject="cam")) as fetcher:
        return fetcher.fetch(url, limits, part=part)


@contextmanager
def ending() -> Iterator[None]:
    """Fails when what is inside, which has a second, takes so long that its deadline does not count."""
    started_s = time.monotonic()
    yield
    assert time.monotonic() - started_s < FOR_EVER_S


def test_body(web: Web) -> None:
    """A body comes whole, with the address that it came from."""
    web.pages["/a"] = b"x" * 70_000
    assert fetch(web, "/a") == Fetched(web.url("/a"), b"x" * 70_000, total_bytes=70_000)


def test_connection_is_used_again(web: Web) -> None:
    """Polling costs one request, not one connection, each."""
    connections = set()

    def page(answer: Answer) -> None:
        connections.add(answer.client)
        answer.send(b"x")

    web.pages["/a"] = page
    url = web.url("/a")
    with closing(Fetcher(Guard(url), subject="cam")) as fetcher:
        for _ in range(3):
            fetcher.fetch(url, LIMITS)
    assert len(connections) == 1


def test_connection_that_was_closed_meanwhile(web: Web) -> None:
    """A server that closes an idle connection costs nothing but a new one."""
    url = web.url("/a")
    web.pages["/a"] = lambda answer: answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    with closing(Fetcher(Guard(url), subject="cam")) as fetcher:
        assert [fetcher.fetch(url, LIMITS).body for _ in range(3)] == [b"x"] * 3


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_unchanged(web: Web, header: str) -> None:
    """With the validator of the last answer, an unchanged body is not sent again."""

    def page(answer: Answer) -> None:
        asked = answer.headers.get("If-None-Match") or answer.headers.get("If-Modified-Since")
        answer.send(b"" if asked == "v1" else b"x", status=304 if asked == "v1" else 200, headers={header: "v1"})

    web.pages["/a"] = page
    url = web.url("/a")
    with closing(Fetcher(Guard(url), subject="cam")) as fetcher:
        first = fetcher.fetch(url, LIMITS)
        assert fetcher.fetch(url, LIMITS, validator=first.validator).unchanged


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_byte_range(web: Web, *, knows_ranges: bool) -> None:
    """A part is asked for as a range, and cut out where the server sends everything."""
    body = bytes(range(100))

    def page(answer: Answer) -> None:
        assert answer.headers["Range"] == "bytes=10-14"
        answer.send(body[10:15] if knows_ranges else body, status=206 if knows_ranges else 200)

    web.pages["/a"] = page
    fetched = fetch(web, "/a", part=ByteRange(10, 5))
    assert (fetched.body, fetched.whole) == (body[10:15], True)


def test_credentials_stay_with_their_origin(web: Web) -> None:
    """The URL's user and password go to its own origin, and nowhere else."""
    seen: dict[str, str | None] = {}

    def page(answer: Answer) -> None:
        seen[web.asked[-1]] = answer.headers["Authorization"]
        answer.send()

    web.pages |= {"/a": page, "/b": page}
    url = web.url("/a").replace("://", "://user:hunter2@")
    guard = Guard(url, allow_hosts=("localhost",))
    with closing(Fetcher(guard, subject="cam", credentials_url=url)) as fetcher:
        fetcher.fetch(url, LIMITS)
        fetcher.fetch(web.url("/b", host="localhost"), LIMITS)
    assert seen == {"/a": "Basic dXNlcjpodW50ZXIy", "/b": None}


class TestRedirects:
    def test_followed(self, web: Web) -> None:
        """A redirect on the same origin is followed, and what it leads to is the new address."""
        web.pages |= {"/a": lambda answer: answer.redirect("/b"), "/b": b"x"}
        assert fetch(web, "/a").url == web.url("/b")

    def test_not_for_ever(self, web: Web) -> None:
        """Four in a row are one too many."""
        web.pages["/a"] = lambda answer: answer.redirect("/a")
        told: list[News] = []
        with (
            closing(Fetcher(Guard(web.url("/a")), subject="cam", tell=told.append)) as fetcher,
            pytest.raises(SourceRefused, match="more than 3 redirects"),
        ):
            fetcher.fetch(web.url("/a"), LIMITS)
        assert len(web.asked) == 4
        assert told == [Refused(Refusal.REDIRECTS, "more than 3 redirects")]

    @pytest.mark.promise(6, "a redirect inside")
    @pytest.mark.parametrize("to", ["http://localhost:1/x", "http://169.254.169.254/latest", "file:///etc/passwd"])
    def test_not_inside(self, web: Web, to: str) -> None:
        """A redirect into the operator's network, or to another kind of thing, is refused."""
        web.pages["/a"] = lambda answer: answer.redirect(to)
        with pytest.raises(SourceRefused, match="leads to"):
            fetch(web, "/a")


def test_the_vetted_address_is_the_one_connected_to(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere when it is asked again is not asked again, however often its server hangs up."""
    answers = iter(["127.0.0.1", "127.0.0.2"])
    web.pages["/a"] = lambda answer: answer.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx")
    url = web.url("/a", host="fickle.test")

    def asked_again(*_: object, **__: object) -> None:
        raise AssertionError("nobody else looks names up")

    monkeypatch.setattr(socket, "getaddrinfo", asked_again)
    with (
        closing(socket.create_server(("127.0.0.2", web.port))) as elsewhere,
        closing(Fetcher(Guard(url, resolve=lambda *_: (next(answers),)), subject="cam")) as fetcher,
    ):
        elsewhere.settimeout(0)
        assert [fetcher.fetch(url, LIMITS).body for _ in range(3)] == [b"x"] * 3
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert next(answers) == "127.0.0.2"


class TestTimeLimits:
    @pytest.mark.parametrize(
        "page",
        [
            Answer.hang,
            Answer.drip,
            lambda answer: answer.drip(b"HTTP/1.1 200 OK\r\nX-Long: "),
            lambda answer: answer.flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n", every_s=0.01),
        ],
        ids=["silence", "status line", "headers", "interim answers"],
    )
    def test_head(self, web: Web, page: object) -> None:
        """However an answer's head fails to come, the deadline ends it."""
        web.pages["/a"] = page  # type: ignore[assignment]  # methods are pages too
        with ending(), pytest.raises(SourceUnavailable, match="in time"):
            fetch(web, "/a", SHORT)

    @pytest.mark.parametrize("head", [b"Content-Length: 1000", b"X-None: 1"])
    def test_dripped_body(self, web: Web, head: bytes) -> None:
        """A body that drips is cut at the deadline, and what came is there."""
        web.pages["/a"] = lambda answer: answer.drip(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        with ending():
            fetched = fetch(web, "/a", SHORT)
        assert set(fetched.body) == {ord("0")}
        assert not fetched.whole

    def test_dripped_chunks(self, web: Web) -> None:
        """Nor do chunks of one byte hold us."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        web.pages["/a"] = lambda answer: answer.flood(head, b"1\r\nx\r\n", every_s=0.02)
        with ending():
            assert not fetch(web, "/a", SHORT).whole

    def test_unreachable_address(self) -> None:
        """A host that answers nothing at all is given up at the deadline."""
        with closing(socket.socket()) as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            url = f"http://127.0.0.1:{full.getsockname()[1]}/a"
            with (
                closing(Fetcher(Guard(url), subject="cam")) as fetcher,
                ending(),
                pytest.raises(SourceUnavailable, match="in time"),
            ):
                fetcher.fetch(url, SHORT)


class TestSizes:
    def test_too_long(self, web: Web) -> None:
        """A body longer than the limit is cut there, however much the server would send."""
        web.pages["/a"] = lambda answer: answer.flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536)
        fetched = fetch(web, "/a", LIMITS)
        assert (len(fetched.body), fetched.whole) == (100_000, False)

    def test_gzip_bomb(self, web: Web) -> None:
        """Compression that nobody asked for is unpacked up to the limit."""
        bomb = gzip.compress(bytes(50_000_000))
        web.pages["/a"] = lambda answer: answer.send(bomb, headers={"Content-Encoding": "gzip"})
        fetched = fetch(web, "/a", LIMITS)
        assert (len(fetched.body), fetched.whole) == (100_000, False)

    def test_gzip(self, web: Web) -> None:
        """Honest compression is unpacked."""
        web.pages["/a"] = lambda answer: answer.send(gzip.compress(b"#EXTM3U"), headers={"Content-Encoding": "gzip"})
        assert fetch(web, "/a").body == b"#EXTM3U"

    @pytest.mark.parametrize("is_ended", [True, False], ids=["after its end", "that never ends"])
    def test_packed_nothing_without_end(self, web: Web, *, is_ended: bool) -> None:
        """It counts as it came over the line, and is not kept: it would cost 10 s of a processor, or more."""
        packer = zlib.compressobj()
        packed = packer.compress(b"#EXTM3U") + packer.flush(zlib.Z_FINISH if is_ended else zlib.Z_FULL_FLUSH)
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 1000000000\r\n\r\n"
        no_bytes_stored = b"\0\0\0\xff\xff"
        web.pages["/a"] = lambda answer: answer.flood(head + packed, no_bytes_stored * 13_000)
        with closing(Fetcher(Guard(web.url("/a")), subject="cam")) as fetcher, ending():
            found = fetcher.fetch(web.url("/a"), Limits(FOR_EVER_S, 1 << 20))
            assert (found.body, found.whole) == (b"#EXTM3U", is_ended)
            assert fetcher.new_bytes() < 2 << 20

    def test_other_compression(self, web: Web) -> None:
        """Other compression is an error, not garbage."""
        web.pages["/a"] = lambda answer: answer.send(b"x", headers={"Content-Encoding": "br"})
        with pytest.raises(SourceUnavailable, match="not HTTP"):
            fetch(web, "/a")

    def test_cut_short(self, web: Web) -> None:
        """A connection that breaks in the middle of a body is told."""
        web.pages["/a"] = lambda answer: answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        fetched = fetch(web, "/a")
        assert (fetched.body, fetched.whole) == (b"half", False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, SourceRefused),
        (403, SourceRefused),
        (404, SourceUnavailable),
        (429, SourceUnavailable),
        (500, SourceUnavailable),
    ],
)
def test_status(web: Web, status: int, kind: type[SourceError]) -> None:
    """A server that says no is told apart from one that has nothing yet."""
    web.pages["/a"] = lambda answer: answer.send(b"sorry", status=status)
    with pytest.raises(kind, match=f"cam: HTTP {status}"):
        fetch(web, "/a")


@pytest.mark.parametrize(
    "garbage", [b"", b"\x00\xff" * 100, b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 xyz\r\n\r\n", b"\n" * 9]
)
def test_not_http(web: Web, garbage: bytes) -> None:
    """What is no HTTP server is an error with a reason."""
    web.pages["/a"] = lambda answer: answer.raw(garbage)
    with pytest.raises(SourceUnavailable, match=r"fetch cam: (the server hung up|the answer is not HTTP)"):
        fetch(web, "/a")


def test_refused_connection() -> None:
    """Nobody listening is told as that."""
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    with closing(Fetcher(Guard(url), subject="cam")) as fetcher, pytest.raises(SourceUnavailable, match="refused"):
        fetcher.fetch(url, LIMITS)


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        """A certificate for `localhost`, with its key."""
        (openssl,) = need("openssl")
        path = tmp_path / "both.pem"
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        with path.open("wb") as both:
            for name in ("key.pem", "cert.pem"):
                with (tmp_path / name).open("rb") as one:
                    shutil.copyfileobj(one, both)
        return path

    @pytest.fixture
    def port(self, certificate: Path) -> Iterator[int]:
        """A TLS server that answers once with one byte a read, then drips."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        stopping = threading.Event()

        def serve(listener: socket.socket) -> None:
            while not stopping.is_set():
                with suppress(OSError):
                    sock, _ = listener.accept()
                    with context.wrap_socket(sock, server_side=True) as tls:
                        slow = b"/slow" in tls.recv(4096)
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + (b"" if slow else b"hello"))
                        while slow and not stopping.wait(0.05):
                            tls.sendall(b"")

        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            thread = threading.Thread(target=serve, args=(listener,), daemon=True)
            thread.start()
            yield listener.getsockname()[1]
            stopping.set()
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()

    def test_checked(self, port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate of a known authority with the right name is good, whatever address was vetted."""
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("cert.pem")))
        assert self._get(f"https://localhost:{port}/").body == b"hello"

    def test_deadline(self, port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """TLS does not hide a server that stalls."""
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("cert.pem")))
        with ending():
            assert not self._get(f"https://localhost:{port}/slow", SHORT).whole

    def test_wrong_name(self, port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate of another name is none."""
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("cert.pem")))
        with pytest.raises(SourceUnavailable, match="TLS: CERTIFICATE_VERIFY_FAILED"):
            self._get(f"https://127.0.0.1:{port}/")

    def test_unknown_authority(self, port: int) -> None:
        """A certificate that nobody vouches for is none."""
        with pytest.raises(SourceUnavailable, match="TLS: CERTIFICATE_VERIFY_FAILED"):
            self._get(f"https://localhost:{port}/")

    def _get(self, url: str, limits: Limits = LIMITS) -> Fetched:
        with closing(Fetcher(Guard(url), subject="cam")) as fetcher:
            return fetcher.fetch(url, limits)


class TestParts:
    """Whether a server knows parts, and how much there is of what it sends one of."""

    def test_a_part_of_so_much(self, web: Web) -> None:
        """A part comes with the length of the whole."""
        web.pages["/a"] = Ranged(b"0123456789")
        got = fetch(web, "/a", part=ByteRange(2, 3))
        assert (got.body, got.whole, got.ranged, got.total_bytes) == (b"234", True, True, 10)
        got = fetch(web, "/a", part=ByteRange(8, 5))
        assert (got.body, got.whole, got.total_bytes) == (b"89", False, 10)

    def test_no_parts(self, web: Web) -> None:
        """A server that sends all of it is told by `ranged`, and the part is cut out."""
        web.pages["/a"] = b"0123456789"
        got = fetch(web, "/a", part=ByteRange(2, 3))
        assert (got.body, got.whole, got.ranged, got.total_bytes) == (b"234", True, False, 10)

    def test_another_part(self, web: Web) -> None:
        """A part that was not asked for is not taken for the one that was."""
        headers = {"Content-Range": "bytes 4-6/10"}
        web.pages["/a"] = lambda answer: answer.send(b"456", status=206, headers=headers)
        with pytest.raises(SourceUnavailable, match="another part"):
            fetch(web, "/a", part=ByteRange(2, 3))

    @pytest.mark.parametrize("told", ["", "bytes 2-4/*", "bytes */10", "items 2-4/10", "bytes 2-4/\u0661", "x" * 4000])
    def test_odd_words(self, web: Web, told: str) -> None:
        """What is not said, or not understood, is not known, and never taken for all of it."""
        headers = {"Content-Range": told.encode("ascii", "ignore").decode()} if told else {}
        web.pages["/a"] = lambda answer: answer.send(b"234", status=206, headers=headers)
        got = fetch(web, "/a", part=ByteRange(2, 3))
        assert (got.body, got.total_bytes) == (b"234", None)
        assert got.ranged == (told == "bytes 2-4/*")
        part = ByteRange(2, 3, or_all=True)
        if got.ranged:
            assert fetch(web, "/a", part=part).body == b"234"
        else:
            with pytest.raises(SourceUnavailable, match="does not say which part"):
                fetch(web, "/a", part=part)


def test_whoever_has_us_fetch_too_much_waits(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A playlist that names file after file is fetched as fast as an honest one, however fast its server is."""
    now_s = time.monotonic()
    monkeypatch.setattr(fetch_module, "time", SimpleNamespace(monotonic=lambda: now_s))
    web.pages["/a"], limits = b"", Limits(120.0, 100_000)
    waited_s: list[float] = []
    with closing(Fetcher(Guard(web.url("/a")), subject="cam", sleep=waited_s.append)) as fetcher:
        for _ in range(1000):
            fetcher.fetch(web.url("/a"), limits)
        assert not waited_s
        for _ in range(400):
            fetcher.fetch(web.url("/a"), limits)
    assert 0 < max(waited_s) < 10


def test_new_bytes(web: Web) -> None:
    """What came over the network is counted, once, also where it was dropped or not all of it came."""
    web.pages |= {"/a": b"x" * 1000, "/b": Ranged(b"y" * 1000)}
    with closing(Fetcher(Guard(web.url("/a")), subject="cam")) as fetcher:
        fetcher.fetch(web.url("/a"), LIMITS)
        fetcher.fetch(web.url("/b"), LIMITS, part=ByteRange(500, 100))
        fetcher.fetch(web.url("/a"), LIMITS, part=ByteRange(500, 100))
        assert fetcher.new_bytes() == 1000 + 100 + 1000
        assert fetcher.new_bytes() == 0
