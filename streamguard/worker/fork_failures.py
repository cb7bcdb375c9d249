"""Keeps the forkserver alive where the machine is out of processes or files: one that dies takes every decoder along.

Only preloaded in the forkserver, and by being imported, for it runs nothing of ours otherwise. Its loop passes over an
OSError with ECONNABORTED, takes the next request, and ends with any other. Whoever asked finds its connection closed,
and that is an error it knows.
"""

import contextlib
import errno
import os
import socket
import time
from multiprocessing import reduction
from typing import Any

_PAUSE_S = 0.1

_accept = socket.socket.accept
_fork = os.fork
_held: list[int] = []
"""The descriptors of the request that is being answered."""


def accept(self: socket.socket) -> tuple[socket.socket, Any]:
    """A failure (no descriptor left) is passed over after a pause: the loop is told again at once of who waits."""
    try:
        return _accept(self)
    except OSError as error:
        time.sleep(_PAUSE_S)
        raise ConnectionAbortedError(errno.ECONNABORTED, "no connection can be taken") from error


def receive(sock: socket.socket, size: int) -> list[int]:
    """The descriptors of a request, all or none: who asks may have run out of them in the middle."""
    message, held, _, _ = socket.recv_fds(sock, 1, size)
    _held[:] = held
    if not held or len(held) % 256 != message[0]:
        _let_go()
        raise ConnectionAbortedError(errno.ECONNABORTED, "a request without its descriptors")
    return list(held)


def fork() -> int:
    """A failure closes what the request brought, and with it the line on which its answer is waited for."""
    try:
        return _fork()
    except OSError as error:
        _let_go()
        raise ConnectionAbortedError(errno.ECONNABORTED, "no process can be had") from error


def _let_go() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


socket.socket.accept = accept  # type: ignore[method-assign]  # it is meant to be another one
reduction.recvfds = receive
os.fork = fork
