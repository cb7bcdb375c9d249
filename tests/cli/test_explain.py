"""`streamguard explain`: from what a real `check` of made footage wrote to a picture and the same decision."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamguard.demo import edits
from streamguard.demo.encode import read_video, write_video
from streamguard.demo.textures import Picture
from streamguard.review.drawing import HEIGHT_PX, WIDTH_PX
from streamguard.review.explanation import load
from streamguard.types import Verdict
from streamguard.worker.policies import BUILT_IN_NOTE
from tests.cli.calling import Run, ended, runner, started
from tests.known_library import make_library
from tests.scenes import Clips

run = pytest.fixture(runner)
_REFERENCE = (slice(182, 598), slice(820, 1560))


def _inset(picture: Picture) -> Picture:
    """The footage small, in a corner of something else."""
    shown = np.full((360, 640, 3), 60, np.uint8)
    shown[140:320, 280:600] = edits.resized(picture, width_px=320, height_px=180)
    return shown


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """What `check` writes of four streams, against a library that `library add` made of footage and of an image."""
    folder = tmp_path_factory.mktemp("explain")
    inset = write_video(folder / "inset.mp4", map(_inset, read_video(clips.known)))
    library = folder / "library"
    assert ended(started("library", "add", "--library", library, clips.known, clips.image)).status == 0
    streams = (clips.disguised, clips.letterboxed, inset, clips.held_image)
    done = ended(started("check", "--library", library, "--json", "--evidence", folder / "evidence", *streams))
    assert (done.status, done.err) == (1, f"note: {BUILT_IN_NOTE}\n")
    assert all(json.loads(line)["decisions"] for line in done.out.splitlines())
    return folder / "evidence"


def _files(evidence: Path) -> list[Path]:
    return sorted(evidence.iterdir())


def _of(evidence: Path, stream: str) -> Path:
    """The kill; there may have been a review before."""
    own = {path: load(path) for path in _files(evidence)}
    return next(
        path for path, file in own.items() if file.stream.endswith(stream) and file.decision.verdict is Verdict.KILL
    )


def test_evidence_of_a_real_check_replays_exactly(run: Run, evidence: Path) -> None:
    """Every decision: recoloured and mirrored, between bars, small in a corner, a held image."""
    assert len(_files(evidence)) >= 4
    for path in _files(evidence):
        done = run("explain", "--replay", path)
        assert (done.status, done.err) == (0, ""), done
        assert done.out.endswith("  replayed: the same decision\n")
        told = json.loads(run("explain", "--replay", "--json", path).out)
        assert (told["same"], told["differences"]) == (True, [])


def test_evidence_is_small_and_has_both_pictures(evidence: Path) -> None:
    """A few kB each, with thumbnails and, where features decided, the places that look the same."""
    for path in _files(evidence):
        assert path.stat().st_size < 40_000
        file = load(path)
        assert file.thumbnail
        assert file.reference_thumbnail
    assert len(load(_of(evidence, "inset.mp4")).points) > 8


def test_points_lead_from_the_footage_to_where_it_stands(evidence: Path) -> None:
    """For footage in a corner: the outline is that corner, and takes each point of the reference to the stream's."""
    file = load(_of(evidence, "inset.mp4"))
    corners = np.array(file.decision.region.corners())
    assert np.allclose(corners, np.array([[280, 140], [600, 140], [600, 320], [280, 320]]) / (640, 360), atol=0.06)
    sides = corners[[1, 3]] - corners[0]
    assert np.allclose(file.points[:, :2], corners[0] + file.points[:, 2:] @ sides, atol=0.02)


def test_it_is_drawn(run: Run, evidence: Path, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the signal's id, by that of its evidence, or from a file; under the id in this folder, or where it is told."""
    monkeypatch.chdir(tmp_path)
    path = _of(evidence, "inset.mp4")
    done = run("explain", "--dir", evidence, path.stem)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("kill at ")
    assert done.out.endswith(f"  drawn: {path.stem}.png\n")
    by_id = tmp_path / f"{path.stem}.png"
    assert np.asarray(cv2.imread(str(by_id))).shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert run("explain", "--dir", evidence, "--out", "again.png", load(path).evidence_id).status == 0
    assert (tmp_path / "again.png").read_bytes() == by_id.read_bytes()
    assert {one.name for one in tmp_path.iterdir()} == {by_id.name, "again.png"}


def test_the_worker_s_directory_is_the_default(run: Run, evidence: Path, *, tmp_path: Path) -> None:
    """What the configuration says, as for `watch`."""
    (tmp_path / "sg.toml").write_text(f'[evidence]\ndirectory = "{evidence}"\n')
    done = run("explain", "--config", tmp_path / "sg.toml", "--json", _files(evidence)[0].stem)
    assert json.loads(done.out)["id"] == _files(evidence)[0].stem


def test_json_is_one_object_and_draws_nothing(
    run: Run, evidence: Path, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is told where."""
    monkeypatch.chdir(tmp_path)
    path = _of(evidence, "disguised.mp4")
    told = json.loads(run("explain", "--json", path).out)
    assert (told["verdict"], told["reference"], told["view"]) == ("kill", "known", "mirrored")
    assert told["keyframes"][-1]["running_nats"] == told["nats"]
    assert "same" not in told
    assert list(tmp_path.iterdir()) == []
    run("explain", "--json", "--out", "x.png", path)
    assert [one.name for one in tmp_path.iterdir()] == ["x.png"]


def test_footage_that_came_as_hashes_has_no_picture(run: Run, clips: Clips, *, tmp_path: Path) -> None:
    """The reference's field says so, in words."""
    library = make_library(tmp_path / "library", clips.known, features=False)
    run("check", "--library", library, "--evidence", tmp_path / "evidence", clips.known)
    (path,) = (tmp_path / "evidence").iterdir()
    told = json.loads(run("explain", "--json", "--out", tmp_path / "x.png", path).out)
    assert told["thumbnails"] == {"stream": True, "reference": False}
    field = np.asarray(cv2.imread(str(tmp_path / "x.png")))[_REFERENCE]
    assert float((field == field[5, 5]).all(axis=2).mean()) > 0.9


def test_another_decision_is_told(run: Run, evidence: Path, *, tmp_path: Path) -> None:
    """A rule, a number or a verdict that was changed in the file: status 1, and what differs."""
    for name in ("rule", "nats", "verdict"):
        tree: Any = json.loads(_of(evidence, "disguised.mp4").read_text())
        first, item = tree["decision"]["evidence"][0]
        match name:
            case "rule":
                tree["rule"]["kill_nats"] = 100.0
            case "nats":
                tree["observations"][first]["evidence"][item]["nats"] -= 0.5
            case _:
                tree["decision"]["verdict"] = "review"
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(tree))
        done = run("explain", "--replay", path)
        assert (done.status, "error" in done.err) == (1, False)
        assert "  differs: " in done.out
        told = json.loads(run("explain", "--replay", "--json", path).out)
        assert (told["same"], bool(told["differences"])) == (False, True)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("sig_" + "0" * 32, "find evidence sig_"),
        ("ev_" + "0" * 32, "find evidence ev_"),
        ("missing.json", "read evidence missing.json: No such file"),
        (".", "read evidence .: Is a directory"),
        ("rubbish.json", "is it an evidence file"),
        ("pipe", "not a regular file"),
    ],
)
def test_what_is_no_evidence(
    run: Run, which: str, words: str, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the next step, the status 2, and no picture."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rubbish.json").write_text("{}")
    os.mkfifo(tmp_path / "pipe")
    done = run("explain", which)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert words in done.err
    assert not list(tmp_path.glob("*.png"))


def test_a_picture_that_cannot_be_written(run: Run, evidence: Path, *, tmp_path: Path) -> None:
    """It names the file; nothing is left beside."""
    done = run("explain", "--out", tmp_path / "missing" / "x.png", _files(evidence)[0])
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "write picture" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", [".", "/"])
def test_a_directory_is_no_place_for_a_picture(run: Run, evidence: Path, out: str) -> None:
    """Even one that has no name."""
    done = run("explain", "--out", out, _files(evidence)[0])
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "Is a directory; name another file with --out" in done.err
