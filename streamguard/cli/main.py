"""The `streamguard` command: finds its subcommands, and turns errors into one line and an exit status."""

import os
import sys
import traceback
from importlib import import_module
from typing import Any, NoReturn

import click

from streamguard import __version__
from streamguard.cli.exits import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK
from streamguard.errors import StreamGuardError

_COMMANDS = {
    "demo": "streamguard.cli.demo:demo",
    "library": "streamguard.cli.library:library",
    "hash": "streamguard.cli.hash:hash_",
    "check": "streamguard.cli.check:check",
    "watch": "streamguard.cli.watch:watch",
    "signals": "streamguard.cli.signals:signals",
    "doctor": "streamguard.cli.doctor:doctor",
    "check-config": "streamguard.cli.doctor:check_config",
}


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
    r"""Recognise known footage on live streams, and have them cut within seconds.

    \b
    Try it:      streamguard demo
    Known:       streamguard library add --library lib --label terror clip.mp4
    Offline:     streamguard check --library lib recording.mp4
    Live:        streamguard watch --library lib rtmp://127.0.0.1/live/cam-7

    Exit status: 0 clear or done, 1 something was found, 2 an error.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run, and exit with what the command returns (None is 0). Errors that we know are one line on standard error;
    others are bugs, and show their trace.
    """
    # FAISS's idle threads would spin after each search, at ten times its cost. It is read when FAISS is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        status: Any = cli.main(arguments, prog_name="streamguard", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        status = EXIT_ERROR
    except StreamGuardError as error:
        click.echo(f"error: {error}", err=True)
        status = EXIT_ERROR
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        status = EXIT_INTERRUPTED
    except SystemExit:
        # No command exits; Click does, with 1, when the reader of our output has gone: that says "something was found".
        status = EXIT_ERROR
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); a closed stdout must not complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_ERROR
    except Exception:  # noqa: BLE001 - a bug: Python's own status for it is 1, and that says "something was found"
        traceback.print_exc()
        status = EXIT_ERROR
    sys.exit(EXIT_OK if status is None else status)
