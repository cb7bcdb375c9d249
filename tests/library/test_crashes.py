"""Killed at any moment, the library is whole."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamguard.library.loading import load_snapshot
from streamguard.library.merging import MOST_SMALL
from streamguard.library.store import Library
from tests.library.made import library_of

_WRITER = """
import sys
from pathlib import Path
from streamguard.library.store import Library
from tests.library.made import new_item, reference
with Library.open(Path(sys.argv[1])) as library:
    for number in range(10_000):
        library.add(new_item(f"{sys.argv[2]}-{number}"), reference(hash((sys.argv[2], number))))
        print(f"{sys.argv[2]}-{number}", flush=True)
"""


@pytest.fixture
def quick_disk(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: hundreds of syncs take a minute on a busy disk."""
    memory = Path("/dev/shm")  # noqa: S108  (the folder in it is made safely)
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as name:
        yield Path(name)


@pytest.mark.timeout(300)  # a hundred writers, one after the other, on a machine that runs other tests as well
@pytest.mark.promise(5, "a writer killed before each thing it does with the disk")
def test_killed_at_every_point(quick_disk: Path, record_property: Callable[[str, object], None]) -> None:
    """Killed before any one dealing with the disk, a writer leaves a library that is whole, and nothing else behind."""
    command = [sys.executable, "-m", "tests.library.kill_points", str(quick_disk)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 150
    record_property("times", int(run.stdout))


def test_killed_at_50_random_points(quick_disk: Path) -> None:
    """Killed 50 times among adding, removing, relabelling, merging and rolling back, a library loses nothing that was
    said to be done, and shows no half of anything.
    """
    command = [sys.executable, "-m", "tests.library.random_kills", str(quick_disk / "lib"), "7"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    kills, changes = map(int, run.stdout.split())
    assert kills == 50
    assert changes > 300


@pytest.mark.promise(5, "a writer, kill -9", times=3)
def test_killed_in_the_middle_of_writing(quick_disk: Path) -> None:
    """A writer killed while it writes, as its files come and go, loses nothing that it said was added."""
    path = quick_disk / "lib"
    library_of(path, "a")
    said = {"a"}
    # What it is in the middle of differs from turn to turn.
    for turn, moment in enumerate(("catalogue.sqlite-journal", ".new-current.json", "segments/.new-*")):
        command = [sys.executable, "-c", _WRITER, str(path), str(turn)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said |= {writer.stdout.readline().strip() for _ in range(turn * 3 + 1)}
            while not any(path.glob(moment)) and writer.poll() is None:
                pass
            writer.kill()
            said |= {line.strip() for line in writer.stdout if line.endswith("\n")}
        load_snapshot(path)
        with Library.open(path, read_only=True) as library:
            assert not [problem for problem in library.verify() if problem.damage]
    with Library.open(path) as library:
        assert library.verify() == ()
        assert said <= {item.id for item in library.items()} == {asset.id for asset in load_snapshot(path).assets}


def test_killed_beside_another_writer(quick_disk: Path) -> None:
    """Two write at once, make segments and merge them; one is killed, again and again, and the other goes on. All that
    either said was added is there, once.
    """
    path = quick_disk / "lib"
    library_of(path, "a")
    said = {"a"}
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path), "on"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        for turn in range(3):
            command = [sys.executable, "-c", _WRITER, str(path), str(turn)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                said |= {writer.stdout.readline().strip() for _ in range(8 + turn)}
                writer.kill()
                said |= {line.strip() for line in writer.stdout if line.endswith("\n")}
            said |= {other.stdout.readline().strip() for _ in range(8)}
            assert other.poll() is None
        other.kill()
        said |= {line.strip() for line in other.stdout if line.endswith("\n")}
    with Library.open(path) as library:
        library.compact()
        assert library.verify() == ()
        assert said <= {item.id for item in library.items()} == {asset.id for asset in load_snapshot(path).assets}
        assert library.stats().segments <= MOST_SMALL
    assert not list((path / "segments").glob(".new-*"))
