"""streamguard.enforce.gate.http_server: what one client may cost, whatever it sends; the next one is served."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from streamguard.enforce.gate.http_server import MOST_CONNECTIONS, GateHttp
from streamguard.errors import UsageError
from tests.waiting import eventually


class Served:
    """An application that says yes to each request that came whole, and counts them."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0

    async def app(self, _scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has it
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            more = message.get("more_body", False)
        self.asked += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"yes"})

    def ask(self) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("POST", "/on_publish", body=b"stream=live/cam")
            return connection.getresponse().read()
        finally:
            connection.close()

    def raw(self, *parts: bytes) -> bytes:
        """All that comes back until the gate hangs up."""
        answer = b""
        address = ("127.0.0.1", self.port)
        with socket.create_connection(address, timeout=5) as connection, suppress(ConnectionResetError):
            for part in parts:
                connection.sendall(part)
            while piece := connection.recv(65_536):
                answer += piece
        return answer


@contextmanager
def serving(*, request_timeout_s: float = 0.4) -> Iterator[Served]:
    served = Served()
    server = GateHttp(served.app, host="127.0.0.1", port=0, request_timeout_s=request_timeout_s)
    served.port = server.port
    server.start()
    try:
        yield served
    finally:
        server.stop()
    assert not server.running


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as one:
        yield one


def test_what_is_no_http_is_refused_and_hung_up_on(served: Served) -> None:
    """At the first sight of it, and the next client is served."""
    for request in (
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /on_publish HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n",
        b"POST /on_publish HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /on_publish HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ):
        answer = served.raw(request)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
        assert served.ask() == b"yes"


@pytest.mark.parametrize(
    "sent", [b"", b"POST /on_pub", b"POST /on_publish HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"]
)
def test_a_client_that_takes_too_long_is_hung_up_on(served: Served, sent: bytes) -> None:
    """Whether it says nothing, half a head or half a body; it is counted as nothing."""
    assert served.raw(sent) == b""
    assert served.asked == 0


def test_a_client_that_drips_is_hung_up_on(served: Served) -> None:
    """Each byte renews nothing."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
        connection.settimeout(0.02)
        drips = iter(range(1000))

        def hung_up() -> bool:
            try:
                connection.sendall(b"POST /on_publish HTTP/1.1\r\n"[next(drips) % 27 :][:1])
                return connection.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        eventually(hung_up, timeout_s=3.0, what="the end of the connection")


def test_connections_without_a_request_make_room() -> None:
    """Whoever holds very many keeps nobody out: those that have been idle for longest go."""
    with serving(request_timeout_s=60.0) as served, ExitStack() as held:
        address = ("127.0.0.1", served.port)
        first, *_, last = [
            held.enter_context(socket.create_connection(address, timeout=5)) for _ in range(MOST_CONNECTIONS)
        ]
        assert served.ask() == b"yes"
        with suppress(ConnectionResetError):
            assert first.recv(1) == b""
        last.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            last.recv(1)


def test_one_connection_may_ask_again_and_again(served: Served) -> None:
    """It is kept for as long as it is used, and nothing is held back to be sent with more (Nagle's 40 ms)."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=5)
    connection.connect()
    first = connection.sock
    took_s = []
    for _ in range(50):
        began_s = time.monotonic()
        connection.request("POST", "/on_publish", body="stream=live/cam")
        assert connection.getresponse().read() == b"yes"
        took_s.append(time.monotonic() - began_s)
    assert connection.sock is first
    assert sorted(took_s)[25] < 0.03
    connection.close()


def test_a_port_that_is_taken_is_an_error(served: Served) -> None:
    """Named with its address and the next step."""
    with pytest.raises(UsageError, match=f"listen on 127.0.0.1:{served.port}: .*--listen"):
        GateHttp(served.app, host="127.0.0.1", port=served.port)


def test_what_is_no_address_is_an_error() -> None:
    """At once, and not when the thread runs."""
    served = Served()
    for host, port in (("x" * 70, 0), ("127.0.0.1", 70_000), ("198.51.100.1", 0)):
        with pytest.raises(UsageError, match="listen on"):
            GateHttp(served.app, host=host, port=port)


def test_one_that_was_never_started_gives_its_port_back() -> None:
    """As when another part of the gate cannot be built."""
    server = GateHttp(Served().app, host="127.0.0.1", port=0)
    server.stop()
    socket.create_server(("127.0.0.1", server.port)).close()


def test_who_connects_before_it_is_up_is_served() -> None:
    """The kernel keeps them meanwhile."""
    served = Served()
    server = GateHttp(served.app, host="127.0.0.1", port=0)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as early:
        early.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.start()
        assert early.recv(100).startswith(b"HTTP/1.1 200")
    server.stop()
