"""An HTTP server that does what a test scripts, honest or hostile, on a free port of loopback.

def test_something(web: Web) -> None:
    web.pages["/a.m3u8"] = b"#EXTM3U..."          # a body
    web.pages["/b"] = lambda answer: answer.drip()  # or anything at all
    web.url("/a.m3u8"); web.asked
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_DRIP_EVERY_S = 0.05
_LOOK_EVERY_S = 0.005
_ESTABLISHED = 1
_TCP_INFO = struct.Struct("=B23xI92xQ16xI")
"""Of struct tcp_info: tcpi_state, tcpi_unacked, tcpi_bytes_acked, tcpi_notsent_bytes."""


class Answer:
    """One request, and the pen to answer it with."""

    def __init__(self, handler: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
        self.method = handler.command
        self.path, _, self.query = handler.path.partition("?")
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        self.headers = handler.headers
        self.client = handler.client_address
        self.damage: Callable[[bytes], bytes] | None = None
        self._handler = handler
        self._stopping = stopping

    def send(self, body: bytes = b"", *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """A whole answer."""
        body = self.damage(body) if self.damage is not None else body
        self._handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        self._handler.wfile.write(body)

    def taken_bytes(self) -> int:
        """How much the other end's system has taken of all that was sent over this connection, by the time that it has
        all of it or has hung up. Of Linux.
        """
        connection = self._handler.connection
        while not self._stopping.wait(_LOOK_EVERY_S):
            told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            state, on_the_way, taken_bytes, unsent = _TCP_INFO.unpack(told)
            if state != _ESTABLISHED or not (on_the_way or unsent):
                return int(taken_bytes)
        return 0

    def redirect(self, url: str) -> None:
        self.send(status=302, headers={"Location": url})

    def raw(self, data: bytes) -> None:
        """Bytes as they are, then the end of the connection."""
        self._handler.close_connection = True
        self._handler.wfile.write(data)

    def drip(self, head: bytes = b"") -> None:
        """A byte now and then, for ever."""
        self.flood(head, b"0", every_s=_DRIP_EVERY_S)

    def flood(self, head: bytes, chunk: bytes, *, every_s: float = 0.0) -> None:
        """The same bytes again and again, for ever."""
        self._handler.close_connection = True
        self._handler.wfile.write(head)
        while not self._stopping.wait(every_s):
            self._handler.wfile.write(chunk)

    def hang(self) -> None:
        """Nothing at all."""
        self._handler.close_connection = True
        self._stopping.wait()


Page = bytes | Callable[[Answer], None]


@dataclass
class Web:
    """`pages` by path without the query; anything else is for `otherwise`, a 404. `asked` is every path in order, with
    its query.
    """

    port: int
    stopping: threading.Event
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    otherwise: Page | None = None

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def add_folder(self, folder: Path) -> None:
        """Every file of a folder becomes a page."""
        self.pages |= {f"/{file.name}": file.read_bytes() for file in folder.iterdir() if file.is_file()}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        answer = Answer(handler, self.stopping)
        page = self.pages.get(answer.path, self.otherwise)
        # Clients hang up in the middle: that is what many of the tests are about.
        with suppress(OSError):
            if page is None:
                answer.send(b"not here", status=404)
            elif isinstance(page, bytes):
                answer.send(page)
            else:
                page(answer)


@pytest.fixture
def web() -> Iterator[Web]:
    """A server of the test's own."""
    with serving() as scripted:
        yield scripted


@contextmanager
def serving(*, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """The server, for those who are no test."""
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            scripted.answer(self)

        def do_POST(self) -> None:
            scripted.answer(self)

        def do_PUT(self) -> None:
            scripted.answer(self)

        def do_DELETE(self) -> None:
            scripted.answer(self)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that hung up between two requests is no news either."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scripted = Web(server.server_port, stopping)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
