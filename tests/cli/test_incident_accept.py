"""streamguard incident variants --accept: what may become known, and what is refused."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.core.shown import as_reference
from streamguard.demo.scenes import Scene
from streamguard.library.catalogue import ItemState
from streamguard.library.exchange.importing import import_benign
from streamguard.library.incidents import Book
from streamguard.library.store import Library
from streamguard.types import Fingerprints, MediaTime, View
from streamguard.worker.messages import pack
from streamguard.worker.part_ids import mark_of, part_id
from tests.cli.calling import Done, Run, runner
from tests.cli.shown_worker import ShownWorker
from tests.library.exchange.shared import write
from tests.library.made import new_item
from tests.live_keyframes import live_keyframes, programme

FOOTAGE = Scene(7)


@pytest.fixture(scope="module")
def broadcast() -> list[Fingerprints]:
    """12 s of what is known, then as much of more."""
    return programme([(FOOTAGE, 0.7, 12.0), (Scene(8), 0.0, 12.0)])


@pytest.fixture
def library(tmp_path: Path) -> Path:
    with Library.open(tmp_path / "known", create=True) as opened:
        opened.add(new_item("a", label="incident-attack"), as_reference(live_keyframes(FOOTAGE, seconds=16)))
    book = Book(tmp_path / "known", lambda: 1_700_000_000.0)
    book.open("attack", label=None, by="", reason="")
    book.note("attack", ("a",))
    return tmp_path / "known"


@pytest.fixture
def worker(library: Path, broadcast: list[Fingerprints]) -> Iterator[ShownWorker]:
    with ShownWorker(library).serving() as started:
        started.show("live/b", broadcast)
        yield started


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


def accept(run: Run, library: Path, worker: ShownWorker, *ids: str) -> Done:
    words = [word for id_ in ids for word in ("--accept", id_)]
    return run("incident", "variants", "attack", "--library", library, "--worker", worker.url, *words)


def id_of(keyframes: list[Fingerprints]) -> str:
    return part_id([mark_of(pack(one)) for one in keyframes])


def items(library: Path) -> list[str]:
    with Library.open(library, read_only=True) as opened:
        return [item.id for item in opened.items()]


def test_one_that_is_not_there_keeps_no_other_out(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints]
) -> None:
    """It is told by itself, and the exit status says that something was wrong."""
    done = accept(run, library, worker, "aaaaaa-bbbbbb", id_of(broadcast[6:]))
    assert done.status == 2
    assert done.out.startswith("added attack-live-b (incident-attack): video of 10.0 s")
    assert "accept part aaaaaa-bbbbbb: no worker remembers it, or not any more; list again" in done.err
    for command in ("variants", "add"):
        assert f"streamguard incident {command} attack --library {library}" in done.err
    assert items(library) == ["a", "attack-live-b"]


def test_what_is_no_id(run: Run, library: Path, worker: ShownWorker) -> None:
    """It is an error before anybody is asked; so is an incident that is closed."""
    assert "accept part ../x: not the id of a part" in accept(run, library, worker, "../x").err
    Book(library, lambda: 1_700_000_001.0).close("attack")
    done = accept(run, library, worker, "aaaaaa-bbbbbb")
    assert (done.status, "it is closed" in done.err) == (2, True)


def test_a_part_whose_beginning_is_forgotten(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints]
) -> None:
    """It is not taken as if it were whole."""
    worker.pass_s(3600.0 - 7.0)
    done = accept(run, library, worker, id_of(broadcast[6:]))
    assert (done.status, items(library)) == (2, ["a"])
    assert "its first keyframes are forgotten by now" in done.err
    worker.pass_s(60.0)
    assert "no worker remembers it" in accept(run, library, worker, id_of(broadcast[6:])).err


def test_harmless_pictures_go_into_quarantine(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints], tmp_path: Path
) -> None:
    """They are not offered any more, and by an id from before they come no further, unless somebody has looked."""
    id_ = id_of(broadcast[6:])
    codes = [one.prints[0].codes[View.UPRIGHT] for one in broadcast[6:]]
    import_benign(library, [write(tmp_path / "benign.txt", codes)], form=None)
    listed = run("incident", "variants", "attack", "--library", library, "--worker", worker.url, "--json")
    told = json.loads(listed.out)
    assert (told["parts"], [one["why"] for one in told["left_out"]]) == ([], ["harmless"])
    done = accept(run, library, worker, id_)
    assert done.status == 1
    assert done.out.startswith("quarantined attack-live-b (incident-attack): ")
    assert "harmless pictures look like it" in done.out
    words = ("--accept", id_, "--believe")
    asked = ("incident", "variants", "attack", "--library", library, "--worker", worker.url)
    assert "needs a reason" in run(*asked, *words).err
    assert run(*asked, *words, "--reason", "it is the deed").status == 0
    with Library.open(library, read_only=True) as opened:
        assert opened.item("attack-live-b").state is ItemState.LIVE


def test_a_studio_is_taken_only_by_who_says_so(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints]
) -> None:
    """An id from before it was seen to be one: it was on for a while, the footage came, and it is on again."""
    studio = [replace(broadcast[-1], at=MediaTime(1, 200_000_000 + 2_000_000 * number)) for number in range(4)]
    known = [replace(one, at=MediaTime(1, one.at.pts_us + 120_000_000)) for one in broadcast[:4]]
    again = [replace(one, at=MediaTime(1, one.at.pts_us + 40_000_000)) for one in studio]
    worker.show("live/c", [*studio, *known, *again])
    done = accept(run, library, worker, id_of(studio))
    assert (done.status, items(library)) == (2, ["a"])
    assert "4 keyframes of it were on long before the footage, or on both sides of it" in done.err


def test_what_overlaps_with_what_was_taken_is_taken_without_it(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints]
) -> None:
    """Two who listed at different times: the second gets the rest, or is told that nothing is left."""
    assert accept(run, library, worker, id_of(broadcast[6:9])).status == 0
    done = accept(run, library, worker, id_of(broadcast[6:]))
    assert done.out.startswith("added attack-live-b-2 (incident-attack): video of 4.0 s"), done
    done = accept(run, library, worker, id_of(broadcast[7:11]))
    assert done.status == 2
    assert "but for what is known as attack-live-b, attack-live-b-2 it has 0 keyframes" in done.err
    assert items(library) == ["a", "attack-live-b", "attack-live-b-2"]
