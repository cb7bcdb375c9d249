"""Preloaded in a forkserver before ours: what the machine denies once, at the second decoder."""

import errno
import os
import socket
from typing import Any

CASE = os.environ.get("TEST_CASE", "")
_fork, _accept = os.fork, socket.socket.accept
_calls = 0


def _is_time() -> bool:
    global _calls  # noqa: PLW0603 - two functions that stand in for the kernel have no other place for it
    _calls += 1
    return _calls == 2


def _failing_fork() -> int:
    if _is_time():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    return _fork()


def _failing_accept(self: socket.socket) -> tuple[socket.socket, Any]:
    accepted = _accept(self)
    if _is_time():
        accepted[0].close()
        raise OSError(errno.EMFILE, "Too many open files")
    return accepted


if CASE == "fork":
    os.fork = _failing_fork
if CASE == "accept":
    socket.socket.accept = _failing_accept  # type: ignore[method-assign]  # it is meant to be another one
