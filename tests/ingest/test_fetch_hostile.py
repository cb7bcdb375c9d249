"""streamguard.ingest.fetch: answers whose lengths are lies, or none."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest

from streamguard.errors import SourceUnavailable
from streamguard.ingest import fetch
from streamguard.ingest.fetch import ByteRange, Fetcher, Limits
from streamguard.ingest.guard import Guard
from tests.http_server import Answer, Web

FOR_EVER_S = 20.0
LONG_S = 120.0
LIMITS = Limits(FOR_EVER_S / 2, 100_000)
CHUNKED = b"\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("head", [b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9"])
@pytest.mark.parametrize("body", [CHUNKED + b"-5\r\nx", CHUNKED + b"ffffffffffff\r\n", b"\r\n\r\nx"])
def test_what_comes_behind_unchanged(web: Web, head: bytes, body: bytes) -> None:
    """Nothing is read of it, however much there is and whatever it says of itself, nor taken for the next answer."""
    answered: list[str] = []

    def page(answer: Answer) -> None:
        if answered:
            answer.send(b"y")
            return
        answered.append("unchanged")
        answer.raw(head + body + bytes(100_000))

    web.pages["/a"] = page
    with closing(Fetcher(Guard(web.url("/a")), subject="cam")) as fetcher:
        assert fetcher.fetch(web.url("/a"), LIMITS, validator={"If-None-Match": "v1"}).unchanged
        assert fetcher.new_bytes() == 0
        assert fetcher.fetch(web.url("/a"), LIMITS).body == b"y"


@pytest.mark.parametrize("size", [b"-5", b"-fffffffffff"])
def test_a_chunk_of_a_negative_length(web: Web, size: bytes) -> None:
    """It ends the body there; what comes behind it is not taken for one."""
    head = b"HTTP/1.1 200 OK" + CHUNKED + b"4\r\nfine\r\n" + size + b"\r\n"
    web.pages["/a"] = lambda answer: answer.flood(head, b"x" * 65_536)
    with closing(Fetcher(Guard(web.url("/a")), subject="cam")) as fetcher:
        fetched = fetcher.fetch(web.url("/a"), Limits(FOR_EVER_S, 1 << 26))
        assert (fetched.body, fetched.whole) == (b"fine", False)
        assert fetcher.new_bytes() == 4


@pytest.mark.parametrize("part", [None, ByteRange(0, 9000, or_all=True)])
@pytest.mark.parametrize("size", [1, 188])
def test_a_body_in_crumbs(web: Web, part: ByteRange | None, size: int) -> None:
    """Each chunk takes the processor: what comes a byte at a time is given up, and not what comes by packets of
    MPEG-TS.
    """
    body = bytes(20_000 * size)
    chunks = b"".join(b"%x\r\n%b\r\n" % (size, body[:size]) for _ in range(20_000)) + b"0\r\n\r\n"
    web.pages["/a"] = lambda answer: answer.raw(b"HTTP/1.1 200 OK" + CHUNKED + chunks)
    with closing(Fetcher(Guard(web.url("/a")), subject="cam")) as fetcher:
        fetched = fetcher.fetch(web.url("/a"), Limits(FOR_EVER_S, 1 << 26), part=part)
        more, is_over = (b"", fetched.whole) if fetched.rest is None else fetched.rest.read(len(body))
        if fetched.rest is not None:
            fetched.rest.close()
        assert is_over == (size > 1)
        assert (len(fetched.body) + len(more) == len(body)) == (size > 1)
        assert fetcher.new_bytes() == len(fetched.body) + len(more)


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (b"HTTP/1.1 200 OK" + CHUNKED, b"1;" + b"x" * 60_000 + b"\r\nx\r\n"),
        (b"HTTP/1.1 200 OK" + CHUNKED + b"0\r\n", b"x" * 60_000 + b"\r\n"),
    ],
    ids=["words beside chunks", "behind the last one"],
)
def test_what_no_length_bounds(web: Web, head: bytes, chunk: bytes) -> None:
    """Neither what stands beside chunks nor what comes behind the last one is taken without end."""
    sent = [0]

    def page(answer: Answer) -> None:
        answer.raw(head)
        for _ in range(2000):
            answer.raw(chunk)
            sent[0] += len(chunk)

    web.pages["/a"] = page
    with closing(Fetcher(Guard(web.url("/a")), subject="cam")) as fetcher:
        assert not fetcher.fetch(web.url("/a"), Limits(FOR_EVER_S, 1000)).whole
    assert sent[0] < 60_000_000


def test_headers_count_as_well(web: Web) -> None:
    """Whoever answers with nothing but headers, and hangs up, has us wait as one that sends as much else."""
    flood = b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 60_000 + b"\r\n\r\n"
    web.pages["/a"] = lambda answer: answer.raw(flood * 80)
    waited_s: list[float] = []
    with closing(Fetcher(Guard(web.url("/a")), subject="cam", sleep=waited_s.append)) as fetcher:
        for _ in range(80):
            with pytest.raises(SourceUnavailable):
                fetcher.fetch(web.url("/a"), Limits(FOR_EVER_S, 1 << 24))
    assert waited_s


@pytest.mark.usefixtures("standing_still")
def test_what_came_of_no_answer_counts(web: Web) -> None:
    """Interim answers without end are no answer, and the next fetch waits for them as for any other bytes."""
    waited_s: list[float] = []
    interim = b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 60_000 + b"\r\n\r\n"
    web.pages["/a"] = lambda answer: answer.flood(b"", interim)
    with closing(Fetcher(Guard(web.url("/a")), subject="cam", sleep=waited_s.append)) as fetcher:
        for _ in range(4):
            with pytest.raises(SourceUnavailable, match="longer than it may be"):
                fetcher.fetch(web.url("/a"), Limits(LONG_S, 80_000_000))
    assert waited_s


@pytest.mark.usefixtures("standing_still")
def test_whoever_hangs_up_is_owed_nothing() -> None:
    """A server that is gone when it is asked again, for less than before, has nobody forget what came of it."""
    waited_s: list[float] = []
    body = bytes(16_000_000)
    head = b"HTTP/1.0 200 OK\r\nContent-Length: 16000000\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/a"
        with closing(Fetcher(Guard(url), subject="cam", sleep=waited_s.append)) as fetcher:
            for _ in range(18):
                with served_once(listening, head + body):
                    assert fetcher.fetch(url, Limits(LONG_S, 1 << 30)).body == body
            listening.close()
            waited_s.clear()
            for _ in range(2):
                with pytest.raises(SourceUnavailable, match="connection refused"):
                    fetcher.fetch(url, Limits(LONG_S, 1000))
    assert len(waited_s) == 2


@pytest.fixture
def standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a session may fetch does not become more meanwhile, be the machine as slow as it may."""
    now_s = time.monotonic()
    monkeypatch.setattr(fetch, "time", SimpleNamespace(monotonic=lambda: now_s))


@contextmanager
def served_once(listening: socket.socket, answer: bytes) -> Iterator[None]:
    """Whoever asks next is answered so, and hung up on."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()
