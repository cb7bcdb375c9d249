"""What a child that decodes hostile bytes gives up before the first of them.

Whoever takes it over can still open connections, and read files that are open to its user. It cannot write, name or
delete files, start programs, reach into, signal, slow down or lock out other processes, speak to services through Unix
sockets, be called, grow without bound, gain rights, read the worker's secrets or outlive it. docs/streams.md says which
of it rests on what.
"""

import contextlib
import ctypes
import math
import os
import resource
import signal
import time
from pathlib import Path

import av
import cv2

from streamguard.worker.syscall_filter import filter_system_calls
from streamguard.worker.unprivileged import Ids, become

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_MIB = 1 << 20
_MAPPED_BYTES = 256 * _MIB
"""Besides its memory: files that are mapped, and what the C library lays out and does not use."""

_MOST_FILES = 64
"""Sixteen hosts at most of a playlist, resolvers, and what TLS reads."""

_STDOUT, _LAST_STANDARD = 1, 2
_KEPT_ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Whom to trust is no secret, and a source over TLS needs it."""

_LOADED_BY = os.getpid()
"""In a child its forkserver, which loads this before it forks any; or the child itself, where that did not work."""


def hide_from_children() -> None:
    """Close this process's memory and first environment, which hold passwords and keys, to others of the same user.

    Linux shows them in /proc to every process of that user, root excepted; so do core dumps, which end with this too.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def confine(
    channel_fd: int, *, memory_mib: int, keep_fd: int | None = None, ids: Ids | None = None, threads: bool = True
) -> None:
    """Give up what decoding does not need, before the first hostile byte; `channel_fd` is its line to its parent.

    `memory_mib`: what it may take besides what it was forked with, most of which it shares with all others. `keep_fd`:
    what it is to read, where that is open already. `ids`: whom to become; None: nobody else. `threads`: whether it may
    have others than this one.
    """
    # Ctrl-C and a service manager's SIGTERM reach the whole group; the worker drains first, and then ends us. So may a
    # SIGHUP, by which the worker reads its configuration anew.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _keep_open(channel_fd, *([] if keep_fd is None else [keep_fd]))
    if ids is not None:
        become(ids)
    _die_with_the_forkserver()  # after that: whoever becomes another loses it
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    hide_from_children()  # from the other ones: the URL of its stream may hold a password
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _lower(resource.RLIMIT_NOFILE, _MOST_FILES)
    _bound_memory(memory_mib * _MIB)
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)
    av.logging.set_level(None)
    cv2.setNumThreads(1)
    filter_system_calls(threads=threads)


class ProcessorTime:
    """A child that computes for longer than `most_s` between two words of its own is ended by the kernel, by SIGXCPU.

    A limit for its whole life would end honest streams that go on for weeks. Its own time counts, not the clock's: a
    machine that is too busy for it, or a publisher who is silent, costs nothing.
    """

    def __init__(self, most_s: int) -> None:
        self._most_s = most_s
        self._renew_at_s = -math.inf
        self.said()

    def said(self) -> None:
        """It said something, and may go on for as long again."""
        now_s = time.process_time()
        if now_s >= self._renew_at_s:
            self._renew_at_s = now_s + 1
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            soft = math.ceil(now_s) + self._most_s + 1
            resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _die_with_the_forkserver() -> None:
    """It dies with the worker, however that ends. One that is dead already sends no signal any more."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if _LOADED_BY not in (os.getppid(), os.getpid()):
        os._exit(1)


def _keep_open(*kept: int) -> None:
    """Nothing else. Above all not multiprocessing's pipe by which the forkserver learns that the worker is dead, nor
    the one to its tracker, which deletes what it is told to; nor the worker's standard output, where kill-signals go.
    """
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > _LAST_STANDARD and descriptor not in kept:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)


def _bound_memory(own_bytes: int) -> None:
    """Address space alone says little: libraries are mapped into it that hardly take memory, a GiB of them, so that a
    bound above that leaves room for a bomb. What a process can write and nobody else is bounded by RLIMIT_DATA.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    data_bytes, mapped_bytes = (int(status[name].split()[0]) * 1024 for name in ("VmData", "VmSize"))
    _lower(resource.RLIMIT_DATA, data_bytes + own_bytes)
    _lower(resource.RLIMIT_AS, mapped_bytes + own_bytes + _MAPPED_BYTES)


def _lower(limit: int, value: int) -> None:
    """Never above what the process was given."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
