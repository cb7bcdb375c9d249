"""streamguard.library.opinions: what is said of kill-signals, kept with the references that they name."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.core.falls import Said
from streamguard.errors import LibraryError
from streamguard.library import opinions as opinions_module
from streamguard.library.catalogue import CATALOGUE
from streamguard.library.exchange.hashes import Opinion
from streamguard.library.live_set import CURRENT
from streamguard.library.opinions import NotTaken, Signalled, Taken, Voiced, is_known, mistaken, place_in, references
from streamguard.library.opinions import voiced as all_voiced
from streamguard.library.store import Library
from streamguard.types import Verdict
from tests.library.made import library_of, new_item, reference
from tests.library.opinions_made import catalogue_of, confirmed, mistake, signalled, tell, voiced

AGREE, DISAGREE = Opinion.AGREE, Opinion.DISAGREE


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """With the items a, b and c."""
    library_of(tmp_path / "lib", "abc")
    return tmp_path / "lib"


def said(path: Path) -> dict[str, Said]:
    with catalogue_of(path) as catalogue:
        return {one.id: one.said for one in references(catalogue)}


def test_opinions_are_kept_with_who_when_and_why(library: Path) -> None:
    """And counted for the reference that the signal names."""
    taken = tell(library, *confirmed("s1", "a"), *mistake("s2", "a"), *confirmed("s3", "b"))
    assert taken == Taken(3, {AGREE: 2, DISAGREE: 1})
    assert said(library) == {"a": Said(1, 1), "b": Said(1, 0)}
    with catalogue_of(library) as catalogue:
        found = all_voiced(catalogue, item=catalogue.with_id("a")[0].number, most=9)
        assert len(all_voiced(catalogue, most=2)) == 2
        assert mistaken(catalogue) == {"s2"}
    assert [(one.signal, one.opinion, one.who) for one in found] == [("s2", DISAGREE, "anna"), ("s1", AGREE, "anna")]


def test_taking_it_in_changes_no_version(library: Path) -> None:
    """What is searched stays as it is until something falls."""
    before = (library / CURRENT).read_bytes()
    tell(library, *mistake("s1", "a"))
    assert (library / CURRENT).read_bytes() == before
    with Library.open(library) as opened:
        assert opened.verify() == ()


def test_an_opinion_is_about_a_signal_that_was_seen_and_names_the_reference(library: Path) -> None:
    """Otherwise it does not count, and it is said why."""
    taken = tell(library, signalled("s1", "a"), voiced("s1", "b", DISAGREE), voiced("s9", "a", DISAGREE))
    assert taken.refused == {NotTaken.OTHER_REFERENCE: 1, NotTaken.UNKNOWN_SIGNAL: 1}
    assert taken.opinions == {}
    assert said(library) == {}


def test_footage_that_the_library_does_not_have_is_none_of_its_business(library: Path) -> None:
    """Nothing is written for it."""
    told = [signalled("s1", "elsewhere")]
    with catalogue_of(library) as catalogue:
        assert is_known(catalogue, told)
    assert tell(library, *told) == Taken(0, {}, {})


def test_what_was_removed_is_remembered_and_what_came_after_it_is_another(library: Path) -> None:
    """Opinions on a removed item are its own; one of the same id that is there is meant first."""
    with Library.open(library) as opened:
        opened.remove("a")
    tell(library, *confirmed("s1", "a"))
    with Library.open(library) as opened:
        opened.add(new_item("a", content="another"), reference(7))
    tell(library, *mistake("s2", "a"))
    with catalogue_of(library) as catalogue:
        assert [(one.state, one.said) for one in references(catalogue)] == [
            ("removed", Said(1, 0)),
            ("live", Said(0, 1)),
        ]


_TOLD = [
    *confirmed("s1", "a"), *mistake("s2", "a"), signalled("s3", "b"), voiced("s3", "b", AGREE),
    voiced("s3", "b", DISAGREE), *confirmed("s4", "b"), voiced("s4", "b", AGREE, why="me too"),
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.permutations([one for one in _TOLD if isinstance(one, Voiced)]), st.integers(1, 4))
def test_order_and_repetition_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[Voiced], at_once: int
) -> None:
    """There is one opinion a signal, and a mistake is the last word on it."""
    path = tmp_path_factory.mktemp("lib") / "lib"
    library_of(path, "ab")
    tell(path, *(one for one in _TOLD if isinstance(one, Signalled)))
    for _ in range(2):
        for start in range(0, len(order), at_once):
            tell(path, *order[start : start + at_once])
    assert said(path) == {"a": Said(1, 1), "b": Said(1, 1)}
    with catalogue_of(path) as catalogue:
        assert is_known(catalogue, order)


def test_a_signal_is_counted_once_by_its_verdict(library: Path) -> None:
    """However often it comes."""
    for _ in range(2):
        tell(library, signalled("s1", "a"), signalled("s2", "a", verdict=Verdict.REVIEW), signalled("s3", "a"))
    with sqlite3.connect(library / CATALOGUE) as connection:
        assert connection.execute("SELECT kills, limits, reviews FROM tallies").fetchall() == [(2, 0, 1)]


def test_only_the_newest_signals_can_be_spoken_of(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of them stays small, and the counts whole."""
    monkeypatch.setattr(opinions_module, "MOST_DECIDED", 3)
    tell(library, *(signalled(f"s{number}", "a") for number in range(5)))
    taken = tell(library, voiced("s1", "a", DISAGREE), voiced("s2", "a", DISAGREE))
    assert (taken.opinions, taken.refused) == ({DISAGREE: 1}, {NotTaken.UNKNOWN_SIGNAL: 1})
    with sqlite3.connect(library / CATALOGUE) as connection:
        assert connection.execute("SELECT kills FROM tallies").fetchall() == [(5,)]


def test_it_is_known_how_far_was_read(library: Path) -> None:
    """Of each stream by itself."""
    with catalogue_of(library) as catalogue:
        assert place_in(catalogue, "redis one") == ""
    tell(library, signalled("s1", "a"), place=("redis one", "17-0"))
    tell(library, signalled("s2", "a"), place=("redis two", "3-1"))
    tell(library, signalled("s3", "a"), place=("redis one", "18-0"))
    with catalogue_of(library) as catalogue:
        assert [place_in(catalogue, name) for name in ("redis one", "redis two")] == ["18-0", "3-1"]


def test_all_of_it_is_taken_in_or_nothing(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it fails in between, the same again takes all of it in."""
    told: list[Signalled | Voiced] = [*confirmed("s1", "a"), *mistake("s2", "b")]

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(opinions_module, "set_", full)
        with pytest.raises(LibraryError):
            tell(library, *told, place=("redis", "1-0"))
    assert said(library) == {}
    assert tell(library, *told, place=("redis", "1-0")).signals == 2
