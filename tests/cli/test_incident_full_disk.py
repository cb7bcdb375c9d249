"""streamguard incident on a disk that is full at whatever point: what served goes on, and what to do is said."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamguard.cli.exits import EXIT_ERROR, EXIT_OK
from streamguard.demo.scenes import Scene
from streamguard.library.durable import NEW_PREFIX
from streamguard.library.incidents import Book, read_incidents
from streamguard.library.live_set import SEGMENTS, read_live_set
from streamguard.library.loading import load_snapshot
from streamguard.library.merging import FAN
from streamguard.library.store import Library
from streamguard.worker.messages import pack
from streamguard.worker.shown import Shown, to_parts
from tests.cli.calling import Done, Run, runner
from tests.http_server import Web
from tests.library.bundles_made import bundle_of, honest
from tests.library.made import library_of, new_item
from tests.live_keyframes import GOP_S, live_keyframes
from tests.small_disks import MakeDisk, SmallDisk

_STEP_KIB = 28
_FIRST = "abcdefg"
assert len(_FIRST) == FAN - 1

Command = Callable[[Path], Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A library of seven items, so that what is added to it is merged with them, and with an incident."""
    path = tmp_path / "template"
    library_of(path, _FIRST)
    Book(path, lambda: 1e9).open("attack", label=None, by="anna", reason="a call")
    return path


def live(path: Path) -> set[str]:
    return {asset.id for asset in load_snapshot(path).assets}


def leftovers(path: Path) -> list[Path]:
    """What neither readers nor writers need."""
    served = {one.id for one in read_live_set(path).segments}
    unnamed = [one for one in (path / SEGMENTS).iterdir() if one.name not in served]
    return unnamed + [one for one in path.rglob("*") if one.name.startswith(NEW_PREFIX)]


def tried(disk: SmallDisk, template: Path, command: Command) -> int:
    """With more and more room, until it is enough, and then once more without the lack; how often it was not enough."""
    path, before = disk.path / "lib", live(template)
    failures = 0
    while True:
        shutil.rmtree(path, ignore_errors=True)
        disk.empty()
        shutil.copytree(template, path)
        disk.fill(leave_kib=failures * _STEP_KIB)
        done = command(path)
        disk.empty()
        if done.status == EXIT_OK:
            return failures
        failures += 1
        assert done.status == EXIT_ERROR
        assert "free some space and run it again" in done.err.splitlines()[-1]
        there = live(path)
        assert command(path).status == EXIT_OK
        after = live(path)
        assert there in (before, after)
        assert before < after
        (incident,) = read_incidents(path)
        assert set(incident.items) == after - before
        assert leftovers(path) == []
        with Library.open(path) as library:
            assert library.verify() == ()


def test_a_bundle_is_taken_whole_or_not_at_all(
    run: Run, make_disk: MakeDisk, template: Path, *, tmp_path: Path
) -> None:
    """Also into a library that no list came into before."""
    file = bundle_of(tmp_path / "attack.incident", {"x": honest(1), "y": honest(2)}, signer=None)
    import_ = ("incident", "import", file, "--unsigned", "--library")
    assert tried(make_disk(2048), template, lambda path: run(*import_, path)) > 3


def test_so_is_what_a_stream_has_shown(run: Run, make_disk: MakeDisk, template: Path, *, web: Web) -> None:
    """And nothing that was made on the way there stays."""
    keyframes = live_keyframes(Scene(3), seconds=20)
    kept = [Shown(1, number * GOP_S, pack(one)) for number, one in enumerate(keyframes)]
    web.pages["/api/streams/cam/shown"] = b"".join(to_parts(kept, now_s=21.0))
    add = ("incident", "add", "attack", "--stream", "cam", "--worker", web.url(""), "--library")
    assert tried(make_disk(2048), template, lambda path: run(*add, path)) > 3


def test_a_bundle_that_has_no_room_leaves_the_one_that_was_there(run: Run, make_disk: MakeDisk, template: Path) -> None:
    """And nothing beside it."""
    with Library.open(template) as library:
        library.add(new_item("x"), honest(1))
    Book(template, lambda: 1e9).note("attack", ("x",))
    disk = make_disk(64)
    file = disk.path / "attack.incident"
    file.write_bytes(b"an older one")
    disk.fill()
    export = ("incident", "export", "attack", file, "--library", template, "--unsigned", "--force")
    done = run(*export)
    assert done.status == EXIT_ERROR
    assert "free some space, or name another file" in done.err
    assert file.read_bytes() == b"an older one"
    disk.empty()
    assert [one.name for one in disk.path.iterdir()] == [file.name]
    assert run(*export).status == EXIT_OK
