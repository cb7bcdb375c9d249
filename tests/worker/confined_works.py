"""What confined children try in tests, and tell of it as JSON."""

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from streamguard.ingest.av_errors import as_ours
from streamguard.ingest.news import Blind
from streamguard.types import Frame
from streamguard.worker import decoder
from streamguard.worker.confinement import ProcessorTime
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.messages import pack
from streamguard.worker.syscall_filter import MACHINES, MISSING, REFUSED

_PR_GET_DUMPABLE, _PR_GET_SECCOMP = 3, 21
_FIOSETOWN, _F_SETSIG, _F_SETOWN_EX = 0x8901, 10, 15
_SLICE = 16


def try_every_system_call(channel: socket.socket, _job: DecoderJob) -> None:
    """Those that failed otherwise than they should; first, whether there is a filter at all."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) != 2:
        _say(channel, "no filter")
        return
    column = MACHINES[os.uname().machine].column
    calls = {name: (numbers[column], errno.EPERM) for name, numbers in REFUSED.items()}
    calls |= {name: (numbers[column], errno.ENOSYS) for name, numbers in MISSING.items()}
    wrong = []
    for name, (number, expected) in calls.items():
        if number >= 0:
            ctypes.set_errno(0)
            if libc.syscall(number, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != expected:
                wrong.append(name)
    _say(channel, {"tried": len(calls), "wrong": wrong[:_SLICE]})


def try_what_takeovers_try(channel: socket.socket, job: DecoderJob) -> None:
    """Whether each of them was refused, by its name. `job.name` is a file that can be read by all."""
    parent = os.getppid()
    tried: dict[str, Callable[[], object]] = {
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": _fork,
        "begin a thread": _begin_thread,
        "write a file": lambda: os.open("/dev/null", os.O_WRONLY),
        "make a file": lambda: os.open(f"/tmp/streamguard-test-{os.getpid()}", os.O_RDONLY | os.O_CREAT),  # noqa: S108
        "delete a file": lambda: Path(job.name).unlink(),
        "signal its parent": lambda: os.kill(parent, 0),
        "signal its group": lambda: os.kill(0, 0),
        "have the kernel signal its parent": lambda: fcntl.fcntl(channel, fcntl.F_SETOWN, parent),
        "have it signalled by another call": lambda: fcntl.ioctl(channel, _FIOSETOWN, struct.pack("i", parent)),
        "have it signalled by a third one": lambda: fcntl.fcntl(channel, _F_SETOWN_EX, struct.pack("ii", 1, parent)),
        "choose the signal": lambda: fcntl.fcntl(channel, _F_SETSIG, signal.SIGKILL),
        "have its parent signalled": lambda: _have_signalled(parent),
        "slow its parent down": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
        "take processors from its parent": lambda: os.sched_setaffinity(parent, os.sched_getaffinity(parent)),
        "stop its parent for others": lambda: os.sched_setscheduler(parent, os.SCHED_OTHER, os.sched_param(0)),
        "lock a file": lambda: _with_file(job.name, lambda file: fcntl.flock(file, fcntl.LOCK_EX)),
        "lock a database": lambda: _with_file(job.name, lambda file: fcntl.lockf(file, fcntl.LOCK_SH)),
        "keep others from opening a file": lambda: _with_file(job.name, _lease),
        "limit its parent": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
        "speak netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "speak to the forkserver": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "speak to a service of this machine": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        "speak to it by half a pair": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
        "send raw packets": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "talk to a hypervisor": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
        "be called": lambda: socket.socket().listen(),
        "become root": lambda: os.setuid(0),
        "outlive its worker": lambda: _prctl(1, 0),
        "show its memory": lambda: _prctl(4, 1),
    }
    _say(channel, [name for name, attempt in tried.items() if not _is_refused(attempt)])


def use_what_decoders_need(channel: socket.socket, job: DecoderJob) -> None:
    """A file, TCP and UDP over both, waiting with a time limit."""
    assert Path(job.name).read_bytes()
    for family in (socket.AF_INET, socket.AF_INET6):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as sock:
                sock.settimeout(1)
                os.set_blocking(os.dup(sock.fileno()), True)
    found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    os.kill(os.getpid(), 0)
    channel.setblocking(channel.getblocking())
    fcntl.fcntl(channel, fcntl.F_SETFD, fcntl.fcntl(channel, fcntl.F_GETFD))
    _say(channel, len(found) > 0)


def is_open_to_others(channel: socket.socket, _job: DecoderJob) -> None:
    """Whether others of its user may read its memory."""
    _say(channel, bool(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)))


def who_am_i(channel: socket.socket, job: DecoderJob) -> None:
    """Its user and groups, how many files it may open, and whether it can open the one of its job, or reads it."""
    held = job.options.held
    opens = not _is_refused(lambda: os.open(job.url, os.O_RDONLY))
    reads = 0 if held is None else [len(held.open().read()) for _ in range(2)][1]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    _say(channel, [os.getresuid(), os.getresgid(), os.getgroups(), limit, opens, reads])


def compute_for_ever(channel: socket.socket, _job: DecoderJob) -> None:
    """Says what it may use, and says nothing more."""
    ProcessorTime(0)
    _say(channel, "on")
    while True:
        pass


def compute_and_tell(channel: socket.socket, _job: DecoderJob) -> None:
    """For longer than it may between two words, and says one now and then."""
    processor = ProcessorTime(0)
    while time.process_time() < 2.5:
        processor.said()
    _say(channel, "done")


def decode_what_is_too_large(channel: socket.socket, job: DecoderJob) -> None:
    """A session whose source takes more memory than the kernel gives."""

    def frames(*_: object, **__: object) -> Iterator[Frame]:
        bytearray(1 << 40)
        yield from ()

    vars(decoder)["frames"] = frames
    decoder.watch(channel, replace(job, unreadable=None))


def open_what_is_too_large(channel: socket.socket, job: DecoderJob) -> None:
    """The same while FFmpeg opens it, where its errors become ours."""

    def frames(*_: object, **__: object) -> Iterator[Frame]:
        with as_ours("open", "x", opening=True):
            bytearray(1 << 40)
        yield from ()

    vars(decoder)["frames"] = frames
    decoder.watch(channel, replace(job, unreadable=None))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) == -1:
        raise OSError(ctypes.get_errno(), "prctl")


def _begin_thread() -> None:
    """Each counts against all that its user may have. Python does not say what the kernel answered."""
    try:
        threading.Thread(target=lambda: None).start()
    except RuntimeError as error:
        raise PermissionError(errno.EPERM, str(error)) from error


def _have_signalled(pid: int) -> None:
    """By the kernel, as soon as something can be read: any signal, SIGKILL among them."""
    reading, _ = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, pid)


def _with_file(name: str, do: Callable[[int], object]) -> None:
    descriptor = os.open(name, os.O_RDONLY)
    try:
        do(descriptor)
    finally:
        os.close(descriptor)


def _lease(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)


def _fork() -> None:
    """Not Python's, which the forkserver has replaced by one of its own."""
    if ctypes.CDLL(None, use_errno=True).fork() == -1:
        raise OSError(ctypes.get_errno(), "fork")


def _is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError as error:
        return error.errno in (errno.EPERM, errno.EACCES)
    return False


def _say(channel: socket.socket, what: object) -> None:
    channel.sendall(pack(Blind(json.dumps(what))))
