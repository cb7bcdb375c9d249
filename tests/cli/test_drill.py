"""`streamguard drill`: what it prints, and how it ends."""

import json
import os
import pty
import shutil
import signal
from pathlib import Path

import cv2
import pytest

from streamguard.cli.drill import _Outcome, _Said, _status
from streamguard.drill.attacks import ATTACKS
from streamguard.drill.score import Outcome, Result, Target
from streamguard.drill.targets import Skipped
from streamguard.library.rule_file import write_rules
from streamguard.library.store import Library
from streamguard.types import AssetId
from streamguard.worker.policies import BUILT_IN_NOTE
from tests.cli.calling import Done, Run, ended, runner, started
from tests.known_library import LABEL, make_library
from tests.library.fitted import fitted_rules
from tests.scenes import Clips
from tests.waiting import eventually

run = pytest.fixture(runner)
SOON = ("--limit-seconds", "8")
NOTE = f"note: {BUILT_IN_NOTE}\n"


@pytest.fixture
def library(clips: Clips, tmp_path: Path) -> Path:
    """One with copies of the known clip and of an unrelated one, which a test may spoil. Without local features."""
    copies = [Path(shutil.copy(clip, tmp_path)) for clip in (clips.known, clips.unrelated)]
    return make_library(tmp_path / "library", *copies)


def lines(done: Done) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_from_footage_to_a_report(run: Run, library: Path, tmp_path: Path) -> None:
    """A few attacks on two items: a line for each stream, a last one that sums up, a heat-map; 1, for some get
    through, or 0 where the share that is caught is good enough.
    """
    call = ("drill", "--library", library, *SOON, "--attacks", "grey,crop-50,mirror", "--json")
    done = run(*call, "--plot", tmp_path / "map.png")
    *streams, summary = lines(done)
    assert (done.status, done.err) == (1, NOTE)
    assert [(one["item"], one["attack"], one["outcome"] == "killed") for one in streams] == [
        (item, attack, is_killed)
        for item in ("known", "unrelated")
        for attack, is_killed in (("grey", True), ("crop-50", False), ("mirror", True))  # half of it may be reviewed
    ]
    assert all(one["after_s"] in (3.0, 5.0, 7.0, None) and one["onset_s"] == 7.0 for one in streams)
    assert streams[0]["reference"] == "known"
    assert (summary["streams"], summary["caught"], summary["share"], summary["false_kills"]) == (6, 4, 0.6667, 0)
    drawn = cv2.imread(str(tmp_path / "map.png"))
    assert drawn is not None
    assert drawn.shape[1] >= 1000
    good_enough = run(*call, "--item", "known", "--at-least", "0.66")
    assert (good_enough.status, lines(good_enough)[:-1]) == (0, streams[:3])


def test_for_people(run: Run, library: Path) -> None:
    """A table; 0 where all was caught."""
    done = run("drill", "--library", library, *SOON, "--attacks", "mirror", "--items", "1", "--seed", "4")
    assert (done.status, done.err) == (0, NOTE)
    head, family, mirror, total = done.out.splitlines()
    assert head.split()[:3] == ["attack", "caught", "streams"]
    assert family == "turn"
    assert mirror.split()[:3] == ["mirror", "100.0%", "1"]
    assert total.split()[:3] == ["all", "100.0%", "1"]


def test_the_rule_and_the_policy_that_count(run: Run, library: Path, tmp_path: Path) -> None:
    """Those of `check`: the library's own rule, which is named, and what the configuration allows for a label. Where
    that is never a kill, a review is as much as can be caught.
    """
    write_rules(library, fitted_rules(kill_nats=1000.0))
    call = ("drill", "--library", library, *SOON, "--attacks", "grey", "--item", "known", "--json")
    strict = run(*call)
    assert strict.err.startswith("rule: calibrated-2023-11-14-ab12cd: kill at 1000 nats, review at 9.5; fitted on ")
    assert (strict.status, lines(strict)[0]["outcome"], lines(strict)[0]["caught"]) == (1, "reviewed", False)
    config = tmp_path / "sg.toml"
    config.write_text(f"[policy.labels.{LABEL}]\nkill_nats = 12.0\n")
    assert lines(run(*call, "--config", config))[0]["outcome"] == "killed"
    config.write_text(f'[policy.labels.{LABEL}]\nverdict = "review"\n')
    mild = run(*call, "--config", config)
    assert (mild.status, lines(mild)[0]["outcome"], lines(mild)[0]["caught"]) == (0, "reviewed", True)


def test_missing_footage_is_named_and_skipped(run: Run, library: Path, tmp_path: Path) -> None:
    """What is left is attacked; that is no error unless the item was asked for. Where nothing is left, it is one."""
    (tmp_path / "unrelated.mp4").unlink()
    call = ("drill", "--library", library, *SOON, "--attacks", "grey")
    done = run(*call, "--json")
    stream, summary = lines(done)
    assert (done.status, stream["item"]) == (0, "known")
    skipped = done.err.removesuffix(NOTE)
    assert skipped.startswith(f"skipped: unrelated: {tmp_path / 'unrelated.mp4'}: No such file or directory; ")
    assert summary["skipped"] == [{"name": "unrelated", "reason": skipped.strip().removeprefix("skipped: unrelated: ")}]
    asked = run(*call, "--item", "unrelated", "--item", "known")
    assert (asked.status, asked.out.splitlines()[-1].split()[:2]) == (2, ["all", "100.0%"])
    assert asked.err.startswith("error: unrelated: ")
    (tmp_path / "known.mp4").unlink()
    nothing = run(*call)
    assert (nothing.status, nothing.out) == (2, "")
    assert nothing.err.endswith("error: drill: no footage to attack; the library keeps none: name FILEs\n")


def test_moved_footage(run: Run, library: Path, tmp_path: Path) -> None:
    """A FILE is known by its content; one that is not there or nobody's is an error beside it."""
    moved = (tmp_path / "known.mp4").rename(tmp_path / "moved.mp4")
    done = run("drill", "--library", library, *SOON, "--attacks", "grey", "--json", moved, tmp_path / "nowhere.mp4")
    assert (done.status, lines(done)[0]["item"]) == (2, "known")
    assert done.err == f"error: {tmp_path / 'nowhere.mp4'}: No such file or directory\n{NOTE}"


def test_damaged_footage_costs_itself(run: Run, library: Path, tmp_path: Path) -> None:
    """A file that is rubbish by now, of the same size: one error, 2 in the end, and the other item's streams."""
    spoilt = tmp_path / "known.mp4"
    spoilt.write_bytes(bytes(spoilt.stat().st_size))
    done = run("drill", "--library", library, *SOON, "--attacks", "grey,flip", "--json")
    broken, *streams, summary = lines(done)
    assert (done.status, done.err.removeprefix(NOTE).count("\n")) == (2, 1)
    assert (broken["item"], broken["attack"]) == ("known", None)
    assert str(spoilt) in str(broken["error"])
    assert [one["item"] for one in streams] == ["unrelated"] * 2
    assert summary["streams"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--attacks", "miror"], "no attack 'miror', did you mean mirror? `streamguard drill --list` shows all"),
        (["--item", "nobody"], "no item 'nobody' is searched"),
        (["--plot", "map.txt"], "draw map.txt: not the name of a picture"),
        (["--plot", "/nowhere/map.png"], "draw /nowhere/map.png: no such folder"),
        (["--library", "/nowhere"], "no such directory"),
        (["--limit-seconds", "0"], "limit-seconds"),
        (["--at-least", "nan"], "nan is not a number"),
    ],
)
def test_wrong_calls_cost_nothing(run: Run, library: Path, *, options: list[str], words: str) -> None:
    """One error with what was wrong, 2, before anything is made."""
    done = run("drill", "--library", library, *options)
    assert (done.status, done.out) == (2, "")
    assert words in done.err


def test_no_library_is_named(run: Run) -> None:
    """The error says how to name one."""
    done = run("drill")
    assert (done.status, done.err) == (
        2,
        "error: drill: no library is named; give --library DIR, or library.path in the config\n",
    )


def test_the_list_needs_no_library(run: Run) -> None:
    """All attacks, or some; for machines a line each."""
    assert all(attack.about in run("drill", "--list").out for attack in ATTACKS)
    some = lines(run("drill", "--list", "--json", "--attacks", "crop"))
    assert [one["attack"] for one in some] == ["crop-10", "crop-20", "crop-33", "crop-50", "crop-corner"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(library: Path, tmp_path: Path, *, number: int) -> None:  # a longer name is too long for a socket's
    """Ctrl-C or SIGTERM while streams are made: status 130, no temporary file, no process, the library as it was."""
    room = tmp_path / "room"
    room.mkdir()
    environ = os.environ | {"TMPDIR": str(room)}
    process = started("drill", "--library", library, "--seed", "9", env=environ, process_group=0)
    eventually(lambda: list(room.glob("streamguard-drill-*/*.mp4")), timeout_s=60.0, what="the first stream")
    os.killpg(process.pid, number)  # as a terminal does it: the children get it too
    done = ended(process)
    assert (done.status, done.out, done.err.removeprefix(NOTE).strip()) == (130, "", "interrupted")
    assert list(room.glob("streamguard-drill-*")) == []
    eventually(lambda: is_gone(process.pid), what="the end of all processes")
    with Library.open(library, read_only=True) as opened:
        assert opened.verify() == ()


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_of_an_archive_that_is_elsewhere_the_first_few_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Thousands of lines would hide what was asked for by name."""
    gone = [Skipped(f"item-{number}", "gone", by_name=False) for number in range(1000)]
    _Said(as_json=False).skipped([*gone, Skipped("asked", "gone\x1b[2J", by_name=True)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: asked: gone\\x1b[2J"
    assert lines[1] == "skipped: item-0: gone"
    assert (len(lines), lines[-1]) == (12, "skipped: 990 more, named in the last line of --json")


def test_the_bar_shows_how_far_it_is(library: Path) -> None:
    """On a terminal: how many streams are done; the results still go to standard output alone."""
    ours, theirs = pty.openpty()
    try:
        process = started(
            "drill", "--library", library, *SOON, "--attacks", "grey", "--json", "--item", "known", stderr=theirs
        )
        done = ended(process)
        os.set_blocking(ours, False)
        shown = os.read(ours, 100_000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.status, len(done.out.splitlines())) == (0, 2)
    assert b"of 1 streams" in shown


@pytest.mark.parametrize(
    ("outcomes", "at_least", "status"),
    [
        ([Outcome.KILLED] * 97 + [Outcome.MISSED] * 3, 0.97, 0),
        ([Outcome.KILLED] * 97 + [Outcome.MISSED] * 3, 0.98, 1),
        ([Outcome.KILLED] * 99 + [Outcome.FALSE_KILL], 0.5, 1),
        ([Outcome.REVIEWED], 1.0, 1),
        ([Outcome.MISSED], 0.0, 0),
    ],
)
def test_what_is_good_enough(outcomes: list[Outcome], *, at_least: float, status: int) -> None:
    """The share that is caught decides, but for a false kill: that is never good."""
    target = Target(AssetId("talk"), "terror", review_only=False)
    results = [Result(target, "grey", outcome, 7.0, 3.0, None) for outcome in outcomes]
    assert _status(_Outcome(results, []), [], at_least=at_least) == status
    asked = [Skipped("talk", "gone", by_name=True)]
    assert _status(_Outcome(results, []), asked, at_least=at_least) == 2
