"""The process that decoding children are forked from: started once, before anything hostile, without our secrets."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from types import ModuleType

from streamguard.config import ENV_PREFIX
from streamguard.errors import UsageError
from streamguard.worker.confinement import hide_from_children
from streamguard.worker.watchdog import Watchdog

_LIGHT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYAV_LOGGING": "off"}
_MOST_FILES = 65_536
_LAST_MOMENT_S = 1.0
_LOOK_EVERY_S = 0.005
_PRELOADED = ("streamguard.worker.fork_failures", "streamguard.worker.decoder", "streamguard.worker.reference_child")

_watchdog = Watchdog()
"""multiprocessing's forkserver is one for the whole process, and so is who watches over it."""

_one_start = threading.Lock()
"""What is hidden from a child is so for the whole process, too: two threads must not both put it back."""


def start_forkserver() -> None:
    """Start the process that children which decode are forked from, with PyAV, OpenCV and NumPy imported once for all.

    Our own settings hold passwords and keys, so they leave this process's environment first, for good: neither
    the forkserver nor a child inherits them, and none of them may look into this process. Call it once, after
    the configuration is read, before threads start. Raises UsageError where it cannot be started.
    """
    drop_settings()
    os.environ.update(_LIGHT)
    _allow_many_files()
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(_PRELOADED))
    # First, for it undoes the signal mask that the forkserver is to inherit.
    try:
        resource_tracker.ensure_running()
        with telling_nothing():
            forkserver.ensure_running()
    except OSError as error:
        problem = error.strerror or str(error)
        hint = "they need a directory for temporary files that can be written to: name one in TMPDIR"
        raise UsageError("start decoders", "", problem, hint=hint) from error
    hide_from_children()
    with suppress(OSError):  # no thread yet: it is asked for again with each decoder
        _watchdog.start()


def drop_settings() -> None:
    """Keep our own settings from every process that is started from now on."""
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        del os.environ[name]


def _allow_many_files() -> None:
    """A decoder costs the worker three, and the usual limit of 1024 is for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def forkserver_must_answer(within_s: float) -> Iterator[None]:
    """End a forkserver that does not answer in time, with its children: the next start makes a new one.

    multiprocessing waits for it without a limit, and with it waits the loop that watches every stream. Raises OSError
    where there is no thread to watch over it.
    """
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)  # noqa: SLF001 - there is no public way to it
    if pid is None:
        yield
        return
    killed: list[int] = []

    def kill() -> None:
        killed.append(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    _watchdog.start()
    deadline = _watchdog.after(within_s, kill)
    try:
        yield
    finally:
        _watchdog.cancel(deadline)
        if killed:
            _await_end(pid)


def forkserver_is_gone() -> bool:
    """Whether one that ran has died. Whichever thread starts the next process starts a new one, which is as nice as
    that thread, with all its children, for good: who stands back had better wait until others have.
    """
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)  # noqa: SLF001 - there is no public way to it
    try:
        return pid is not None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:  # somebody has waited for it already
        return True


def _await_end(pid: int) -> None:
    """Its sockets close a moment before it can be waited for, and until then multiprocessing takes it for alive."""
    until_s = time.monotonic() + _LAST_MOMENT_S
    with suppress(ChildProcessError):  # somebody has waited for it already
        # Not taken away: multiprocessing itself waits for it before it starts a new one.
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None and time.monotonic() < until_s:
            time.sleep(_LOOK_EVERY_S)


@contextmanager
def telling_nothing() -> Iterator[None]:
    """Keep multiprocessing from running the parent's script again in every child, for what it might define, and from
    sending each child our command line, which may hold passwords.

    A forkserver that is started meanwhile inherits the signal mask: Ctrl-C and a service manager's SIGTERM reach the
    whole group, and without a forkserver no decoder lives until the worker has drained. SIGHUP is the worker's, too:
    `systemctl kill -s HUP` tells all of a unit.
    """
    with _one_start:
        main, arguments = sys.modules["__main__"], sys.argv
        sys.modules["__main__"], sys.argv = ModuleType("__main__"), arguments[:1]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            sys.modules["__main__"], sys.argv = main, arguments
