"""streamguard.library.exchange.opinions: what we say of hashes, and what a source has earned by it."""

from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library.exchange.book import Book, book_for_change
from streamguard.library.exchange.films import film_line
from streamguard.library.exchange.hashes import FilmFrame, HashKind, Opinion
from streamguard.library.exchange.importing import Asked, import_files
from streamguard.library.exchange.lists import ListFormat
from streamguard.library.exchange.opinions import NamedHash, doubt_film, forget, give, given, may_kill, standing
from streamguard.library.exchange.parts import plan, sync
from streamguard.library.loading import load_snapshot
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from tests.library.exchange.shared import SOURCE, found, hashes, quarantined, take_up, write
from tests.library.made import RADIUS_BITS, new_item, reference, seen

CODES = hashes(1, 25)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    take_up(tmp_path / "library", CODES)
    return tmp_path / "library"


def _say(library: Path, code: bytes, opinion: Opinion) -> None:
    with book_for_change(library, clock=lambda: 7.0) as book, Library.open(library) as opened:
        with book.change():
            give(book, NamedHash(book.source(SOURCE), HashKind.PDQ, code), opinion, who="me", why="seen it")
            plan(book)
        sync(book, opened)


def test_a_hash_that_we_disagree_with_is_searched_no_more(library: Path) -> None:
    """And stays out when its list comes again."""
    _say(library, CODES[3], Opinion.DISAGREE)
    assert found(library, CODES[3]) == []
    assert found(library, CODES[4]) == [("terror", 0)]
    assert quarantined(library) == {"by_hand": 1}
    take_up(library, CODES)
    assert found(library, CODES[3]) == []


def test_a_list_that_takes_a_hash_back_and_names_it_again_does_not_undo_what_we_said(library: Path) -> None:
    """Neither by a row that deletes it, nor by a list that replaces the one before."""
    _say(library, CODES[3], Opinion.DISAGREE)
    take_up(library, [f'{{"hash": "{CODES[3].hex()}", "deleted": true}}'], form=ListFormat.JSON)
    assert quarantined(library) == {}
    assert take_up(library, CODES).quarantined == {Reason.BY_HAND: 1}
    assert found(library, CODES[3]) == []
    take_up(library, CODES[4:], replace=True)
    take_up(library, CODES)
    assert found(library, CODES[3]) == []
    assert quarantined(library) == {"by_hand": 1}
    assert found(library, CODES[4]) == [("terror", 0)]


def test_members_who_agree_again_do_not_outvote_us(library: Path) -> None:
    """A hash that was only disputed comes back by its members' word, but not against ours."""
    row = "hash,agree,disagree"
    take_up(library, [row, f"{CODES[3].hex()},0,1", f"{CODES[4].hex()},0,1"])
    assert quarantined(library) == {"disputed": 2}
    _say(library, CODES[3], Opinion.DISAGREE)
    take_up(library, [row, f"{CODES[3].hex()},5,1", f"{CODES[4].hex()},5,1"])
    assert [found(library, code) for code in CODES[3:5]] == [[], [("terror", 0)]]


def test_a_film_that_we_disagree_with_stays_out_when_its_list_comes_again(library: Path, tmp_path: Path) -> None:
    """As a hash does; also where it has other frames by now."""
    codes = hashes(4, 12)
    lines = [film_line(number, FilmFrame(number * 1_000_000, 90, code)) for number, code in enumerate(codes)]
    film = write(tmp_path / "film.vpdq", lines)
    import_files(library, [film], Asked(SOURCE, None))
    assert found(library, codes[5]) == [("terror", 0)]
    with book_for_change(library) as book, Library.open(library) as opened:
        with book.change():
            doubt_film(book, book.source(SOURCE), "film", who="me", why="a news studio")
            plan(book)
        sync(book, opened)
    for rows in (lines, lines[:10]):
        import_files(library, [write(film, rows)], Asked(SOURCE, None))
        assert found(library, codes[5]) == []
        assert quarantined(library) == {"by_hand": 1}


def test_an_opinion_is_kept_with_who_when_and_why(library: Path) -> None:
    """The last one counts, and waits to be sent."""
    _say(library, CODES[0], Opinion.SEEN)
    _say(library, CODES[0], Opinion.AGREE)
    with Book.open(library) as book:
        (one,) = given(book, unsent=True)
        assert (one.code, one.opinion, one.who, one.why, one.at_unix_s) == (CODES[0], Opinion.AGREE, "me", "seen it", 7)
        assert given(book, source=book.source(SOURCE)) == (one,)
        actions = [row["action"] for row in book.rows("SELECT action FROM history ORDER BY number")]
    assert actions == ["import of list.txt", f"opinion seen {CODES[0].hex()}", f"opinion agree {CODES[0].hex()}"]


def test_of_a_hash_that_a_source_does_not_have_there_is_no_opinion(library: Path) -> None:
    """It says so."""
    with pytest.raises(UsageError, match="partner has no such hash"):
        _say(library, hashes(9, 1)[0], Opinion.AGREE)


def test_a_source_earns_kills_by_twenty_that_were_right_and_none_that_was_wrong(library: Path) -> None:
    """One mistake takes it away again."""
    with book_for_change(library) as book:
        source = book.source(SOURCE)

        def say(code: bytes, opinion: Opinion) -> None:
            with book.change():
                give(book, NamedHash(source, HashKind.PDQ, code), opinion, who="me", why="")

        for code in CODES[:19]:
            say(code, Opinion.AGREE)
        assert not standing(book, source).has_earned_kills
        say(CODES[19], Opinion.AGREE)
        assert standing(book, source).has_earned_kills
        say(CODES[20], Opinion.DISAGREE)
        assert not standing(book, source).has_earned_kills


def test_only_what_comes_from_a_trusted_source_tells_when(library: Path) -> None:
    """Trust and distrust write all of its parts anew; between them every hash is found all the time."""

    def bits() -> set[int]:
        snapshot = load_snapshot(library)
        return {
            candidate.nearest_elsewhere_bits
            for code in CODES
            for candidate in snapshot.search((seen(code),), radius_bits=RADIUS_BITS)
        }

    assert bits() == {0}
    for allowed, expected in ((True, {256}), (False, {0})):
        with book_for_change(library) as book, Library.open(library) as opened:
            with book.change():
                may_kill(book, book.source(SOURCE), allowed=allowed, who="me", why="")
                plan(book)
            sync(book, opened)
            (item,) = opened.items()
            assert item.review_only is not allowed
        assert bits() == expected


def test_a_rollback_gives_a_list_nothing_back(library: Path) -> None:
    """Neither a hash that we disagree with, nor kills of a source that is not trusted now; what came since stays."""

    def trust(*, allowed: bool) -> None:
        with book_for_change(library) as book, Library.open(library) as opened:
            with book.change():
                may_kill(book, book.source(SOURCE), allowed=allowed, who="me", why="")
                plan(book)
            sync(book, opened)

    trust(allowed=True)
    then = load_snapshot(library).version
    with Library.open(library) as opened:
        opened.add(new_item("own"), reference(7))
    _say(library, CODES[3], Opinion.DISAGREE)
    trust(allowed=False)
    take_up(library, hashes(8, 2))
    with Library.open(library) as opened:
        done = opened.roll_back(then)
        assert (done.removed, done.restored, done.lists) == (1, 0, (SOURCE,))
        assert not opened.has("own")
        assert all(item.review_only for item in opened.items())
        assert opened.verify() == ()
    assert found(library, CODES[3]) == []
    assert found(library, CODES[4]) == found(library, hashes(8, 2)[0]) == [("terror", 0)]


def test_a_source_that_is_removed_leaves_nothing_but_what_was_dropped(library: Path) -> None:
    """What it earned is gone too; another source's hashes stay."""
    take_up(library, CODES[:1], source="other")
    with book_for_change(library) as book, Library.open(library) as opened:
        with book.change():
            may_kill(book, book.source(SOURCE), allowed=True, who="me", why="")
            forget(book, book.source(SOURCE), who="me", why="")
            plan(book)
        sync(book, opened)
        assert not book.source(SOURCE).may_kill
        assert opened.verify() == ()
    assert found(library, CODES[0]) == [("terror", 0)]
    assert found(library, CODES[1]) == []
