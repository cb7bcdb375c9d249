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
from dataclasses import dataclass, field

import av
import cv2

from streamguard.core.fingerprints import fingerprints
from streamguard.errors import SourceUnwatchable, StreamGuardError
from streamguard.ingest.sources import SourceOptions, frames
from streamguard.worker.messages import Ended, Failed, Message, pack

_PR_SET_PDEATHSIG = 1
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class DecoderJob:
    """All that a child is told."""

    name: str
    url: str = field(repr=False)
    session: int
    options: SourceOptions
    memory_mib: int


def run(channel: socket.socket, job: DecoderJob) -> None:
    """The child's main function. Its last message is Ended or Failed; without one it crashed."""
    confine(memory_mib=job.memory_mib)

    def tell(message: Message) -> None:
        channel.sendall(pack(message))

    with contextlib.suppress(ConnectionError):  # the worker has gone, or wants no more of us
        try:
            for frame in frames(job.url, job.options, session=job.session, news=tell):
                tell(fingerprints(frame))
            tell(Ended())
        except StreamGuardError as error:
            tell(Failed(error))
        except MemoryError:
            problem = f"a frame needs more than {job.memory_mib} MiB"
            tell(Failed(SourceUnwatchable("decode", job.name, problem, hint="raise ingest.decoder_memory_mib?")))


def confine(*, memory_mib: int) -> None:
    """Give up what a decoder does not need, before the first hostile byte."""
    # Ctrl-C and a service manager's SIGTERM reach the whole group; the worker drains first, and then ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Die with the forkserver, which dies with the worker, however that ends.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _lower(resource.RLIMIT_AS, memory_mib * _MIB)
    os.environ.clear()
    av.logging.set_level(None)
    cv2.setNumThreads(1)


def _lower(limit: int, value: int) -> None:
    """Never above what the process was given."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))
