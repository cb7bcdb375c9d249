"""HTTP connections whose every read ends at one deadline, and of which one answer takes so many bytes at most.

A socket's own timeout starts anew with each byte, so a server that drips one byte a second would hold us for days. Here
each single read gets what is left until the deadline, that of headers and of TLS records too. Bytes are counted there
as well: what no length bounds (interim answers, the lines around chunks, a body where there can be none) is an answer.
"""

import errno
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


_NO_END_BYTES = 1 << 62


class AnswerTooLong(OSError):
    """More came of an answer than it may have, whatever it says of its length."""

    def __init__(self) -> None:
        super().__init__(errno.EMSGSIZE, "the answer is longer than it may be")


@dataclass(slots=True)
class _Bounds:
    """Of one answer: until when, how many bytes, and how many came."""

    deadline_s: float = 0.0
    most_bytes: int = _NO_END_BYTES
    taken_bytes: int = 0

    def may_take(self, asked_bytes: int) -> int:
        """Raises AnswerTooLong where that is none."""
        if self.taken_bytes >= self.most_bytes:
            raise AnswerTooLong
        return min(asked_bytes, self.most_bytes - self.taken_bytes)


class _PlainSocket(socket.socket):
    bounds = _Bounds()

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(_left_s(self.bounds.deadline_s))
        came = super().recv_into(buffer, self.bounds.may_take(nbytes or memoryview(buffer).nbytes), flags)
        self.bounds.taken_bytes += came
        return came


class _TlsSocket(ssl.SSLSocket):
    bounds = _Bounds()

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(_left_s(self.bounds.deadline_s))
        came = super().recv_into(buffer, self.bounds.may_take(nbytes or memoryview(buffer).nbytes), flags)
        self.bounds.taken_bytes += came
        return came


class _Response(HTTPResponse):
    """Without chunks of less than no length: after one of those everything is body that comes."""

    def read1(self, n: int = -1) -> bytes:
        read = super().read1(n)
        if self.chunked and self.chunk_left is not None and self.chunk_left < 0:
            raise HTTPException("a chunk of a negative length")
        return read


class _PlainConnection(HTTPConnection):
    response_class = _Response
    deadline_s = 0.0
    most_bytes = _NO_END_BYTES
    window_bytes = 0
    """How much may lie at our end unread, about; 0: as much as the system likes. It counts where it connects."""
    bounds = _Bounds()

    def __init__(self, host: str, port: int, *, addresses: tuple[str, ...]) -> None:
        super().__init__(host, port)
        self._addresses = addresses

    def _new_conn(self) -> socket.socket:
        addresses = self._addresses or resolve(self.host, self.port)
        return _connected(addresses, self.port, deadline_s=self.deadline_s, window_bytes=self.window_bytes)


class _TlsConnection(HTTPSConnection):
    """The certificate is checked against the host's name, whatever the address."""

    response_class = _Response
    deadline_s = 0.0
    most_bytes = _NO_END_BYTES
    window_bytes = 0
    bounds = _Bounds()

    def __init__(self, host: str, port: int, *, addresses: tuple[str, ...], context: ssl.SSLContext) -> None:
        super().__init__(host, port, ssl_context=context)
        self._addresses = addresses

    def _new_conn(self) -> socket.socket:
        addresses = self._addresses or resolve(self.host, self.port)
        return _connected(addresses, self.port, deadline_s=self.deadline_s, window_bytes=self.window_bytes)


Connection = _PlainConnection | _TlsConnection

_PIECES_FREE = 4096
_BYTES_A_PIECE = 1024

FOREIGN = (HTTPError, HTTPException, OSError, ValueError)
"""What asking, and reading an answer, may raise."""


def tls_context() -> ssl.SSLContext:
    """The system's certificates, host names checked, reads with a deadline."""
    context = ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    return context


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Every address of a host, by the system's resolver (which has its own time limit: see resolv.conf)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def connection_to(
    host: str, port: int, *, context: ssl.SSLContext | None, addresses: tuple[str, ...] = ()
) -> Connection:
    """A connection that is made at the first request: with TLS where there is a context, and to no other address than
    those that are given, if any.
    """
    if context is None:
        return _PlainConnection(host, port, addresses=addresses)
    return _TlsConnection(host, port, addresses=addresses, context=context)


def ask(
    connection: Connection, request: str, *, deadline_s: float, headers: Mapping[str, str], method: str = "GET",
    body: bytes | None = None,
) -> BaseHTTPResponse:  # fmt: skip
    """Send a request and read the answer's head; the body is left to be read, until the same deadline, with `read1`.

    Of all of the answer no more than the connection's `most_bytes` is taken: beyond that reading raises OSError.
    """
    connection.bounds = _Bounds(deadline_s, connection.most_bytes)
    connect(connection, deadline_s=deadline_s)
    if isinstance(connection.sock, _PlainSocket | _TlsSocket):
        connection.sock.settimeout(_left_s(deadline_s))
        connection.sock.bounds = connection.bounds
    connection.request(method, request, body, headers, preload_content=False, decode_content=False)
    return connection.getresponse()


def connect(connection: Connection, *, deadline_s: float) -> None:
    """Only that, if it is not yet."""
    connection.deadline_s = deadline_s
    if connection.sock is None:
        connection.connect()


def is_crumbled(*, pieces: int, size_bytes: int, piece_bytes: int = _BYTES_A_PIECE) -> bool:
    """Whether so much of a body came in so many reads that it should not be read on: chunks of one byte each take the
    processor as long as ones of 64 KiB do, all of a core for as long as the deadline allows. Servers send a few KiB at
    a time, or as much as a packet holds; `piece_bytes`: as much as that at least, but for some thousand pieces.
    """
    return pieces > _PIECES_FREE + size_bytes // piece_bytes


def failure(error: BaseException) -> tuple[str, str]:
    """What went wrong, and what to look at, in our own words: those of `error` may hold the URL, and secrets in it."""
    if isinstance(error, TimeoutError) or isinstance(error.__cause__ or error.__context__, TimeoutError):
        return "no answer in time", "is the server up?"
    if isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason}", "is its certificate right?"
    if isinstance(error, ConnectionError):
        problem = "connection refused" if isinstance(error, ConnectionRefusedError) else "the server hung up"
    else:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else "the answer is not HTTP"
    return problem, "is the server up, and the address right?"


def _connected(addresses: tuple[str, ...], port: int, *, deadline_s: float, window_bytes: int) -> socket.socket:
    """A socket to the first of the addresses that answers."""
    error: OSError = ConnectionError("no address")
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = _PlainSocket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_left_s(deadline_s))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if window_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
            sock.connect((address, port))
        except OSError as failed:
            sock.close()
            error = failed
        else:
            sock.bounds = _Bounds(deadline_s)
            return sock
    raise error


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the deadline is over")
    return left_s
