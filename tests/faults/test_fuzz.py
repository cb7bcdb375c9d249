"""`make fuzz`: what it calls a problem, and a small run of it."""

import argparse
from typing import Any

import pytest

from streamguard.types import SessionId, StreamId
from streamguard.worker.streams import Stream, StreamSpec
from tests.faults.fuzz import Seen, main, report
from tests.faults.fuzzed_worker import Healthy

STANDING = {
    "alone": True, "rss_kib": 100 * 1024, "files": 40, "threads": 6, "processes": 7, "watching": 5, "looks": 50,
    "missed": 0, "longest_lag_s": 0.1, "reconnects": 0,
    "longest_turn_s": 0.3, "longest_start_s": 0.1,
}  # fmt: skip
ASKED = argparse.Namespace(streams=2, healthy=5)


def seen(*, ended: bool = True, restarts: dict[str, int] | None = None, **after: Any) -> Seen:  # noqa: ANN401
    """A run of two damaged streams, and how the worker stands after it."""
    lines: list[dict[str, Any]] = [
        STANDING,
        {"damaged": "ts", "name": "ts-1", "state": "ended", "restarts": {}},
        {"damaged": "flv", "name": "flv-1", "state": "blind", "restarts": restarts or {}},
        {**STANDING, "alone": False, **after},
        *([{"ended": True}] if ended else []),
    ]
    told = Seen()
    for line in lines:
        told.line(line)
    return told


def test_a_run_without_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """A table of how they ended, and 0. A decoder that crashed is told by its seed, and is what decoders are for."""
    assert report(seen(restarts={"crash": 1}), ASKED, status=0) == 0
    printed = capsys.readouterr().out
    assert "no crash of the worker, no missed look, no leak" in printed
    assert "flv-1 (crash)" in printed


@pytest.mark.parametrize(
    ("told", "status", "problem"),
    [
        (seen(), -11, "the worker ended with -11"),
        (seen(ended=False), 0, "the worker ended with 0"),
        (seen(missed=1), 0, "1 looks at healthy streams were missed"),
        (seen(reconnects=1), 0, "healthy streams had to be opened anew"),
        (seen(watching=4), 0, "4 healthy streams are watched"),
        (seen(rss_kib=200 * 1024), 0, "the worker grew by 100 MiB"),
        (seen(files=60), 0, "files: 40 before, 60 after"),
        (seen(threads=16), 0, "threads: 6 before, 16 after"),
        (seen(processes=17), 0, "processes: 7 before, 17 after"),
        (Seen(), 1, "nothing was heard of the worker"),
    ],
)
def test_each_problem_is_one(*, capsys: pytest.CaptureFixture[str], told: Seen, status: int, problem: str) -> None:
    """Said in a line of its own, and by the exit status."""
    assert report(told, ASKED, status=status) == 1
    assert f"PROBLEM: {problem}" in capsys.readouterr().out


def test_a_starved_machine_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """What was missed there is a problem all the same, for nothing was shown, but another one."""
    told = seen(missed=19)
    told.others_share = 0.83
    assert report(told, ASKED, status=0) == 1
    assert "19 looks at healthy streams were missed, on a machine of which others took 83%" in capsys.readouterr().out


def test_streams_that_were_not_run_are_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a run which tried nothing does not pass."""
    assert report(seen(), argparse.Namespace(streams=3, healthy=5), status=0) == 1
    assert "2 of 3 damaged streams were run" in capsys.readouterr().out


def test_a_look_that_was_missed_is_counted() -> None:
    """By the stream's own clock, so that a busy machine is none, and a new session is none either."""
    healthy, stream = Healthy(), Stream(StreamSpec(StreamId("healthy-0"), "rtmp://x/y", "rtmp://x/y", once=False))
    for session, media_s in (("a", 0.0), ("a", 2.0), ("a", 8.0), ("b", 100.0), ("b", 102.0)):
        stream.session_id, stream.media_s = SessionId(session), media_s
        healthy.keyframe(stream, None)
    assert (healthy.looks, healthy.missed) == (5, 2)


@pytest.mark.promise(4, "damaged streams beside a healthy one, in one worker", times=6)
def test_a_small_run(capsys: pytest.CaptureFixture[str]) -> None:
    """One healthy stream of a real nginx-rtmp, and a few damaged ones beside it: all well."""
    status = main(["--streams", "6", "--healthy", "1", "--alone", "2"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "\nts " in printed
