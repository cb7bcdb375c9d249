"""HTTP for operators: /metrics, /livez, /readyz, /api/streams. Read only; bind it to an address of your own."""

import io
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from streamguard.errors import UsageError
from streamguard.worker.streams import StreamStatus

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_REQUEST_TIMEOUT_S = 5.0
_MOST_CONNECTIONS = 16
_MAKING_ROOM_S = 0.1
_LOOK_UP_EVERY_S = 0.1
_NO_FILES_PAUSE_S = 0.2
PORT_SETTING = "--http-port or [http] port"
"""Where a worker's port comes from."""


@dataclass(frozen=True, slots=True)
class Health:
    """`alive`: the loop goes round. `ready`: it can do all of its job. The rest says why not, for people."""

    alive: bool
    ready: bool
    detail: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer. Its parts are sent one by one, so that a large one is not copied."""

    status: HTTPStatus
    parts: Sequence[bytes]
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Pages:
    """Further pages: `answer` gets a path, decoded, and what follows its `?`; None: there is no such page."""

    paths: tuple[str, ...] = ()
    answer: Callable[[str, str], Page | None] = lambda _path, _query: None


class HealthServer:
    """Serves in threads of its own until `stop()`. A slow client costs one of a few connections, for seconds, or until
    somebody else wants it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        registry: CollectorRegistry,
        health: Callable[[], Health],
        statuses: Callable[[], tuple[StreamStatus, ...]] | None,
        setting: str = PORT_SETTING,
    ) -> None:
        """Without `statuses` there is no /api/streams. Raises UsageError where the port cannot be had, with `setting`
        as what to change.
        """
        self._app = _App(registry, health=health, statuses=statuses)
        try:
            family = _ServerV6 if ":" in host else _Server
            self._server = make_server(host, port, self._app, server_class=family, handler_class=_Handler)
        except (OSError, UnicodeError) as error:  # the second is a host that no name can be
            problem = getattr(error, "strerror", None) or str(error)
            raise port_error(host, port, problem, setting=setting) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_UP_EVERY_S,), name="health", daemon=True
        )

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{authority(str(host), int(port))}"

    def add(self, pages: Pages) -> None:
        """Before it is started."""
        self._app.further.append(pages)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Also one that was never started."""
        if self._thread.ident is not None:
            self._server.shutdown()
        self._server.server_close()


def port_error(host: str, port: int, problem: str, *, setting: str) -> UsageError:
    """The error to raise where a port cannot be had, with the next step."""
    hint = f"choose another one with {setting}, or 0 to turn it off"
    return UsageError("serve metrics on", authority(host, port), problem, hint=hint)


def authority(host: str, port: int) -> str:
    """As in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _App:
    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        health: Callable[[], Health],
        statuses: Callable[[], tuple[StreamStatus, ...]] | None,
    ) -> None:
        self._metrics: WSGIApplication = make_wsgi_app(registry)
        self._health = health
        self._statuses = statuses
        self.further: list[Pages] = []

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ["REQUEST_METHOD"]:
            case "GET":
                return self._get(environ, start_response)
            case "HEAD":
                self._get({**environ, "REQUEST_METHOD": "GET"}, start_response)
                return []
            case _:
                return _answer(start_response, HTTPStatus.METHOD_NOT_ALLOWED, {"error": "GET only"})

    def _get(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                # What a client says that it accepts is not worth a parser's traceback: text is what all of them take.
                return self._metrics(environ | {"HTTP_ACCEPT": "text/plain"}, start_response)
            case "/livez":
                health = self._health()
                return _answer(start_response, _status(ok=health.alive), {"alive": health.alive})
            case "/readyz":
                health = self._health()
                return _answer(start_response, _status(ok=health.ready), {"ready": health.ready, **health.detail})
            case "/api/streams" if self._statuses is not None:
                return _answer(start_response, HTTPStatus.OK, {"streams": [s.as_json() for s in self._statuses()]})
            case path:
                return self._further(_as_text(path), environ.get("QUERY_STRING", ""), start_response)

    def _further(self, path: str, query: str, start_response: "StartResponse") -> Iterable[bytes]:
        for pages in self.further:
            page = pages.answer(path, query)
            if page is not None:
                return _send(start_response, page)
        streams = [] if self._statuses is None else ["/api/streams"]
        known = ["/metrics", "/livez", "/readyz", *streams, *(path for pages in self.further for path in pages.paths)]
        return _answer(start_response, HTTPStatus.NOT_FOUND, {"error": "not here", "paths": known})


def _status(*, ok: bool) -> HTTPStatus:
    return HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE


def _answer(start_response: "StartResponse", status: HTTPStatus, body: dict[str, Any]) -> Sequence[bytes]:
    return _send(start_response, Page(status, [json.dumps(body).encode() + b"\n"]))


def _send(start_response: "StartResponse", page: Page) -> Sequence[bytes]:
    size_bytes = sum(map(len, page.parts))
    headers = [("Content-Type", page.content_type), ("Content-Length", str(size_bytes)), ("Cache-Control", "no-store")]
    start_response(f"{page.status.value} {page.status.phrase}", headers)
    return page.parts


def _as_text(path: str) -> str:
    """WSGI has each byte of a decoded path as a character."""
    return path.encode("latin-1", "replace").decode(errors="replace")


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def server_bind(self) -> None:
        # The base class looks its own name up in DNS, which can hang for seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._due_s: dict[socket.socket, float] = {}
        self._asked: set[socket.socket] = set()
        """Those whose request is there: the others have only connected, or send it byte by byte."""

    def get_request(self) -> tuple[socket.socket, Any]:
        """A client that cannot be taken, for want of files say, goes on waiting: without a pause we would spin."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(_NO_FILES_PAUSE_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base class has it
        if not self._free.acquire(blocking=False) and not self._made_room():
            self.shutdown_request(request)
            return
        self._due_s[request] = time.monotonic() + _REQUEST_TIMEOUT_S
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be had; the base class hangs up
            self._over(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._over(request)

    def has_asked(self, request: socket.socket) -> None:
        """It is not in the way of those who come: it is answered in a moment."""
        self._asked.add(request)

    def _made_room(self) -> bool:
        """Whoever holds places and asks nothing must not keep out who asks whether the worker lives."""
        idle = next((request for request in list(self._due_s) if request not in self._asked), None)
        if idle is not None:
            self._due_s.pop(idle, None)
            self._hang_up(idle)
        return self._free.acquire(timeout=_MAKING_ROOM_S)

    def _over(self, request: socket.socket) -> None:
        self._due_s.pop(request, None)
        self._asked.discard(request)
        self._free.release()

    def service_actions(self) -> None:
        """Hang up on clients that take too long: one that drips bytes never runs into the time-out of a read."""
        now_s = time.monotonic()
        for request in [request for request, due_s in list(self._due_s.items()) if due_s <= now_s]:
            self._hang_up(request)

    def _hang_up(self, request: socket.socket) -> None:
        with suppress(OSError):  # it has just been closed
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A client that went away in the middle is no news."""


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_TIMEOUT_S
    disable_nagle_algorithm = True  # an answer in parts would wait for an acknowledgement of each

    def setup(self) -> None:
        super().setup()
        self.wfile = _Answer(self.connection)

    def parse_request(self) -> bool:
        is_one = super().parse_request()
        if is_one and isinstance(self.server, _Server):
            self.server.has_asked(self.connection)
        return is_one

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """One line a scrape would drown the log."""


class _Answer(io.BufferedIOBase):
    """A client that reads too slowly has gone, as one that hung up: for wsgiref it would be a mistake of ours."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever has bytes in it
        with memoryview(data) as view:
            try:
                self._connection.sendall(view)
            except TimeoutError as error:
                raise ConnectionAbortedError(str(error)) from error
            return view.nbytes
