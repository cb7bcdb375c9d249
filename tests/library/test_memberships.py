"""streamguard.library.memberships: an item is live and in its incident in one step."""

from errno import ENOSPC
from os import strerror
from pathlib import Path

import pytest

from streamguard.errors import LibraryError, UsageError
from streamguard.library import memberships
from streamguard.library.hot_set import HotSet
from streamguard.library.incidents import INCIDENTS, Book, read_incidents, replace_incidents
from streamguard.library.live_set import CURRENT, read_live_set
from streamguard.library.loading import load_snapshot
from streamguard.library.memberships import Into
from streamguard.library.store import Library
from streamguard.library.watch import SnapshotHolder
from streamguard.types import AssetId
from streamguard.worker.incidents import OpenIncidents
from tests.library.made import library_of, new_item, reference

ATTACK = Into("attack")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Of the item a, with an open incident that nothing came in."""
    library_of(tmp_path / "lib", "a")
    book(tmp_path / "lib").open("attack", label=None, by="", reason="")
    return tmp_path / "lib"


def book(library: Path) -> Book:
    return Book(library, lambda: 1_700_000_000.0)


def add(library: Path, *ids: str, into: Into = ATTACK) -> None:
    with Library.open(library) as opened:
        opened.add_all([(new_item(id_), reference(ord(id_))) for id_ in ids], into=into)


def came(library: Path) -> list[tuple[str, ...]]:
    return [one.items for one in read_incidents(library)]


def live(library: Path) -> list[str]:
    return sorted(asset.id for asset in load_snapshot(library).assets)


def test_what_is_added_comes_in_with_what_is_known(library: Path) -> None:
    """By one version; what is known comes in it though nothing is new, and each once."""
    before = read_live_set(library).generation
    add(library, "b", "c", into=Into("attack", (AssetId("a"),)))
    assert (live(library), came(library)) == (["a", "b", "c"], [("a", "b", "c")])
    assert read_live_set(library).generation == before + 1
    add(library, "b", into=Into("attack", (AssetId("c"), AssetId("b"))))
    assert came(library) == [("a", "b", "c")]


@pytest.mark.parametrize("problem", ["it is closed", "there is none of that name", "more than 1 items"])
def test_where_it_cannot_come_in_it_does_not_come(library: Path, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An incident that is closed meanwhile, or full: neither an item nor a place in it."""
    into = Into("other") if "none" in problem else ATTACK
    if "closed" in problem:
        book(library).close("attack")
    monkeypatch.setattr("streamguard.library.incidents.MOST_ITEMS", 1)
    before = read_live_set(library)
    with pytest.raises(UsageError, match=problem):
        add(library, "b", "c", into=into)
    assert (live(library), came(library), read_live_set(library)) == (["a"], [()], before)


def test_the_next_writer_brings_both(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that ended between the catalogue and what workers read: be the incident closed by then, or gone."""
    book(library).open("other", label=None, by="", reason="")
    with monkeypatch.context() as patched, Library.open(library) as opened:
        patched.setattr(memberships, "note_since", _ends)
        for id_, name in (("b", "attack"), ("c", "other")):
            with pytest.raises(LibraryError):
                opened.add_all([(new_item(id_), reference(ord(id_)))], into=Into(name))
    assert (live(library), came(library)) == (["a"], [(), ()])
    book(library).close("attack")
    replace_incidents(library, (book(library).named("attack"),), signer=None)
    Library.open(library).close()
    assert (live(library), came(library)) == (["a", "b", "c"], [("b",)])


def _killed_before_publishing(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, Library.open(library) as opened:
        patched.setattr(memberships, "note_since", _ends)
        with pytest.raises(LibraryError):
            opened.add_all([(new_item("b"), reference(2))], into=ATTACK)


def test_a_library_opens_though_no_room_is_left_for_what_came(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other incidents took it meanwhile: what came is searched, and nobody's work stops."""
    _killed_before_publishing(library, monkeypatch)
    monkeypatch.setattr("streamguard.library.incidents._MOST_BYTES", 1000)
    Library.open(library).close()
    assert (live(library), came(library)) == (["a", "b"], [()])
    with Library.open(library) as opened:
        opened.disable("b")
    assert live(library) == ["a"]


def test_a_full_disk_keeps_what_came_for_the_next_writer(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is it published without its incident, nor is it forgotten."""
    _killed_before_publishing(library, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr("streamguard.library.incidents.replace_file", _full)
        with pytest.raises(LibraryError, match=r"incidents\.json.*No space left"):
            Library.open(library)
        assert (live(library), came(library)) == (["a"], [()])
    Library.open(library).close()
    assert (live(library), came(library)) == (["a", "b"], [("b",)])


def test_an_incident_has_nothing_of_an_earlier_one_of_its_name(library: Path) -> None:
    """Whose incidents were put away, though `current.json` is deleted, as its errors say, and made anew."""
    with Library.open(library, clock=lambda: 1_750_000_000.0) as opened:
        opened.add_all([(new_item("b"), reference(2))], into=ATTACK)
    (library / CURRENT).unlink()
    Library.open(library).close()
    assert (live(library), came(library)) == (["a", "b"], [("b",)])
    (library / INCIDENTS).unlink()
    Book(library, lambda: 1_800_000_000.0).open("attack", label=None, by="", reason="")
    with Library.open(library, clock=lambda: 1_850_000_000.0) as opened:
        opened.add_all([(new_item("c"), reference(3))], into=ATTACK)
    (library / CURRENT).unlink()
    Library.open(library).close()
    assert (live(library), came(library)) == (["a", "b", "c"], [("c",)])
    replace_incidents(library, (book(library).named("attack").model_copy(update={"items": ()}),), signer=None)
    (library / CURRENT).write_text("damaged")
    Library.open(library).close()
    assert came(library) == [("c",)]


def test_nor_what_others_added_while_a_writer_was_at_work(library: Path) -> None:
    """It had published before they did; what they published is none of what it has to note."""
    with Library.open(library) as long, Library.open(library, clock=lambda: 1_750_000_000.0) as other:
        other.add_all([(new_item("b"), reference(2))], into=ATTACK)
        (library / INCIDENTS).unlink()
        Book(library, lambda: 1_800_000_000.0).open("attack", label=None, by="", reason="")
        long.add(new_item("c"), reference(3))
    assert (live(library), came(library)) == (["a", "b", "c"], [()])


def test_whoever_finds_it_knows_that_it_came(library: Path) -> None:
    """Be it added between a worker's look at the incidents and its look at the library."""
    incidents, then = OpenIncidents(library), list[str]()

    def read_hot() -> tuple[AssetId, ...]:
        incidents.refresh()
        items = incidents.items
        if then:
            add(library, then.pop())
        return items

    holder = SnapshotHolder(library, hot_set=HotSet(lambda work: work()), read_hot=read_hot)
    add(library, "b")
    then.append("c")
    assert holder.refresh().changed
    assert sorted(asset.id for asset in holder.snapshot.assets) == ["a", "b", "c"]
    assert set(holder.snapshot.in_incidents) == {"b", "c"}


def _ends(*_: object, **__: object) -> None:
    raise OSError


def _full(*_: object, **__: object) -> None:
    raise OSError(ENOSPC, strerror(ENOSPC))
