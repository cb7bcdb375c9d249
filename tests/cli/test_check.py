"""`streamguard check`: the same pipeline as `watch`, offline."""

import json
import os
import pty
import resource
import shutil
from pathlib import Path

import pytest

from streamguard.demo.encode import Encoding, read_video, write_video
from streamguard.demo.scenes import Scene
from streamguard.library.loading import load_snapshot
from streamguard.library.rule_file import RULE, write_rules
from streamguard.worker.policies import BUILT_IN_NOTE
from tests.cli.calling import TIMEOUT_S, Run, ended, runner, started
from tests.known_library import LABEL, make_library
from tests.library.fitted import fitted_rules
from tests.scenes import Clips

run = pytest.fixture(runner)

NOTE = f"note: {BUILT_IN_NOTE}\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """One with the known clip and the known image. Read-only."""
    return make_library(tmp_path_factory.mktemp("check") / "library", clips.known, clips.image)


def test_json_is_one_line_a_file_in_order(run: Run, library: Path, clips: Clips) -> None:
    """In the shape that scripts rely on; what cannot be read is a line with its error, and 2 in the end."""
    missing = clips.folder / "missing.mp4"
    inputs = [clips.disguised, clips.not_a_video, clips.unrelated, missing, clips.disguised]
    done = run("check", "--library", library, "--json", "--jobs", "3", *inputs)
    assert (done.status, done.err) == (2, NOTE)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["input"] for line in lines] == [str(path) for path in inputs]
    found, text, clear, nowhere, again = lines
    assert list(found) == ["input", "seconds", "keyframes", "verdict", "decisions"]
    assert (found["seconds"], found["keyframes"], found["verdict"]) == (pytest.approx(12, abs=0.1), 6, "kill")
    *reviews, decision = found["decisions"]  # a review may come first
    assert [one["verdict"] for one in reviews] in ([], ["review"])
    at_s = decision.pop("at_s")
    assert at_s == pytest.approx(2 + 2 * len(reviews), abs=0.1)
    assert decision.pop("reference_at_s") == pytest.approx(at_s, abs=0.6)
    assert decision.pop("nats") >= 13
    assert decision.pop("rule")
    # It fills the picture; its own top left stands at the top right.
    corners = ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    assert decision.pop("region") == [pytest.approx(corner, abs=0.02) for corner in corners]
    assert decision == {
        "verdict": "kill", "reference": "known", "label": LABEL, "view": "mirrored",
        "library_version": load_snapshot(library).version,
    }  # fmt: skip
    assert again == lines[0] | {"decisions": again["decisions"]}
    assert len(again["decisions"]) == len(reviews) + 1
    assert (clear["verdict"], clear["decisions"], clear["keyframes"]) == ("clear", [], 6)
    assert "no audio or video" in text.pop("error")
    assert text == {"input": str(clips.not_a_video), "seconds": 0, "keyframes": 0, "decisions": []}
    assert "no such file" in nowhere["error"]
    assert "verdict" not in nowhere


def test_what_was_found_counts_although_the_rest_cannot_be_watched(
    run: Run, library: Path, clips: Clips, *, tmp_path: Path
) -> None:
    """Known footage, then 40 s without a keyframe: a verdict and an error in one line, and 2 in the end."""
    seen = write_video(tmp_path / "seen.ts", read_video(clips.known))
    still = [Scene(7).frame(0.0, width_px=320, height_px=180)] * 80
    unseen = write_video(tmp_path / "unseen.ts", still, Encoding(fps=2.0, gop_s=100.0))
    both = tmp_path / "both.ts"
    both.write_bytes(seen.read_bytes() + unseen.read_bytes())
    done = run("check", "--library", library, "--json", both)
    result = json.loads(done.out)
    assert (done.status, result["verdict"], len(result["decisions"])) == (2, "kill", 1)
    assert "no keyframe for 30 s" in result["error"]


def test_one_keyframe_that_matches_is_undecided(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """It was watched whole, so that is no failure to read it; but it is not clear either: 2, and what it looks like."""
    frames = list(read_video(clips.known))
    short = write_video(tmp_path / "short.mp4", frames[len(frames) // 2 :][:8])
    done = run("check", "--library", library, "--json", short)
    result = json.loads(done.out)
    assert (done.status, result["keyframes"], result["looks_like"], result["decisions"]) == (2, 1, "known", [])
    assert "verdict" not in result
    done = run("check", "--library", library, short)
    words = (
        "undecided: it looks like known, but a decision takes 2 keyframes and it holds 1; a person should look at it"
    )
    assert (done.status, done.out) == (2, f"{short}: {words}\n")


@pytest.mark.parametrize(("name", "status"), [("unrelated", 0), ("held_image", 1), ("black", 0)])
def test_exit_statuses(run: Run, library: Path, *, clips: Clips, name: str, status: int) -> None:
    """0 all clear, 1 something was found."""
    assert run("check", "--library", library, getattr(clips, name)).status == status


def test_for_people(run: Run, library: Path, clips: Clips) -> None:
    """A line for each file, and one for each decision."""
    done = run("check", "--library", library, clips.known, clips.not_a_video)
    assert done.status == 2
    verdict, decision, error = done.out.splitlines()
    assert verdict.startswith(f"{clips.known}: kill (6 keyframes, 12")
    assert decision.startswith("  kill at 2.0 s: known [terror] from ")
    assert error.startswith(f"{clips.not_a_video}: error: ")
    missing = clips.folder / "missing.mp4"
    assert run("check", "--library", library, missing).out == f"{missing}: error: open: no such file; check the path\n"
    one = write_video(clips.folder / "one.mp4", list(read_video(clips.unrelated))[:8])
    assert run("check", "--library", library, one).out.startswith(f"{one}: clear (1 keyframe, 0.3")


def test_names_do_not_drive_the_terminal(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """Control characters, and bytes that are no text, are printed as numbers; JSON has them as they are."""
    bad = tmp_path / "a\x1b[2J\udcff.mp4"
    shutil.copy(clips.unrelated, bad)
    done = run("check", "--library", library, bad)
    assert (done.status, "\x1b" in done.out) == (0, False), done.err
    assert "a\\x1b[2J\\xdcff.mp4: clear" in done.out
    (line,) = run("check", "--library", library, "--json", bad).out.splitlines()
    assert json.loads(line)["input"] == str(bad)


@pytest.mark.parametrize("target", ["rtmp://user:secret@127.0.0.1:1/live/x?token=secret", "srt://user:secret@host/x"])
def test_credentials_are_not_printed(run: Run, library: Path, target: str) -> None:
    """A stream may be checked as well, once; its URL is shown without them."""
    done = run("check", "--library", library, "--json", target)
    assert done.status == 2
    assert "secret" not in done.out + done.err
    assert json.loads(done.out)["input"] == target.partition("?")[0].replace("user:secret@", "")


def test_a_url_in_a_riddle_is_refused(run: Run, library: Path) -> None:
    """Before anything is looked at, and without showing it."""
    done = run("check", "--library", library, "cam 1=rtmp://user:secret@host/live")
    assert (done.status, done.out) == (2, "")
    assert "secret" not in done.err


def test_libraries_that_cannot_be_used(run: Run, tmp_path: Path, clips: Clips) -> None:
    """None there, nothing in it, made by a newer StreamGuard, cut short: one line each, and 2."""
    newer = make_library(tmp_path / "newer", clips.image)
    current = json.loads((newer / "current.json").read_text())
    (newer / "current.json").write_text(json.dumps(current | {"format": 99}))
    cut = make_library(tmp_path / "cut", clips.image)
    (index,) = cut.glob("segments/*/pdq.faiss")
    index.write_bytes(index.read_bytes()[:-5])
    make_library(tmp_path / "empty")
    words = {"none": "no such directory", "empty": "library add", "newer": "newer", "cut": "pdq.faiss"}
    for name, word in words.items():
        done = run("check", "--library", tmp_path / name, clips.image)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1), done
        assert done.err.startswith("error: ")
        assert word in done.err, done.err


def test_an_unknown_key_in_the_config(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """Its path, and what was probably meant."""
    (tmp_path / "sg.toml").write_text("[ingest]\nmax_pixel = 1\n")
    done = run("check", "--library", library, "--config", tmp_path / "sg.toml", clips.known)
    assert done.status == 2
    assert "ingest.max_pixel: unknown key, did you mean max_pixels?" in done.err


def test_the_policy_of_the_config_counts(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """The verdict is the one after it; something was found all the same."""
    (tmp_path / "sg.toml").write_text(f'[policy.labels.{LABEL}]\nverdict = "review"\n')
    done = run("check", "--library", library, "--config", tmp_path / "sg.toml", "--json", clips.known)
    result = json.loads(done.out)
    assert (done.status, result["verdict"]) == (1, "review")
    assert [decision["verdict"] for decision in result["decisions"]] == ["review"]
    (tmp_path / "sg.toml").write_text('[policy]\ntime_blind = "kill"\nverdict = "limit"\n')
    done = run("check", "--library", library, "--config", tmp_path / "sg.toml", "--json", clips.known, clips.unrelated)
    assert [json.loads(line)["verdict"] for line in done.out.splitlines()] == ["limit", "clear"]


def test_the_rule_of_the_library_counts(run: Run, clips: Clips, tmp_path: Path) -> None:
    """It is named by each decision, and nothing is said of a built-in one; damaged, nothing is checked."""
    library = make_library(tmp_path / "library", clips.known)
    write_rules(library, fitted_rules(kill_nats=25.0, name="calibrated-1"))
    done = run("check", "--library", library, "--json", clips.known)
    named = [(one["verdict"], one["rule"]) for one in json.loads(done.out)["decisions"]]
    assert (done.status, done.err) == (1, "")
    assert named == [("review", "calibrated-1"), ("kill", "calibrated-1")]
    (library / RULE).write_text("{")
    done = run("check", "--library", library, clips.known)
    assert (done.status, done.out) == (2, "")
    assert f"error: read rule {library / RULE}: " in done.err


def test_limits_of_the_config_count(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """A picture that is larger than allowed is an error, never clear."""
    (tmp_path / "sg.toml").write_text("[ingest]\nmax_pixels = 4096\n")
    done = run("check", "--library", library, "--config", tmp_path / "sg.toml", "--json", clips.known)
    assert done.status == 2
    assert "larger than ingest.max_pixels" in json.loads(done.out)["error"]


def test_results_go_to_standard_output_while_the_bar_goes_to_the_terminal(library: Path, clips: Clips) -> None:
    """`check --json ... > results` on a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = started("check", "--library", library, "--json", clips.known, stderr=theirs)
        done = ended(process)
        os.set_blocking(ours, False)
        shown = os.read(ours, 100_000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert json.loads(done.out)["verdict"] == "kill"
    assert b"checking" in shown
    assert b"verdict" not in shown


def test_a_full_disk_under_the_results_is_one_line(library: Path, clips: Clips) -> None:
    """`check FILE... > results`, with no room for them: no trace, no fault of a stream, and 2."""
    with Path("/dev/full").open("w") as full:
        process = started("check", "--library", library, clips.unrelated, clips.known, stdout=full)
        done = ended(process)
    error = "error: write output: No space left on device; is the disk full, or gone?\n"
    assert (done.status, done.err) == (2, NOTE + error)


def test_a_reader_that_goes_away_ends_it(library: Path, clips: Clips) -> None:
    """`check FILE... | head -1`: no trace, no fault of a stream, and not the status of a finding."""
    process = started("check", "--library", library, clips.unrelated, clips.known, clips.unrelated)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(TIMEOUT_S), err) == (2, NOTE)


def test_evidence_is_kept_where_asked(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """A file for each decision, named in the result; what else is in the directory stays."""
    (tmp_path / f"sig_{'0' * 32}.json").write_text("an old one")
    os.utime(tmp_path / f"sig_{'0' * 32}.json", (1, 1))
    done = run("check", "--library", library, "--json", "--evidence", tmp_path, clips.known, clips.unrelated)
    found, clear = map(json.loads, done.out.splitlines())
    (decision,) = found["decisions"]
    assert (done.status, clear["verdict"]) == (1, "clear")
    assert {path.stem for path in tmp_path.iterdir()} == {decision["evidence"], f"sig_{'0' * 32}"}
    words = run("check", "--library", library, "--evidence", tmp_path, clips.known).out.splitlines()[1]
    assert words.rpartition(", ")[2].startswith("sig_")


def test_evidence_that_cannot_be_kept(run: Run, library: Path, clips: Clips, *, tmp_path: Path) -> None:
    """A file in the place of the directory is told before anything is looked at."""
    (tmp_path / "file").touch()
    done = run("check", "--library", library, "--evidence", tmp_path / "file", clips.known)
    assert (done.status, done.out) == (2, "")
    assert "must be a directory" in done.err


def test_a_disk_that_fills_up_under_the_evidence_costs_no_verdict(
    run: Run, library: Path, clips: Clips, *, tmp_path: Path
) -> None:
    """The results are all there, and the status is that of an error."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    small = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, small[1]))
        done = run("check", "--library", library, "--json", "--evidence", folder, clips.known)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, small)
    result = json.loads(done.out)
    assert (done.status, result["verdict"], "evidence" in result["decisions"][0]) == (2, "kill", False)
    assert done.err.removeprefix(NOTE).startswith("error: write evidence ")
    assert list(folder.iterdir()) == []
