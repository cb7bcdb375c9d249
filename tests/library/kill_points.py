"""Changes a library in a child that is killed at its n-th dealing with the disk, for every n there is; of what has many
and is much like another, for some of them: a merge has over 400.

Run as a program by test_crashes: `OMP_NUM_THREADS=1 python -m tests.library.kill_points DIR` (the threads of FAISS do
not survive a fork, and the child would wait for them for ever). Prints how many points it killed at.
A point is a file opened, synced, renamed, made or removed, or a statement given to SQLite.
"""

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

from streamguard.library.catalogue import Catalogue, ItemState
from streamguard.library.falling import FallTerms, fall_due
from streamguard.library.holdings import held
from streamguard.library.incidents import Book, read_incidents
from streamguard.library.loading import load_snapshot
from streamguard.library.memberships import Into
from streamguard.library.merging import FAN
from streamguard.library.store import Library
from streamguard.types import AssetId
from tests.library.made import new_item, reference
from tests.library.opinions_made import NOW_UNIX_S, mistake, tell

_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}
_MOST_POINTS = 1000
_INCIDENTS: tuple[list[tuple[str, tuple[str, ...]]], ...] = (
    [], [("attack", ())], [("attack", ("old",))], [("attack", ("old", "new"))],
)  # fmt: skip
"""Which there may be, and what came in them."""

Live = frozenset[tuple[str, str]]
"""(id, label) of what is searched; with a mark where it earns reviews alone."""


class Killer:
    """Counts dealings with the disk, and kills this process at the one before which it should die."""

    def __init__(self, at: int) -> None:
        self.left = at

    def point(self, *_: object) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def hook(self, event: str, _: tuple[object, ...]) -> None:
        if event in _EVENTS:
            self.point()

    def install(self) -> None:
        fsync, connect = os.fsync, sqlite3.connect

        def fsync_counted(descriptor: int) -> None:
            self.point()
            fsync(descriptor)

        def connect_counted(database: str, *, uri: bool, timeout: float, isolation_level: None) -> sqlite3.Connection:
            connection = connect(database, uri=uri, timeout=timeout, isolation_level=isolation_level)
            connection.set_trace_callback(self.point)
            return connection

        setattr(os, "fsync", fsync_counted)  # noqa: B010  (what is put in its place takes less)
        setattr(sqlite3, "connect", connect_counted)  # noqa: B010  (the same)
        sys.addaudithook(self.hook)


def _first(path: Path) -> None:
    Library.open(path, create=True).close()


def _add(path: Path) -> None:
    with Library.open(path, create=True) as library:
        if not library.has("new"):
            library.add(new_item("new"), reference(3))


def _disable(path: Path) -> None:
    with Library.open(path) as library:
        library.disable("old")


def _remove(path: Path) -> None:
    with Library.open(path) as library:
        if library.has("old"):
            library.remove("old")


def _label(path: Path) -> None:
    with Library.open(path) as library:
        library.label("old", "another")


def _merge(path: Path) -> None:
    """The eighth of one size, after which all eight are merged."""
    _add(path)


def _roll_back(path: Path) -> None:
    with Library.open(path) as library:
        library.roll_back("1")


def _fall(path: Path) -> None:
    """What was said of it is kept, and then it falls."""
    tell(path, *mistake("s1", "old"))
    with Library.open(path) as library:
        fall_due(library, FallTerms(), now_unix_s=NOW_UNIX_S)


def _open_incident(path: Path) -> None:
    """Opened and added to: each is whole, or was not yet."""
    book = Book(path, lambda: NOW_UNIX_S)
    if not any(one.name == "attack" for one in book.all()):
        book.open("attack", label=None, by="", reason="")
    book.note("attack", ("old",))


def _add_to_incident(path: Path) -> None:
    """Live and in its incident in one step."""
    with Library.open(path) as library:
        library.add_all([(new_item("new"), reference(3))], into=Into("attack", (AssetId("old"),)))


def _nothing(path: Path) -> None:
    Library.open(path, create=True).close()


def _one(path: Path) -> None:
    with Library.open(path, create=True) as library:
        library.add(new_item("old"), reference(2))


def _one_in_incident(path: Path) -> None:
    _one(path)
    _open_incident(path)


def _seven(path: Path) -> None:
    _one(path)
    with Library.open(path) as library:
        for number in range(FAN - 2):
            library.add(new_item(f"other-{number}"), reference(10 + number))


def _changed(path: Path) -> None:
    _one(path)
    with Library.open(path) as library:
        library.add(new_item("new"), reference(3))
        library.remove("old")


WORKS: tuple[tuple[Callable[[Path], None], Callable[[Path], None] | None, int], ...] = (
    (_first, None, 1),
    (_add, _one, 1),
    (_disable, _one, 2),
    (_remove, _one, 2),
    (_label, _one, 5),
    (_merge, _seven, 23),
    (_roll_back, _changed, 5),
    (_fall, _one, 3),
    (_open_incident, _one, 1),
    (_add_to_incident, _one_in_incident, 1),
)
"""Each work, what comes before it, and how far it is from one point to the next."""


def _killed_at(point: int, work: Callable[[Path], None], path: Path) -> bool:
    """Do the work in a forked child that dies at that point; False when it was done before."""
    child = os.fork()
    if child == 0:
        Killer(point).install()
        work(path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, f"failed at point {point} of {work.__name__}"
    return False


def _live(path: Path) -> Live:
    snapshot = load_snapshot(path)
    return frozenset((asset.id, asset.label + "!" * (asset.id in snapshot.fallen)) for asset in snapshot.assets)


def _check_whole(path: Path, work: Callable[[Path], None], *, before: Live, after: Live) -> None:
    """Whatever was there is there, readers see the old state or the new one, and the next writer gets through."""
    with Library.open(path, read_only=True) as library:
        damage = [problem for problem in library.verify() if problem.damage]
        assert not damage, damage
        items = {item.id for item in library.items()}
    published = _live(path)
    assert published in (before, after)
    _check_incidents(path, work, {id_ for id_, _ in published})
    with Library.open(path) as library:
        assert library.verify() == ()
        assert {item.id for item in library.items()} == items
        live = {item.id for item in library.items() if item.state is ItemState.LIVE}
    assert {id_ for id_, _ in _live(path)} == live
    _check_swept(path)
    _check_incidents(path, work, live)
    assert [(one.name, one.items) for one in read_incidents(path)] in _INCIDENTS
    work(path)
    assert _live(path) == after


def _check_incidents(path: Path, work: Callable[[Path], None], live: AbstractSet[str]) -> None:
    """What was added to one is in it as soon as anybody may find it, and not before it is there."""
    if work is _add_to_incident and "new" in live:
        assert [one.items for one in read_incidents(path)] == [("old", "new")]


def _check_swept(path: Path) -> None:
    """Nothing is there that nothing needs."""
    catalogue = Catalogue.open(path, create=False)
    needed = {one.ref.id for one in held(catalogue, since_unix_s=0.0)}
    catalogue.close()
    assert {entry.name for entry in (path / "segments").iterdir()} == needed
    assert not list(path.glob(".new-*"))


def main(base: Path) -> None:
    points = 0
    for work, prepare, step in WORKS:
        template, done = base / f"{work.__name__}-template", base / f"{work.__name__}-done"
        (prepare or _nothing)(template)
        before = _live(template)
        shutil.copytree(template, done)
        work(done)
        for point in range(0, _MOST_POINTS, step):
            path = base / f"{work.__name__}-{point}"
            if prepare is not None:
                shutil.copytree(template, path)
            if not _killed_at(point, work, path):
                break
            points += 1
            if prepare is None:
                _first(path)
            _check_whole(path, work, before=before, after=_live(done))
            shutil.rmtree(path)
        else:
            raise AssertionError("never got through")
    print(points)  # noqa: T201  (a program of its own)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
