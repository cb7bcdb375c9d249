"""A publisher that keeps to no rules: RTMP, message by message, for what no decent encoder does.

with RtmpClient(port) as client:
    client.connect("live"); client.publish("cam"); client.publish("another"); client.send(tags_of(path))
"""

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

_HANDSHAKE_BYTES = 1536
_CHUNK_BYTES = 65_536
_SET_CHUNK_SIZE, _COMMAND = 1, 20
_AUDIO, _VIDEO = 8, 9
_NULL = b"\x05"
_FLV_HEAD_BYTES, _TAG_HEAD_BYTES = 13, 11

Tag = tuple[int, int, bytes]
"""Audio or video of an FLV file: its type, when (milliseconds), and what."""


class RtmpClient:
    """Connected to a server on loopback. What the server says is not read."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.sendall(b"\x03" + bytes(8) + os.urandom(_HANDSHAKE_BYTES - 8))
        answer = b""
        while len(answer) < 1 + 2 * _HANDSHAKE_BYTES:
            answer += self._socket.recv(1 << 16)
        self._socket.sendall(answer[1 : 1 + _HANDSHAKE_BYTES])
        self._message(_SET_CHUNK_SIZE, struct.pack(">I", _CHUNK_BYTES))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def connect(self, app: str) -> None:
        """To an application, with a stream to publish or play in."""
        fields = b"".join(_name(name) + _text(value) for name, value in (("app", app), ("flashVer", "FMLE/3.0")))
        self._command(_text("connect"), _number(1), b"\x03" + fields + b"\x00\x00\x09")
        self._command(_text("createStream"), _number(2), _NULL)

    def publish(self, name: str) -> None:
        self._command(_text("publish"), _number(3), _NULL, _text(name), _text("live"), stream=1)

    def play(self, name: str) -> None:
        self._command(_text("play"), _number(4), _NULL, _text(name), stream=1)

    def send(self, tags: Iterable[Tag]) -> None:
        """As fast as it goes."""
        for kind, at_ms, body in tags:
            self._message(kind, body, at_ms=at_ms, stream=1)

    def _command(self, *parts: bytes, stream: int = 0) -> None:
        self._message(_COMMAND, b"".join(parts), stream=stream)

    def _message(self, kind: int, body: bytes, *, at_ms: int = 0, stream: int = 0) -> None:
        channel = {_AUDIO: 4, _VIDEO: 6}.get(kind, 3)
        head = bytes([channel]) + at_ms.to_bytes(3) + len(body).to_bytes(3) + bytes([kind]) + struct.pack("<I", stream)
        chunks = [body[start : start + _CHUNK_BYTES] for start in range(0, len(body), _CHUNK_BYTES)]
        self._socket.sendall(head + bytes([0xC0 | channel]).join(chunks))


def tags_of(flv: Path) -> Iterator[Tag]:
    """Sound and pictures of an FLV file."""
    data, at = flv.read_bytes(), _FLV_HEAD_BYTES
    while at + _TAG_HEAD_BYTES <= len(data):
        length = int.from_bytes(data[at + 1 : at + 4])
        if data[at] in (_AUDIO, _VIDEO):
            body = data[at + _TAG_HEAD_BYTES : at + _TAG_HEAD_BYTES + length]
            yield data[at], int.from_bytes(data[at + 4 : at + 7]), body
        at += _TAG_HEAD_BYTES + length + 4


def _name(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _text(text: str) -> bytes:
    return b"\x02" + _name(text)


def _number(value: float) -> bytes:
    return b"\x00" + struct.pack(">d", value)
