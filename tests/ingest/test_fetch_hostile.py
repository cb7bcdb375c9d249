"""streamguard.ingest.fetch: answers whose lengths are lies, or none."""

from contextlib import closing

import pytest

from streamguard.errors import SourceUnavailable
from streamguard.ingest.fetch import Fetcher, Limits
from streamguard.ingest.guard import Guard
from tests.http_server import Answer, Web

FOR_EVER_S = 20.0
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
