"""streamguard.library.catalogue: what is in the library, in SQLite."""

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from streamguard.errors import LibraryDamaged, LibraryError, LibraryLocked, LibraryMissing
from streamguard.library.catalogue import CATALOGUE, Catalogue, ItemRecord, ItemState
from streamguard.library.durable import LOCK_WAIT_S
from streamguard.library.store import Library
from tests.library.made import library_of, new_item, reference


def _ask(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path / CATALOGUE)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE items SET id = '../../x'",
        "UPDATE items SET segment = '../../../etc'",
        "UPDATE items SET looks = 'many'",
        "UPDATE items SET kind = 'sound'",
        "UPDATE items SET blank_share = 'x'",
        "UPDATE labels SET name = char(27) || '[2J'",
        "UPDATE items SET sha256 = 'short'",
    ],
)
def test_impossible_values_are_damage(tmp_path: Path, change: str) -> None:
    """A catalogue that somebody else wrote cannot name paths outside the library, nor drive the terminal."""
    library_of(tmp_path, "a")
    _ask(tmp_path, change)
    catalogue = Catalogue.open(tmp_path, create=False)
    with pytest.raises(LibraryDamaged, match=r"impossible value .*; put it back from a backup"):
        catalogue.items()
    catalogue.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE library SET generation = 'abc'",
        "UPDATE library SET generation = 1e300",
        "UPDATE library SET generation = -5",
        "DELETE FROM library",
        "UPDATE library SET changed_unix_s = 'x'",
        "UPDATE library SET changed_unix_s = 9e999",
        "UPDATE segments SET manifest_sha256 = 'zz'",
        "UPDATE items SET added_unix_s = 9e999",
        "UPDATE items SET blank_share = -9e999",
        "UPDATE sources SET path = CAST(x'ff' AS TEXT)",
    ],
)
def test_no_impossible_value_is_a_bug(tmp_path: Path, change: str) -> None:
    """Reading, publishing and opening for writing each end in LibraryDamaged or well; verify tells it as a problem."""
    library_of(tmp_path, "a")
    _ask(tmp_path, change)
    uses = (Library.items, Library.stats, lambda library: library.history("a"))
    with Library.open(tmp_path, read_only=True) as library:
        for use in uses:
            with suppress(LibraryDamaged):
                use(library)
        (problem,) = library.verify()
    assert problem.damage
    assert "backup" in problem.hint
    with suppress(LibraryDamaged), Library.open(tmp_path) as library:
        library.remove("a")


@pytest.mark.parametrize("wrong", [b"frames_sewn", b"frames_see\xff"], ids=["another column", "no text"])
def test_a_damaged_schema_is_damage(tmp_path: Path, wrong: bytes) -> None:
    """A flipped bit in the name of a column is told by every command, and as a problem by verify."""
    library_of(tmp_path, "a")
    path = tmp_path / CATALOGUE
    path.write_bytes(path.read_bytes().replace(b"frames_seen", wrong))

    def uses() -> None:
        with Library.open(tmp_path, read_only=True) as library:
            assert all("backup" in problem.hint for problem in library.verify())
            library.items()

    with pytest.raises(LibraryDamaged, match="put it back from a backup"):
        uses()
    with pytest.raises(LibraryDamaged, match="put it back from a backup"), Library.open(tmp_path) as library:
        library.add(new_item("b"), reference(5))


def test_impossible_times_of_the_history_are_damage(tmp_path: Path) -> None:
    """Nobody can say when that was."""
    library_of(tmp_path, "a")
    _ask(tmp_path, "UPDATE audit SET at_unix_s = 9e999")
    with Library.open(tmp_path, read_only=True) as library, pytest.raises(LibraryDamaged, match="impossible value inf"):
        library.history("a")


def test_an_id_that_is_no_text_is_not_there(tmp_path: Path) -> None:
    """What SQLite cannot even be asked is no bug either."""
    library_of(tmp_path, "a")
    with Library.open(tmp_path, read_only=True) as library:
        assert not library.has("\udcff")


def _remove_and_fail(catalogue: Catalogue, item: ItemRecord) -> None:
    catalogue.set_state(item, ItemState.REMOVED, action="remove", now_unix_s=9.0)
    raise LibraryError("write library", "x", "disk full")


def test_a_failed_change_changes_nothing(tmp_path: Path) -> None:
    """What is done within a change that fails is undone, the generation too."""
    library_of(tmp_path, "a")
    catalogue = Catalogue.open(tmp_path, create=False)
    (item,) = catalogue.with_id("a")
    with pytest.raises(LibraryError), catalogue.change(now_unix_s=9.0):
        _remove_and_fail(catalogue, item)
    assert catalogue.with_id("a") == (item,)
    assert catalogue.generation() == 1
    assert catalogue.problem() == ""
    catalogue.close()


def test_what_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    """Another program's database, a text file and a missing one are each told from a catalogue."""
    with pytest.raises(LibraryMissing):
        Catalogue.open(tmp_path, create=False)
    _ask(tmp_path, "CREATE TABLE other (x)")
    for create in (False, True):
        with pytest.raises(LibraryDamaged, match=r"not a catalogue of StreamGuard; is --library right\?"):
            Catalogue.open(tmp_path, create=create)
    (tmp_path / CATALOGUE).write_text("this is a letter, and not a database of any kind" * 20)
    with pytest.raises(LibraryDamaged, match="not a database"):
        Catalogue.open(tmp_path, create=False)


def test_a_catalogue_that_is_locked_says_so(tmp_path: Path) -> None:
    """Another program that holds the database is waited for, and then named as the reason."""
    library_of(tmp_path, "a")
    other = sqlite3.connect(tmp_path / CATALOGUE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LibraryLocked, match="run it again when the other `streamguard library` command is done"):
        Catalogue.open(tmp_path, create=False, wait_s=0.0)
    other.close()


def test_a_commit_is_waited_for_as_the_writers_lock_is(tmp_path: Path) -> None:
    """On a slow disk it may take seconds; whoever looks meanwhile is let in when it is over."""
    library_of(tmp_path, "a")
    with closing(Catalogue.open(tmp_path, create=False)) as catalogue:
        assert catalogue.connection.execute("PRAGMA busy_timeout").fetchone()[0] == 1000 * LOCK_WAIT_S
    commits, asked = threading.Event(), threading.Event()

    def commit() -> None:
        with closing(sqlite3.connect(tmp_path / CATALOGUE, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            commits.set()
            asked.wait(60.0)
            other.execute("COMMIT")

    with closing(Catalogue.open(tmp_path, create=False, wait_s=60.0)) as catalogue:
        catalogue.connection.set_trace_callback(lambda _statement: asked.set())
        thread = threading.Thread(target=commit)
        thread.start()
        commits.wait(60.0)
        assert [item.id for item in catalogue.with_id("a")] == ["a"]
        thread.join()
