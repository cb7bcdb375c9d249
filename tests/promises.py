"""The promises of docs/reliability.md and the tests that keep them (a pytest plugin).

    @pytest.mark.promise(1, "the worker, kill -9")                 # the promise's number, and what the test breaks
    @pytest.mark.promise(4, "damaged streams", times=200)          # how often; or record_property("times", n)

`pytest --promises` (`make promises`) runs these tests alone and prints the table: promise, what was broken, how often,
result. It fails where a promise has no test that passed, whatever the reason: what was not tried is not kept.
"""

import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

MANUAL = Path(__file__).parent.parent / "docs" / "reliability.md"
MARK = "promise"
_TITLE = re.compile(r"^## (\d+)\. (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Break:
    """What is broken on purpose for a promise, in words."""

    promise: int
    what: str


@dataclass(slots=True)
class Tally:
    """What became of one break's tests. `times`: how often those that passed or failed broke it."""

    times: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def result(self) -> str:
        if self.failed:
            return f"BROKEN in {self.failed} of {self.failed + self.passed} tests"
        if not self.passed:
            return "not tried"
        left_out = f", {self.skipped} left out" if self.skipped else ""
        return f"kept in {self.passed} {'test' if self.passed == 1 else 'tests'}{left_out}"


@dataclass(slots=True)
class Ledger:
    """All breaks, and what became of them."""

    titles: Mapping[int, str]
    tallies: dict[Break, Tally] = field(default_factory=dict)

    def note(self, breaks: Iterable[tuple[Break, int]], outcome: str) -> None:
        """A test's end: its breaks, each with how often, and pytest's word for the outcome."""
        for each, times in breaks:
            tally = self.tallies.setdefault(each, Tally())
            if outcome == "skipped":
                tally.skipped += 1
                continue
            tally.times += times
            tally.passed += outcome == "passed"
            tally.failed += outcome == "failed"

    def unkept(self) -> list[int]:
        """Promises with a test that failed, or with none that passed."""
        failed = {each.promise for each, tally in self.tallies.items() if tally.failed}
        passed = {each.promise for each, tally in self.tallies.items() if tally.passed}
        return sorted(set(self.titles) - (passed - failed))

    def table(self) -> list[str]:
        """For people."""
        lines = []
        width = max((len(each.what) for each in self.tallies), default=0)
        for number, title in sorted(self.titles.items()):
            broken = "" if number not in self.unkept() else "   <- NOT KEPT"
            lines += ["", f"{number}. {title}{broken}"]
            rows = sorted((each.what, tally) for each, tally in self.tallies.items() if each.promise == number)
            lines += [f"   {what:{width}} {tally.times:6} x  {tally.result}" for what, tally in rows] or ["   no test"]
        return lines


def titles_in(manual: str) -> dict[int, str]:
    """The promises by number, as the manual's headings have them."""
    return {int(number): title for number, title in _TITLE.findall(manual)}


def breaks_of(item: pytest.Item) -> list[tuple[Break, int]]:
    """What a test breaks for which promise, and how often."""
    counted = dict(item.user_properties).get("times")
    found = []
    for mark in item.iter_markers(MARK):
        promise, what = mark.args
        found.append((Break(promise, what), int(str(mark.kwargs.get("times", counted or 1)))))
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises", action="store_true", help="only the tests of docs/reliability.md, and their table")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--promises"):
        reporter = Reporter(Ledger(titles_in(MANUAL.read_text())), sees_all=not hasattr(config, "workerinput"))
        config.pluginmanager.register(reporter, "promises-reporter")


class Ending(Protocol):
    """pytest's session, as far as it is changed here."""

    exitstatus: int | pytest.ExitCode


class Reporter:
    """What `--promises` adds to a run. `sees_all`: no part of the tests runs in another process."""

    def __init__(self, ledger: Ledger, *, sees_all: bool = True) -> None:
        self.ledger = ledger
        self._sees_all = sees_all

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept = [item for item in items if item.get_closest_marker(MARK)]
        for item in kept:
            for each, _ in breaks_of(item):
                if each.promise not in self.ledger.titles:
                    raise pytest.UsageError(f"{item.nodeid}: docs/reliability.md has no promise {each.promise}")
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        # In the report itself, for it may be read in another process than the test ran in.
        report.user_properties.append((MARK, [[each.promise, each.what, times] for each, times in breaks_of(item)]))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A fixture that fails before or after the test breaks the promise as well.
        if report.when == "call" or not report.passed:
            found: Any = dict(report.user_properties).get(MARK, [])
            self.ledger.note([(Break(promise, what), times) for promise, what, times in found], report.outcome)

    def pytest_sessionfinish(self, session: Ending) -> None:
        if self._sees_all and self.ledger.unkept() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("promises of docs/reliability.md")
        for line in self.ledger.table():
            terminalreporter.write_line(line)
