"""Runs a command of an incident in children that are killed among its dealings with the disk, at points spread over it.

Run as a program by test_incident_crashes: `python -m tests.cli.incident_kills DIR import|accept`. Prints at how many
points it killed. Nothing is searched in this process: threads of FAISS do not outlive a fork.
"""

import contextlib
import json
import os
import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from streamguard.cli.main import main as streamguard
from streamguard.core.shown import as_reference
from streamguard.demo.scenes import Scene
from streamguard.library.incidents import Book, read_incidents
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.worker.messages import pack
from streamguard.worker.part_ids import mark_of, part_id
from tests.cli.shown_worker import ShownWorker
from tests.library.bundles_made import bundle_of, honest
from tests.library.kill_points import Killer
from tests.library.made import library_of, new_item
from tests.live_keyframes import live_keyframes, programme

KILLS = 12
_MOST_POINTS = 1_000_000
_BEFORE = {"a"}

Work = Callable[[Path], None]


def _command(*words: object) -> None:
    """Raises AssertionError where it does not get through."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        try:
            streamguard([str(word) for word in words])
        except SystemExit as ended:
            status = ended.code
    assert status == 0, words


def _in_child(work: Callable[[], None]) -> bool:
    """False where it was killed. Raises AssertionError where it failed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  (whatever it is, this process ends here)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "failed"
    return not os.WIFSIGNALED(status)


def _points_of(work: Work, path: Path) -> int:
    reader, writer = os.pipe()

    def count() -> None:
        killer = Killer(_MOST_POINTS)
        killer.install()
        work(path)
        os.write(writer, str(_MOST_POINTS - killer.left).encode())

    assert _in_child(count)
    os.close(writer)
    with os.fdopen(reader) as told:
        return int(told.read())


def _killed_at(point: int, work: Work, path: Path) -> bool:
    def dies() -> None:
        Killer(point).install()
        work(path)

    return not _in_child(dies)


def _check_whole(path: Path) -> None:
    """What workers see is in its incident, as is what the next writer sees; nothing is damaged."""
    with Library.open(path, read_only=True) as library:
        assert not [problem for problem in library.verify() if problem.damage]
    assert {asset.id for asset in load_snapshot(path).assets} - _BEFORE <= _came_in(path)
    with Library.open(path) as library:
        assert library.verify() == ()
        assert {item.id for item in library.items()} - _BEFORE == _came_in(path) - _BEFORE


def _came_in(path: Path) -> set[str]:
    return {id_ for one in read_incidents(path) for id_ in one.items}


def _check_same(path: Path, done: Path) -> None:
    assert _state(path) == _state(done)


def _state(path: Path) -> object:
    with Library.open(path, read_only=True) as library:
        items = {item.id: (item.state, item.label, item.sha256) for item in library.items()}
    snapshot = load_snapshot(path)
    incidents = [(one.name, one.is_open, set(one.items)) for one in read_incidents(path)]
    return items, {asset.id for asset in snapshot.assets} - snapshot.fallen, incidents


@contextlib.contextmanager
def _import(folder: Path) -> Iterator[Work]:
    """Of three items, one of which is there for reviews."""
    bundle, earlier = folder / "attack.incident", folder / "earlier.incident"

    def prepare() -> None:
        library_of(folder / "template", "a")
        made = {id_: honest(number) for number, id_ in enumerate("bcd")}
        bundle_of(bundle, made, signer=None)
        bundle_of(earlier, {"b": made["b"]}, signer=None)
        _command("incident", "import", earlier, "--library", folder / "template", "--unsigned")

    assert _in_child(prepare)
    words = ("--unsigned", "--believe", "--reason", "seen it")
    yield lambda path: _command("incident", "import", bundle, "--library", path, *words)


@contextlib.contextmanager
def _accept(folder: Path) -> Iterator[Work]:
    """Two parts of a stream that a worker remembers; that is another process, and goes on while these are killed."""
    template = folder / "template"
    told, worker_tells = os.pipe()
    worker_hears, goes_on = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(goes_on)
        with Library.open(template, create=True) as library:
            item = new_item("a", label="incident-attack")
            library.add(item, as_reference(live_keyframes(Scene(7), seconds=16)))
        book = Book(template, lambda: 1_700_000_000.0)
        book.open("attack", label=None, by="", reason="")
        book.note("attack", ("a",))
        keyframes = programme([(Scene(7), 0.7, 12.0), (Scene(8), 0.0, 8.0), (Scene(9), 0.0, 8.0)])
        marks = [mark_of(pack(one)) for one in keyframes]
        with ShownWorker(template).serving() as serving:
            serving.show("live/b", keyframes)
            told_of = [serving.url, part_id(marks[6:10]), part_id(marks[10:])]
            os.write(worker_tells, json.dumps(told_of).encode() + b"\n")
            os.read(worker_hears, 1)
        os._exit(0)
    os.close(worker_tells)
    os.close(worker_hears)
    with os.fdopen(told) as lines:
        url, *ids = json.loads(lines.readline())
    words = [word for id_ in ids for word in ("--accept", id_)]
    try:
        yield lambda path: _command("incident", "variants", "attack", "--library", path, "--worker", url, *words)
    finally:
        os.close(goes_on)
        os.waitpid(worker, 0)


def main(folder: Path, *, what: str) -> None:
    rng = random.Random(7)  # noqa: S311  (repeatable, not secret)
    with {"import": _import, "accept": _accept}[what](folder) as work:
        done = Path(shutil.copytree(folder / "template", folder / "done"))
        points = _points_of(work, done)
        kills = 0
        for number in range(KILLS):
            path = Path(shutil.copytree(folder / "template", folder / f"killed-{number}"))
            point = rng.randrange(points * number // KILLS, points * (number + 1) // KILLS)
            kills += _killed_at(point, work, path)
            assert _in_child(partial(_check_whole, path)), f"after point {point} of {points}"
            assert _in_child(partial(work, path)), f"again after point {point} of {points}"
            assert _in_child(partial(_check_same, path, done)), f"at the end, after point {point} of {points}"
            shutil.rmtree(path)
    print(kills, points)  # noqa: T201  (a program of its own)


if __name__ == "__main__":
    main(Path(sys.argv[1]), what=sys.argv[2])
