"""streamguard.library.exchange.quarantine: poison kept apart, released, dropped."""

from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library.exchange import quarantine
from streamguard.library.exchange.book import Book, book_for_change
from streamguard.library.exchange.opinions import may_kill
from streamguard.library.exchange.parts import sync
from streamguard.library.exchange.quarantine import Which
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from tests.library.exchange.shared import SOURCE, found, hashes, near, quarantined, take_up

CODES = hashes(1, 20)
FLAT = [bytes(31) + bytes([number]) for number in range(4)]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Four flat hashes of a list are in quarantine."""
    take_up(tmp_path / "library", [*FLAT, *CODES])
    return tmp_path / "library"


def _decide(
    library: Path, what: str, *, who: str = "me", reason: Reason | None = None, values: tuple[str, ...] = ()
) -> int | None:
    with book_for_change(library) as book, Library.open(library) as opened:
        which = Which(book.source(SOURCE), reason, values)
        with book.change():
            done: int | None = getattr(quarantine, what)(book, which, who=who, why="because")
        sync(book, opened)
    return done


def test_what_is_kept_is_told_with_its_reason(library: Path) -> None:
    """Each, and how many."""
    with Book.open(library, read_only=True) as book:
        kept = quarantine.kept(book, source=book.source(SOURCE))
        assert {(one.source, one.reason, one.kind) for one in kept} == {(SOURCE, Reason.FLAT, "pdq")}
        assert sorted(one.value for one in kept) == [code.hex() for code in FLAT]
        assert quarantine.counts(book) == {(SOURCE, Reason.FLAT): 4}


def test_what_is_released_is_searched_and_never_judged_again(library: Path) -> None:
    """Though its list comes again."""
    assert _decide(library, "release", values=(FLAT[0].hex(),)) == 1
    assert ("terror", 0) in found(library, FLAT[0])
    take_up(library, [*FLAT, *CODES])
    assert ("terror", 0) in found(library, FLAT[0])
    assert quarantined(library) == {"flat": 3}


def test_what_is_dropped_stays_out_however_often_it_is_named(library: Path) -> None:
    """And what looks like it comes no further than quarantine."""
    assert _decide(library, "drop", reason=Reason.FLAT) == 4
    assert quarantined(library) == {}
    take_up(library, [*FLAT, *CODES], replace=True)
    assert found(library, FLAT[0]) == []
    assert quarantined(library) == {}
    with pytest.raises(UsageError, match="nothing of partner"):
        _decide(library, "release", reason=Reason.FLAT)


def test_a_changed_copy_of_a_dropped_hash_is_a_clash(tmp_path: Path) -> None:
    """From any source."""
    library = tmp_path / "library"
    take_up(library, ["hash,disagree", f"{CODES[0].hex()},1"])
    _decide(library, "drop", reason=Reason.DISPUTED)
    assert take_up(library, [near(CODES[0]), *CODES[1:]], source="other").quarantined == {Reason.CLASH: 1}


def test_a_release_may_take_two_persons(library: Path) -> None:
    """The same person twice is one; another request is another; and to switch the rule off takes two as well."""
    with book_for_change(library) as book, book.change():
        quarantine.set_two_persons(book, wanted=True, who="me")
    assert _decide(library, "release", reason=Reason.FLAT) is None
    assert _decide(library, "release", reason=Reason.FLAT) is None
    assert _decide(library, "release", who="you", values=(FLAT[0].hex(),)) is None
    assert quarantined(library) == {"flat": 4}
    assert _decide(library, "release", who="you", reason=Reason.FLAT) == 4
    assert quarantined(library) == {}
    with book_for_change(library) as book:
        for who, is_on in (("me", True), ("me", True), ("you", False)):
            with book.change():
                quarantine.set_two_persons(book, wanted=False, who=who)
            assert quarantine.two_persons(book) is is_on


def test_two_persons_mean_the_same_however_much_it_is(library: Path) -> None:
    """Who asks for a hundred hashes does not speak for a hundred that begin with the same."""
    many = tuple(f"{number:064x}" for number in range(100, 200))
    with book_for_change(library) as book, book.change():
        quarantine.set_two_persons(book, wanted=True, who="me")
    assert _decide(library, "release", values=(*many, FLAT[0].hex())) is None
    assert _decide(library, "release", who="you", values=(*many, FLAT[1].hex())) is None
    assert _decide(library, "release", who="you", values=(*many, FLAT[0].hex())) == 1


def test_what_was_settled_must_be_asked_for_anew(library: Path) -> None:
    """A source that was trusted by two, and is not any more, is trusted by two again."""
    with book_for_change(library) as book:
        source = book.source(SOURCE)

        def may(who: str) -> bool:
            with book.change():
                return quarantine.is_second(book, source, action="asked to trust", who=who, why="")

        assert may("me")
        with book.change():
            quarantine.set_two_persons(book, wanted=True, who="me")
        assert [may("me"), may("me"), may("you")] == [False, False, True]
        for allowed in (True, False):
            with book.change():
                may_kill(book, source, allowed=allowed, who="you", why="")
        assert [may("you"), may("me")] == [False, True]
