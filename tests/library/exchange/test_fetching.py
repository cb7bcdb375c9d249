"""streamguard.library.exchange.fetching: an exchange's updates into the library, and opinions back."""

from pathlib import Path

import pytest

from streamguard.errors import ExchangeNotUnderstood, ExchangeUnreachable
from streamguard.library.exchange import fetching
from streamguard.library.exchange.book import Book, Source, book_for_change
from streamguard.library.exchange.exchanges import Batch, Update
from streamguard.library.exchange.fetching import Fetched, fetch, push
from streamguard.library.exchange.hashes import HashKind, ListedHash, Opinion, Remarks
from streamguard.library.exchange.opinions import NamedHash, give, given
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from tests.fake_exchange import FakeExchange
from tests.library.exchange.shared import found, hashes, lost

CODES = hashes(1, 6)
NAME = "ncmec"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    Library.open(tmp_path / "library", create=True).close()
    return tmp_path / "library"


def _update(key: str, *codes: bytes, agree: int = 1, disagree: int = 0) -> Update:
    remarks = Remarks(("A1",), agree, disagree)
    return Update(key, tuple(ListedHash(HashKind.PDQ, code, remarks=remarks) for code in codes), {"entry": key})


def _fetch(library: Path, exchange: FakeExchange) -> Fetched:
    with book_for_change(library, clock=lambda: 9.0) as book, Library.open(library) as opened:
        source = book.make_source(NAME, label="csam", exchange="ncmec", settings="{}")
        return fetch(book, opened, source=source, exchange=exchange, who="me")


def _source(library: Path) -> Source:
    with Book.open(library, read_only=True) as book:
        return book.source(NAME)


def _live(library: Path) -> list[bool]:
    return [bool(found(library, code)) for code in CODES]


def test_what_is_new_is_searched_and_the_next_fetch_goes_on_from_there(library: Path) -> None:
    """The checkpoint and the time of the fetch are kept."""
    exchange = FakeExchange([Batch((_update("a", CODES[0], CODES[1]),), "1"), Batch((_update("b", CODES[2]),), "2")])
    done = _fetch(library, exchange)
    assert (done.updates, done.new, done.gone) == (2, 3, 0)
    assert _live(library) == [True] * 3 + [False] * 3
    assert (_source(library).checkpoint, _source(library).fetched_unix_s) == ("2", 9.0)
    exchange.batches = [Batch((_update("c", CODES[3]),), "3", unread=4)]
    assert _fetch(library, exchange).unread == 4
    assert exchange.asked == ["", "2"]
    assert _live(library) == [True] * 4 + [False] * 2


def test_a_record_that_is_taken_back_takes_its_hashes_with_it(library: Path) -> None:
    """But for those that another record has too; a record that changes loses those that it had."""
    exchange = FakeExchange(
        [Batch((_update("a", CODES[0], CODES[1]), _update("b", CODES[1]), _update("c", CODES[2])), "1")]
    )
    _fetch(library, exchange)
    exchange.batches = [Batch((Update("a", ()), _update("c", CODES[3])), "2")]
    done = _fetch(library, exchange)
    assert (done.new, done.gone) == (1, 2)
    assert _live(library) == [False, True, False, True, False, False]


def test_of_two_updates_of_one_record_the_last_counts(library: Path) -> None:
    """Though both come in one batch."""
    exchange = FakeExchange(
        [Batch((_update("a", CODES[0]), Update("a", ()), _update("b", CODES[1]), _update("b", CODES[2])), "1")]
    )
    _fetch(library, exchange)
    assert _live(library) == [False, False, True, False, False, False]


def test_a_record_with_an_endless_name_is_none(library: Path) -> None:
    """It is counted, and costs no other."""
    exchange = FakeExchange([Batch((_update("x" * 10_000, CODES[0]), _update("b", CODES[1])), "1")])
    done = _fetch(library, exchange)
    assert (done.new, done.unread) == (1, 1)


def test_a_fetch_that_breaks_keeps_what_came_before(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is live, and the next one goes on after it."""
    monkeypatch.setattr(fetching, "_AT_ONCE", 1)
    batches = [Batch((_update(key, code),), key) for key, code in zip("abcd", CODES, strict=False)]
    exchange = FakeExchange(batches, fails_after=2)
    with pytest.raises(ExchangeUnreachable):
        _fetch(library, exchange)
    assert _live(library) == [True, True, False, False, False, False]
    assert _source(library).checkpoint == "b"
    exchange.batches, exchange.fails_after = batches[2:], None
    _fetch(library, exchange)
    assert exchange.asked == ["", "b"]
    assert _live(library) == [True] * 4 + [False] * 2


def test_after_too_long_all_is_fetched_anew_and_what_does_not_come_is_gone(library: Path) -> None:
    """The exchange may have forgotten what it took back; a whole fetch that breaks takes nothing away."""
    exchange = FakeExchange([Batch((_update("a", CODES[0]), _update("b", CODES[1])), "1")])
    _fetch(library, exchange)
    exchange.stale, exchange.batches, exchange.fails_after = (
        True,
        [Batch((), "2"), Batch((_update("b", CODES[1]),), "3")],
        1,
    )
    with pytest.raises(ExchangeUnreachable):
        _fetch(library, exchange)
    assert _live(library)[:2] == [True, True]
    assert _source(library).checkpoint == "1"
    exchange.fails_after = None
    assert _fetch(library, exchange).gone == 1
    assert exchange.asked == ["", "", ""]
    assert _live(library)[:2] == [False, True]
    assert _source(library).checkpoint == "3"


def test_an_exchange_that_has_nothing_any_more_is_not_believed(library: Path) -> None:
    """What it had is searched still, from the checkpoint of before on; whoever means it removes the source."""
    exchange = FakeExchange([Batch((_update("a", CODES[0]), _update("b", CODES[1])), "1")])
    _fetch(library, exchange)
    exchange.stale, exchange.batches = True, [Batch((), "2")]
    with pytest.raises(ExchangeNotUnderstood, match="of 2 records 2 are gone at once"):
        _fetch(library, exchange)
    assert _live(library)[:2] == [True, True]
    assert _source(library).checkpoint == "1"


def test_an_exchange_that_has_lost_nearly_all_at_once_takes_nothing_away(library: Path) -> None:
    """An empty answer to a whole fetch is one; half of it is believed."""
    many = hashes(5, 200)
    everything = tuple(_update(code.hex(), code) for code in many)
    exchange = FakeExchange([Batch(everything, "1")])
    _fetch(library, exchange)
    exchange.stale = True
    for left in (0, 19):
        exchange.batches = [Batch(everything[:left], "2")]
        with pytest.raises(ExchangeNotUnderstood, match=r"of 200 records \d+ are gone at once.*exchange remove ncmec"):
            _fetch(library, exchange)
        assert lost(library, many, label="csam") == []
        assert _source(library).checkpoint == "1"
    exchange.batches = [Batch(everything[:100], "3")]
    assert _fetch(library, exchange).gone == 100


def test_an_exchange_that_goes_round_in_a_circle_comes_to_an_end(library: Path) -> None:
    """What it said until then is not taken for all that there is."""
    first, second = Batch((_update("a", CODES[0]), _update("b", CODES[1])), "1"), Batch((_update("a", CODES[0]),), "2")
    exchange = FakeExchange([first])
    _fetch(library, exchange)
    exchange.stale, exchange.batches = True, [second] * 1000
    with pytest.raises(ExchangeNotUnderstood, match="fetch ncmec: the same answer 101 times"):
        _fetch(library, exchange)
    assert _live(library)[:2] == [True, True]
    exchange.batches = [second] * 20
    assert _fetch(library, exchange).gone == 1


def test_what_its_members_dispute_goes_into_quarantine(library: Path) -> None:
    """And comes back when they agree again: opinions of all records of a hash are counted together."""
    exchange = FakeExchange([Batch((_update("a", CODES[0]), _update("b", CODES[0], agree=0, disagree=2)), "1")])
    assert _fetch(library, exchange).quarantined == {Reason.DISPUTED: 1}
    assert _live(library)[0] is False
    exchange.batches = [Batch((_update("b", CODES[0], agree=2), _update("c", CODES[1])), "2")]
    _fetch(library, exchange)
    assert _live(library)[:2] == [True, True]


def test_opinions_are_told_once_with_the_records_that_they_are_about(library: Path) -> None:
    """One that the exchange does not take waits, and one that fails is told again."""
    exchange = FakeExchange([Batch((_update("a", CODES[0]), _update("b", CODES[0], CODES[1])), "1")])
    _fetch(library, exchange)
    exchange.takes = (Opinion.AGREE,)
    with book_for_change(library) as book:
        source = book.source(NAME)
        with book.change():
            give(book, NamedHash(source, HashKind.PDQ, CODES[0]), Opinion.AGREE, who="me", why="")
            give(book, NamedHash(source, HashKind.PDQ, CODES[1]), Opinion.SEEN, who="me", why="")
        assert push(book, source, exchange) == (1, 1)
        agreed = next(one for one in exchange.told if one.opinion is Opinion.AGREE)
        assert agreed.records == (("a", {"entry": "a"}), ("b", {"entry": "b"}))
        assert [one.code for one in given(book, unsent=True)] == [CODES[1]]
        exchange.told.clear()
        assert push(book, source, exchange) == (0, 1)
        assert [one.opinion for one in exchange.told] == [Opinion.SEEN]
