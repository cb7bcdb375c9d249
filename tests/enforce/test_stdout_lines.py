"""streamguard.enforce.stdout_lines: kill-signals as JSON lines."""

import os
import threading

import pytest

from streamguard.enforce.stdout_lines import StdoutLines
from streamguard.errors import SignalsRejected
from tests.kill_signals import a_signal


def test_a_reader_that_left_is_told_and_not_a_crash() -> None:
    """A broken pipe leaves the signal in the outbox, with a next step."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        os.close(reader)
        with pytest.raises(SignalsRejected, match="standard output: closed by its reader; the outbox keeps the signal"):
            StdoutLines(stream).deliver(a_signal())
        with pytest.raises(BrokenPipeError):
            stream.close()


def test_each_line_is_there_when_deliver_returns() -> None:
    """A reader at the other end of a pipe sees the whole line at once."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as lines:
        StdoutLines(stream).deliver(a_signal())
        assert lines.readline() == f"{a_signal().event}\n"


def test_it_keeps_out_of_other_writers_lines() -> None:
    """While somebody else holds the lock of the stream, nothing is written."""
    reader, writer = os.pipe()
    lock = threading.Lock()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as lines:
        with lock:
            thread = threading.Thread(target=StdoutLines(stream, lock=lock).deliver, args=(a_signal(),))
            thread.start()
            stream.write("somebody else's\n")
        thread.join()
        assert lines.readline() == "somebody else's\n"
