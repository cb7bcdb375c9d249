"""`streamguard calibrate`: a rule for this library that keeps a stated rate of false kills."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamguard.demo.encode import film, write_segments
from streamguard.demo.live import Broadcast, LiveServer
from streamguard.demo.scenes import Scene
from streamguard.library.changes import user
from streamguard.library.rule_file import RULE, read_rules
from streamguard.worker.calibration_state import STATE
from tests.cli.calling import Run, ended, runner, started
from tests.known_library import make_library
from tests.scenes import SIZE_PX, Clips
from tests.waiting import eventually

run = pytest.fixture(runner)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """A library that knows one clip. To be copied."""
    return make_library(tmp_path_factory.mktemp("calibrate") / "library", clips.known)


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "library"))


def plant(library: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Make the one input of the state another one, as if it had lasted for hours."""
    tree = json.loads((library / STATE).read_text())
    change(tree["watched"][0])
    (library / STATE).write_text(json.dumps(tree))


def events(scale_nats: float, *, count: int = 300) -> list[dict[str, object]]:
    nats = 4.5 + np.random.default_rng(1).exponential(scale_nats, count)
    return [{"at_s": 600.0 * number, "nats": one, "asset": "known"} for number, one in enumerate(nats.tolist())]


def test_short_footage_makes_a_rule_and_a_warning(run: Run, library: Path, clips: Clips) -> None:
    """The built-in marks, under a name of its own, with what they promise; the status says that it is not enough."""
    done = run("calibrate", "--library", library, clips.unrelated, clips.text)
    assert done.status == 1
    assert done.out.startswith("2 harmless inputs: 0.005")
    assert "kill at 12 nats: " in done.out
    assert "a perfect copy with a keyframe every 2 s is killed on keyframe 2" in done.out
    assert "are too short to support 1e-05 false kills a stream-hour" in done.err
    rules = read_rules(library)
    assert rules is not None
    assert rules.fitted is not None
    assert (rules.rule.kill_nats, rules.fitted.inputs, rules.fitted.is_supported) == (12.0, 2, False)
    assert done.out.splitlines()[-1] == f"rule {rules.rule.name}: in {library / RULE}"
    noted = run("library", "history", "--library", library, "--last", "1").out
    assert noted.endswith(f" rule: {rules.rule.name}; by {user()}\n")
    checked = run("check", "--library", library, "--json", clips.known)
    assert [one["rule"] for one in json.loads(checked.out)["decisions"]] == [rules.rule.name]
    assert "rule has" not in checked.err


def test_hours_enough_make_a_rule_that_holds(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """Near misses of a thousand hours, in the state: a higher mark, no warning, 0, and a picture of it."""
    run("calibrate", "--library", library, clips.unrelated)
    plant(library, lambda one: one.update(seconds=3.6e6, near_kills=events(1.2), near_reviews=events(0.6)))
    plot = tmp_path / "tail.png"
    done = run("calibrate", "--library", library, "--json", "--plot", plot, clips.unrelated)
    result = json.loads(done.out)
    assert (done.status, result["warnings"], result["failed"]) == (0, [], [])
    assert (result["stream_hours"], result["tail"]["kind"]) == (1000.0, "exponential")
    assert 15.0 < result["kill_nats"] < 25.0
    assert result["false_kills_per_stream_hour"]["at_most"] <= 1e-5
    assert result["written_to"] == str(library / RULE)
    assert plot.read_bytes().startswith(b"\x89PNG")
    looser = json.loads(
        run("calibrate", "--library", library, "--json", "--false-kills-per-stream-hour", 1e-3, clips.unrelated).out
    )
    assert 12.0 <= looser["kill_nats"] < result["kill_nats"]


def test_what_was_run_is_not_run_again(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """By its content, wherever it lies; another library makes it worthless."""
    copy = Path(shutil.copy(clips.unrelated, tmp_path / "copy.mp4"))
    first = run("calibrate", "--library", library, clips.unrelated, clips.unrelated, copy)
    assert "1 of 1 input" in first.err
    assert first.out.startswith("1 harmless input: ")
    again = run("calibrate", "--library", library, copy)
    assert " of " not in again.err.splitlines()[0]
    assert again.out.splitlines()[:-1] == first.out.splitlines()[:-1]
    make_library(library, clips.image)
    anew = run("calibrate", "--library", library, copy)
    assert anew.err.startswith("note: the library or StreamGuard has changed since the last run: all is run again\n")
    assert "1 of 1 input" in anew.err


def test_only_what_is_named_counts(run: Run, library: Path, clips: Clips) -> None:
    """Footage that turned out to be known is left out by not naming it."""
    run("calibrate", "--library", library, clips.unrelated, clips.recoded)
    result = json.loads(run("calibrate", "--library", library, "--json", clips.unrelated).out)
    assert (result["inputs"], result["kills"]) == (1, [])


def test_a_kill_is_named_and_not_fitted_away(run: Run, library: Path, clips: Clips) -> None:
    """No rule is written, unless somebody says that it is a false one; that the rule cannot avoid it is told."""
    done = run("calibrate", "--library", library, clips.unrelated, clips.recoded)
    assert (done.status, (library / RULE).exists()) == (1, False)
    assert f"KILLED {clips.recoded} at 2.0 s: known from " in done.out
    assert "look at each" in done.err
    assert done.out.splitlines()[-1].endswith(": not written")
    done = run("calibrate", "--library", library, "--kills-are-false", clips.unrelated, clips.recoded)
    rules = read_rules(library)
    assert done.status == 1
    assert rules is not None
    assert "this rule still kills for known on this footage" in done.err


def test_a_bad_input_costs_nothing_else(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """One line each, the rest is fitted to, and 2."""
    bad = tmp_path / "a\x1b[2J\udcff.mp4"
    shutil.copy(clips.not_a_video, bad)
    (tmp_path / "empty").mkdir()
    none = tmp_path / "none.mp4"
    done = run("calibrate", "--library", library, "--json", bad, none, tmp_path / "empty", clips.unrelated)
    result = json.loads(done.out)
    assert (done.status, result["inputs"]) == (2, 1)
    assert sorted(one["error"].partition(";")[0] for one in result["failed"])[:2] == [
        "No such file or directory", "no videos in it",
    ]  # fmt: skip
    assert len(result["failed"]) == 3
    assert "\x1b" not in done.err
    assert all(line.count("a\\x1b") <= 1 for line in done.err.splitlines())


def test_a_folder_of_good_names_and_bad(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """Every video in it, whatever bytes its name is made of; the state takes them."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(clips.unrelated, folder / "a\udcff.mp4")
    (folder / "notes.txt").write_text("no video")
    assert run("calibrate", "--library", library, folder).out.startswith("1 harmless input: ")
    assert json.loads((library / STATE).read_text())["watched"][0]["input"].endswith("a?.mp4")


def test_a_dry_run_changes_nothing(run: Run, library: Path, clips: Clips) -> None:
    """Neither rule nor state, and it says so."""
    before = sorted(path.name for path in library.iterdir())
    done = run("calibrate", "--library", library, "--dry-run", clips.unrelated)
    assert (done.status, done.out.splitlines()[-1].endswith(": not written")) == (1, True)
    assert sorted(path.name for path in library.iterdir()) == before


def test_a_state_somewhere_else(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """Where the library's directory is not to be written to; a damaged one is an error, and nothing is run."""
    state = tmp_path / "state.json"
    run("calibrate", "--library", library, "--state", state, clips.unrelated)
    assert state.exists()
    assert not (library / STATE).exists()
    state.write_text("{")
    done = run("calibrate", "--library", library, "--state", state, clips.unrelated)
    assert (done.status, done.out) == (2, "")
    assert "error: read state " in done.err
    missing = tmp_path / "nowhere" / "state.json"
    done = run("calibrate", "--library", library, "--state", missing, clips.unrelated)
    assert (done.status, done.out) == (2, "")
    assert "error: write state " in done.err


@pytest.mark.parametrize("target", ["rtmp://user:secret@127.0.0.1:1/live/x?token=secret", "srt://user:secret@host/x"])
def test_credentials_are_not_printed(run: Run, library: Path, target: str) -> None:
    """Of a stream that is not there, or of a kind that cannot be watched."""
    done = run("calibrate", "--library", library, "--seconds", 0.5, "--json", target)
    assert done.status == 2
    assert "secret" not in done.out + done.err
    assert not (library / STATE).exists()


def test_calls_that_cannot_be(run: Run, library: Path, clips: Clips) -> None:
    """No library, none at that path, no such rate: one line, and 2."""
    for arguments, word in (
        ((clips.unrelated,), "no library is named"),
        (("--library", library / "none", clips.unrelated), "no such directory"),
        (("--library", library, "--false-kills-per-stream-hour", 0, clips.unrelated), "0"),
        (("--library", library, clips.image), "no footage that lasts was watched"),
        (("--library", library, "--plot", library / "none" / "x.png", clips.unrelated), "write picture"),
    ):
        done = run("calibrate", *arguments)
        assert (done.status, done.out) == (2, ""), done
        assert word in done.err


def test_live_streams_add_up(run: Run, library: Path, tmp_path: Path) -> None:
    """Each run watches for a while, and counts what was seen before."""
    segments = write_segments(tmp_path, film(Scene(77), seconds=40.0, size_px=SIZE_PX))
    with LiveServer(Broadcast(segments, started_s=time.monotonic() - 10.0)) as server:
        first, second = (
            json.loads(run("calibrate", "--library", library, "--seconds", 5, "--json", server.url).out)
            for _ in range(2)
        )
    assert 0 < first["stream_hours"] < second["stream_hours"]
    assert second["keyframes"] > first["keyframes"]


def test_an_interruption_keeps_what_is_done(library: Path, clips: Clips, tmp_path: Path) -> None:
    """Ctrl-C: 130, no trace, no half a file, and the next run goes on from there."""
    process = started("calibrate", "--library", library, "--jobs", 1, clips.unrelated, *_many(clips, tmp_path))
    eventually((library / STATE).exists, what="the first input")
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert (done.status, done.out, done.err.splitlines()[-1]) == (130, "", "interrupted")
    watched = json.loads((library / STATE).read_text())["watched"]
    assert 1 <= len(watched) < 13
    assert not list(library.glob(".new-*"))
    assert not (library / RULE).exists()


def _many(clips: Clips, folder: Path) -> list[Path]:
    """Twelve files of other content: bytes behind the end do no harm."""
    (folder / "many").mkdir()
    paths = []
    for number in range(12):
        path = folder / "many" / f"{number:02}.mp4"
        path.write_bytes(clips.unrelated.read_bytes() + bytes([number]) * 8)
        paths.append(path)
    return paths
