"""benchmarks.cut: what is made of signals, acknowledgements and the ends of publishers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks.cut import Cut, Measured, cuts_of, tables

DECIDED_UNIX_S = 1_700_000_000.25


def kill(name: str, *, verdict: str = "kill") -> dict[str, Any]:
    time = datetime.fromtimestamp(DECIDED_UNIX_S, UTC).isoformat(timespec="milliseconds")
    return {"id": f"sig_{name}", "time": time, "data": {"verdict": verdict, "stream": f"live/{name}"}}


def ack(name: str, *, outcome: str = "executed") -> dict[str, Any]:
    timings_s = {"received": 0.004, "struck": 0.006, "dropped": 0.01, "gone": 0.03}
    return {"data": {"signal_id": f"sig_{name}", "outcome": outcome, "timings_s": timings_s}}


def test_each_step_begins_where_the_one_before_ended() -> None:
    """From the decision's own moment; reviews are passed over, and so is a second kill of one publisher."""
    signals = [("1-0", kill("a", verdict="review")), ("1700000000252-0", kill("a")), ("1700000009000-0", kill("a"))]
    (cut,) = cuts_of(signals, [("2-0", ack("a"))], {"a": DECIDED_UNIX_S + 0.04})
    assert cut.at_s == pytest.approx((0.002, 0.004, 0.006, 0.01, 0.04), abs=1e-6)
    assert cut.steps_s == pytest.approx((0.002, 0.002, 0.002, 0.004, 0.03), abs=1e-6)
    assert cut.whole_s == pytest.approx(0.04, abs=1e-6)


def test_a_publisher_that_ended_otherwise_is_no_figure() -> None:
    """By a kill that was not executed, or by none."""
    ends = {"a": DECIDED_UNIX_S + 0.04}
    with pytest.raises(SystemExit, match="a was not cut by sig_a"):
        cuts_of([("1-0", kill("a"))], [("2-0", ack("a", outcome="already_gone"))], ends)
    with pytest.raises(SystemExit, match="cut without a kill"):
        cuts_of([], [], ends)


def test_the_tables_name_the_steps() -> None:
    """In milliseconds, the slowest last."""
    cuts = tuple(Cut((0.001, 0.002, 0.003, 0.004, ended_s)) for ended_s in (0.03, 0.05, 0.04))
    text = tables([Measured("nginx-rtmp", cuts, (0.02,))])
    assert "| nginx-rtmp: decision to publisher's end | 3 | 40 ms | 50 ms | 50 ms |" in text
    assert "| nginx-rtmp: bare call | 1 | 20 ms | 20 ms | 20 ms |" in text
    assert "| list, drop | 1 ms |" in text
