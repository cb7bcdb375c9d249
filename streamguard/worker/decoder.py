"""The decoder child: one session of one stream, in a process that holds no library, no secret and no decision.

It connects once, fingerprints each keyframe, tells the worker, and ends. Whoever takes it over through a hostile
stream can lie about that stream, and do little else: it cannot write a file, grow without bound or outlive the worker.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2

from streamguard.core.fingerprints import fingerprints
from streamguard.errors import SourceUnwatchable, StreamGuardError
from streamguard.ingest.sources import SourceOptions, frames
from streamguard.worker.messages import Ended, Failed, Message, pack

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_MIB = 1 << 20
_STDOUT, _LAST_STANDARD = 1, 2
_KEPT_ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Whom to trust is no secret, and a source over TLS needs it."""


@dataclass(frozen=True, slots=True)
class DecoderJob:
    """All that a child is told."""

    name: str
    url: str = field(repr=False)
    session: int
    options: SourceOptions
    memory_mib: int


Work = Callable[[socket.socket, DecoderJob], None]
"""What a child does once it is confined."""


def run(channel: socket.socket, job: DecoderJob, work: Work) -> None:
    """The child's main function."""
    confine(channel, memory_mib=job.memory_mib)
    with contextlib.suppress(ConnectionError):  # the worker has gone, or wants no more of us
        work(channel, job)


def watch(channel: socket.socket, job: DecoderJob) -> None:
    """One session. Its last message is Ended or Failed; without one it crashed."""

    def tell(message: Message) -> None:
        channel.sendall(pack(message))

    try:
        for frame in frames(job.url, job.options, session=job.session, news=tell):
            tell(fingerprints(frame))
        tell(Ended())
    except StreamGuardError as error:
        tell(Failed(error))
    except MemoryError:
        problem = f"a frame needs more than {job.memory_mib} MiB"
        tell(Failed(SourceUnwatchable("decode", job.name, problem, hint="raise ingest.decoder_memory_mib?")))


def confine(channel: socket.socket, *, memory_mib: int) -> None:
    """Give up what a decoder does not need, before the first hostile byte."""
    # Ctrl-C and a service manager's SIGTERM reach the whole group; the worker drains first, and then ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Die with the forkserver, which dies with the worker, however that ends.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _keep_open(channel)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _lower(resource.RLIMIT_AS, memory_mib * _MIB)
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)
    av.logging.set_level(None)
    cv2.setNumThreads(1)


def _keep_open(channel: socket.socket) -> None:
    """Nothing else. Above all not multiprocessing's pipe by which the forkserver learns that the worker is dead, nor
    the one to its tracker, which deletes what it is told to; nor the worker's standard output, where kill-signals go.
    """
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > _LAST_STANDARD and descriptor != channel.fileno():
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)


def _lower(limit: int, value: int) -> None:
    """Never above what the process was given."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))
