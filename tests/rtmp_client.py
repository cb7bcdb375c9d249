"""An RTMP publisher by hand, that does what no encoder does: publish twice over one connection, say.

with RtmpClient(port) as client:
    client.publish("cam")
"""

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 128
_COMMAND, _AUDIO, _VIDEO = 20, 8, 9
_HANDSHAKE_BYTES = 1536
_TIMEOUT_S = 10.0
_NULL = b"\x05"
_FLV_HEAD_BYTES, _TAG_HEAD_BYTES = 13, 11

Tag = tuple[int, int, bytes]
"""Audio or video of an FLV file: its type, when (milliseconds), and what."""


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

    def play(self, name: str) -> None:
        self._call("createStream", _NULL)
        self._call("play", _NULL + _text(name))

    def send(self, tags: Iterable[Tag]) -> None:
        """As fast as it goes."""
        for kind, at_ms, body in tags:
            self._message(kind, body, at_ms=at_ms)

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
        self._message(_COMMAND, body)

    def _message(self, kind: int, body: bytes, *, at_ms: int = 0) -> None:
        channel = {_AUDIO: 4, _VIDEO: 6}.get(kind, 3)
        head = bytes([channel]) + at_ms.to_bytes(3) + len(body).to_bytes(3) + bytes([kind]) + struct.pack("<I", 1)
        pieces = [body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES)]
        self._socket.sendall(head + bytes([0xC0 | channel]).join(pieces))


def tags_of(flv: Path) -> Iterator[Tag]:
    """Sound and pictures of an FLV file."""
    data, at = flv.read_bytes(), _FLV_HEAD_BYTES
    while at + _TAG_HEAD_BYTES <= len(data):
        length = int.from_bytes(data[at + 1 : at + 4])
        if data[at] in (_AUDIO, _VIDEO):
            body = data[at + _TAG_HEAD_BYTES : at + _TAG_HEAD_BYTES + length]
            yield data[at], int.from_bytes(data[at + 4 : at + 7]), body
        at += _TAG_HEAD_BYTES + length + 4


def _text(text: str) -> bytes:
    return b"\x02" + struct.pack(">H", len(text.encode())) + text.encode()
