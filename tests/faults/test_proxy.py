"""tests.faults.proxy: each fault, as client and server of a real connection meet it."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.proxy import Fault, Proxy, Way
from tests.waiting import eventually

TIMEOUT_S = 10.0
SILENCE_S = 0.1


class Echo(socketserver.ThreadingTCPServer):
    """Answers each chunk with itself in capitals, and says goodbye to `bye`; `heard` is all that came."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard = b""
        self.ended = threading.Event()
        echo = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                sock: socket.socket = self.request
                while chunk := sock.recv(1000):
                    echo.heard += chunk
                    if chunk == b"bye":
                        return
                    sock.sendall(chunk.upper())
                echo.ended.set()

            def finish(self) -> None:
                """Nothing is buffered."""

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: object) -> None:
        """A connection that was cut is what the tests are about."""


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as client:
        yield client


def said(client: socket.socket, text: bytes) -> bytes:
    """The answer to it, the whole of it."""
    client.sendall(text)
    return answer_of(client, len(text))


def answer_of(client: socket.socket, length: int) -> bytes:
    answer = b""
    while len(answer) < length and (chunk := client.recv(1000)):
        answer += chunk
    return answer


def is_silent(client: socket.socket) -> bool:
    """It is connected, and nothing comes."""
    client.settimeout(SILENCE_S)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(TIMEOUT_S)
    return False


def port(echo: Echo) -> int:
    return int(echo.server_address[1])


def test_it_passes_on_what_it_is_told_nothing_of(echo: Echo) -> None:
    """Bytes, goodbyes of both sides, and several connections."""
    with Proxy(port(echo)) as proxy, connected(proxy) as one, connected(proxy) as other:
        assert (said(one, b"one"), said(other, b"two"), said(one, b"three")) == (b"ONE", b"TWO", b"THREE")
        one.sendall(b"bye")
        assert one.recv(1) == b""
        other.shutdown(socket.SHUT_WR)
        assert echo.ended.wait(TIMEOUT_S)
        assert other.recv(1) == b""
        assert (proxy.connections, proxy.done[Fault.CUT]) == (2, 0)


def test_a_lost_reply_is_one_that_the_server_gave(echo: Echo) -> None:
    """The script says which; the client sees a closed connection, and the next one is served."""
    with Proxy(port(echo), replies=[Fault.PASS, Fault.CUT]) as proxy:
        with connected(proxy) as client:
            assert said(client, b"one") == b"ONE"
            client.sendall(b"two")
            assert client.recv(1) == b""
        assert echo.heard == b"onetwo"
        with connected(proxy) as client:
            assert said(client, b"three") == b"THREE"
        assert proxy.done[Fault.CUT] == 1


def test_a_lost_request_never_arrives(echo: Echo) -> None:
    """The same, on the way there."""
    with Proxy(port(echo), requests=[Fault.CUT]) as proxy, connected(proxy) as client:
        client.sendall(b"one")
        assert client.recv(1) == b""
    assert echo.heard == b""


def test_a_swallowed_reply_leaves_the_connection(echo: Echo) -> None:
    """The client waits in vain; the next answer comes."""
    with Proxy(port(echo), replies=[Fault.SWALLOW]) as proxy, connected(proxy) as client:
        client.sendall(b"one")
        eventually(lambda: proxy.done[Fault.SWALLOW], what="a swallowed reply")
        assert said(client, b"two") == b"TWO"


def test_what_stalls_comes_later_and_whole(echo: Echo) -> None:
    """Nothing is lost, nothing is ended; another fault, or none, may follow."""
    with Proxy(port(echo)) as proxy, connected(proxy) as client:
        proxy.now(Fault.STALL, way=Way.REPLIES)
        client.sendall(b"one")
        eventually(lambda: proxy.done[Fault.STALL], what="a reply that waits")
        assert is_silent(client)
        assert echo.heard == b"one"
        proxy.now(Fault.PASS)
        assert answer_of(client, 3) == b"ONE"


def test_one_chunk_is_known_by_what_it_says(echo: Echo) -> None:
    """What comes before it and after it passes, on other connections as well."""
    with Proxy(port(echo)) as proxy, connected(proxy) as client, connected(proxy) as other:
        proxy.once(b"two", Fault.STALL)
        assert said(client, b"one") == b"ONE"
        client.sendall(b"two")
        eventually(lambda: proxy.done[Fault.STALL], what="a request that waits")
        assert (said(other, b"two"), echo.heard) == (b"TWO", b"onetwo")
        proxy.now(Fault.PASS)
        assert answer_of(client, 3) == b"TWO"


def test_it_drips(echo: Echo) -> None:
    """A byte at a time, and the rest at once when that is over."""
    with Proxy(port(echo), replies=[Fault.DRIP], pause_s=0.01) as proxy, connected(proxy) as client:
        client.sendall(b"x" * 500)
        assert len(client.recv(1000)) < 500
        proxy.now(Fault.PASS)
        assert len(answer_of(client, 490)) >= 490


def test_a_delayed_chunk_is_whole(echo: Echo) -> None:
    """And in order."""
    delays = [Fault.DELAY] * 3
    with Proxy(port(echo), replies=delays, requests=delays, pause_s=0.02) as proxy, connected(proxy) as client:
        assert [said(client, word) for word in (b"one", b"two", b"three")] == [b"ONE", b"TWO", b"THREE"]
        assert proxy.done[Fault.DELAY] == 6


def test_a_black_hole_takes_everything_and_reaches_nobody(echo: Echo) -> None:
    """Connections that were there, and new ones: connected, and not a byte either way. The next one is served again."""
    with Proxy(port(echo)) as proxy, connected(proxy) as old:
        assert said(old, b"one") == b"ONE"
        proxy.now(Fault.BLACK_HOLE)
        with connected(proxy) as new:
            old.sendall(b"two")
            new.sendall(b"three")
            eventually(lambda: proxy.done[Fault.BLACK_HOLE] == 2, what="both are swallowed")
            assert is_silent(old)
            assert is_silent(new)
        proxy.now(Fault.PASS)
        with connected(proxy) as client:
            assert said(client, b"four") == b"FOUR"
    assert echo.heard == b"onefour"


def test_all_are_cut_at_once(echo: Echo) -> None:
    """Both sides see it, and new connections are served."""
    with Proxy(port(echo)) as proxy, connected(proxy) as client:
        assert said(client, b"one") == b"ONE"
        proxy.cut()
        assert client.recv(1) == b""
        assert echo.ended.wait(TIMEOUT_S)
        with connected(proxy) as another:
            assert said(another, b"two") == b"TWO"


def test_a_client_may_be_deaf_to_goodbyes(echo: Echo) -> None:
    """The server has ended the connection, and its client does not know. The other way it is told."""
    with Proxy(port(echo), deaf=True) as proxy, connected(proxy) as client:
        assert said(client, b"one") == b"ONE"
        client.sendall(b"bye")
        eventually(lambda: echo.heard.endswith(b"bye"), what="the goodbye")
        assert is_silent(client)
        with connected(proxy) as another:
            assert said(another, b"two") == b"TWO"
        assert echo.ended.wait(TIMEOUT_S)


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    """As a server that dies while it accepts."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = int(gone.getsockname()[1])
    with Proxy(closed) as proxy, connected(proxy) as client:
        assert client.recv(1) == b""


@pytest.mark.parametrize("fault", Fault)
def test_closing_ends_every_thread_whatever_it_does(echo: Echo, fault: Fault) -> None:
    """No test waits for a pause of another one."""
    before = threading.active_count()
    proxy = Proxy(port(echo), pause_s=3600)
    with connected(proxy) as client:
        proxy.now(fault)
        client.sendall(b"one")
        eventually(lambda: proxy.done[fault], what="a chunk that was treated so")
        proxy.close()
    eventually(lambda: threading.active_count() <= before, what="the end of its threads")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S)
