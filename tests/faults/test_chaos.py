"""tests.faults.chaos: what a run with kills is judged by. The run itself is `make chaos`."""

import json
import math
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from streamguard.enforce.outbox.outbox import Outbox
from tests.faults.chaos import main
from tests.faults.chaos_figures import Held, Loss, Seen, StateLine, problems, quantile, report, takeovers_s
from tests.faults.chaos_records import enforced_sessions, signals_in
from tests.kill_signals import NOW_UNIX_S, a_signal

FLAT = [Held(100.0, 50, 20, 40)] * 9


def a_good_run() -> Seen:
    """One worker killed, one kill executed, all as it should be."""
    return Seen(
        killed=Counter({"worker": 1}),
        losses=[Loss("first-0", 100.0, frozenset({"a", "b"}))],
        states=[
            StateLine("first-0", "a", "watching", 90.0), StateLine("first-0", "b", "watching", 90.0),
            StateLine("second-1", "b", "watching", 95.0), StateLine("second-1", "a", "connecting", 105.0),
            StateLine("second-1", "a", "watching", 106.5),
        ],
        ended={"first-0": 100.0}, held=FLAT, said={"s1"}, kept={"s1": "executed"}, kills={"s1"},
        cuts=Counter({"nginx-7": 1}), innocent_before={"a": "nginx-1"}, innocent_after={"a": "nginx-1"}, on_air_s=[6.0],
    )  # fmt: skip


def test_a_run_in_which_all_held() -> None:
    """Its figures are shown, and no problem."""
    shown = report(a_good_run())
    assert list(problems(a_good_run())) == []
    assert shown[0] == "killed: 1 (worker 1)"
    assert "takeover of a stream: 2 times, p50 0.0 s, p99 6.5 s, at most 6.5 s" in shown
    assert shown[-1] == "nothing lost, nothing cut twice, nothing grew"


def test_a_takeover_is_another_workers_first_look() -> None:
    """Who sees it already has taken nothing over; the dead one's own looks, before or after, and those of one that was
    dead before it, count for nothing.
    """
    seen = a_good_run()
    assert takeovers_s(seen) == [6.5, 0.0]
    seen.ended["second-1"] = 99.0
    assert takeovers_s(seen) == [math.inf, math.inf]
    seen = a_good_run()
    seen.states.append(StateLine("second-1", "b", "stalled", 99.0))
    assert takeovers_s(seen) == [6.5, math.inf]
    seen.states.append(StateLine("first-0", "b", "watching", 103.0))
    seen.states.append(StateLine("first-2", "b", "watching", 112.0))
    assert takeovers_s(seen) == [6.5, 12.0]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"kept": {"s1": "executed"}, "said": {"s1", "s2"}}, "1 acknowledged detections are in no outbox: s2"),
        ({"kept": {"s1": None}}, "1 kills were not executed ({'None': 1}): s1"),
        ({"kept": {"s1": "failed"}}, "1 kills were not executed ({'failed': 1}): s1"),
        ({"kills": set()}, "nothing was decided: the run shows nothing"),
        ({"cuts": Counter({"nginx-7": 2})}, "1 sessions were cut twice: nginx-7"),
        ({"innocent_after": {"a": "nginx-9"}}, "1 innocent publishers are gone: a"),
        ({"innocent_after": {}}, "1 innocent publishers are gone: a"),
        (
            {"losses": [Loss("first-0", 100.0, frozenset())]},
            "no worker that was struck watched anything: of takeovers the run shows nothing",
        ),
        ({"held": FLAT[:2]}, "what workers hold was looked at 2 times: of growth the run shows nothing"),
        ({"states": []}, "takeovers took inf s (p99), inf s at most"),
        ({"held": [*FLAT[:6], *[Held(160.0, 50, 20, 40)] * 3]}, "mib: 100 in the first third, 160 in the last"),
        ({"held": [*FLAT[:6], *[Held(100.0, 80, 20, 40)] * 3]}, "files: 50 in the first third, 80 in the last"),
        ({"held": [*FLAT[:6], *[Held(100.0, 50, 30, 40)] * 3]}, "threads: 20 in the first third, 30 in the last"),
    ],
)
def test_each_problem_is_one(broken: dict[str, object], says: str) -> None:
    """And is told with the figures."""
    seen = a_good_run()
    for name, value in broken.items():
        setattr(seen, name, value)
    assert list(problems(seen)) == [says]
    assert f"PROBLEM: {says}" in report(seen)


def test_quantiles() -> None:
    """What so large a share is not above."""
    values = [float(number) for number in range(1, 101)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([3.0], 0.99)) == (50.0, 99.0, 3.0)
    assert math.isnan(quantile([], 0.5))


def test_an_outbox_is_read_beside_its_worker(tmp_path: Path) -> None:
    """What is pending, delivered and answered to; a kill is settled with its answer."""
    path = tmp_path / "o.sqlite"
    with Outbox.open(path) as outbox:
        for number in range(3):
            outbox.append(a_signal(number))
        for number in (0, 1):
            outbox.delivered(a_signal(number).id, at_unix_s=NOW_UNIX_S, awaits_ack=True)
        outbox.acknowledged(a_signal(0).id, outcome="executed")
        rows = signals_in(path)
    assert [(row.id, row.is_kill, row.answer, row.is_settled) for row in rows] == [
        (a_signal(0).id, True, "executed", True),
        (a_signal(1).id, True, None, False),
        (a_signal(2).id, True, None, False),
    ]


def test_cuts_are_counted_by_the_enforcers_word(tmp_path: Path) -> None:
    """Only what was executed; lines of another kind, and what a dying process left half written, are none."""
    lines: list[dict[str, str]] = [
        {"event": "enforced", "outcome": "executed", "session_id": "nginx-1"},
        {"event": "enforced", "outcome": "already_gone", "session_id": "nginx-1"},
        {"event": "enforced", "outcome": "executed", "session_id": "nginx-1"}, {"event": "media_server"},
    ]  # fmt: skip
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + 'not ours\n{"event": "enfo')
    assert list(enforced_sessions(log)) == ["nginx-1", "nginx-1"]


def test_an_outbox_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Nothing read is not nothing lost."""
    with pytest.raises(sqlite3.OperationalError):
        signals_in(tmp_path / "none.sqlite")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_small_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Eight streams, and each kind of kill once, with real servers: all holds."""
    status = main(["--streams", "8", "--minutes", "2.1", "--every", "18"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert printed.startswith("killed: 6 ")
