"""Imports, replaces and releases of lists in a child that is killed at some of its dealings with the disk.

Run as a program by test_crashes: `python -m tests.library.exchange.kill_points DIR`. Prints at how many it killed.
"""

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from streamguard.library.exchange import parts
from streamguard.library.exchange.book import Book, book_for_change
from streamguard.library.exchange.opinions import may_kill
from streamguard.library.exchange.parts import plan, sync
from streamguard.library.exchange.schema import PartState
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from tests.library.exchange.shared import SOURCE, found, hashes, take_up
from tests.library.kill_points import _killed_at as killed_at

CODES = hashes(1, 12)
LATER = [*CODES[3:], *hashes(2, 3)]
_POINTS = 8
_MOST_POINTS = 2000


def _import(library: Path) -> None:
    take_up(library, CODES)


def _replace(library: Path) -> None:
    take_up(library, LATER, replace=True)


def _trust(library: Path) -> None:
    with book_for_change(library) as book, Library.open(library) as opened:
        with book.change():
            may_kill(book, book.source(SOURCE), allowed=True, who="me", why="")
            plan(book)
        sync(book, opened)


def _is_whole(library: Path, codes: list[bytes]) -> bool:
    """Once it was run to its end: exactly these are found, once each, and nothing is left to do."""
    snapshot = load_snapshot(library)
    right = all((found(snapshot, code) == [("terror", 0)]) is (code in codes) for code in {*CODES, *LATER})
    with Book.open(library, read_only=True) as book, Library.open(library) as opened:
        states = {row["state"] for row in book.rows("SELECT state FROM parts")}
        return right and states == {PartState.LIVE} and opened.verify() == ()


def _points(work: Callable[[Path], None], before: Path, folder: Path) -> int:
    """How many dealings with the disk the work has."""
    low, high = 0, _MOST_POINTS
    while low < high:
        middle = (low + high) // 2
        path = folder / "counted" / "library"
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(before, path)
        low, high = (middle + 1, high) if killed_at(middle, work, path) else (low, middle)
    return low


def main(folder: Path) -> None:
    parts.PART_HASHES = 4
    before, killed = folder / "before" / "library", 0
    Library.open(before, create=True).close()
    chance = random.Random(1)  # noqa: S311  (repeatable, not secret)
    for work, codes in ((_import, CODES), (_replace, LATER), (_trust, LATER)):
        # What Python opens when it is first needed must not be among the points of the first child alone.
        shutil.copytree(before, folder / f"{work.__name__}-first" / "library")
        work(folder / f"{work.__name__}-first" / "library")
        points = _points(work, before, folder)
        for point in sorted(chance.sample(range(points), min(_POINTS, points))):
            path = folder / f"{work.__name__}-{point}" / "library"
            shutil.copytree(before, path)
            if not killed_at(point, work, path):
                raise SystemExit(f"{work.__name__} was not killed at {point} of {points}")
            load_snapshot(path)
            work(path)
            if not _is_whole(path, codes):
                raise SystemExit(f"{work.__name__} killed at {point}: the library is not whole")
            killed += 1
        work(before)
    print(killed)  # noqa: T201  (that is its answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
