"""streamguard.enforce.signals.line_printer: who hands a line in goes on, whoever reads."""

import io
import threading
import time

import pytest

from streamguard.enforce.signals import line_printer
from streamguard.enforce.signals.line_printer import LinePrinter
from streamguard.errors import SignalsRejected


class Stuck(io.StringIO):
    """Nobody reads, until somebody does."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Event()

    def write(self, text: str) -> int:
        self.reads.wait(10)
        return super().write(text)


def test_lines_are_written_in_order() -> None:
    """And are there when they were waited for."""
    stream = io.StringIO()
    printer = LinePrinter(stream)
    lines = [printer.hand_in(str(number)) for number in range(20)]
    printer.wait(lines[-1])
    assert stream.getvalue().split() == [str(number) for number in range(20)]


def test_a_reader_that_is_stuck_costs_a_moment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wait ends after a while, the others at once; nothing is lost when it reads again, but what was too
    much.
    """
    monkeypatch.setattr(line_printer, "PATIENCE_S", 0.1)
    monkeypatch.setattr(line_printer, "MOST_WAITING", 50)
    stream = Stuck()
    printer = LinePrinter(stream)
    began_s = time.monotonic()
    lines = [printer.hand_in(str(number)) for number in range(100)]
    for line in lines:
        printer.wait(line)
    printer.close()
    assert time.monotonic() - began_s < 2
    left_out = printer.left_out
    assert left_out in {49, 50}, "one of them the thread may have taken before the queue was full"
    stream.reads.set()
    assert lines[99 - left_out].is_written.wait(10)
    last = printer.hand_in("last")
    assert last.is_written.wait(10)
    assert stream.getvalue().split() == [*(str(number) for number in range(100 - left_out)), "last"]


def test_a_reader_that_is_gone_is_told() -> None:
    """Each time."""
    stream = io.StringIO()
    printer = LinePrinter(stream)
    stream.close()
    for _ in range(2):
        with pytest.raises(SignalsRejected, match="closed by its reader; streams are cut all the same"):
            printer.wait(printer.hand_in("line"))
    printer.close()
