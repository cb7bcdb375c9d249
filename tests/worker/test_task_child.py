"""streamguard.worker.task_child: a child that tells, ends, crashes or hangs, and what its parent learns of it."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest

from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.task_child import TaskChild
from streamguard.worker.watchdog import Watchdog

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


def test_a_message_that_is_too_long_is_not_read() -> None:
    """It is an OSError, whatever is in it."""
    with running(too_much) as child, pytest.raises(OSError, match="bad message length"):
        child.receive(most_bytes=MOST_BYTES)
