"""Making streams in children: several at once, and one that fails costs its file."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.drill.footage import Plan
from streamguard.drill.maker import Made, MakingJob
from streamguard.drill.makers import Run, make
from streamguard.errors import UsageError
from streamguard.worker.forkserver import start_forkserver
from tests.drill import works
from tests.scenes import Clips

PLAN = Plan(lead_in_s=0.5, limit_s=1.0)


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> Iterator[None]:
    start_forkserver()
    yield
    assert multiprocessing.active_children() == []


def job(path: Path, *attacks: str) -> MakingJob:
    return MakingJob(path, attacks, PLAN, 5)


def test_all_streams_of_all_jobs(clips: Clips) -> None:
    """Each with its job's number, in its job's order; a file that cannot be read costs itself."""
    jobs = [job(clips.known, "mirror", "grey"), job(clips.not_a_video, "mirror"), job(clips.unrelated, "flip")]
    made: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for number, one in make(jobs, at_once=2):
        made[number].append(one.attack if isinstance(one, Made) else one.problem)
    assert made[0] == ["mirror", "grey"]
    assert "no audio or video" in made[1][0]
    assert (len(made[1]), made[2]) == (1, ["flip"])


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (works.crash, "crashed (signal 6)"),
        (works.rubbish, "sent rubbish"),
        (works.another_attack, "sent rubbish"),
    ],
)
def test_a_child_that_fails(tmp_path: Path, run: Run, words: str) -> None:
    """One error, which names the file."""
    ((number, error),) = make([job(tmp_path / "clip.mp4", "mirror", "grey")], at_once=1, run=run)
    assert (number, isinstance(error, UsageError)) == (0, True)
    assert words in str(error)
    assert "clip.mp4" in str(error)


def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    """After the silence that is allowed, and the next job has its turn."""
    jobs = [job(tmp_path / name, "mirror") for name in ("a.mp4", "b.mp4")]
    errors = [error for _, error in make(jobs, at_once=1, run=works.hang, silence_s=0.3)]
    assert len(errors) == 2
    assert all("hung: nothing for 0.3 s" in str(error) for error in errors)


def test_what_was_made_before_the_end_counts(tmp_path: Path) -> None:
    """A child that ends too early: its streams, and then the error."""
    first, second = make([job(tmp_path / "clip.mp4", "mirror", "grey")], at_once=1, run=works.half_of_it)
    assert first == (0, Made("mirror", 1.0, b"xxxx"))
    assert "failed (status 0)" in str(second[1])


def test_whoever_stops_asking_ends_the_children(clips: Clips) -> None:
    """Ctrl-C, say: no child is left."""
    making = make([job(clips.known, "mirror", "grey", "flip"), job(clips.unrelated, "grey")], at_once=2)
    next(making)
    making.close()
    assert multiprocessing.active_children() == []
