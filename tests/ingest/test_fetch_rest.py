"""streamguard.ingest.fetch: of servers that know no parts no more is read than is asked for."""

import gzip
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from streamguard.ingest import fetch
from streamguard.ingest.fetch import ByteRange, Fetched, Fetcher, Limits
from streamguard.ingest.guard import Guard
from tests.hls_pages import Ranged
from tests.http_server import Answer, Web
from tests.waiting import eventually

LIMITS = Limits(10.0, 100_000)
HEAD = ByteRange(0, 3, or_all=True)


@pytest.fixture
def fetcher(web: Web) -> Iterator[Fetcher]:
    with closing(Fetcher(Guard(web.url("/a")), subject="cam")) as one:
        yield one


def begun(fetcher: Fetcher, web: Web, limits: Limits = LIMITS) -> Fetched:
    return fetcher.fetch(web.url("/a"), limits, part=HEAD)


def test_as_much_as_was_asked_for(fetcher: Fetcher, web: Web) -> None:
    """And then more, as it is asked for, to the end; what was read is counted."""
    web.pages["/a"] = b"0123456789"
    got = begun(fetcher, web)
    assert (got.body, got.whole, got.ranged, got.total_bytes) == (b"012", False, False, 10)
    assert fetcher.new_bytes() == 3
    assert got.rest is not None
    assert got.rest.read(4) == (b"3456", False)
    assert got.rest.read(3) == (b"789", True)
    assert got.rest.read(3) == (b"", True)
    got.rest.close()
    assert fetcher.new_bytes() == 7


@pytest.mark.parametrize("length", [3, 2, 0])
def test_no_more_than_that(fetcher: Fetcher, web: Web, length: int) -> None:
    """Where the part is all that there is nothing is left of it."""
    web.pages["/a"] = b"012"[:length]
    got = begun(fetcher, web)
    assert (got.body, got.whole, got.rest) == (b"012"[:length], True, None)


def test_an_end_that_nobody_announced(fetcher: Fetcher, web: Web) -> None:
    """Without a length the end of the connection is the end."""
    web.pages["/a"] = lambda answer: answer.raw(b"HTTP/1.1 200 OK\r\n\r\n01234")
    got = begun(fetcher, web)
    assert (got.body, got.whole, got.total_bytes) == (b"012", False, None)
    assert got.rest is not None
    with closing(got.rest):
        assert got.rest.read(9) == (b"34", True)


def test_one_that_breaks_off(fetcher: Fetcher, web: Web) -> None:
    """What is missing of what was announced is no end, whenever the connection breaks."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    web.pages["/a"] = lambda answer: answer.raw(head + b"01234")
    got = begun(fetcher, web)
    assert got.rest is not None
    with closing(got.rest):
        assert got.rest.read(9) == (b"34", False)
    web.pages["/a"] = lambda answer: answer.raw(head + b"0")
    got = begun(fetcher, web)
    assert (got.body, got.whole, got.rest) == (b"0", False, None)


def test_all_has_a_limit_too(fetcher: Fetcher, web: Web) -> None:
    """However much is asked for, no more than the limit is read."""
    web.pages["/a"] = b"x" * 1000
    got = begun(fetcher, web, replace(LIMITS, max_bytes=300))
    assert got.rest is not None
    with closing(got.rest):
        assert got.rest.read(500) == (b"x" * 297, False)


def test_the_deadline_is_the_same(fetcher: Fetcher, web: Web) -> None:
    """The rest has no time of its own."""
    web.pages["/a"] = lambda answer: answer.drip(b"HTTP/1.1 200 OK\r\n\r\n012")
    got = begun(fetcher, web, Limits(1.0, 100_000))
    assert got.rest is not None
    with closing(got.rest):
        body, is_over = got.rest.read(1000)
    assert len(body) < 1000
    assert not is_over


def test_packed_bodies_are_read_whole(fetcher: Fetcher, web: Web) -> None:
    """Of what nobody asked to be packed no beginning is of use."""
    packed = gzip.compress(b"0123456789")
    web.pages["/a"] = lambda answer: answer.send(packed, headers={"Content-Encoding": "gzip"})
    got = begun(fetcher, web)
    assert (got.body, got.rest) == (b"0123456789", None)


def test_what_is_left_is_hardly_sent(fetcher: Fetcher, web: Web) -> None:
    """Once a server has shown that it knows no parts it does not get far ahead of what is read."""
    taken: list[int] = []

    def page(answer: Answer) -> None:
        with suppress(OSError):
            answer.send(bytes(1 << 20))
        taken.append(answer.taken_bytes())

    web.pages["/a"] = page
    for _ in range(3):
        got = begun(fetcher, web)
        assert got.rest is not None
        got.rest.close()
        eventually(lambda: len(taken) == web.asked.count("/a"))
    assert max(taken[1:]) <= 16 << 10 < taken[0]


def test_what_is_on_its_way() -> None:
    """But far enough for one that is far away: a keyframe comes in a few times the way there and back. All of it is
    better asked for again.
    """
    ahead_bytes = []
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as served:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a"
        with closing(Fetcher(Guard(url), subject="cam")) as fetcher:
            for is_slow in (False, True):
                sent = served.submit(_sends_what_it_may, server)
                got = fetcher.fetch(url, replace(LIMITS, max_bytes=1 << 20), part=HEAD)
                assert got.rest is not None
                with closing(got.rest):
                    ahead_bytes.append(sent.result())
                    assert [got.rest.is_slow_for(length) for length in (1 << 17, 1 << 19)] == [False, is_slow]
    assert 8_000 < ahead_bytes[1] < 64_000 < ahead_bytes[0]


def _sends_what_it_may(server: socket.socket) -> int:
    """How many bytes of a body a server gets rid of that is hardly read."""
    sent_bytes = 0
    connection, _ = server.accept()
    with connection, suppress(TimeoutError):
        connection.settimeout(0.5)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n")
        while sent_bytes < 8 << 20:
            sent_bytes += connection.send(bytes(1024))
    return sent_bytes


def test_a_cache_that_once_sends_all(fetcher: Fetcher, web: Web) -> None:
    """It costs the connection that is given up and one more, not one for each segment from then on."""
    page, clients, alls = Ranged(b"0123456789"), [], [True]

    def sends_all_once(answer: Answer) -> None:
        clients.append(answer.client)
        if alls and alls.pop():
            del answer.headers["Range"]
        page(answer)

    web.pages["/a"] = sends_all_once
    for _ in range(6):
        got = begun(fetcher, web)
        assert got.body == b"012"
        if got.rest is not None:
            got.rest.close()
    assert len(set(clients)) == 3
    assert len(set(clients[2:])) == 1


def test_not_every_server_is_remembered(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A playlist that names one after the other fills no memory: of the first nothing is known any more."""
    monkeypatch.setattr(fetch, "_MOST_SERVERS", 1)
    clients = []

    def page(answer: Answer) -> None:
        clients.append(answer.client)
        answer.send(b"012")

    web.pages["/a"] = page
    with closing(Fetcher(Guard(web.url("/a"), allow_hosts=("localhost",)), subject="cam")) as fetcher:
        for host in ["127.0.0.1", "127.0.0.1", "localhost", "127.0.0.1"]:
            assert fetcher.fetch(web.url("/a", host=host), LIMITS, part=HEAD).whole
    assert clients[1] != clients[0]
    assert clients[3] == clients[0]
