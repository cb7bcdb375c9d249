"""HTTP connections to a vetted address whose every read ends at one deadline.

A socket's own timeout starts anew with each byte, so a server that drips one byte a second would hold us for days. Here
each single read gets what is left until the deadline, that of headers and of TLS records too.
"""

import socket
import ssl
import time
from typing import TYPE_CHECKING

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection

from streamguard.ingest.guard import Target

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _PlainSocket(socket.socket):
    deadline_s = 0.0

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(_left_s(self.deadline_s))
        return super().recv_into(buffer, nbytes, flags)


class _TlsSocket(ssl.SSLSocket):
    deadline_s = 0.0

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(_left_s(self.deadline_s))
        return super().recv_into(buffer, nbytes, flags)


class _PlainConnection(HTTPConnection):
    deadline_s = 0.0

    def __init__(self, target: Target) -> None:
        super().__init__(target.host, target.port)
        self._target = target

    def _new_conn(self) -> socket.socket:
        return _connected(self._target, deadline_s=self.deadline_s)


class _TlsConnection(HTTPSConnection):
    """Connects to the vetted address; the certificate is still checked against the host's name."""

    deadline_s = 0.0

    def __init__(self, target: Target, *, context: ssl.SSLContext) -> None:
        super().__init__(target.host, target.port, ssl_context=context)
        self._target = target

    def _new_conn(self) -> socket.socket:
        return _connected(self._target, deadline_s=self.deadline_s)


Connection = _PlainConnection | _TlsConnection


def tls_context() -> ssl.SSLContext:
    """The system's certificates, host names checked, reads with a deadline."""
    context = ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    return context


def connection_to(target: Target, *, context: ssl.SSLContext | None) -> Connection:
    """A connection that is made at the first request; with TLS where there is a context."""
    return _PlainConnection(target) if context is None else _TlsConnection(target, context=context)


def ask(connection: Connection, target: Target, headers: dict[str, str], *, deadline_s: float) -> BaseHTTPResponse:
    """Send a GET and read the answer's head; the body is left to be read, until the same deadline."""
    connection.deadline_s = deadline_s
    if connection.sock is None:
        connection.connect()
    if isinstance(connection.sock, _PlainSocket | _TlsSocket):
        connection.sock.settimeout(_left_s(deadline_s))
        connection.sock.deadline_s = deadline_s
    connection.request("GET", target.request, headers=headers, preload_content=False, decode_content=False)
    return connection.getresponse()


def _connected(target: Target, *, deadline_s: float) -> socket.socket:
    """A socket to the first of the vetted addresses that answers."""
    error: OSError = ConnectionError("no address")
    for address in target.addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = _PlainSocket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_left_s(deadline_s))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((address, target.port))
        except OSError as failed:
            sock.close()
            error = failed
        else:
            sock.deadline_s = deadline_s
            return sock
    raise error


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the deadline is over")
    return left_s
