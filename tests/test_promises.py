"""tests.promises: the table says what was broken and what became of it, and nothing is kept that was not tried."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.promises import MANUAL, Break, Ledger, Reporter, titles_in

TOP = Path(__file__).parent.parent
ALL = frozenset(range(1, 9))
WORKER, DISK, SEEN = Break(1, "the worker, kill -9"), Break(1, "a full disk"), Break(2, "a freeze")
TITLES = {1: "Nothing is lost.", 2: "Streams are watched again."}


@dataclass
class FakeSession:
    """As much of pytest's as the reporter sees."""

    exitstatus: int | pytest.ExitCode


def test_the_manual_makes_eight_promises() -> None:
    """Numbered as people name them."""
    assert set(titles_in(MANUAL.read_text())) == ALL


def test_each_promise_has_a_test() -> None:
    """By its mark; `make promises` would fail otherwise, and not everybody runs it."""
    numbers = {
        int(number)
        for path in (TOP / "tests").rglob("test_*.py")
        if path != Path(__file__)
        for number in re.findall(r"mark\.promise\(\s*(\d+),", path.read_text())
    }
    assert numbers == ALL


def test_the_table_says_what_was_broken_how_often_and_the_result() -> None:
    """Tests of one break are one row; both promises are kept."""
    ledger = Ledger(TITLES)
    ledger.note([(WORKER, 1)], "passed")
    ledger.note([(WORKER, 40), (SEEN, 1)], "passed")
    ledger.note([(WORKER, 1)], "skipped")
    rows = [" ".join(line.split()) for line in ledger.table()]
    assert rows == [
        "", "1. Nothing is lost.", "the worker, kill -9 41 x kept in 2 tests, 1 left out",
        "", "2. Streams are watched again.", "a freeze 1 x kept in 1 test",
    ]  # fmt: skip
    assert ledger.unkept() == []


def test_one_failure_breaks_a_promise() -> None:
    """However many others pass."""
    ledger = Ledger(TITLES)
    for each, outcome in ((WORKER, "passed"), (DISK, "failed"), (DISK, "passed"), (SEEN, "passed")):
        ledger.note([(each, 1)], outcome)
    assert ledger.unkept() == [1]
    assert "a full disk 2 x BROKEN in 1 of 2 tests" in [" ".join(line.split()) for line in ledger.table()]


def test_what_was_not_tried_is_not_kept() -> None:
    """Whether there is no test, or all of them were skipped."""
    ledger = Ledger(TITLES)
    ledger.note([(WORKER, 1)], "skipped")
    assert ledger.unkept() == [1, 2]
    assert [" ".join(line.split()) for line in ledger.table()][2:] == [
        "the worker, kill -9 0 x not tried", "", "2. Streams are watched again. <- NOT KEPT", "no test",
    ]  # fmt: skip


def test_a_run_fails_unless_all_are_kept(tmp_path: Path) -> None:
    """A real run of pytest: of the eight one is kept, one broken, one skipped; a test of none of them is left out."""
    marked = '@pytest.mark.promise({number}, "thing {number}", times=7)\ndef test_{number}():\n    {body}\n'
    bodies = {3: "pass", 4: "assert False", 5: "pytest.skip('no server here')"}
    tests = [marked.format(number=number, body=body) for number, body in bodies.items()]
    (tmp_path / "test_it.py").write_text("\n".join(["import pytest", *tests, "def test_other():\n    pass\n"]))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = promise: as in the project\naddopts = --strict-markers\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.promises", "--promises", "--rootdir", str(tmp_path)]
    command += ["-c", str(tmp_path / "pytest.ini"), str(tmp_path)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "1 deselected" in done.stdout
    rows = [" ".join(line.split()) for line in done.stdout.splitlines() if line.startswith("   thing")]
    assert rows == ["thing 3 7 x kept in 1 test", "thing 4 7 x BROKEN in 1 of 1 tests", "thing 5 0 x not tried"]
    assert done.stdout.count("NOT KEPT") == len(ALL) - 1


def test_a_run_fails_for_a_promise_without_a_test() -> None:
    """Although no test of it fails."""
    reporter = Reporter(Ledger(TITLES))
    session = FakeSession(pytest.ExitCode.OK)
    reporter.ledger.note([(WORKER, 1)], "passed")
    reporter.pytest_sessionfinish(session)
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED
    reporter.ledger.note([(SEEN, 1)], "passed")
    session.exitstatus = pytest.ExitCode.OK
    reporter.pytest_sessionfinish(session)
    assert session.exitstatus == pytest.ExitCode.OK
