"""streamguard.cli.logs: how log lines look, and that nothing ends because one cannot be written."""

import json
import os
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
