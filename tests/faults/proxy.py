"""A TCP proxy that does to a connection what networks and dying servers do: on a script, or from now on.

with Proxy(server_port, replies=[Fault.PASS, Fault.CUT]) as proxy:   # the second reply is lost, with its connection
    proxy.port
    proxy.now(Fault.STALL)        # both ways, until another fault, or PASS, is set
    proxy.now(Fault.SWALLOW, way=Way.REPLIES)
    proxy.once(b"/drop", Fault.STALL)   # the next chunk with that in it, and no other
    proxy.cut()                   # all that are connected
"""

import enum
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 65_536
_CONNECT_TIMEOUT_S = 5.0
_END_TIMEOUT_S = 5.0


class Fault(enum.Enum):
    """What is done with a chunk of bytes, which is what one read gives."""

    PASS = enum.auto()
    CUT = enum.auto()
    """It is lost, and the connection ends on both sides. Of a reply: the server did what it was asked."""
    SWALLOW = enum.auto()
    """It is lost, and the connection stays."""
    STALL = enum.auto()
    """It waits, with all that comes after it, until `now` is called."""
    DRIP = enum.auto()
    """It goes on byte by byte, `pause_s` apart."""
    DELAY = enum.auto()
    """It goes on after `pause_s`."""
    BLACK_HOLE = enum.auto()
    """As SWALLOW; and while it is set, whoever connects is taken and led nowhere."""


class Way(enum.Enum):
    """Which way bytes go."""

    REQUESTS = enum.auto()
    REPLIES = enum.auto()


class Proxy:
    """Stands before a server from its making until `close`. `replies` and `requests` are scripts, a fault for each
    chunk of all connections in the order in which they come; what they do not say is as `now` was told, PASS at first.

    `deaf`: a client does not hear when the server ends the connection. `done` counts chunks by what was done.
    """

    def __init__(
        self,
        server_port: int,
        *,
        replies: Iterable[Fault] = (),
        requests: Iterable[Fault] = (),
        pause_s: float = 0.05,
        deaf: bool = False,
    ) -> None:
        self._server_port = server_port
        self._scripts = {Way.REPLIES: iter(replies), Way.REQUESTS: iter(requests)}
        self._pause_s = pause_s
        self._deaf = deaf
        self._changed = threading.Condition()
        self._standing = dict.fromkeys(Way, Fault.PASS)
        self._told = 0
        self._once: dict[bytes, Fault] = {}
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self.done: Counter[Fault] = Counter()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._begin(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()

    def now(self, fault: Fault, *, way: Way | None = None) -> None:
        """From now on, both ways unless told one. What stalls or drips is looked at anew."""
        with self._changed:
            self._standing |= dict.fromkeys(Way if way is None else (way,), fault)
            self._told += 1
            self._changed.notify_all()

    def once(self, words: bytes, fault: Fault) -> None:
        """The next chunk that holds these words, whichever way it goes."""
        with self._changed:
            self._once[words] = fault

    def cut(self) -> None:
        """All connections, now; new ones are taken."""
        with self._changed:
            held = list(self._sockets)
        for sock in held:
            _hang_up(sock)

    def close(self) -> None:
        """Ends everything, and every thread. Raises AssertionError where one does not end."""
        self._over.set()
        with self._changed:
            self._changed.notify_all()
        _hang_up(self._listener)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(_END_TIMEOUT_S)
        left = [thread for thread in self._threads if thread.is_alive()]
        assert not left, f"{len(left)} threads of a proxy go on"

    def _begin(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with ExitStack() as held, suppress(OSError):
            self._hold(client, held)
            if self._standing[Way.REQUESTS] is Fault.BLACK_HOLE:
                self._pump(client, None, Way.REQUESTS)
                return
            server = socket.create_connection(("127.0.0.1", self._server_port), timeout=_CONNECT_TIMEOUT_S)
            server.settimeout(None)
            self._hold(server, held)
            replies = threading.Thread(target=self._pump, args=(server, client, Way.REPLIES), daemon=True)
            replies.start()
            self._pump(client, server, Way.REQUESTS)
            replies.join()

    def _hold(self, sock: socket.socket, held: ExitStack) -> None:
        """For as long as it is needed; one that came too late is hung up at once."""
        held.enter_context(sock)
        with self._changed:
            self._sockets.add(sock)
        held.callback(self._let_go, sock)
        if self._over.is_set():
            _hang_up(sock)

    def _let_go(self, sock: socket.socket) -> None:
        with self._changed:
            self._sockets.discard(sock)

    def _pump(self, source: socket.socket, sink: socket.socket | None, way: Way) -> None:
        try:
            while chunk := source.recv(_CHUNK_BYTES):
                self._treat(chunk, sink, way)
        except OSError:  # cut, or the other side is gone
            _hang_up(source)
            if sink is not None:
                _hang_up(sink)
            return
        if sink is not None and self._standing[way] is Fault.PASS and not (self._deaf and way is Way.REPLIES):
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

    def _treat(self, chunk: bytes, sink: socket.socket | None, way: Way) -> None:
        """Raises OSError where that ends the connection."""
        with self._changed:
            told = self._told
            fault = next(self._scripts[way], self._standing[way]) if sink is not None else Fault.BLACK_HOLE
            for words in [words for words in self._once if words in chunk]:
                fault = self._once.pop(words)
            self.done[fault] += 1
        match fault:
            case Fault.CUT:
                raise ConnectionAbortedError
            case Fault.SWALLOW | Fault.BLACK_HOLE:
                return
            case Fault.STALL:
                with self._changed:
                    self._changed.wait_for(lambda: self._over.is_set() or self._told != told)
                self._treat_anew(chunk, sink, way)
            case Fault.DRIP:
                self._drip(chunk, sink, told=told)
            case Fault.DELAY:
                self._over.wait(self._pause_s)
                _send(sink, chunk)
            case Fault.PASS:
                _send(sink, chunk)

    def _treat_anew(self, chunk: bytes, sink: socket.socket | None, way: Way) -> None:
        if self._over.is_set():
            raise ConnectionAbortedError
        self._treat(chunk, sink, way)

    def _drip(self, chunk: bytes, sink: socket.socket | None, *, told: int) -> None:
        for at in range(len(chunk)):
            if self._told != told:
                _send(sink, chunk[at:])
                return
            _send(sink, chunk[at : at + 1])
            if self._over.wait(self._pause_s):
                raise ConnectionAbortedError


def _send(sink: socket.socket | None, data: bytes) -> None:
    if sink is not None:
        sink.sendall(data)


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
