"""streamguard.cli.main: errors become one line and an exit status that says what it means."""

import os
import shlex
import subprocess
import sys

import click
import pytest

import streamguard
from streamguard.cli import main as module
from streamguard.cli.exits import EXIT_FOUND
from streamguard.errors import LibraryMissing, SignalsUnreachable
from tests.cli.calling import COMMAND, TIMEOUT_S, Run, ended, runner, started

run = pytest.fixture(runner)


@click.command()
@click.argument("how")
def fail(how: str) -> int:
    """Ends in the way that it is told."""
    match how:
        case "ours":
            raise LibraryMissing("open library", "lib", "there is none", hint="make one")
        case "away":
            raise SignalsUnreachable("undo signal in", "redis://127.0.0.1:1", "connection refused")
        case "bug":
            raise ZeroDivisionError("a mistake")
        case "interrupt":
            raise KeyboardInterrupt
        case "pipe":
            raise BrokenPipeError
        case "found":
            return EXIT_FOUND
    return 0


@pytest.fixture(autouse=True)
def _a_command_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._COMMANDS, "fail", f"{__name__}:fail")


@pytest.mark.parametrize(("how", "status"), [("well", 0), ("found", 1), ("interrupt", 130)])
def test_exit_statuses(run: Run, how: str, status: int) -> None:
    """What a command returns is the exit status; Ctrl-C is 130."""
    assert run("fail", how).status == status


def test_an_error_of_ours_is_one_line(run: Run) -> None:
    """On standard error, with the next step, and 2."""
    done = run("fail", "ours")
    assert (done.status, done.out, done.err) == (2, "", "error: open library lib: there is none; make one\n")


def test_a_redis_that_is_away_is_told_with_a_next_step(run: Run) -> None:
    """Whatever the command wanted of it."""
    done = run("fail", "away")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert done.err.endswith("and does it run? `streamguard doctor --redis URL` looks\n")


def test_a_bug_is_not_taken_for_a_finding(run: Run) -> None:
    """Its trace is shown, and the status is 2: Python's own, 1, means that something was found."""
    done = run("fail", "bug")
    assert done.status == 2
    assert "ZeroDivisionError: a mistake" in done.err


@pytest.mark.parametrize("arguments", [["no-such-command"], ["check"], ["watch", "--no-such-option"]])
def test_wrong_calls(run: Run, arguments: list[str]) -> None:
    """Exit 2, with the usage."""
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert "Usage: streamguard" in done.err


def test_version(run: Run) -> None:
    """Of the package."""
    assert run("--version").out == f"streamguard, version {streamguard.__version__}\n"


def test_a_reader_that_goes_away_is_no_trace() -> None:
    """`streamguard --help | head -0` says nothing."""
    reading, writing = os.pipe()
    os.close(reading)
    process = started("--help", stdout=writing)
    os.close(writing)
    done = ended(process)
    assert (done.status, done.err) == (2, "")


def _with_streams(redirections: str, *arguments: str, buffered: bool = True) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    command = f"{shlex.join([*COMMAND, *arguments])} {redirections}"
    return subprocess.run(
        ["bash", "-c", command], env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_leads_nowhere(closed: str) -> None:
    """Nothing fails because nobody listens."""
    done = _with_streams(closed, "--version")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_opened_later_does_not_take_the_number_of_a_closed_stream() -> None:
    """Else it would be written to as if it were the stream; children inherit what leads nowhere."""
    code = "import os, subprocess, sys; from streamguard.cli.main import main\n"
    code += "try: main(['--version'])\nexcept SystemExit:\n"
    code += " links = subprocess.run(['readlink', *(f'/proc/self/fd/{n}' for n in (0, 1, 2))])\n"
    code += " sys.exit([os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)] != ['/dev/null'] * 3 or links.returncode)"
    command = f"{shlex.join([sys.executable, '-c', code])} <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], timeout=TIMEOUT_S, check=False).returncode == 0


@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_cannot_be_written_is_one_line(*, buffered: bool) -> None:
    """A full disk under standard output is an error; under standard error it leaves the status as it is."""
    done = _with_streams("> /dev/full", "--version", buffered=buffered)
    line = "error: write output: No space left on device; is the disk full, or gone?\n"
    assert (done.returncode, done.stderr) == (2, line)
    for wrong in (["no-such-command"], ["check-config", "/nowhere"]):
        assert _with_streams("2> /dev/full", *wrong, buffered=buffered).returncode == 2


def test_hostile_words_of_a_call_do_not_reach_the_terminal(run: Run) -> None:
    """`streamguard hash *` may name what looks like an option."""
    assert "\x1b" not in run("hash", "--\x1b]0;x\x07").err


def test_help_loads_nothing_heavy() -> None:
    """Only the command that is called is imported."""
    code = "import sys\nfrom streamguard.cli.main import main\ntry: main(['--version'])\nfinally: print(*sys.modules)"
    done = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert not {"av", "faiss", "cv2", "redis", "sqlite3", "numpy"} & set(done.stdout.split())


def test_python_m() -> None:
    """`python -m streamguard` is the same command."""
    done = ended(started("--version"))
    assert (done.status, done.out) == (0, f"streamguard, version {streamguard.__version__}\n")


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [("OMP_WAIT_POLICY", "PASSIVE", "ACTIVE"), ("OMP_NUM_THREADS", "1", "3"), ("NUMPY_MADVISE_HUGEPAGE", "0", "1")],
)
def test_libraries_are_told_what_to_leave_to_us(name: str, ours: str, theirs: str) -> None:
    """A command finds each set before FAISS and NumPy are imported, unless the operator set it: idle threads that spin,
    threads of their own, memory that is pushed together first.
    """
    code = "import os, sys; from streamguard.cli.main import main; early = {'faiss', 'numpy'} & set(sys.modules)\n"
    code += f"try: main(['--version'])\nexcept SystemExit: print(os.environ['{name}'], *early)"
    bare = {key: value for key, value in os.environ.items() if key != name}
    for given, expected in (({}, ours), ({name: theirs}, theirs)):
        command = (sys.executable, "-c", code)
        done = subprocess.run(command, env=bare | given, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == expected
