"""The worker's side of a decoder child: start it from the forkserver, read its datagrams, end it."""

import multiprocessing
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from types import ModuleType

from streamguard.config import ENV_PREFIX
from streamguard.worker.decoder import DecoderJob, Work, run, watch
from streamguard.worker.messages import MAX_MESSAGE_BYTES, Message, unpack

_LIGHT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYAV_LOGGING": "off"}
_SEND_BUFFER_BYTES = 32 * 1024
_EXIT_STATUS_S = 0.1
_MOST_FILES = 65_536


@dataclass(frozen=True, slots=True)
class Rubbish:
    """The child sent what no decoder sends."""

    problem: str


class Decoder:
    """One running child. `fileno` is readable when it said something, or is gone."""

    def __init__(self, job: DecoderJob, *, work: Work = watch) -> None:
        """Raises OSError where no process can be had."""
        self.session = job.session
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(0)
        # A worker that falls behind stops the child after a few keyframes, and the ingest server sheds the rest.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        context = multiprocessing.get_context("forkserver")
        self._process: ForkServerProcess = context.Process(target=run, args=(theirs, job, work), daemon=True)
        try:
            with theirs, _telling_nothing():
                self._process.start()
        except (OSError, EOFError) as error:
            self._channel.close()
            raise ChildProcessError(f"the forkserver started none ({error})") from error

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

    def exit_code(self) -> int | None:
        """How a child that has gone ended: 0, 1 for an exception, -N for signal N. None if it still runs."""
        self._process.join(_EXIT_STATUS_S)
        return self._process.exitcode

    def end(self) -> None:
        """End it now: it holds nothing that a kill could lose. Does not wait until it is gone."""
        self._channel.close()
        # Asked first, so that a number that is another process's by now is not killed.
        if self._process.exitcode is None:
            self._process.kill()

    def gone(self, *, within_s: float) -> bool:
        """Whether an ended one is gone, and all that it held here with it. Do not ask again after that."""
        self._process.join(within_s)
        if self._process.exitcode is None:
            return False
        self._process.close()
        return True


def start_forkserver() -> None:
    """Start the process that decoders are forked from, with PyAV, OpenCV and NumPy imported once for all of them.

    Our own settings hold passwords and keys, so they leave this process's environment first, for good: neither
    the forkserver nor a decoder inherits them. Call it once, after the configuration is read, before threads start.
    """
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        del os.environ[name]
    os.environ.update(_LIGHT)
    _allow_many_files()
    multiprocessing.get_context("forkserver").set_forkserver_preload(["streamguard.worker.decoder"])
    # First, for it undoes the signal mask that the forkserver is to inherit.
    resource_tracker.ensure_running()
    with _telling_nothing():
        ensure_running()


def _allow_many_files() -> None:
    """A decoder costs the worker three, and the usual limit of 1024 is for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def _telling_nothing() -> Iterator[None]:
    """Keep multiprocessing from running the parent's script again in every child, for what it might define, and from
    sending each child our command line, which may hold passwords.

    A forkserver that is started meanwhile inherits the signal mask: Ctrl-C and a service manager's SIGTERM reach the
    whole group, and without a forkserver no decoder lives until the worker has drained.
    """
    main, arguments = sys.modules["__main__"], sys.argv
    sys.modules["__main__"], sys.argv = ModuleType("__main__"), arguments[:1]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sys.modules["__main__"], sys.argv = main, arguments
