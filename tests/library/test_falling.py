"""streamguard.library.falling: references with mistakes fall, so many an hour, and come back by an operator alone."""

from pathlib import Path

import pytest

from streamguard.core.falls import Fall, FallRule
from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemState
from streamguard.library.changes import Origin
from streamguard.library.exchange.book import Book, book_for_change
from streamguard.library.exchange.films import film_line
from streamguard.library.exchange.hashes import FilmFrame, HashKind, Opinion
from streamguard.library.exchange.importing import Asked, import_files
from streamguard.library.exchange.opinions import NamedHash, give, given
from streamguard.library.exchange.parts import APART_S, sync
from streamguard.library.exchange.quarantine import Which, release
from streamguard.library.falling import BY, FallTerms, Fell, fall_due, fall_hashes, restore, resume, waiting
from streamguard.library.loading import load_snapshot
from streamguard.library.opinions import references
from streamguard.library.store import Library
from streamguard.types import AssetId
from tests.library.exchange.shared import SOURCE, found, hashes, lost, quarantined, take_up, write
from tests.library.made import library_of
from tests.library.opinions_made import NOW_UNIX_S, catalogue_of, confirmed, mistake, signalled, tell, voiced

TERMS = FallTerms()
ANNA = Origin("anna", "looked at it")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """With the items a to f."""
    library_of(tmp_path / "lib", "abcdef")
    return tmp_path / "lib"


def fall(path: Path, *, terms: FallTerms = TERMS, after_s: float = 0.0) -> list[tuple[str, Fall]]:
    with Library.open(path, clock=lambda: NOW_UNIX_S) as opened:
        return [(one.reference, one.to) for one in fall_due(opened, terms, now_unix_s=NOW_UNIX_S + after_s)]


def earn_reviews_only(path: Path) -> set[AssetId]:
    return set(load_snapshot(path).fallen)


def test_the_first_mistake_costs_the_kill_and_the_third_the_place(library: Path) -> None:
    """At once in what workers read; the history says by which signals."""
    tell(library, *confirmed("s0", "a"), *mistake("s1", "a"))
    assert fall(library) == [("a", Fall.REVIEW)]
    assert earn_reviews_only(library) == {"a"}
    tell(library, *mistake("s2", "a"))
    assert fall(library) == []
    tell(library, *mistake("s3", "a"))
    assert fall(library) == [("a", Fall.DISABLED)]
    assert {asset.id for asset in load_snapshot(library).assets} == set("bcdef")
    with Library.open(library, read_only=True) as opened:
        first, last = opened.changes(id_="a")[-2:]
        assert (first.action, first.detail, first.origin.by) == ("fall", "to a review at most", BY)
        assert first.origin.reason == "1 mistake, 1 confirmed: s1 (anna: same studio)"
        assert (last.detail, last.named) == ("out of use", ("a",))
        assert "3 mistakes, 1 confirmed" in last.origin.reason
        assert [action for _, action in opened.history("a")] == ["add", "fall", "fall", "disable"]
        assert opened.verify() == ()


def test_confirmations_let_nothing_fall(library: Path) -> None:
    """However many; and what was never said anything of stays."""
    tell(library, *(one for number in range(9) for one in confirmed(f"s{number}", "a")))
    with catalogue_of(library) as catalogue:
        assert not waiting(catalogue).any
    assert fall(library) == []
    assert earn_reviews_only(library) == set()


def test_what_fell_stays_fallen_whatever_is_done_with_it(library: Path) -> None:
    """Another label, off and on again, merged with others: none of it earns the kill back; removed, it is gone."""
    tell(library, *mistake("s1", "a"), *mistake("s2", "b"))
    fall(library)
    with Library.open(library) as opened:
        before = opened.stats().version
        opened.label("a", "propaganda")
        opened.disable("a")
        assert earn_reviews_only(library) == {"b"}
        opened.enable("a")
        opened.compact(forget=True)
        for letter in "cdef":
            opened.remove(letter)
        opened.compact(forget=True)
        assert earn_reviews_only(library) == {"a", "b"}
        opened.roll_back(before, partly=True)
        assert earn_reviews_only(library) == {"a", "b"}
        opened.remove("b")
        assert earn_reviews_only(library) == {"a"}
        assert opened.verify() == ()


def test_an_operator_puts_it_back_and_the_past_counts_no_more(library: Path) -> None:
    """The next mistake is a first one again; disabled, it is searched again."""
    for number in range(3):
        tell(library, *mistake(f"s{number}", "a"))
    assert fall(library) == [("a", Fall.DISABLED)]
    with Library.open(library) as opened:
        assert restore(opened, "a", origin=ANNA, now_unix_s=NOW_UNIX_S).state is ItemState.LIVE
        assert opened.changes(id_="a")[-1].origin == ANNA
        with pytest.raises(UsageError, match="library restore a: it has not fallen"):
            restore(opened, "a", origin=ANNA, now_unix_s=NOW_UNIX_S)
    assert earn_reviews_only(library) == set()
    assert fall(library) == []
    tell(library, *mistake("s9", "a"))
    assert fall(library) == [("a", Fall.REVIEW)]
    with catalogue_of(library) as catalogue:
        (one,) = references(catalogue)
    assert (one.fall, one.said.mistaken, one.forgiven) == (Fall.REVIEW, 1, 3)


def test_so_many_fall_in_an_hour_and_then_a_person_is_asked(library: Path) -> None:
    """Nothing falls any more, not even after that hour, until somebody has looked; then so many an hour again."""
    terms = FallTerms(most_per_hour=2)
    for letter in "abcde":
        tell(library, *mistake(f"s-{letter}", letter))
    assert fall(library, terms=terms) == [("a", Fall.REVIEW), ("b", Fall.REVIEW)]
    with catalogue_of(library) as catalogue:
        found = waiting(catalogue)
    assert (found.references, found.stopped_unix_s, found.any) == (3, NOW_UNIX_S, False)
    assert fall(library, terms=terms, after_s=86_400.0) == []
    with Library.open(library) as opened:
        assert resume(opened, drop=False, origin=ANNA, now_unix_s=NOW_UNIX_S + 10.0).references == 3
        last = opened.changes()[-1]
        assert (last.action, last.detail, last.origin) == ("resume", "what waits may fall", ANNA)
    assert fall(library, terms=terms, after_s=20.0) == [("c", Fall.REVIEW), ("d", Fall.REVIEW)]
    assert earn_reviews_only(library) == set("abcd")


def test_in_another_hour_as_many_fall_again(library: Path) -> None:
    """Where it was never one too many."""
    terms = FallTerms(most_per_hour=2)
    for number, letters in enumerate(("ab", "cd")):
        for letter in letters:
            tell(library, *mistake(f"s-{letter}", letter))
        assert len(fall(library, terms=terms, after_s=3601.0 * number)) == 2


@pytest.mark.parametrize("ahead_s", [-7200.0, 7200.0])
def test_a_clock_that_was_wrong_neither_ends_nor_lifts_the_limit(library: Path, ahead_s: float) -> None:
    """So many an hour fall by the clock of now, whatever it said when others fell and a person resumed."""
    terms = FallTerms(most_per_hour=1)
    for letter in "ab":
        tell(library, *mistake(f"s-{letter}", letter))
    assert len(fall(library, terms=terms, after_s=ahead_s)) == 1
    with Library.open(library) as opened:
        resume(opened, drop=True, origin=ANNA, now_unix_s=NOW_UNIX_S + ahead_s)
    for letter in "cd":
        tell(library, *mistake(f"s-{letter}", letter))
    assert len(fall(library, terms=terms)) == 1


def test_what_waits_can_be_let_go(library: Path) -> None:
    """A flood of mistakes that nobody meant: none of them counts any more."""
    terms = FallTerms(most_per_hour=1)
    for letter in "abc":
        tell(library, *mistake(f"s-{letter}", letter))
    fall(library, terms=terms)
    with Library.open(library) as opened:
        assert resume(opened, drop=True, origin=ANNA, now_unix_s=NOW_UNIX_S).references == 2
        with pytest.raises(UsageError, match="nothing is stopped"):
            resume(opened, drop=True, origin=ANNA, now_unix_s=NOW_UNIX_S)
    with catalogue_of(library) as catalogue:
        assert waiting(catalogue).references == 0
    assert fall(library) == []
    assert earn_reviews_only(library) == {"a"}


def test_how_far_is_configured(library: Path) -> None:
    """0: not by itself."""
    tell(library, *mistake("s1", "a"), *mistake("s2", "a"), *mistake("s3", "a"))
    assert fall(library, terms=FallTerms(FallRule(0, 0))) == []
    tell(library, *mistake("s4", "a"))
    assert fall(library, terms=FallTerms(FallRule(1, 0))) == [("a", Fall.REVIEW)]


def test_what_is_off_or_gone_falls_as_well_and_stays_so(library: Path) -> None:
    """Enabled, or brought back by a rollback, it earns reviews only, also where so many mistakes take the place."""
    with Library.open(library) as opened:
        before = opened.stats().version
        opened.remove("a")
        opened.disable("b")
        opened.disable("c")
    for signal, reference in (("s1", "a"), ("s2", "b"), ("s3", "c"), ("s4", "c"), ("s5", "c")):
        tell(library, *mistake(signal, reference))
    assert fall(library) == [("a", Fall.REVIEW), ("b", Fall.REVIEW), ("c", Fall.REVIEW)]
    assert {asset.id for asset in load_snapshot(library).assets} == set("def")
    with Library.open(library) as opened:
        last = opened.changes(id_="b")[-1]
        assert (last.action, last.detail) == ("fall", "to a review at most, once it is searched again")
        opened.enable("b")
        assert earn_reviews_only(library) == {"b"}
        opened.roll_back(before)
        assert earn_reviews_only(library) == set("abc")
        assert opened.verify() == ()


def test_what_is_off_falls_once(library: Path) -> None:
    """Further mistakes of it take nothing more, and count as no fall; what fell live and was disabled is such."""
    terms = FallTerms(most_per_hour=2)
    tell(library, *mistake("s1", "a"), *mistake("s2", "b"))
    assert fall(library, terms=terms) == [("a", Fall.REVIEW), ("b", Fall.REVIEW)]
    with Library.open(library) as opened:
        opened.disable("a")
    tell(library, *mistake("s3", "a"), *mistake("s4", "a"))
    assert fall(library, terms=terms) == []
    with catalogue_of(library) as catalogue:
        found = waiting(catalogue)
    assert (found.references, found.stopped_unix_s) == (0, None)


def test_an_operator_puts_back_what_fell_while_it_was_off(library: Path) -> None:
    """It is searched again, and may do what its label may."""
    with Library.open(library) as opened:
        opened.disable("a")
    tell(library, *mistake("s1", "a"))
    fall(library)
    with Library.open(library) as opened:
        assert restore(opened, "a", origin=ANNA, now_unix_s=NOW_UNIX_S).state is ItemState.LIVE
    assert earn_reviews_only(library) == set()
    assert fall(library) == []


CODES = hashes(1, 25)


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, str]:
    """A library of a shared list, and the part that its hashes stand in."""
    path = tmp_path / "lists"
    take_up(path, CODES)
    (asset,) = load_snapshot(path).assets
    return path, asset.id


def fall_in_lists(path: Path, *, terms: FallTerms = TERMS) -> tuple[Fell, ...]:
    return fall_hashes(path, terms, now_unix_s=NOW_UNIX_S, origin=Origin(BY))


def at(number: int) -> int:
    """Where in a part its hash of that number stands."""
    return number * APART_S * 1_000_000


def test_of_a_list_the_hash_falls_and_the_others_stay(lists: tuple[Path, str]) -> None:
    """Each by the match that named it, also where its part was written anew meanwhile; the exchange can be told."""
    path, part = lists
    ordered = sorted(CODES)
    signals = [signalled(f"s{number}", part, reference_us=at(number)) for number in (3, 4, 5)]
    tell(path, *signals, voiced("s3", part, Opinion.DISAGREE), voiced("s5", part, Opinion.AGREE, why="seen it"))
    (fell,) = fall_in_lists(path)
    assert (fell.reference, fell.to) == (f"{part} {ordered[3].hex()}", Fall.DISABLED)
    tell(path, voiced("s4", part, Opinion.DISAGREE))
    assert [one.reference for one in fall_in_lists(path)] == [f"{part} {ordered[4].hex()}"]
    assert [bool(found(path, code)) for code in ordered[2:7]] == [True, False, False, True, True]
    assert quarantined(path) == {"by_hand": 2}
    with Book.open(path, read_only=True) as book:
        kept = {one.code: (one.kind, one.opinion, one.who) for one in given(book, unsent=True)}
    assert kept == {
        ordered[3]: (HashKind.PDQ, Opinion.DISAGREE, "anna"),
        ordered[4]: (HashKind.PDQ, Opinion.DISAGREE, "anna"),
        ordered[5]: (HashKind.PDQ, Opinion.AGREE, "anna"),
    }
    assert fall_in_lists(path) == ()


def test_a_hash_falls_though_its_part_was_written_anew_before_anybody_read_of_the_kill(lists: tuple[Path, str]) -> None:
    """Where opinions are read now and then only; as long as what was removed is kept."""
    path, part = lists
    ordered = sorted(CODES)
    take_up(path, [code for code in CODES if code != ordered[0]], replace=True)
    tell(path, *mistake("s3", part, reference_us=at(3)))
    assert [one.reference for one in fall_in_lists(path)] == [f"{part} {ordered[3].hex()}"]
    assert [bool(found(path, code)) for code in ordered[:5]] == [False, True, True, False, True]
    with Library.open(path) as opened:
        opened.compact(forget=True)
    tell(path, *mistake("s4", part, reference_us=at(4)))
    assert fall_in_lists(path) == ()
    assert found(path, ordered[4])


def test_no_other_hash_is_blamed_while_a_part_is_to_be_written_anew(lists: tuple[Path, str]) -> None:
    """One just gone into quarantine stands in it still; of a part that has lost one nobody knows the places."""
    path, part = lists
    ordered = sorted(CODES)
    with book_for_change(path) as book, book.change():
        give(book, NamedHash(book.source(SOURCE), HashKind.PDQ, ordered[1]), Opinion.DISAGREE, who="anna", why="")
    tell(path, signalled("s1", part, reference_us=at(5)), voiced("s1", part, Opinion.DISAGREE))
    with book_for_change(path) as book, book.change():
        book.mark_stale(book.source(SOURCE), HashKind.PDQ, [ordered[2]])
        book.connection.execute("DELETE FROM hashes WHERE code = ?", (ordered[2],))
    tell(path, signalled("s2", part, reference_us=at(8)), voiced("s2", part, Opinion.DISAGREE))
    assert [one.reference for one in fall_in_lists(path)] == [f"{part} {ordered[n].hex()}" for n in (5, 8)]
    assert lost(path, CODES) == sorted((ordered[n] for n in (1, 2, 5, 8)), key=CODES.index)


def test_of_lists_too_only_so_many_fall_in_an_hour(lists: tuple[Path, str]) -> None:
    """What waits is there still."""
    path, part = lists
    for number in range(4):
        signal = signalled(f"s{number}", part, reference_us=at(number))
        tell(path, signal, voiced(signal.signal, part, Opinion.DISAGREE))
    assert len(fall_in_lists(path, terms=FallTerms(most_per_hour=2))) == 2
    with catalogue_of(path) as catalogue:
        assert (waiting(catalogue).hashes, waiting(catalogue).any) == (2, False)
    assert quarantined(path) == {"by_hand": 2}


def test_a_hash_falls_though_its_library_could_not_be_written(
    lists: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lets it fall is gone before the library is in line: the next one does that, and counts nothing twice."""
    path, part = lists
    tell(path, signalled("s0", part, reference_us=at(3)), voiced("s0", part, Opinion.AGREE, at_s=0.5))
    tell(path, signalled("s1", part, reference_us=at(1)), voiced("s1", part, Opinion.DISAGREE))
    code = sorted(CODES)[1]

    def dies(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr("streamguard.library.falling.sync", dies)
        with pytest.raises(OSError, match="no space left"):
            fall_in_lists(path)
    assert found(path, code)
    with catalogue_of(path) as catalogue:
        assert waiting(catalogue).hashes == 2
    assert fall_in_lists(path) == ()
    assert found(path, code) == []
    with catalogue_of(path) as catalogue:
        assert waiting(catalogue).hashes == 0
        assert catalogue.connection.execute("SELECT count(*) FROM falls").fetchone()[0] == 1
    with Book.open(path, read_only=True) as book:
        (agreed, _) = given(book)
        assert (agreed.opinion, len(book.rows("SELECT 1 FROM history WHERE action LIKE 'opinion agree%'"))) == (
            Opinion.AGREE, 1,
        )  # fmt: skip


def test_a_hash_that_fell_stays_out_though_its_source_takes_it_back_and_lists_it_again(lists: tuple[Path, str]) -> None:
    """Until an operator releases it; a list that is replaced is such a case."""
    path, part = lists
    fallen = sorted(CODES)[3]
    tell(path, signalled("s1", part, reference_us=at(3)), voiced("s1", part, Opinion.DISAGREE))
    fall_in_lists(path)
    others = [code for code in CODES if code != fallen]
    take_up(path, others, replace=True)
    assert quarantined(path) == {}
    take_up(path, CODES)
    assert found(path, fallen) == []
    assert lost(path, others) == []
    assert quarantined(path) == {"by_hand": 1}
    with book_for_change(path) as book, Library.open(path) as library:
        with book.change():
            release(book, Which(book.source(SOURCE)), who="anna", why="seen it")
        sync(book, library)
    take_up(path, CODES)
    assert lost(path, CODES) == []


def test_an_agreement_takes_no_disagreement_back(lists: tuple[Path, str]) -> None:
    """A hash in quarantine is released by its own command alone."""
    path, part = lists
    for number, opinion in enumerate((Opinion.DISAGREE, Opinion.AGREE)):
        tell(path, signalled(f"s{number}", part, reference_us=at(7)), voiced(f"s{number}", part, opinion))
    fall_in_lists(path)
    with Book.open(path, read_only=True) as book:
        (one,) = given(book)
    assert one.opinion is Opinion.DISAGREE
    assert one.source.name == SOURCE


def test_a_film_goes_as_a_whole(tmp_path: Path) -> None:
    """Also where it was written anew since, under another number; and it stays out when it is imported again."""
    path = tmp_path / "films"
    Library.open(path, create=True).close()
    lines = [film_line(number, FilmFrame(number * 1_000_000, 90, code)) for number, code in enumerate(CODES[:20])]
    film = write(tmp_path / "the-film.vpdq", lines)
    import_files(path, [film], Asked(SOURCE, "terror"))
    (asset,) = load_snapshot(path).assets
    tell(path, signalled("s1", asset.id, reference_us=7_000_000))
    write(film, lines[1:])
    import_files(path, [film], Asked(SOURCE, "terror"))
    tell(path, voiced("s1", asset.id, Opinion.DISAGREE))
    (fell,) = fall_in_lists(path)
    assert (fell.reference, fell.to) == (asset.id, Fall.DISABLED)
    assert load_snapshot(path).assets == ()
    assert quarantined(path) == {"by_hand": 1}
    write(film, lines)
    import_files(path, [film], Asked(SOURCE, "terror"))
    assert load_snapshot(path).assets == (), "the film came again"
