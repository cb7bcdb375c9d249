"""streamguard.library.exchange.importing, with taking and parts: lists into a library that is searched."""

from pathlib import Path

import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.demo.scenes import StillScene
from streamguard.errors import LibraryError, UsageError
from streamguard.library.catalogue import NewItem
from streamguard.library.exchange import parts
from streamguard.library.exchange.book import Book
from streamguard.library.exchange.films import film_line
from streamguard.library.exchange.hashes import FilmFrame, HashKind
from streamguard.library.exchange.importing import Asked, import_benign, import_files
from streamguard.library.exchange.lists import ListFormat
from streamguard.library.exchange.parts import APART_S, hash_at
from streamguard.library.exchange.schema import PartState
from streamguard.library.loading import load_snapshot
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from streamguard.types import AssetId
from tests.library.exchange.shared import SOURCE, found, hashes, lost, near, quarantined, take_up, write
from tests.library.made import library_of
from tests.pictures import luma_of

CODES = hashes(1, 40)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten hashes a part, two parts a segment, so that few hashes make many of both."""
    monkeypatch.setattr(parts, "PART_HASHES", 10)
    monkeypatch.setattr(parts, "_BATCH_HASHES", 20)


def _verified(library: Path) -> bool:
    with Library.open(library) as opened:
        return opened.verify() == ()


def test_every_hash_of_a_list_is_found(library: Path) -> None:
    """Under the label that was asked for, by its own hash and by one that is near, beside footage that was there."""
    library_of(library, "a")
    done = take_up(library, CODES)
    assert (done.new, done.known, done.gone, done.quarantined) == (40, 0, 0, {})
    assert lost(library, CODES) == []
    assert found(library, near(CODES[7])) == [("terror", 10)]
    assert found(library, hashes(2, 1)[0]) == []
    assert _verified(library)


def test_the_same_list_again_changes_nothing(library: Path) -> None:
    """Not even the library's version: no worker loads anything."""
    take_up(library, CODES)
    version = load_snapshot(library).version
    done = take_up(library, CODES)
    assert (done.new, done.known) == (0, 40)
    assert load_snapshot(library).version == version


def test_a_list_that_is_cut_short_replaces_nothing(library: Path) -> None:
    """A download that broke off, or a full disk, leaves the first lines: over nine of ten hashes do not go at once."""
    many = hashes(5, 120)
    take_up(library, many)
    with pytest.raises(UsageError, match=r"of 120 hashes 110 would be gone at once: .* cut short\?.* exchange remove"):
        take_up(library, many[:10], replace=True)
    assert lost(library, many) == []
    assert take_up(library, many[:12], replace=True).gone == 108


@pytest.mark.usefixtures("small_parts")
def test_a_list_that_is_replaced_loses_what_it_no_longer_has(library: Path) -> None:
    """Only the parts of what went are written anew; the others' items stay as they are."""
    take_up(library, CODES)
    with Library.open(library) as opened:
        before = {item.id for item in opened.items()}
    assert len(before) == 4
    gone, *left = sorted(CODES)
    done = take_up(library, left, replace=True)
    assert (done.new, done.known, done.gone) == (0, 39, 1)
    assert found(library, gone) == []
    assert lost(library, left) == []
    with Library.open(library) as opened:
        after = {item.id for item in opened.items()}
        assert len(before & after) == 3
        assert len(after) == 4
    assert _verified(library)


def test_a_row_that_takes_a_hash_back_takes_it_back(library: Path) -> None:
    """As exchanges' own lists have them."""
    take_up(library, CODES[:3])
    row = f'{{"hash": "{CODES[0].hex()}", "deleted": true}}'
    done = take_up(library, [row], form=ListFormat.JSON)
    assert (done.new, done.gone) == (0, 1)
    assert [found(library, code) for code in CODES[:2]] == [[], [("terror", 0)]]


def test_two_sources_may_have_one_hash(library: Path) -> None:
    """It goes with the last of them."""
    take_up(library, CODES[:3])
    take_up(library, CODES[:1], source="other")
    assert found(library, CODES[0]) == [("terror", 0)] * 2
    take_up(library, CODES[1:3], replace=True)
    assert found(library, CODES[0]) == [("terror", 0)]


def test_a_source_keeps_its_label_until_it_gets_another(library: Path) -> None:
    """Then all that it brought has the new one."""
    take_up(library, CODES[:2], label="terror")
    take_up(library, CODES[2:4], label=None)
    assert found(library, CODES[3]) == [("terror", 0)]
    take_up(library, CODES[:1], label="gore")
    assert [found(library, code) for code in CODES[:4]] == [[("gore", 0)]] * 4
    assert _verified(library)


def test_a_decision_leads_to_the_hash_that_made_it(library: Path) -> None:
    """By its part and the time in it, which no two hashes share."""
    take_up(library, CODES)
    snapshot = load_snapshot(library)
    (asset,) = snapshot.assets
    with Book.open(library, read_only=True) as book:
        for number, code in enumerate(sorted(CODES)):
            named = hash_at(book, asset.id, reference_us=number * APART_S * 1_000_000)
            assert named is not None
            assert (named[0].name, named[1]) == (SOURCE, code)
        assert hash_at(book, "nonsense", reference_us=0) is None
        assert hash_at(book, asset.id, reference_us=999 * APART_S * 1_000_000) is None


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("failing", range(4))
def test_an_import_that_was_killed_is_finished_by_the_next(
    library: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Wherever it ended: nothing is lost, nothing stands there twice."""
    calls = 0
    whole = Library.add_all

    def dies(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > failing // 2:
            if failing % 2:
                whole(*arguments)  # type: ignore[arg-type]
            raise LibraryError("write library", "", "killed")
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Library, "add_all", dies)
    with pytest.raises(LibraryError, match="killed"):
        take_up(library, CODES)
    monkeypatch.setattr(Library, "add_all", whole)
    take_up(library, CODES[:1])
    assert lost(library, CODES) == []
    with Book.open(library) as book:
        assert {row["state"] for row in book.rows("SELECT state FROM parts")} == {PartState.LIVE}
    assert _verified(library)


def test_a_removal_that_was_killed_is_finished_by_the_next(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the hash is found still, as before."""

    def dies(*_: object) -> None:
        raise LibraryError("write library", "", "killed")

    take_up(library, CODES)
    whole = Library.remove_all
    monkeypatch.setattr(Library, "remove_all", dies)
    with pytest.raises(LibraryError, match="killed"):
        take_up(library, CODES[1:], replace=True)
    monkeypatch.setattr(Library, "remove_all", whole)
    take_up(library, CODES[1:2])
    assert found(library, CODES[0]) == []
    assert found(library, CODES[1]) == [("terror", 0)]


def test_the_next_import_puts_right_what_somebody_else_changed(library: Path) -> None:
    """A part that was removed by hand comes back; one that the book does not know, as after a rollback, goes."""
    take_up(library, CODES)
    take_up(library, hashes(5, 3), source="other")
    stray = parts.list_reference([parts.Hash(code, 90) for code in hashes(6, 2)], tells_when=True)
    with Library.open(library) as opened:
        item = next(item for item in opened.items() if item.source == f"exchange:{SOURCE}")
        opened.remove(item.id)
        opened.add(NewItem(AssetId(f"{SOURCE}.000099"), "terror", f"exchange:{SOURCE}", 64, "0" * 64), stray)
    assert len(lost(library, CODES)) == len(CODES)
    take_up(library, hashes(5, 3), source="other")
    assert lost(library, [*CODES, *hashes(5, 3)]) == []
    assert found(library, hashes(6, 2)[0]) == []
    assert _verified(library)


def test_malformed_rows_are_told_and_the_others_kept(library: Path, tmp_path: Path) -> None:
    """Each file with its own; a file without any row that can be read changes nothing."""
    one = write(tmp_path / "one.txt", [CODES[0], "nonsense", CODES[1]])
    two = write(tmp_path / "two.csv", ["hash,quality", f"{CODES[2].hex()},x", f"{CODES[3].hex()},70"])
    Library.open(library, create=True).close()
    done = import_files(library, [one, two], Asked(SOURCE, "terror"))
    assert [(file.form, file.hashes, file.bad_rows) for file in done.files] == [
        (ListFormat.PDQ, 2, 1),
        (ListFormat.CSV, 1, 1),
    ]
    assert [[row.line for row in file.bad] for file in done.files] == [[2], [2]]
    assert [found(library, code) for code in CODES[:4]] == [[("terror", 0)]] * 2 + [[], [("terror", 0)]]
    version = load_snapshot(library).version
    nonsense = write(tmp_path / "nonsense.txt", ["nonsense"])
    with pytest.raises(UsageError, match=r"no row in it can be read; line 1: .*; name its --format"):
        import_files(library, [nonsense, one], Asked(SOURCE, None))
    for missing in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(UsageError, match="check the path"):
            import_files(library, [one, missing], Asked(SOURCE, None))
    assert load_snapshot(library).version == version


def test_a_film_is_found_at_its_times_and_replaced_by_its_name(library: Path, tmp_path: Path) -> None:
    """A vPDQ file is one item; imported anew it is the new film, and the old one is gone."""
    frames = [FilmFrame(number * 1_000_000, 90, code) for number, code in enumerate(CODES[:20])]
    lines = [film_line(number, frame) for number, frame in enumerate(frames)]
    path = write(tmp_path / "the film.vpdq", lines)
    Library.open(library, create=True).close()
    asked = Asked(SOURCE, "terror")
    done = import_files(library, [path], asked)
    assert (done.films, done.files[0].form, done.files[0].hashes) == (1, ListFormat.VPDQ, 20)
    (asset,) = load_snapshot(library).assets
    assert asset.id.startswith(f"{SOURCE}.the-film-")
    assert found(library, CODES[7]) == [("terror", 0)]
    write(path, lines[10:])
    import_files(library, [path], asked)
    assert [found(library, CODES[number]) for number in (7, 12)] == [[], [("terror", 0)]]
    assert len(load_snapshot(library).assets) == 1
    assert _verified(library)


def test_two_films_of_one_name_are_refused(library: Path, tmp_path: Path) -> None:
    """One would be taken for a newer version of the other; nothing is changed."""
    Library.open(library, create=True).close()
    (tmp_path / "other").mkdir()
    line = film_line(0, FilmFrame(0, 90, CODES[0]))
    paths = [write(folder / "film.vpdq", [line]) for folder in (tmp_path, tmp_path / "other")]
    with pytest.raises(UsageError, match="two files are called film"):
        import_files(library, paths, Asked(SOURCE, None))
    assert load_snapshot(library).items == 0


def test_a_film_whose_times_go_back_again_and_again_is_refused(library: Path, tmp_path: Path) -> None:
    """Each time costs as much as a film, and a file may have a million; nothing is changed."""
    Library.open(library, create=True).close()
    lines = [
        film_line(number, FilmFrame(number % 2 * 1_000_000, 90, code)) for number, code in enumerate(hashes(2, 130))
    ]
    with pytest.raises(UsageError, match="its times go back 64 times, and a film's do 63 times at most"):
        import_files(library, [write(tmp_path / "film.vpdq", lines)], Asked(SOURCE, None))
    assert load_snapshot(library).items == 0
    assert import_files(library, [write(tmp_path / "film.vpdq", lines[:-2])], Asked(SOURCE, None)).films == 1


def test_harmless_pictures_throw_out_what_looks_like_them(library: Path, tmp_path: Path) -> None:
    """What is there already as well as what comes; films too."""
    studio = pdq.from_luma(luma_of(StillScene(3)))[0]
    take_up(library, [near(studio), *CODES])
    assert found(library, studio) == [("terror", 10)]
    benign = write(tmp_path / "benign.txt", [studio])
    assert import_benign(library, [benign], form=None) == (1, {Reason.COMMON: 1})
    assert found(library, studio) == []
    assert found(library, CODES[0]) == [("terror", 0)]
    assert take_up(library, [near(studio, bits=20)]).quarantined == {Reason.COMMON: 1}
    film = write(tmp_path / "film.vpdq", [film_line(0, FilmFrame(0, 90, studio))])
    assert import_files(library, [film], Asked(SOURCE, None)).quarantined == {Reason.COMMON: 1}
    assert quarantined(library) == {"common": 3}
    assert found(library, studio) == []
    assert import_benign(library, [benign], form=None) == (0, {})


def test_films_are_tried_again_when_the_harmless_pictures_change(library: Path, tmp_path: Path) -> None:
    """One that is mostly harmless goes into quarantine; of another the harmless frames are left out."""
    Library.open(library, create=True).close()
    times = range(0, 20_000_000, 1_000_000)
    films = {
        name: write(
            tmp_path / f"{name}.vpdq",
            [film_line(n, FilmFrame(at, 90, code)) for n, (at, code) in enumerate(zip(times, codes, strict=True))],
        )
        for name, codes in (("show", CODES[:20]), ("deed", CODES[20:]))
    }
    import_files(library, list(films.values()), Asked(SOURCE, "terror"))
    benign = write(tmp_path / "benign.txt", [*CODES[:10], CODES[20]])
    assert import_benign(library, [benign], form=None) == (11, {Reason.COMMON: 1})
    assert quarantined(library) == {"common": 1}
    assert [found(library, CODES[number]) for number in (5, 15, 20, 30)] == [[], [], [], [("terror", 0)]]
    assert import_benign(library, [benign], form=None) == (0, {})
    assert _verified(library)


def test_films_that_are_replaced_lose_those_that_are_named_no_more(library: Path, tmp_path: Path) -> None:
    """As hashes do; hashes stay where only films were given."""
    take_up(library, CODES[20:22])
    films = [
        write(tmp_path / f"film-{n}.vpdq", [film_line(0, FilmFrame(0, 90, code))]) for n, code in enumerate(CODES[:2])
    ]
    import_files(library, films, Asked(SOURCE, None))
    assert [found(library, code) for code in CODES[:2]] == [[("terror", 0)]] * 2
    done = import_files(library, films[1:], Asked(SOURCE, None, replace=True))
    assert (done.films, done.gone) == (1, 1)
    assert [found(library, code) for code in CODES[:2]] == [[], [("terror", 0)]]
    assert lost(library, CODES[20:22]) == []
    assert _verified(library)


def test_the_same_film_again_changes_nothing(library: Path, tmp_path: Path) -> None:
    """As with the same list: no worker loads anything."""
    Library.open(library, create=True).close()
    film = write(tmp_path / "film.vpdq", [film_line(0, FilmFrame(0, 90, CODES[0]))])
    for _ in range(2):
        done = import_files(library, [film], Asked(SOURCE, None))
        version = load_snapshot(library).version
    assert done.films == 1
    assert load_snapshot(library).version == version == "1-" + version.partition("-")[2]


def test_a_poisoned_list_ends_in_quarantine(library: Path, tmp_path: Path) -> None:
    """A black frame, a logo, a news studio, a hash near harmless footage, and 10,000 that are none: nothing is live."""
    studio, show = (pdq.from_luma(luma_of(StillScene(seed)))[0] for seed in (3, 5))
    logo = np.full((360, 640), 235, np.float32)
    logo[120:240, 260:380] = luma_of(StillScene(7), width_px=120, height_px=120)
    card = pdq.from_luma(logo)[0]
    Library.open(library, create=True).close()
    import_benign(library, [write(tmp_path / "benign.txt", [studio, show, card])], form=None)
    noise = np.random.default_rng(1).integers(0, 256, (10_000, 32), np.uint8)
    black = pdq.from_luma(np.zeros((360, 640), np.float32))[0]
    poison = [black, card, studio, near(show, bits=30), *(row.tobytes() for row in noise)]
    done = take_up(library, poison)
    assert sum(done.quarantined.values()) == len(poison) == sum(quarantined(library).values())
    assert done.quarantined[Reason.COMMON] == 3
    assert done.quarantined[Reason.FLAT] > 9000
    assert load_snapshot(library).items == 0
    snapshot = load_snapshot(library)
    assert [found(snapshot, code) for code in (black, card, studio, show)] == [[]] * 4


def test_what_was_believed_before_is_not_judged_by_what_comes_with_it(library: Path) -> None:
    """Three flat hashes among few updates take the new ones into quarantine, and none that is searched already."""
    take_up(library, CODES[:5])
    flat = [bytes(31) + bytes([number]) for number in range(3)]
    assert take_up(library, [*flat, *CODES[3:7]]).quarantined == {Reason.FLAT: 3, Reason.COMPANY: 2}
    assert lost(library, CODES[:5]) == []
    assert lost(library, CODES[5:7]) == CODES[5:7]


def test_files_lists_are_kept_beside(library: Path) -> None:
    """MD5 and SHA-256 are nothing that a stream is searched for."""
    done = take_up(library, ["cab08b36195edb1a1231d2d09fa450e0"])
    assert (done.new, done.files[0].form) == (1, ListFormat.MD5)
    take_up(library, [CODES[0]], form=ListFormat.SHA256)
    assert load_snapshot(library).items == 0
    with Book.open(library, read_only=True) as book:
        assert {kind for _, kind, _ in book.counts()} == {HashKind.MD5, HashKind.SHA256}


def test_the_writer_says_how_far_it_is(library: Path, tmp_path: Path) -> None:
    """Bytes read, then parts written."""
    Library.open(library, create=True).close()
    stages: list[tuple[str, int, int]] = []
    path = write(tmp_path / "list.txt", CODES)
    import_files(library, [path], Asked(SOURCE, "terror"), progress=lambda *news: stages.append(news))
    assert stages[-1] == ("writing", 1, 1)
    assert ("judging", 0, 1) in stages
