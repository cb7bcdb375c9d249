"""HTTP for hostile servers: each fetch has one deadline, one size, and goes where the guard lets it go."""

import re
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException, LineTooLong
from io import BytesIO

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers, parse_url

from streamguard import __version__
from streamguard.errors import SourceError, SourceRefused, SourceUnavailable
from streamguard.ingest.allowance import Allowance
from streamguard.ingest.guard import Guard, Target
from streamguard.ingest.news import Refusal, Refused, Tell, ignore
from streamguard.timed_connections import (
    FOREIGN,
    AnswerTooLong,
    Connection,
    ask,
    connection_to,
    failure,
    is_crumbled,
    tls_context,
)

_MAX_REDIRECTS = 3
_MAX_CONNECTIONS = 4
_MOST_SERVERS = 16
"""A playlist may name another one for each segment."""

_CHUNK_BYTES = 1 << 16
_MOST_BESIDE_BYTES = 1 << 18
"""Headers, and what stands around the chunks of a body: a quarter of that more, for small ones."""
_WINDOW_BYTES = 1 << 13
"""What the system takes ahead of what is read, about: no more comes in the time to the server and back."""
_MOST_NARROW_BYTES = 1 << 17
_CRUMB_BYTES = 64
"""In shorter pieces no honest body comes: servers that send a packet of MPEG-TS at a time send 188 bytes."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


_Server = tuple[str, str, int]
"""Scheme, host and port."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one fetch: seconds in all, and bytes of its body, decompressed."""

    seconds: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a resource. `or_all`: where the server knows no parts, as much of the beginning will do as well."""

    first: int
    length: int
    or_all: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, and where it came from after redirects.

    `whole`: nothing of it is missing. `unchanged`: it is as it was when the validator was given out. `ranged`: the
    server knows parts. `total_bytes`: how long the resource is, not only the part, where that was told. `rest`: what
    comes behind it, where that was not asked for and is on its way; to be closed.
    """

    url: str
    body: bytes = b""
    whole: bool = True
    unchanged: bool = False
    validator: Mapping[str, str] = field(default_factory=dict)
    ranged: bool = False
    total_bytes: int | None = None
    rest: "Rest | None" = None


class Rest:
    """What is still to come of an answer, read only as far as it is asked for. Its server sends little more than that:
    then the connection is closed.
    """

    def __init__(
        self, response: BaseHTTPResponse, answered: ExitStack, *, most_bytes: int, is_narrow: bool,
        count: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._response = response
        self._is_narrow = is_narrow
        self._answered = answered
        self._left_bytes = most_bytes
        self._read_bytes = self._pieces = 0
        self._count = count

    def is_slow_for(self, length: int) -> bool:
        """Whether so many bytes more come sooner where all is asked for again."""
        return self._is_narrow and min(length, self._left_bytes) > _MOST_NARROW_BYTES

    def read(self, length: int) -> tuple[bytes, bool]:
        """So many bytes more, or what comes of them until the deadline; True: behind them is nothing more."""
        body = bytearray()
        wanted = min(length, self._left_bytes)
        try:
            while len(body) < wanted and not self._response.closed and not self._is_crumbled(len(body)):
                body += self._response.read1(min(wanted - len(body), _CHUNK_BYTES), decode_content=False)
                self._pieces += 1
        except (HTTPError, HTTPException, OSError):
            return bytes(body), False
        finally:
            self._left_bytes -= len(body)
            self._read_bytes += len(body)
            self._count(len(body))
        return bytes(body), self._response.closed

    def _is_crumbled(self, more_bytes: int) -> bool:
        size_bytes = self._read_bytes + more_bytes
        return is_crumbled(pieces=self._pieces, size_bytes=size_bytes, piece_bytes=_CRUMB_BYTES)

    def close(self) -> None:
        """Hangs up, unless all of it was read."""
        self._answered.close()


class Fetcher:
    """One session's connections, kept open between fetches. Close it."""

    def __init__(
        self, guard: Guard, *, subject: str, credentials_url: str = "", tell: Tell = ignore,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        """`tell` hears of what is refused here; the guard tells of what it refuses."""
        self._allowance = Allowance()
        self._sleep = sleep
        self._guard = guard
        self._tell = tell
        self._subject = subject
        auth = parse_url(credentials_url).auth if credentials_url else None
        self._credentials = make_headers(basic_auth=auth) if auth else {}
        self._connections: dict[_Server, Connection] = {}
        self._tls: ssl.SSLContext | None = None
        self._new_bytes = 0
        self._knows_no_parts: dict[_Server, None] = {}
        """Those that sent all of something lately, where a part was asked for; the newest last."""

    def fetch(
        self, url: str, limits: Limits, *, base: str = "", part: ByteRange | None = None,
        validator: Mapping[str, str] | None = None,
    ) -> Fetched:  # fmt: skip
        """GET, following at most three redirects, each judged by the guard.

        A body that is longer than `max_bytes`, or not all there at the deadline, comes cut, with `whole` false. Waits
        first where this session has fetched more than honest ones do.
        Raises SourceUnavailable, SourceRefused.
        """
        if pause_s := self._allowance.pause_s(now_s=time.monotonic()):
            self._sleep(pause_s)
        deadline_s = time.monotonic() + limits.seconds
        for _ in range(_MAX_REDIRECTS + 1):
            target = self._guard.target(url, base=base)
            headers = self._headers(target, part) | dict(validator or {})
            self._allowance.asked(now_s=time.monotonic())
            most_bytes = limits.max_bytes + limits.max_bytes // 4 + _MOST_BESIDE_BYTES
            question = _Question(headers, deadline_s, most_bytes, or_all=part is not None and part.or_all)
            with ExitStack() as answered:
                response = answered.enter_context(self._answer(target, question))
                if response.status not in _REDIRECTS:
                    return self._fetched(target, response, limits, part=part, answered=answered)
                url, base = response.headers.get("Location", ""), target.url
        what = f"more than {_MAX_REDIRECTS} redirects"
        self._tell(Refused(Refusal.REDIRECTS, what))
        raise SourceRefused("fetch", self._subject, what)

    def new_bytes(self) -> int:
        """How many bytes of bodies came over the network since this was asked before."""
        new, self._new_bytes = self._new_bytes, 0
        return new

    def close(self) -> None:
        """Drops every connection without a word to the servers: nothing here can block."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _headers(self, target: Target, part: ByteRange | None) -> dict[str, str]:
        headers = {"User-Agent": f"StreamGuard/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
        if target.trusted:
            headers |= self._credentials
        if part is not None:
            headers["Range"] = f"bytes={part.first}-{part.first + part.length - 1}"
        return headers

    @contextmanager
    def _answer(self, target: Target, question: "_Question") -> Iterator[BaseHTTPResponse]:
        """The answer's head; the body is the caller's to read. A connection whose answer was read whole is kept."""
        server = _server(target)
        # Of what a server sends that knows no parts the system takes far more than anybody reads: a MiB, if it may.
        window_bytes = _WINDOW_BYTES if question.or_all and server in self._knows_no_parts else 0
        kept = None if window_bytes else self._connections.pop(server, None)
        is_kept = False
        try:
            connection, response = self._ask(kept, target, question, window_bytes=window_bytes)
        except FOREIGN as error:
            raise self._failed(error, in_headers=True) from error
        try:
            yield response
            is_over = response.closed and response.headers.get("Connection", "").lower() != "close"
            is_kept = is_over and not window_bytes
        except FOREIGN as error:
            raise self._failed(error) from error
        finally:
            self._took(connection)
            if is_kept:
                self._keep(server, connection)
            else:
                connection.close()

    def _ask(
        self, connection: Connection | None, target: Target, question: "_Question", *, window_bytes: int
    ) -> tuple[Connection, BaseHTTPResponse]:
        headers, deadline_s = question.headers, question.deadline_s
        if connection is not None:
            connection.most_bytes = question.most_bytes
            try:
                return connection, ask(connection, target.request, headers=headers, deadline_s=deadline_s)
            except FOREIGN:
                # The server closed it while it idled, as servers do; once more on a new one.
                self._took(connection)
                connection.close()
        if target.scheme == "https" and self._tls is None:
            self._tls = tls_context()
        context = self._tls if target.scheme == "https" else None
        connection = connection_to(target.host, target.port, addresses=target.addresses, context=context)
        connection.most_bytes, connection.window_bytes = question.most_bytes, window_bytes
        try:
            return connection, ask(connection, target.request, headers=headers, deadline_s=deadline_s)
        except BaseException:
            self._took(connection)
            connection.close()
            raise

    def _took(self, connection: Connection) -> None:
        self._allowance.took(connection.bounds.taken_bytes, now_s=time.monotonic())

    def _keep(self, server: _Server, connection: Connection) -> None:
        while len(self._connections) >= _MAX_CONNECTIONS:
            self._connections.pop(next(iter(self._connections))).close()
        self._connections[server] = connection

    def _note_that_knows_no_parts(self, server: _Server) -> None:
        self._knows_no_parts.pop(server, None)
        while len(self._knows_no_parts) >= _MOST_SERVERS:
            self._knows_no_parts.pop(next(iter(self._knows_no_parts)))
        self._knows_no_parts[server] = None

    def _fetched(
        self, target: Target, response: BaseHTTPResponse, limits: Limits, *, part: ByteRange | None,
        answered: ExitStack,
    ) -> Fetched:  # fmt: skip
        if response.status == HTTPStatus.NOT_MODIFIED:
            # It has no body, and is done once that was read; one that says it has is left with its connection.
            if "Transfer-Encoding" not in response.headers:
                response.read()
            return Fetched(target.url, unchanged=True)
        if response.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise self._refused(response.status)
        came = _came(response)
        if part is not None and came.ranged and came.first != part.first:
            raise SourceUnavailable("fetch", self._subject, "the server sent another part than it was asked for")
        if part is not None and part.or_all and not came.ranged:
            if response.status == HTTPStatus.PARTIAL_CONTENT:
                raise SourceUnavailable("fetch", self._subject, "the server does not say which part it sent")
            is_narrow = _server(target) in self._knows_no_parts
            self._note_that_knows_no_parts(_server(target))
            if response.headers.get("Content-Encoding", "identity") == "identity":
                count = self._count
                rest = Rest(response, answered.pop_all(), most_bytes=limits.max_bytes, is_narrow=is_narrow, count=count)
                return _begun(target, response, rest, part=part)
            part = None
        elif came.ranged:
            # For one that once sent all of it, from some cache, it is the only connection that is not kept.
            self._knows_no_parts.pop(_server(target), None)
        # A server that knows no ranges sends everything: what comes before the part is read, and dropped.
        skipped = part.first if part is not None and response.status == HTTPStatus.OK else 0
        wanted = limits.max_bytes if part is None else min(limits.max_bytes, part.length)
        try:
            body, whole = _body(response, max_bytes=min(limits.max_bytes, skipped + wanted))
        finally:
            self._new_bytes += response.tell()
        if part is not None:
            whole = len(body) - skipped == part.length
        return Fetched(
            target.url, body[skipped:], whole, validator=_validator(response), ranged=came.ranged,
            total_bytes=came.total_bytes,
        )  # fmt: skip

    def _count(self, count: int) -> None:
        self._new_bytes += count

    def _refused(self, status: int) -> SourceError:
        if status in (401, 403, 407, 451):
            return SourceRefused("fetch", self._subject, f"HTTP {status}", hint="are the credentials right?")
        hint = "is the stream live, and its name right?" if status in (404, 410) else ""
        return SourceUnavailable("fetch", self._subject, f"HTTP {status}", hint=hint)

    def _failed(self, error: BaseException, *, in_headers: bool = False) -> SourceUnavailable:
        # http.client's names for too many, and ours.
        if type(error) in (HTTPException, LineTooLong) or (in_headers and isinstance(error, AnswerTooLong)):
            self._tell(Refused(Refusal.HEADERS, "more headers, or longer ones, than an answer has"))
        problem, hint = failure(error)
        return SourceUnavailable("fetch", self._subject, problem, hint=hint)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked for, until when, and how long all of the answer may be. `or_all`: as ByteRange has it."""

    headers: dict[str, str]
    deadline_s: float
    most_bytes: int
    or_all: bool


def _server(target: Target) -> _Server:
    return target.scheme, target.host, target.port


def _begun(target: Target, response: BaseHTTPResponse, rest: Rest, *, part: ByteRange) -> Fetched:
    """As much of all of it as was asked for, and the rest."""
    body, is_over = rest.read(part.length)
    if is_done := is_over or len(body) < part.length:
        rest.close()
    told = _came(response).total_bytes
    return Fetched(target.url, body, whole=is_over, total_bytes=told, rest=None if is_done else rest)


def _body(response: BaseHTTPResponse, *, max_bytes: int) -> tuple[bytes, bool]:
    """The body, and whether that is all of it. What came before a deadline or a broken connection counts."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "deflate", ""):
        raise HTTPError("compressed in a way that was not asked for")
    # We ask for no compression; where it comes all the same, it is unpacked only up to the limit.
    unpack = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
    body = BytesIO()  # grows in place: pieces to be joined would take twice as much in the end
    left, pieces = max_bytes, 0
    try:
        while chunk := response.read1(_CHUNK_BYTES, decode_content=False):
            piece = unpack.decompress(chunk, max_length=left + 1) if unpack else chunk
            body.write(piece[:left])
            pieces += 1
            # What is packed may be nothing, without end.
            if len(piece) > left or (unpack and response.tell() > max_bytes + _CHUNK_BYTES):
                return body.getvalue(), False
            if is_crumbled(pieces=pieces, size_bytes=response.tell(), piece_bytes=_CRUMB_BYTES):
                return body.getvalue(), False
            left -= len(piece)
            if unpack and unpack.unused_data:  # zlib would keep all that comes after the end
                break
    except (HTTPError, HTTPException, OSError, zlib.error):
        return body.getvalue(), False
    return body.getvalue(), unpack is None or unpack.eof


@dataclass(frozen=True, slots=True)
class _Came:
    """Which part of how much an answer says that it is."""

    ranged: bool = False
    first: int = 0
    total_bytes: int | None = None


def _came(response: BaseHTTPResponse) -> _Came:
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if told is None:
            return _Came()
        return _Came(ranged=True, first=int(told[1]), total_bytes=int(told[2]) if told[2] != "*" else None)
    length = response.headers.get("Content-Length", "")
    return _Came(total_bytes=int(length) if _NUMBER.fullmatch(length) else None)


def _validator(response: BaseHTTPResponse) -> dict[str, str]:
    """What to send next time to hear that nothing changed."""
    if etag := response.headers.get("ETag"):
        return {"If-None-Match": etag}
    if modified := response.headers.get("Last-Modified"):
        return {"If-Modified-Since": modified}
    return {}
