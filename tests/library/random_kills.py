"""Changes a library at random in children that are killed at random dealings with the disk, 50 in a row.

Run as a program by test_crashes: `OMP_NUM_THREADS=1 python -m tests.library.random_kills DIR SEED` (the threads of
FAISS do not survive a fork, and the child would wait for them for ever). A child says of each change that it
is done; the next one goes on with what it left. Prints how many were killed, and how many changes they had made.
"""

import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamguard.library.live_set import read_live_set
from streamguard.library.loading import load_snapshot
from streamguard.library.merging import MOST_SMALL
from streamguard.library.store import Library
from tests.library.kill_points import Killer
from tests.library.made import RADIUS_BITS, new_item, reference, seen

KILLS = 50
_STEPS = 24
_POINTS = 1700
"""About as many as so many steps have."""

_LOOKS = 3
_MOST_ITEMS = 40

Items = dict[str, tuple[str, str]]
"""(state, label) of what is not removed, by id."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change, and what is in the library after it."""

    what: str
    id: str
    word: str
    after: Items


def steps(now: Items, versions: dict[int, Items], *, rng: random.Random, turn: int) -> Iterator[Step]:
    """What a child is to do."""
    for number in range(_STEPS):
        what = rng.choice(("add", "add", "add", "add", "remove", "disable", "enable", "label", "roll_back"))
        id_, word = f"item-{turn}-{number}", ""
        if what not in ("add", "roll_back") and now:
            id_ = rng.choice(sorted(now))
        state, label = now.get(id_, ("live", "test"))
        if what == "roll_back" and versions:
            word = str(rng.choice(sorted(versions)))
            now = versions[int(word)]
        elif what == "label" and id_ in now:
            word = rng.choice(("test", "terror", "a, b: [c]"))
            now = now | {id_: (state, word)}
        elif what in ("disable", "enable") and id_ in now:
            now = now | {id_: ("disabled" if what == "disable" else "live", label)}
        elif (what == "remove" and id_ in now) or len(now) > _MOST_ITEMS:
            what, id_ = "remove", id_ if id_ in now else min(now)
            now = {other: value for other, value in now.items() if other != id_}
        else:
            what, id_ = "add", f"item-{turn}-{number}"
            now = now | {id_: ("live", "test")}
        yield Step(what, id_, word, now)


def _do(path: Path, todo: list[Step], done: int) -> None:
    with Library.open(path) as library:
        for step in todo:
            if step.what == "add":
                library.add(new_item(step.id), reference(hash_of(step.id), looks=_LOOKS))
            elif step.what == "roll_back":
                library.roll_back(step.word)
            elif step.what == "label":
                library.label(step.id, step.word)
            else:
                {"remove": library.remove, "disable": library.disable, "enable": library.enable}[step.what](step.id)
            os.write(done, b".")


def hash_of(id_: str) -> int:
    """The same in every process."""
    return int.from_bytes(id_.encode(), "big")


def _killed(path: Path, todo: list[Step], point: int) -> int | None:
    """How many steps were done before the child died at that point; None: it came through."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        Killer(point).install()
        _do(path, todo, writer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        done = len(said.read())
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "a step failed"
    return done if os.WIFSIGNALED(status) else None


def _live(items: Items) -> dict[str, str]:
    return {id_: label for id_, (state, label) in items.items() if state == "live"}


def _check_whole(path: Path, possible: list[Items]) -> Items:
    """Nothing that was said to be done is lost: what is there, which is one of the `possible`."""
    published = {asset.id: asset.label for asset in load_snapshot(path).assets}
    assert published in [_live(items) for items in possible]
    with Library.open(path, read_only=True) as library:
        assert not [problem for problem in library.verify() if problem.damage]
    with Library.open(path) as library:
        assert library.verify() == ()
        there: Items = {item.id: (item.state.value, item.label) for item in library.items()}
    assert there in possible
    snapshot = load_snapshot(path)
    assert {asset.id: asset.label for asset in snapshot.assets} == _live(there)
    for id_, label in _live(there).items():
        look = reference(hash_of(id_), looks=_LOOKS).prints[1]
        (found,) = snapshot.search((seen(look.code),), radius_bits=RADIUS_BITS)
        assert (found.asset, found.label, found.place) == (id_, label, look.place)
    assert len(read_live_set(path).segments) <= 2 * MOST_SMALL
    return there


def main(path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  (repeatable, not secret)
    Library.open(path, create=True).close()
    now: Items = {}
    versions: dict[int, Items] = {}
    kills = changes = turn = 0
    while kills < KILLS:
        turn += 1
        todo = list(steps(now, versions, rng=rng, turn=turn))
        done = _killed(path, todo, rng.randrange(_POINTS))
        changes += len(todo) if done is None else done
        reached = [now, *(step.after for step in todo)]
        kills += done is not None
        now = _check_whole(path, reached[-1:] if done is None else reached[done : done + 2])
        versions[read_live_set(path).generation] = now
    print(kills, changes)  # noqa: T201  (a program of its own)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
