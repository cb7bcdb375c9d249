"""streamguard.enforce.signals.stdout_lines: kill-signals as JSON lines."""

import io
import os
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from streamguard.enforce.signals.stdout_lines import StdoutLines, Unbuffered
from streamguard.errors import SignalsRejected
from tests.kill_signals import a_canary, a_signal


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


def test_unbuffered_text_is_whole_although_it_does_not_fit() -> None:
    """Two threads that wait for the same slow reader: no line is torn, nor in a pipe that does not block."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    stream = Unbuffered(writer)
    lines = [letter * 300_000 + "\n" for letter in "ab"]
    threads = [threading.Thread(target=stream.write, args=(line,)) for line in lines]
    with os.fdopen(reader) as read:
        for thread in threads:
            thread.start()
        assert sorted(read.readline() for _ in threads) == lines
        for thread in threads:
            thread.join()
        os.close(writer)


def test_whoever_an_unbuffered_stream_holds_up_can_be_left_behind() -> None:
    """A process whose thread is stuck in a full pipe ends well: nothing of it waits for that thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    code = (
        "import sys, threading\n"
        "from streamguard.enforce.signals.stdout_lines import Unbuffered\n"
        "out = Unbuffered(1)\n"
        "thread = threading.Thread(target=out.write, args=('x',), daemon=True)\n"
        "thread.start()\n"
        "thread.join(0.5)\n"
        "sys.stdout.flush()\n"
        "sys.exit(0 if thread.is_alive() else 1)\n"
    )
    environ = os.environ | {"PYTHONUNBUFFERED": ""}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, env=environ, timeout=30, check=False
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_canary_is_no_line() -> None:
    """Whoever reads the pipe asked for kill-signals."""
    stream = io.StringIO()
    StdoutLines(stream).deliver(a_canary())
    assert stream.getvalue() == ""
