"""An RTMP publisher by hand, that does what no encoder does: publish twice over one connection, say.

with RtmpClient(port) as client:
    client.publish("cam")
"""

import os
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 128
_COMMAND = 20
_HANDSHAKE_BYTES = 1536
_TIMEOUT_S = 10.0
_NULL = b"\x05"


class RtmpClient:
    """Connected to an application. Leaving says goodbye."""

    def __init__(self, port: int, *, app: str = "live") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
        self._calls = 0
        self._socket.sendall(b"\x03" + struct.pack(">II", 0, 0) + os.urandom(_HANDSHAKE_BYTES - 8))
        answer = b""
        while len(answer) < 1 + 2 * _HANDSHAKE_BYTES:
            answer += self._socket.recv(_HANDSHAKE_BYTES)
        self._socket.sendall(answer[1 : 1 + _HANDSHAKE_BYTES])
        fields = {"app": app, "tcUrl": f"rtmp://127.0.0.1:{port}/{app}"}
        pairs = b"".join(struct.pack(">H", len(name)) + name.encode() + _text(value) for name, value in fields.items())
        self._call("connect", b"\x03" + pairs + b"\x00\x00\x09")

    def publish(self, name: str) -> None:
        """Also where it publishes already."""
        self._call("createStream", _NULL)
        self._call("publish", _NULL + _text(name) + _text("live"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _call(self, command: str, arguments: bytes) -> None:
        self._calls += 1
        body = _text(command) + b"\x00" + struct.pack(">d", self._calls) + arguments
        head = b"\x03\0\0\0" + struct.pack(">I", len(body))[1:] + bytes([_COMMAND]) + struct.pack("<I", 1)
        pieces = [body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES)]
        self._socket.sendall(head + b"\xc3".join(pieces))


def _text(text: str) -> bytes:
    return b"\x02" + struct.pack(">H", len(text.encode())) + text.encode()
