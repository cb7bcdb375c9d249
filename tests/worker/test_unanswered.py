"""streamguard.worker.unanswered: a kill that nobody answers to is told long before it expires."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.enforce.outbox.outbox import Outbox
from streamguard.types import KillSignal
from streamguard.worker.unanswered import PATIENCE_S, Unanswered
from tests.enforce.cutting.test_local_enforcer import a_signal
from tests.worker.conftest import Logs


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path / "outbox.sqlite") as opened:
        yield opened


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def delivered(outbox: Outbox, signal: KillSignal, *, after_s: float = 0.0) -> KillSignal:
    outbox.append(signal)
    outbox.delivered(signal.id, at_unix_s=signal.decided_unix_s + after_s, awaits_ack=True)
    return signal


def watching(outbox: Outbox, signal: KillSignal, *, held: tuple[str, ...] = ()) -> tuple[Unanswered, Clock]:
    clock = Clock(signal.decided_unix_s)
    return Unanswered(outbox, held=held, step="does it run?", clock=clock), clock


def test_it_is_told_once_and_again_when_it_is_over(outbox: Outbox, logs: Logs) -> None:
    """After ten seconds, with the next step; also while the kill is delivered again and again."""
    signal = delivered(outbox, a_signal())
    unanswered, clock = watching(outbox, signal)
    clock.now_s += PATIENCE_S - 0.1
    unanswered.look()
    assert unanswered.reason == ""
    for _ in range(3):
        clock.now_s += 25.0
        unanswered.look()
        outbox.delivered_again(signal.id, at_unix_s=clock.now_s)
        unanswered.look()
        assert unanswered.reason == (
            "1 kill without an enforcer's answer for over 10 s: not cut, perhaps; does it run?"
        )
    outbox.acknowledged(signal.id, outcome="executed")
    unanswered.look()
    assert unanswered.reason == ""
    assert [(line["event"], line["log_level"], line.get("over")) for line in logs] == [
        ("kills_unanswered", "warning", None),
        ("kills_unanswered", "info", True),
    ]
    assert logs[0]["note"] == "does it run?"


def test_a_kill_that_was_delivered_late_has_its_ten_seconds_too(outbox: Outbox) -> None:
    """Redis was away: no enforcer could have answered before it was back."""
    unanswered, clock = watching(outbox, delivered(outbox, a_signal(), after_s=60.0))
    clock.now_s += 65.0
    unanswered.look()
    assert unanswered.reason == ""
    clock.now_s += 10.0
    unanswered.look()
    assert unanswered.reason


def test_what_no_enforcer_executes_now_does_not_count(outbox: Outbox) -> None:
    """A stream that was named by its URL, and a label whose kills wait for an operator."""
    by_url = delivered(outbox, a_signal("a", server=None))
    delivered(outbox, a_signal("b"))
    unanswered, clock = watching(outbox, by_url, held=("terror",))
    clock.now_s += 60.0
    unanswered.look()
    assert unanswered.reason == ""


def test_an_outbox_that_does_not_answer_changes_nothing(outbox: Outbox) -> None:
    """Whoever delivers tells of that."""
    unanswered, clock = watching(outbox, delivered(outbox, a_signal()))
    clock.now_s += 60.0
    unanswered.look()
    before = unanswered.reason
    outbox.close()
    unanswered.look()
    assert unanswered.reason == before != ""


def test_labels_may_be_held_while_it_runs(outbox: Outbox) -> None:
    """Their kills wait for a person; what was told of them is over."""
    signal = delivered(outbox, a_signal())
    unanswered, clock = watching(outbox, signal)
    clock.now_s += PATIENCE_S + 1
    unanswered.look()
    assert unanswered.reason
    unanswered.held = frozenset({json.loads(signal.event)["data"]["label"]})
    unanswered.look()
    assert unanswered.reason == ""
