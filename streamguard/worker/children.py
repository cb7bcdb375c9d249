"""The worker's side of a decoder child: start it from the forkserver, read its datagrams, end it."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from types import ModuleType

from streamguard.config import ENV_PREFIX
from streamguard.worker.decoder import DecoderJob, run
from streamguard.worker.messages import MAX_MESSAGE_BYTES, Message, unpack

_LIGHT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYAV_LOGGING": "off"}
_SEND_BUFFER_BYTES = 32 * 1024
_JOIN_S = 0.5
_EXIT_STATUS_S = 0.1


@dataclass(frozen=True, slots=True)
class Rubbish:
    """The child sent what no decoder sends."""

    problem: str


class Decoder:
    """One running child. `fileno` is readable when it said something, or is gone."""

    def __init__(self, job: DecoderJob) -> None:
        self.session = job.session
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(0)
        # A worker that falls behind stops the child after a few keyframes, and the ingest server sheds the rest.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        with theirs, _no_main_module():
            context = multiprocessing.get_context("forkserver")
            self._process: ForkServerProcess = context.Process(target=run, args=(theirs, job), daemon=True)
            self._process.start()

    def fileno(self) -> int:
        return self._channel.fileno()

    def received(self, *, most: int) -> Iterator[Message | Rubbish | None]:
        """What has come in, up to `most` messages; None: the child is gone. After Rubbish, end it."""
        for _ in range(most):
            try:
                datagram = self._channel.recv(MAX_MESSAGE_BYTES + 1)
            except BlockingIOError:
                return
            except ConnectionError:
                datagram = b""
            if not datagram:
                yield None
                return
            try:
                yield unpack(datagram, session=self.session)
            except ValueError as error:
                yield Rubbish(str(error))
                return

    def end(self) -> int | None:
        """End it now: it holds nothing that a kill could lose. Its exit code, or None if it would not die."""
        self._channel.close()
        self._process.kill()
        self._process.join(_JOIN_S)
        code = self._process.exitcode
        if code is not None:
            self._process.close()
        return code

    def exit_code(self) -> int | None:
        """How a child that has gone ended: 0, 1 for an exception, -N for signal N. None if it still runs."""
        self._process.join(_EXIT_STATUS_S)
        return self._process.exitcode


def start_forkserver() -> None:
    """Start the process that decoders are forked from, with PyAV, OpenCV and NumPy imported once for all of them.

    Our own settings hold passwords and keys, so they leave this process's environment first, for good: neither
    the forkserver nor a decoder inherits them. Call it once, after the configuration is read, before threads start.
    """
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        del os.environ[name]
    os.environ.update(_LIGHT)
    multiprocessing.get_context("forkserver").set_forkserver_preload(["streamguard.worker.decoder"])
    with _no_main_module():
        ensure_running()


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep multiprocessing from running the parent's script again in every child, for what it might define."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
