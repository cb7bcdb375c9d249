"""streamguard.cli.adding_bar: how far adding is."""

import os
from pathlib import Path

import pytest

from streamguard.cli.adding_bar import LINE_EVERY_S, AddingBar
from streamguard.errors import UsageError
from streamguard.library.store import Library
from streamguard.worker.outcomes import Added, Failed, Job, Known, Read
from streamguard.worker.reference_child import Progress
from tests.cli.calling import ended, started
from tests.library.made import new_item, reference
from tests.scenes import Clips


class _Clock:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def _files(folder: Path, *, megabytes: tuple[float, ...]) -> list[Path]:
    paths = [folder / f"{number}.mp4" for number in range(len(megabytes))]
    for path, size in zip(paths, megabytes, strict=True):
        path.write_bytes(bytes(int(size * 1e6)))
    return paths


def test_without_a_terminal_a_line_now_and_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However much happens, one line in ten seconds: files, bytes by how far each is, footage, rate, and time left."""
    paths = _files(tmp_path, megabytes=(2.0, 2.0, 4.0))
    clock = _Clock()
    jobs = [Job(path, "x") for path in paths]
    with AddingBar(paths, clock=clock) as bar:
        for at_s in range(100):
            bar.news(jobs[0], Progress(at_s, 100.0))
        bar.news(jobs[0], Read(100.0))
        assert capsys.readouterr().err == ""
        clock.now_s += LINE_EVERY_S
        bar.news(jobs[1], Progress(50.0, 100.0))
        bar.news(jobs[1], Progress(60.0, 100.0))
        (line,) = capsys.readouterr().err.splitlines()
    assert line == "1 of 3 files, 3.0 MB of 8.0 MB, 0:01:40 of footage read, 0.1 files/s, 0:00:17 left"


def test_the_last_line_says_what_became_of_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many were added, there already, or failed, and for which reasons, the most frequent first."""
    paths = _files(tmp_path, megabytes=(1.0,) * 6)
    clock = _Clock()
    with Library.open(tmp_path / "lib", create=True) as library:
        item = library.add(new_item("a"), reference(1))
    jobs = [Job(path, "x") for path in paths]
    with AddingBar(paths, clock=clock) as bar:
        bar.news(jobs[0], Read(3661.0))
        bar.done(Added(jobs[0], item))
        bar.done(Known(jobs[1], item))
        for job, problem in zip(jobs[2:], ("a\x1b[2J", "b", "b"), strict=False):
            bar.done(Failed(job, UsageError("add", job.path, problem)))
        clock.now_s += 4000.0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "5 of 6 files: 1 added, 1 already there, 3 failed (2: b; 1: a\\x1b[2J); 1:01:01 of footage read in 1:06:40"
    )


def test_files_that_are_gone_or_empty_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their bytes are none; nothing is divided by them."""
    paths = [tmp_path / "gone.mp4", *_files(tmp_path, megabytes=(0.0,))]
    clock = _Clock()
    with AddingBar(paths, clock=clock) as bar:
        clock.now_s += LINE_EVERY_S
        bar.done(Failed(Job(paths[0], "x"), UsageError("add", paths[0], "no such file")))
        (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("1 of 2 files, 0 bytes of 0 bytes, ")


def test_on_a_terminal_there_is_one_bar(tmp_path: Path, clips: Clips) -> None:
    """Files, bytes and rate stand in it, and it is gone at the end; the results go where standard output goes."""
    ours, theirs = os.openpty()
    adding = started(
        *("library", "add", "--library", tmp_path / "lib", "--jobs", "2", clips.known, clips.image),
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "160"},
    )
    os.close(theirs)
    done = ended(adding)
    told = b""
    while b"2 of 2 files: 2 added" not in told:
        told += os.read(ours, 1 << 16)
    os.close(ours)
    assert done.status == 0
    assert [line.partition(" ")[0] for line in done.out.splitlines()] == ["added", "added"]
    assert b"files/s" in told
    assert b"of 2 files" in told
    assert b"\x1b[2K" in told  # the bar's line is wiped
