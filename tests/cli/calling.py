"""Calling `streamguard` from tests: in this process where it returns, as a process where signals and pipes matter;
or one of its commands alone, where its errors are looked at as they are raised.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click
import pytest
import structlog
from click.testing import CliRunner, Result

from streamguard.cli.main import main

COMMAND = (sys.executable, "-m", "streamguard")
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended, and all that it printed."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


def runner(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """For a fixture: `run("check", "--library", lib, file)` is what main() makes of it."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield run
    # Logs are set up once a process, and so are its signals, but this one goes on.
    structlog.reset_defaults()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def invoke(command: click.Command, *arguments: object, text: str | None = None, obj: object = None) -> Result:
    """One command, with `text` as its standard input. What it returns is its status, as main() has it."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(command, words, input=text, obj=obj, standalone_mode=False)
    if result.exception is None:
        result.exit_code = result.return_value or 0
    return result


def started(*arguments: object, **options: object) -> "subprocess.Popen[str]":
    """A process, with pipes unless options say otherwise."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    command = [*COMMAND, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, text=True, **(pipes | options))  # type: ignore[call-overload,no-any-return]


def ended(process: "subprocess.Popen[str]", *, timeout_s: float = TIMEOUT_S) -> Done:
    """Waits for its end; kills it where that does not come."""
    with process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
    return Done(process.returncode, out, err)
