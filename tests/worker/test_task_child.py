"""streamguard.worker.task_child: a child that tells, ends, crashes or hangs, and what its parent learns of it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from streamguard.worker.confinement import confine
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.task_child import TaskChild
from streamguard.worker.watchdog import Watchdog
from tests.waiting import eventually

MOST_BYTES = 1000


def tell_twice(connection: Connection, task: str, *, memory_mib: int) -> None:
    """What it was given."""
    connection.send_bytes(task.encode())
    connection.send_bytes(str(memory_mib).encode())


def crash(connection: Connection, _task: str, *, memory_mib: int) -> None:
    """In the middle of it."""
    connection.send_bytes(str(memory_mib).encode())
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(connection: Connection, _task: str, *, memory_mib: int) -> None:
    """For good."""
    connection.send_bytes(str(memory_mib).encode())
    threading.Event().wait()


def hang_confined(connection: Connection, _task: str, *, memory_mib: int) -> None:
    """As a decoder would: it heeds no signal but SIGKILL, and dies with the forkserver."""
    confine(connection.fileno(), memory_mib=memory_mib)
    hang(connection, "", memory_mib=memory_mib)


def too_much(connection: Connection, _task: str, *, memory_mib: int) -> None:
    """More than is taken."""
    connection.send_bytes(bytes(MOST_BYTES + memory_mib))


@contextmanager
def running(main: Callable[..., None], *, silence_s: float = 60.0, total_s: float | None = None) -> Iterator[TaskChild]:
    start_forkserver()
    watchdog = Watchdog()
    watchdog.start()
    child = TaskChild(main, "task", memory_mib=64, silence_s=silence_s, total_s=total_s, watchdog=watchdog)
    try:
        yield child
    finally:
        child.end()
        watchdog.close()


def test_its_messages_come_in_order_and_then_its_end() -> None:
    """It gets its task and its limit; EOFError says that it is gone, and the exit code how."""
    with running(tell_twice) as child:
        assert [child.receive(most_bytes=MOST_BYTES) for _ in range(2)] == [b"task", b"64"]
        with pytest.raises(EOFError):
            child.receive(most_bytes=MOST_BYTES)
        assert (child.exit_code(), child.timed_out) == (0, False)


def test_a_crash_is_told_by_its_signal() -> None:
    """What it had said before is heard."""
    with running(crash) as child:
        assert child.receive(most_bytes=MOST_BYTES) == b"64"
        with pytest.raises(EOFError):
            child.receive(most_bytes=MOST_BYTES)
        assert (child.exit_code(), child.timed_out) == (-signal.SIGSEGV, False)


@pytest.mark.parametrize(("silence_s", "total_s"), [(1.0, None), (60.0, 2.0)])
def test_one_that_hangs_is_ended(silence_s: float, total_s: float | None) -> None:
    """For its silence, or for what it takes in all; then it is known why."""
    with running(hang, silence_s=silence_s, total_s=total_s) as child:
        assert child.receive(most_bytes=MOST_BYTES) == b"64"
        with pytest.raises(EOFError):
            child.receive(most_bytes=MOST_BYTES)
        assert child.timed_out


def test_nobody_waits_at_exit_for_one_that_was_not_ended() -> None:
    """From its start on: a second Ctrl-C may come before anybody ends it, and it heeds no SIGTERM."""
    with running(hang) as child:
        assert child.receive(most_bytes=MOST_BYTES) == b"64"
        assert multiprocessing.active_children() == []


def test_a_process_that_is_interrupted_twice_ends_with_its_child() -> None:
    """Though the child was about to hang for a minute, and nobody came to end it."""
    program = (
        "from tests.worker.test_task_child import MOST_BYTES, hang_confined, running\n"
        "with running(hang_confined) as child:\n"
        "    child.receive(most_bytes=MOST_BYTES)\n"
        "    print(child._process.pid, flush=True)\n"
        "    child.end = lambda: (_ for _ in ()).throw(KeyboardInterrupt)\n"
        "    raise KeyboardInterrupt\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == -signal.SIGINT
    pid = int(done.stdout)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the child")


def test_a_message_that_is_too_long_is_not_read() -> None:
    """It is an OSError, whatever is in it."""
    with running(too_much) as child, pytest.raises(OSError, match="bad message length"):
        child.receive(most_bytes=MOST_BYTES)
