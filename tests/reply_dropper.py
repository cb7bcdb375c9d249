"""A TCP proxy that passes everything on, but loses replies and cuts connections on a script."""

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator


class ReplyDropper:
    """Stands before a server: the first replies are passed or lost as `script` says ('pass', 'drop'); later ones pass.

    A lost reply is one that the server gave: it has done what it was asked, and the client sees a closed connection.
    """

    def __init__(self, server_port: int, *, script: Iterable[str]) -> None:
        self._server_port = server_port
        self._script: Iterator[str] = iter(script)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.dropped = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pump_replies, args=(server, client), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError), source, sink:
            while chunk := source.recv(65_536):
                sink.sendall(chunk)

    def _pump_replies(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError), server, client:
            while chunk := server.recv(65_536):
                if next(self._script, "pass") == "drop":
                    self.dropped += 1
                    client.shutdown(socket.SHUT_RDWR)
                    server.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(chunk)
