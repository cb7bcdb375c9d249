"""`streamguard demo`: what it prints and how it ends, with a stream that is shorter than the real one."""

import errno
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from streamguard.cli.demo import Story, demo, last_line
from streamguard.demo.footage import DemoPlan
from streamguard.demo.show import Caught
from streamguard.errors import UsageError
from streamguard.types import (
    WHOLE_PICTURE,
    AssetId,
    Evidence,
    KillSignal,
    MediaKind,
    Place,
    SessionId,
    StreamId,
    Verdict,
    View,
)
from tests.cli.calling import invoke

OVER_TOO_SOON = DemoPlan(known_s=4.0, lead_in_s=3.0, shown_s=1.4)
DATA = {"stream": "live/demo", "reference": "talk", "label": "demo", "view": "mirrored", "nats": 15.8, "rule": "r"}
DATA |= {"at_s": 10.0, "reference_at_s": 6.44}
SIGNAL = KillSignal(
    id="sig_1",
    stream=StreamId("live/demo"),
    session=SessionId("s-1"),
    verdict=Verdict.KILL,
    event=json.dumps({"id": "sig_1", "data": DATA | {"evidence": [{}, {}]}}),
    decided_unix_s=1.0,
    expires_unix_s=301.0,
)
CAUGHT = Caught(SIGNAL, time_to_kill_s=4.24, keyframes=7, evidence=Path("demo/evidence.png"))


@pytest.fixture(autouse=True)
def _logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs are set up once a process: later tests must not log into this one's closed output."""
    monkeypatch.setattr("streamguard.cli.demo.set_up_logs", lambda _config: None)


def test_nothing_caught(tmp_path: Path) -> None:
    """A stream that is over too soon: exit 1, plain lines without a terminal, and a last line that says so."""
    result = invoke(demo, "--dir", tmp_path / "demo", obj=OVER_TOO_SOON)
    assert result.exit_code == 1, result.output
    assert result.stdout.splitlines()[-1] == "nothing was caught: the stream is over"
    assert "keyframe" in result.stdout
    assert "\x1b" not in result.output


def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    """A folder with other things in it is refused before anything is made."""
    (tmp_path / "precious").touch()
    result = invoke(demo, "--dir", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_last_line() -> None:
    """The last line is the time to kill, or one JSON object with the kill-signal in it."""
    assert last_line((CAUGHT,), as_json=False) == "time to kill: 4.2 s"
    tree = json.loads(last_line((CAUGHT,), as_json=True))
    assert (tree["caught"], tree["time_to_kill_s"], tree["signal"]["id"]) == (True, 4.24, "sig_1")
    assert json.loads(last_line((), as_json=True)) == {"caught": False}


def test_story_shows_the_kill_signal_as_it_is_sent() -> None:
    """The event stands on one line, unbroken, beside words for people and where the evidence is."""
    text = io.StringIO()
    Story(Console(file=text, width=40, soft_wrap=True)).caught(CAUGHT, outbox=Path("demo/outbox.sqlite"))
    lines = text.getvalue().splitlines()
    assert "live/demo shows talk (label demo), mirrored; 15.8 nats from 2 keyframes" in lines[0]
    assert lines[1] == SIGNAL.event
    assert "demo/evidence.png" in lines[-1]


def test_help_names_examples() -> None:
    """The help shows how it is used."""
    result = invoke(demo, "--help")
    assert result.exit_code == 0
    assert "streamguard demo --dir /tmp/demo --json" in result.output


def test_story_tells_the_best_evidence_of_a_keyframe() -> None:
    """Of several matches in one keyframe the one that is worth most is told."""
    text = io.StringIO()
    near, far = (
        Evidence(
            asset=AssetId("talk"),
            label="demo",
            kind=MediaKind.VIDEO,
            place=Place(4_000_000, 5_000_000),
            view=View.MIRRORED,
            region=WHOLE_PICTURE,
            nats=10 - bits / 8,
            distance_bits=bits,
            tells_when=True,
        )
        for bits in (8, 24)
    )
    Story(Console(file=text, width=40, soft_wrap=True)).look(2.04, stream_s=6.0, between=False, evidence=(far, near))
    line = "     2.0 s  keyframe at 6.0 s: talk at 4.5 s, mirrored, 8 of 256 bits differ, 9.0 nats\n"
    assert text.getvalue() == line


def test_story_tells_the_moments_that_the_signal_has() -> None:
    """Of matches that are worth the same the one that decisions take; and of the signal the stream's time and the
    footage's, beside the seconds since the watching began.
    """
    text = io.StringIO()
    story = Story(Console(file=text, width=40, soft_wrap=True))
    few, more = (
        Evidence(
            asset=AssetId("talk"),
            label="demo",
            kind=MediaKind.VIDEO,
            place=Place(middle_us, middle_us),
            view=View.MIRRORED,
            region=WHOLE_PICTURE,
            nats=10.0,
            distance_bits=None,
            features=features,
            tells_when=True,
        )
        for middle_us, features in ((5_120_000, 48), (6_440_000, 51))
    )
    for evidence in ((few, more), (more, few)):
        story.look(10.3, stream_s=10.0, between=False, evidence=evidence)
    story.signal(10.4, SIGNAL)
    look = "    10.3 s  keyframe at 10.0 s: talk at 6.4 s, mirrored, 51 local features agree, 10.0 nats\n"
    signal = "    10.4 s  KILL live/demo for its keyframe at 10.0 s, talk at 6.4 s: durable in the outbox\n"
    assert text.getvalue() == 2 * look + signal


def test_a_moment_that_cannot_be_told_is_no_streams_fault() -> None:
    """It is told in the supervisor's loop: the error is kept for the command, and nothing more is tried."""
    with Path("/dev/full").open("w") as full:
        story = Story(Console(file=full, soft_wrap=True))
        story.on_air(1.0)
        story.on_air(2.0)
        assert story.broken is not None
        assert story.broken.errno == errno.ENOSPC
        with pytest.raises(OSError, match="No space left"):
            full.close()


def test_a_step_is_told_at_once_without_a_terminal() -> None:
    """Whoever reads a log sees what is going on while it goes on; a terminal gets the seconds as well."""
    text = io.StringIO()
    with Story(Console(file=text)).step("Film"):
        assert text.getvalue() == "1. Film\n"
    terminal = io.StringIO()
    times_s = iter([100.0, 102.5])
    with Story(Console(file=terminal, force_terminal=True), clock=lambda: next(times_s)).step("Film"):
        pass
    assert "1. Film (2.5 s)" in terminal.getvalue()
