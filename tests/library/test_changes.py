"""streamguard.library.changes: who changed what, when, why and from where."""

from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library import changes
from streamguard.library.changes import Origin
from streamguard.library.live_set import read_live_set
from streamguard.library.store import Library
from tests.library.made import library_of, new_item, reference


def test_each_change_has_its_line(tmp_path: Path) -> None:
    """With its version, its time, who, why and from where; and each item has those that changed it."""
    anna = Origin("anna@desk", "a court order", "")
    with Library.open(tmp_path, create=True, clock=lambda: 77.5, origin=anna) as library:
        library.add_all([(new_item(id_), reference(ord(id_))) for id_ in "abcde"])
        added = read_live_set(tmp_path).version
        library.label("b", "terror")
        library.disable("b")
        begin, add, label, disable = library.changes()
        assert begin.action == "begin"
        assert (add.action, add.version, add.at_unix_s, add.items) == ("add", added, 77.5, 5)
        assert add.named == ("a", "b", "c")
        assert add.origin == Origin("anna@desk", "a court order", "5 files, the first is /films/a.mp4")
        assert (label.action, label.detail, label.named) == ("label", "test -> terror", ("b",))
        assert (disable.action, disable.origin) == ("disable", anna)
        assert library.changes(most=2) == (label, disable)
        assert library.changes(id_="b") == (add, label, disable)
        assert library.changes(id_="c") == (add,)
        library.remove("c")
        library.add(new_item("c"), reference(9))
        assert [change.action for change in library.changes(id_="c")] == ["add", "remove", "add"]
        library.remove("e")
        assert [change.action for change in library.changes(id_="e")] == ["add", "remove"]
        with pytest.raises(UsageError, match="not in"):
            library.changes(id_="f")


def test_a_change_that_changes_nothing_has_none(tmp_path: Path) -> None:
    """What was so already is no news."""
    library_of(tmp_path, "a")
    with Library.open(tmp_path) as library:
        before = library.changes()
        library.label("a", "test")
        library.enable("a")
        assert library.changes() == before


def test_nobody_named_is_the_user() -> None:
    """And the machine; what anybody says is one line of printable characters, and not too long."""
    assert changes.origin().by == changes.user()
    assert "@" in changes.user()
    said = changes.origin(by="me\x1b[2J", reason="be\ncause \udcff")
    assert said.by.isprintable()
    assert said.reason.isprintable()
    with pytest.raises(UsageError, match="--reason"):
        changes.origin(reason="x" * 501)


def test_a_label_is_what_the_library_takes(tmp_path: Path) -> None:
    """An impossible one is refused, and the one that it has stays."""
    library_of(tmp_path, "a")
    with Library.open(tmp_path) as library:
        for label in ("x" * 101, "a\x1b[2J", "a\nb"):
            with pytest.raises(UsageError, match="not a possible label"):
                library.label("a", label)
        assert library.item("a").label == "test"
