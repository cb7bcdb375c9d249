"""streamguard.cli.logs: how log lines look, and that nothing ends because one cannot be written."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from streamguard.cli.logs import set_up_logs
from streamguard.config import LogConfig

log = structlog.get_logger()


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def _a_fault() -> None:
    url = "rtmp://user:secret@host/live"
    try:
        {0: url}[1]
    except KeyError:
        log.exception("stream_fault", stream="cam-7")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line on standard error: event, level, time and keys."""
    set_up_logs(LogConfig(format="json"))
    log.info("serving", url="http://127.0.0.1:9464")
    log.debug("not asked for")
    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == ""
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "serving", "level": "info", "url": "http://127.0.0.1:9464"}


@pytest.mark.parametrize("style", ["json", "text"])
def test_traces_show_no_variables(capsys: pytest.CaptureFixture[str], style: Literal["json", "text"]) -> None:
    """They hold URLs, and those hold passwords."""
    set_up_logs(LogConfig(format=style))
    _a_fault()
    err = capsys.readouterr().err
    assert "KeyError" in err
    assert "secret" not in err


@pytest.mark.parametrize("style", ["json", "text"])
def test_names_steer_nothing(capsys: pytest.CaptureFixture[str], style: Literal["json", "text"]) -> None:
    """Whatever a stream, a label or a server's word holds: one line, without control and format characters."""
    set_up_logs(LogConfig(format=style))
    log.warning("signal", stream="cam\x9b2J\u202e", label="a\nb\x1b[31m")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert not set(line) & set("\x9b\u202e\x1b")
    assert "cam" in line


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is as grave as asked for."""
    set_up_logs(LogConfig(level="error"))
    log.warning("no")
    log.critical("yes")
    assert "no" not in capsys.readouterr().err.replace("not", "")


def test_logs_that_cannot_be_written_end_nothing() -> None:
    """The reader of standard error has gone: the program goes on, and its exit status is its own."""
    code = (
        "import sys, structlog\n"
        "from streamguard.cli.logs import set_up_logs\n"
        "from streamguard.config import LogConfig\n"
        "set_up_logs(LogConfig())\n"
        "for n in range(3000): structlog.get_logger().info('line', n=n)\n"
        "print('went on')\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writing, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stdout) == (0, b"went on\n")


FLOOD = """
import structlog, sys
from streamguard.cli.logs import set_up_logs
from streamguard.config import LogConfig
set_up_logs(LogConfig(format=sys.argv[1]))
log = structlog.get_logger()
for n in range(300):
    log.info("line", n=n, text="x" * 3000)
print("went on", flush=True)
sys.stdin.readline()
log.info("last")
"""


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_reader_that_stands_still_holds_nobody_up(style: str) -> None:
    """Lines are left out, and counted once it reads again; each that it gets is one line."""
    with subprocess.Popen(
        [sys.executable, "-c", FLOOD, style], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as flood:
        assert flood.stdin is not None
        assert flood.stdout is not None
        assert flood.stderr is not None
        assert flood.stdout.readline() == b"went on\n"
        read = os.read(flood.stderr.fileno(), 1 << 20)
        flood.stdin.write(b"\n")
        flood.stdin.close()
        lines = (read + flood.stderr.read()).decode().splitlines()
        assert flood.wait(60) == 0
    *before, told, last = lines
    assert "log_lines_left_out" in told
    assert "last" in last
    # The last one before it may be cut short, and is one of those left out.
    whole = [line for line in before if "x" * 3000 in line]
    assert len(before) - len(whole) <= 1
    counted = json.loads(told)["count"] if style == "json" else int(told.rpartition("=")[2])
    assert counted == 300 - len(whole)


def test_a_slow_reader_holds_nobody_up_either() -> None:
    """It is waited for now and then, and not for each line, nor for each piece of a long one."""
    flood = FLOOD.replace("range(300)", "range(500)")
    with subprocess.Popen(
        [sys.executable, "-c", flood, "json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as flooding:
        assert flooding.stdin is not None
        assert flooding.stdout is not None
        assert flooding.stderr is not None
        read_bytes = 0
        while not select.select([flooding.stdout], [], [], 0.05)[0]:
            if select.select([flooding.stderr], [], [], 0.0)[0]:
                read_bytes += len(os.read(flooding.stderr.fileno(), 4096))
        flooding.stdin.close()
        flooding.stderr.read()
        assert flooding.wait(60) == 0
    assert read_bytes < 500 * 3000 // 4
