"""HTTP for the gate: uvicorn with h11, in a thread of its own, with bounds on what a client may cost.

uvicorn bounds heads, and lets an idle connection go; here every connection must bring a request to its end every few
seconds, whatever it drips, and the one that did so longest ago makes room where there are too many.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from streamguard.errors import UsageError

REQUEST_TIMEOUT_S = 5.0
MOST_CONNECTIONS = 256
MOST_HEAD_BYTES = 16_384
_STOP_TIMEOUT_S = 3.0
_BACKLOG = 1024


class GateHttp:
    """`start()` it, `stop()` it. The port is taken at once: raises UsageError where it cannot be had."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        *,
        host: str,
        port: int,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        try:
            self._socket = _listener(host, port)
        except (OSError, UnicodeError, OverflowError) as error:  # the last two are no host, and no port
            problem = getattr(error, "strerror", None) or str(error)
            raise UsageError("listen on", f"{host}:{port}", problem, hint="choose another --listen") from error
        self.port = int(self._socket.getsockname()[1])
        living: dict[asyncio.Protocol, None] = {}
        protocol = partial(_Protocol, living=living, request_timeout_s=request_timeout_s)
        self._server = uvicorn.Server(uvicorn.Config(
            app, http=protocol, ws="none", loop="asyncio", lifespan="off", interface="asgi3",  # type: ignore[arg-type]  # it is called as the class would be
            log_config=None, log_level="error", access_log=False, proxy_headers=False, server_header=False,
            date_header=False, h11_max_incomplete_event_size=MOST_HEAD_BYTES, timeout_keep_alive=int(REQUEST_TIMEOUT_S),
            timeout_graceful_shutdown=1, backlog=_BACKLOG,
        ))  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    @property
    def running(self) -> bool:
        """False also when it ended by a mistake of ours."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Clients that connect before it is up wait in the kernel's queue."""
        self._thread.start()

    def stop(self) -> None:
        """Answers what was asked, and closes. Also one that was never started."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_STOP_TIMEOUT_S)
        self._socket.close()

    def _run(self) -> None:
        # Not in the main thread, so uvicorn leaves signals alone.
        self._server.run(sockets=[self._socket])


def _listener(host: str, port: int) -> socket.socket:
    """Raises OSError. With the protocol's number, which socket.create_server leaves out: asyncio turns Nagle's delay of
    40 ms off only for what it knows to be TCP.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


class _Protocol(H11Protocol):
    """`living` holds all connections, the one that ended a request longest ago first."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - the base class's
        living: dict[asyncio.Protocol, None],
        request_timeout_s: float,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **options)
        self._living = living
        self._request_timeout_s = request_timeout_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        super().connection_made(transport)
        if len(self._living) >= MOST_CONNECTIONS:
            oldest = next(iter(self._living))
            self._living.pop(oldest)
            if isinstance(oldest, _Protocol):
                oldest.transport.abort()
        self._renew()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._renew()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._living.pop(self, None)
        super().connection_lost(exc)

    def _renew(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self.transport.is_closing():
            return
        self._living.pop(self, None)
        self._living[self] = None
        self._deadline = self.loop.call_later(self._request_timeout_s, self.transport.abort)
