"""An RTMP server that says what a test scripts, and goes on saying it.

with RtmpLiar(refusing({"code": "NetConnection.Connect.Rejected"})) as liar:
    liar.url, liar.calls
"""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

_HANDSHAKE_BYTES = 1536
_COMMAND, _DATA, _VIDEO = 20, 18, 9
_CHUNK_BYTES = 128
_TIMEOUT_S = 10.0

Answer = Callable[[bytes], Iterator[bytes]]
"""What to send after a command, by its name. Each piece goes out as it comes; it may never end."""


def amf(value: object) -> bytes:
    """A value as Flash writes it."""
    match value:
        case bool():
            return b"\x01" + bytes([value])
        case int() | float():
            return b"\x00" + struct.pack(">d", value)
        case str():
            return b"\x02" + struct.pack(">H", len(value.encode())) + value.encode()
        case dict():
            named = [(name.encode(), amf(one)) for name, one in value.items()]
            pairs = b"".join(struct.pack(">H", len(name)) + name + one for name, one in named)
            return b"\x03" + pairs + b"\x00\x00\x09"
        case _:
            return b"\x05"


def message(kind: int, body: bytes, *, channel: int = 3, at_ms: int = 0, stream: int = 0) -> bytes:
    """In chunks of the usual size."""
    head = bytes([channel]) + at_ms.to_bytes(3) + len(body).to_bytes(3) + bytes([kind]) + struct.pack("<I", stream)
    pieces = [body[at : at + _CHUNK_BYTES] for at in range(0, max(len(body), 1), _CHUNK_BYTES)]
    return head + bytes([0xC0 | channel]).join(pieces)


def command(name: str, number: int, *values: object) -> bytes:
    return message(_COMMAND, b"".join(map(amf, (name, number, *values))))


def data(*values: object, at_ms: int = 0) -> bytes:
    """Metadata, say."""
    return message(_DATA, b"".join(map(amf, values)), channel=5, at_ms=at_ms, stream=1)


def video(body: bytes, *, at_ms: int = 0) -> bytes:
    """A picture, or what is said to be one."""
    return message(_VIDEO, body, channel=6, at_ms=at_ms, stream=1)


def playing(name: bytes) -> Iterator[bytes]:
    """As servers do: connected, a stream, it plays."""
    status = {"level": "status", "code": "NetConnection.Connect.Success", "description": "well"}
    if name == b"connect":
        yield command("_result", 1, {"fmsVer": "FMS/3,0,1,123", "capabilities": 31}, status)
    elif name == b"createStream":
        yield command("_result", 2, None, 1)
        yield command("_result", 3, None, 1)
        yield command("_result", 4, None, 1)
    elif name == b"play":
        yield command("onStatus", 0, None, {**status, "code": "NetStream.Play.Start"})


def refusing(info: Mapping[str, object]) -> Answer:
    """No to `connect`, and why."""

    def answer(name: bytes) -> Iterator[bytes]:
        if name == b"connect":
            yield command("_error", 1, None, info)

    return answer


def then(after_play: Callable[[], Iterator[bytes]]) -> Answer:
    """A stream that plays, and what comes on it."""

    def answer(name: bytes) -> Iterator[bytes]:
        yield from playing(name)
        if name == b"play":
            yield from after_play()

    return answer


class RtmpLiar:
    """On a free port of loopback, one thread a caller. `calls` counts them."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self.calls = 0
        self.port: int = self._listener.getsockname()[1]
        self.url = f"rtmp://127.0.0.1:{self.port}/live/cam"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self.calls += 1
                caller.settimeout(_TIMEOUT_S)
                threading.Thread(target=self._talk, args=(caller,), daemon=True).start()

    def _talk(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            asked = caller.recv(1 + _HANDSHAKE_BYTES, socket.MSG_WAITALL)
            caller.sendall(b"\x03" + bytes(8) + os.urandom(_HANDSHAKE_BYTES - 8) + asked[1:])
            caller.recv(_HANDSHAKE_BYTES, socket.MSG_WAITALL)
            heard, known = b"", {b"connect", b"createStream", b"play"}
            while piece := caller.recv(1 << 16):
                heard += piece
                for name in [name for name in known if amf(name.decode()) in heard]:
                    known.discard(name)
                    for part in self._answer(name):
                        if self._stopping.is_set():
                            return
                        caller.sendall(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
