"""Asking a media server's HTTP API: in a stated time, a stated size, and nowhere else than where the operator said.

No redirect is followed and no proxy of the environment is used. What comes after the scheme and before the `@` of the
URL goes to the server as the Authorization header, and nowhere else: no error and no log holds it.
"""

import base64
import re
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from urllib3 import BaseHTTPResponse

from streamguard import __version__
from streamguard.errors import ServerError, ServerNotUnderstood, ServerRefused, ServerUnreachable, UsageError
from streamguard.timed_connections import (
    FOREIGN,
    Connection,
    ask,
    connect,
    connection_to,
    failure,
    is_crumbled,
    tls_context,
)

_MAX_IDLE = 2
_CHUNK_BYTES = 1 << 16
_PORTS = {"http": 80, "https": 443}
_PRINTABLE = re.compile(r"[!-~]*", re.ASCII)
_AGAIN = frozenset({408, 425, 429, *range(500, 600)})
_NOT_US = frozenset({401, 403, 407})


@dataclass(frozen=True, slots=True)
class ApiUrl:
    """Where an API is. `str()` is what may be shown; `path` is as it was written, a slash at its end included."""

    scheme: str
    host: str
    port: int
    path: str = ""
    userinfo: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def read_api_url(text: str, *, of: str) -> ApiUrl:
    """The address that an operator wrote: http(s)://[user:password@]host[:port][/path]. Raises UsageError."""
    hint = "for example http://127.0.0.1:8080/path; USER:PASSWORD@ before the host, percent-encoded, if it wants them"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        # Its message may hold the URL, and a password with it.
        raise UsageError("read the API's URL of", of, "it cannot be understood", hint=hint) from None
    if parts.scheme not in _PORTS or not host:
        raise UsageError("read the API's URL of", of, "it is not http(s)://HOST...", hint=hint)
    if port == 0 or parts.query or parts.fragment or not _PRINTABLE.fullmatch(text):
        raise UsageError("read the API's URL of", of, "a port 0, a ?, a # or an odd character in it", hint=hint)
    userinfo = unquote(parts.netloc.rpartition("@")[0])
    return ApiUrl(parts.scheme, host, port or _PORTS[parts.scheme], parts.path, userinfo)


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Of one answer. `total_s`: connecting, asking and reading, all together; a kill waits for it."""

    total_s: float = 3.0
    max_bytes: int = 16 << 20


DEFAULT_LIMITS = ApiLimits()


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `operation` is what errors call it; `path` is what follows the URL's own, encoded, with its query.

    An answer of another status than those `accepted` is an error. `only_status`: whoever answers has no API that we
    know, so what else it says is not read, and each 4xx that is not worth another try is a refusal.
    """

    operation: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    accepted: frozenset[int] = frozenset({200})
    only_status: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes


Ask = Callable[[Call], Reply]


class HttpApi:
    """One server's API, as `name`. Safe to use from several threads. Every call raises ServerUnreachable, ServerRefused
    or ServerNotUnderstood. `basic`: the URL's credentials go along as Basic authorization.
    """

    def __init__(self, url: ApiUrl, *, name: str, limits: ApiLimits = DEFAULT_LIMITS, basic: bool = True) -> None:
        self._url = url
        self._name = name
        self._limits = limits
        self._headers = {
            "User-Agent": f"StreamGuard/{__version__}",
            "Accept-Encoding": "identity",
            "Connection": "keep-alive",
        }
        if basic and url.userinfo:
            # As it stands: OvenMediaEngine wants a token without a colon, others user:password.
            encoded = base64.b64encode(url.userinfo.encode("utf-8", "surrogateescape")).decode()
            self._headers["Authorization"] = f"Basic {encoded}"
        self._idle: deque[Connection] = deque(maxlen=_MAX_IDLE)
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        # Who lets go of this need not close it.
        weakref.finalize(self, _close_all, self._idle)

    def ask(self, call: Call) -> Reply:
        """Over a connection that was kept open, or a new one where there is none or the server has closed it."""
        deadline_s = time.monotonic() + self._limits.total_s
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                return self._exchange(kept, call, deadline_s=deadline_s, keep=True)
            except _StaleError:
                pass
        return self._exchange(self._new(), call, deadline_s=deadline_s, keep=True)

    @contextmanager
    def conversation(self, operation: str) -> Iterator[Ask]:
        """Several questions to one and the same process of the server: over one new connection, never another."""
        connection = self._new()

        def talk(call: Call) -> Reply:
            if connection.sock is None:
                hint = "does the server, or a proxy before it, allow two requests on one connection (keep-alive)?"
                raise self._unreachable(call.operation, "the server closed the connection after one answer", hint)
            return self._exchange(connection, call, deadline_s=time.monotonic() + self._limits.total_s)

        try:
            try:
                connect(connection, deadline_s=time.monotonic() + self._limits.total_s)
            except FOREIGN as error:
                raise self._unreachable(operation, *failure(error)) from error
            yield talk
        finally:
            connection.close()

    def _new(self) -> Connection:
        with self._lock:
            if self._url.scheme == "https" and self._tls is None:
                self._tls = tls_context()
        return connection_to(self._url.host, self._url.port, context=self._tls)

    def _exchange(self, connection: Connection, call: Call, *, deadline_s: float, keep: bool = False) -> Reply:
        fresh, used = connection.sock is None, False
        try:
            try:
                headers = self._headers | dict(call.headers)
                response = ask(
                    connection, self._path(call), method=call.method, headers=headers, body=call.body,
                    deadline_s=deadline_s,
                )  # fmt: skip
            except FOREIGN as error:
                if keep and not fresh and not isinstance(error, TimeoutError):
                    raise _StaleError from error
                raise self._unreachable(call.operation, *failure(error)) from error
            reply = Reply(response.status, b"") if call.only_status else self._read(call, response)
            used = keep and not call.only_status and response.headers.get("Connection", "").lower() != "close"
        finally:
            if used:
                self._keep(connection)
            elif keep:
                connection.close()
        return self._judged(call, reply)

    def _path(self, call: Call) -> str:
        return self._url.path.rstrip("/") + call.path if call.path else self._url.path

    def _keep(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _read(self, call: Call, response: BaseHTTPResponse) -> Reply:
        headers = response.headers
        if response.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            if "Content-Length" not in headers and headers.get("Transfer-Encoding", "").lower() != "chunked":
                # It would end where the connection does, whether that is all of it or not.
                raise self._not_understood(call, "an answer without a length")
            if headers.get("Content-Encoding", "identity").lower() != "identity":
                raise self._not_understood(call, "an answer compressed unasked")
        body, pieces = bytearray(), 0
        try:
            while chunk := response.read1(_CHUNK_BYTES, decode_content=False):
                body += chunk
                pieces += 1
                if is_crumbled(pieces=pieces, size_bytes=len(body)):
                    raise self._not_understood(call, "an answer in pieces of a few bytes")
                if len(body) > self._limits.max_bytes:
                    raise self._not_understood(call, f"an answer of more than {self._limits.max_bytes >> 20} MiB")
        except FOREIGN as error:
            raise self._unreachable(call.operation, *failure(error)) from error
        return Reply(response.status, bytes(body))

    def _judged(self, call: Call, reply: Reply) -> Reply:
        if reply.status in call.accepted:
            return reply
        problem = f"HTTP {reply.status}"
        error: ServerError
        if reply.status in _NOT_US:
            hint = "are user and password in its URL right, and is this machine allowed?"
            error = ServerRefused(call.operation, self._name, problem, hint=hint)
        elif reply.status in _AGAIN:
            error = self._unreachable(call.operation, problem, "look into the server's own log")
        elif call.only_status and HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            hint = f"look into its own log; is it at {self._url}, and has it the same key?"
            error = ServerRefused(call.operation, self._name, problem, hint=hint)
        elif reply.status == HTTPStatus.NOT_FOUND:
            error = ServerRefused(call.operation, self._name, problem, hint=f"is its API at {self._url}?")
        else:
            error = self._not_understood(call, problem)
        raise error

    def _unreachable(self, operation: str, problem: str, hint: str) -> ServerUnreachable:
        return ServerUnreachable(operation, self._name, problem, hint=hint)

    def _not_understood(self, call: Call, problem: str) -> ServerNotUnderstood:
        return ServerNotUnderstood(call.operation, self._name, problem, hint=f"is it such a server, at {self._url}?")


def _close_all(connections: deque[Connection]) -> None:
    while connections:
        connections.pop().close()


class _StaleError(Exception):
    """A connection that was kept is one no more."""
