"""streamguard.library.incidents: what is open is read as it was written, or not at all."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryFormatError,
    LibraryMissing,
    LibraryUntrusted,
    UsageError,
)
from streamguard.library import incidents as incidents_module
from streamguard.library.durable import FORMAT
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import INCIDENTS, MOST_ITEMS, Book, read_incidents
from streamguard.library.signed import sign_library, untrusted
from streamguard.library.store import Library
from tests.library.key_files import trust_in
from tests.library.made import library_of

MINE, OTHER = Signer.new(), Signer.new()


class _Clock:
    now_s = 1_700_000_000.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """One with two items."""
    library_of(tmp_path / "lib", "ab")
    return tmp_path / "lib"


def book(library: Path, *, signer: Signer | None = None) -> Book:
    return Book(library, _Clock(), signer)


def opened(library: Path, name: str = "attack", *, label: str | None = None) -> None:
    book(library).open(name, label=label, by="anna", reason="a call")


def forged(library: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another content with the right checksum, as somebody would make it who wants to be believed."""
    path = library / INCIDENTS
    tree = json.loads(path.read_bytes())
    change(tree)
    text = json.dumps(tree["incidents"], sort_keys=True, separators=(",", ":"))
    path.write_text(json.dumps(tree | {"sha256": hashlib.sha256(text.encode()).hexdigest()}))


def test_an_incident_is_opened_added_to_and_closed(library: Path) -> None:
    """Each step is read as it was written; items stand there once."""
    assert read_incidents(library) == ()
    kept = book(library)
    first = kept.open("attack", label=None, by="anna", reason="a call")
    assert (first.label, first.is_open, first.opened_by, first.reason) == ("incident-attack", True, "anna", "a call")
    kept.open("other", label="terror", by="", reason="")
    kept.note("attack", ("a",))
    kept.note("attack", ("b", "a"))
    closed = kept.close("attack")
    assert closed.items == ("a", "b")
    assert closed.closed_unix_s is not None
    assert closed.closed_unix_s > closed.opened_unix_s
    assert read_incidents(library) == (closed, kept.named("other"))
    assert [one.name for one in read_incidents(library) if one.is_open] == ["other"]


def test_one_that_was_closed_can_be_opened_again(library: Path) -> None:
    """It has its items, label and reason still, unless another one is named."""
    kept = book(library)
    kept.open("attack", label="terror", by="anna", reason="a call")
    kept.note("attack", ("a",))
    kept.close("attack")
    again = kept.open("attack", label=None, by="", reason="")
    assert (again.label, again.items, again.is_open, again.reason) == ("terror", ("a",), True, "a call")
    kept.close("attack")
    other = kept.open("attack", label="other", by="", reason="another")
    assert (other.label, other.reason) == ("other", "another")


def test_how_much_is_believed_is_said_at_the_opening_or_later(library: Path) -> None:
    """Of one that is open; opened again it has that number, unless another is said. A file without it is as ever."""
    kept = book(library)
    opened(library)
    assert b"streams_believed" not in (library / INCIDENTS).read_bytes()
    assert kept.named("attack").streams_believed is None
    assert kept.believe("attack", 800).streams_believed == 800
    kept.note("attack", ("a",))
    assert kept.named("attack").streams_believed == 800
    kept.close("attack")
    with pytest.raises(UsageError, match="it is closed"):
        kept.believe("attack", 900)
    assert kept.open("attack", label=None, by="", reason="").streams_believed == 800
    kept.close("attack")
    assert kept.open("attack", label=None, by="", reason="", streams_believed=900).streams_believed == 900
    assert kept.open("other", label=None, by="", reason="", streams_believed=70).streams_believed == 70


@pytest.mark.parametrize("streams", [0, -1, 10_001])
def test_a_number_of_streams_that_nobody_can_mean(library: Path, streams: int) -> None:
    """Nothing is written that no worker would read; and what somebody else wrote is refused."""
    opened(library)
    before = (library / INCIDENTS).read_bytes()
    with pytest.raises(UsageError, match="cannot be believed"):
        book(library).believe("attack", streams)
    with pytest.raises(UsageError, match="cannot be believed"):
        book(library).open("other", label=None, by="", reason="", streams_believed=streams)
    assert (library / INCIDENTS).read_bytes() == before
    forged(library, lambda tree: tree["incidents"][0].update(streams_believed=streams))
    with pytest.raises(LibraryDamaged, match="values in it are wrong"):
        read_incidents(library)


def test_what_is_not_open_takes_nothing(library: Path) -> None:
    """Neither one that never was, nor one that is closed; and one that is open is not opened again."""
    kept = book(library)
    uses: list[Callable[[str], object]] = [partial(kept.note, ids=("a",)), kept.open_one]
    for use in uses:
        with pytest.raises(UsageError, match=r"there is none of that name; .*incident open attack"):
            use("attack")
    opened(library)
    before = kept.named("attack")
    with pytest.raises(UsageError, match=r"it is open already, and stays as it is; .*incident believe"):
        kept.open("attack", label="other", by="bert", reason="another", streams_believed=9)
    assert kept.named("attack") == before
    kept.close("attack")
    for use in uses:
        with pytest.raises(UsageError, match="it is closed; open it again"):
            use("attack")
    assert kept.named("attack").items == ()


def test_what_cannot_be_closed_is_not_to_be_opened_for_it(library: Path) -> None:
    """Of a name that is none those are named that are meant, and of one that is closed how its items are disabled."""
    kept = book(library)
    opened(library)
    opened(library, "other")
    for use in (kept.close, kept.to_close, kept.named):
        with pytest.raises(UsageError, match=r"there is none of that name; did you mean attack\? `[^`]*` lists all$"):
            use("atack")
        with pytest.raises(UsageError, match=r"there is none of that name; `[^`]*status[^`]*` lists all$"):
            use("nothing-like-it")
    with pytest.raises(UsageError, match=r"did you mean attack\? .* lists all; or open it: streamguard incident open"):
        kept.open_one("atack")
    closed = kept.close("attack")
    for use in (kept.close, kept.to_close):
        with pytest.raises(UsageError, match=r"it is closed already; nothing is left to do; .*close --disable"):
            use("attack")
    assert kept.named("attack") == closed


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "x" * 65, "\u202e"])
def test_a_name_that_is_none(library: Path, name: str) -> None:
    """It becomes a label and part of ids."""
    with pytest.raises(UsageError, match="not a possible name"):
        opened(library, name)
    with pytest.raises(UsageError, match="not a possible label"):
        opened(library, label="x" * 101)


def test_where_there_is_no_library(tmp_path: Path) -> None:
    """Nothing is made."""
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(LibraryMissing):
            opened(folder)
        with pytest.raises(LibraryMissing):
            book(folder).all()
        with pytest.raises(LibraryMissing):
            read_incidents(folder)
    assert not (tmp_path / "empty" / INCIDENTS).exists()


def test_those_closed_first_make_room(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where all are open, no other one is opened. Of items, too, there is a most."""
    monkeypatch.setattr(incidents_module, "MOST_INCIDENTS", 3)
    monkeypatch.setattr(incidents_module, "MOST_ITEMS", 2)
    kept = book(library)
    for name in ("one", "two", "three"):
        kept.open(name, label=None, by="", reason="")
    with pytest.raises(UsageError, match="3 others are open, and no more find room; close some"):
        kept.open("four", label=None, by="", reason="")
    kept.close("two")
    kept.close("one")
    kept.open("four", label=None, by="", reason="")
    assert [one.name for one in kept.all()] == ["one", "three", "four"]
    kept.note("four", ("a", "b"))
    with pytest.raises(UsageError, match="more than 2 items; close it"):
        kept.note("four", ("c",))


def test_in_a_crisis_there_is_room_however_much_came_in_those_before(library: Path) -> None:
    """All that is closed may go from the one file, the oldest first; a large one that is open does not."""
    kept = book(library)
    for number in range(5):
        kept.open(f"old-{number}", label=None, by="", reason="")
        kept.note(f"old-{number}", tuple(f"{'x' * 80}-{number}-{item}" for item in range(MOST_ITEMS)))
        kept.close(f"old-{number}")
    assert [one.name for one in kept.all()] == ["old-1", "old-2", "old-3", "old-4"]
    for name in ("old-4", "new", "next"):
        kept.open(name, label=None, by="", reason="")
    kept.note("new", tuple(f"{'y' * 80}-{item}" for item in range(MOST_ITEMS)))
    assert [(one.name, len(one.items)) for one in kept.all()] == [
        ("old-2", MOST_ITEMS), ("old-3", MOST_ITEMS), ("old-4", MOST_ITEMS), ("new", MOST_ITEMS), ("next", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["incidents"][0].update(name="../x"),
        lambda tree: tree["incidents"][0].update(opened_unix_s=1e300),
        lambda tree: tree["incidents"][0].update(opened_unix_s="now"),
        lambda tree: tree["incidents"][0].update(items=["a", "b/c"]),
        lambda tree: tree["incidents"][0].update(items=["x"] * 5001),
        lambda tree: tree["incidents"][0].update(reason="x" * 501),
        lambda tree: tree["incidents"][0].update(label="\u202e"),
        lambda tree: tree["incidents"][0].update(more=1),
        lambda tree: tree["incidents"][0].pop("name"),
        lambda tree: tree.update(incidents=[*tree["incidents"], *tree["incidents"]]),
        lambda tree: tree.update(incidents={}),
    ],
)
def test_values_that_cannot_be_are_damage(library: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """However right the checksum is."""
    opened(library)
    forged(library, change)
    with pytest.raises(LibraryDamaged, match="read incidents"):
        read_incidents(library)


def test_whatever_stands_in_its_place_the_error_says_how_to_go_on(library: Path) -> None:
    """A crisis must not wait for it: what is too long, a link, a folder."""
    path = library / INCIDENTS
    for place in (lambda: path.write_bytes(b" " * (3 << 20)), lambda: path.symlink_to(library), path.mkdir):
        place()
        with pytest.raises(LibraryDamaged, match=r"read incidents .*; put it back from a backup, or remove it"):
            opened(library)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_newer_format_is_called_newer(library: Path) -> None:
    """And not damaged."""
    opened(library)
    text = (library / INCIDENTS).read_text()
    (library / INCIDENTS).write_text(text.replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}', 1))
    with pytest.raises(LibraryFormatError):
        read_incidents(library)


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_each_byte_counts(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    """A byte that is changed makes an error, or changes nothing that was said."""
    folder = tmp_path_factory.mktemp("incidents")
    (folder / "current.json").touch()
    whole = incidents_module.to_bytes((incidents_module.Incident(name="x", label="y", opened_unix_s=5.0),))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    (folder / INCIDENTS).write_bytes(changed)
    try:
        (found,) = read_incidents(folder)
    except LibraryError:
        return
    assert (found.name, found.label, found.opened_unix_s, found.is_open) == ("x", "y", 5.0, True)


def test_a_signed_library_has_signed_incidents(library: Path, tmp_path: Path) -> None:
    """They are written with its key or not at all, and read only where a trusted key signed them."""
    trust = trust_in(MINE, folder=tmp_path)
    opened(library)
    with pytest.raises(LibraryUntrusted, match="it is not signed"):
        read_incidents(library, trust=trust)
    assert [type(error) for error in untrusted(library, trust)] == [LibraryUntrusted, LibraryUntrusted]
    sign_library(library, MINE)
    assert [one.name for one in read_incidents(library, trust=trust)] == ["attack"]
    assert untrusted(library, trust) == ()
    with pytest.raises(UsageError, match="--sign-key"):
        book(library).close("attack")
    with pytest.raises(LibraryUntrusted):
        book(library, signer=OTHER).close("attack")
    book(library, signer=MINE).close("attack")
    (closed,) = read_incidents(library, trust=trust)
    assert not closed.is_open
    forged(library, lambda tree: tree["incidents"][0].update(closed_unix_s=None))
    with pytest.raises(LibraryUntrusted, match="does not belong to its content"):
        read_incidents(library, trust=trust)


def test_verify_names_what_is_damaged(library: Path) -> None:
    """As it does of the library's other files."""
    opened(library)
    with Library.open(library) as whole:
        assert whole.verify() == ()
        (library / INCIDENTS).write_bytes(b"{}")
        (problem,) = whole.verify()
    assert problem.where == str(library / INCIDENTS)
    assert problem.hint.startswith("put it back from a backup")
