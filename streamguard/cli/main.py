"""The `streamguard` command: finds its subcommands, and turns errors into one line and an exit status."""

import errno
import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from io import StringIO
from typing import NoReturn, TextIO

import click

from streamguard import __version__
from streamguard.cli.exits import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK
from streamguard.cli.next_steps import given_in, with_next_step
from streamguard.errors import StreamGuardError, one_line

_COMMANDS = {
    "demo": "streamguard.cli.demo:demo",
    "library": "streamguard.cli.library:library",
    "incident": "streamguard.cli.incident:incident",
    "hash": "streamguard.cli.hash:hash_",
    "check": "streamguard.cli.check:check",
    "watch": "streamguard.cli.watch:watch",
    "enforce": "streamguard.cli.enforce:enforce",
    "gate": "streamguard.cli.gate:gate",
    "streams": "streamguard.cli.streams:streams",
    "strikes": "streamguard.cli.strikes:strikes",
    "breaker": "streamguard.cli.breaker:breaker",
    "explain": "streamguard.cli.explain:explain",
    "calibrate": "streamguard.cli.calibrate:calibrate",
    "signals": "streamguard.cli.held:signals",
    "drill": "streamguard.cli.drill:drill",
    "doctor": "streamguard.cli.doctor:doctor",
    "check-config": "streamguard.cli.doctor:check_config",
}

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What only a disk or a terminal can be to blame for."""


class _LazyGroup(click.Group):
    """Imports a command when it is named: `streamguard hash` needs no FAISS, `--help` of one needs no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="streamguard")
def cli() -> None:
    """Recognise known footage on live streams, and have them cut within seconds.

    \b
    Try it:      streamguard demo
    Known:       streamguard library add --library lib --label terror clip.mp4
    Offline:     streamguard check --library lib recording.mp4
    Live:        streamguard watch --library lib rtmp://127.0.0.1/live/cam-7
    Cut:         streamguard enforce --redis redis://127.0.0.1 --key-file hmac.key --server nginx-rtmp=http://127.0.0.1:8080/control

    Exit status: 0 clear or done, 1 something was found, 2 an error.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run, and exit with what the command returns (None is 0). Errors that we know are one line on standard error;
    others are bugs, and show their trace.
    """
    # FAISS's idle threads would spin after each search, at ten times its cost; and where none can be had, OpenMP ends
    # the process with status 1, which says "something was found". Both are read when FAISS is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # NumPy asks for huge pages, and where memory is in small pieces the kernel pushes it together first: to open a
    # library of ten million looks took twice as long by it. A look-up is 14 % quicker with them. Read at its import.
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    _fill_what_is_closed()
    status = _status(arguments)
    # What cannot be written must not be tried once more at exit: that would be a trace, and the status 120.
    for stream in (sys.stdout, sys.stderr):
        if not _flushed(stream):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(EXIT_OK if status is None else status)


def _status(arguments: list[str] | None) -> int | None:
    try:
        status: int | None = cli.main(arguments, prog_name="streamguard", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        usage = StringIO()
        error.show(usage)
        _tell("\n".join(one_line(line) for line in usage.getvalue().splitlines()))
    except StreamGuardError as error:
        _tell(f"error: {with_next_step(error, given_in(sys.argv[1:] if arguments is None else arguments))}")
    except (KeyboardInterrupt, click.Abort):
        _tell("interrupted")
        return EXIT_INTERRUPTED
    except SystemExit:
        # No command exits; Click does, with 1, when the reader of our output has gone: that says "something was found".
        pass
    except BrokenPipeError:
        pass  # the reader of our output has gone (`| head`)
    except Exception as error:  # noqa: BLE001 - a bug: Python's own status is 1, and that says "something was found"
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            _tell(f"error: write {error.filename or 'output'}: {error.strerror}; is the disk full, or gone?")
        else:
            traceback.print_exc()
    else:
        return status
    return EXIT_ERROR


def _fill_what_is_closed() -> None:
    """A standard stream that the caller closed (`>&-`) leads nowhere; else the next file would take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nowhere, True)  # noqa: FBT003 - it takes no names
            setattr(sys, name, os.fdopen(nowhere, mode))


def _flushed(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return False
    return True


def _tell(text: str) -> None:
    """On standard error, if somebody reads it."""
    with suppress(OSError):
        click.echo(text, err=True)
