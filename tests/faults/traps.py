"""What nobody may reach: a port that knows who called it, and a file that knows who opened it.

with Trap() as trap, Guarded(path) as file:
    ...
    assert trap.calls() == 0
    assert file.opens() == 0
"""

import ctypes
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_BACKLOG = 4096
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")


class Trap:
    """A port of loopback, v4 and where there is one v6, that takes calls and says nothing."""

    def __init__(self) -> None:
        self._listeners = [socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)]
        self.port: int = self._listeners[0].getsockname()[1]
        with suppress(OSError):  # no IPv6 here
            self._listeners.append(socket.create_server(("::1", self.port), family=socket.AF_INET6, backlog=_BACKLOG))
        for listener in self._listeners:
            listener.settimeout(0)

    def calls(self) -> int:
        """Since this was asked last: how often somebody connected."""
        return sum(map(_taken, self._listeners))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._listeners:
            listener.close()


def _taken(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


class Guarded:
    """A file that the kernel tells about: each time that it is opened, by whomever."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._events: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._events < 0 or libc.inotify_add_watch(self._events, os.fsencode(path), _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def opens(self) -> int:
        """Since this was asked last: 0 if nobody did. The kernel may count two that follow each other as one."""
        try:
            return len(os.read(self._events, 1 << 16)) // _EVENT.size  # of a file, not of a folder: no names in them
        except BlockingIOError:
            return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._events)
