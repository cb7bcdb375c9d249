"""streamguard.library.rollback: back to what the library was."""

from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemState
from streamguard.library.live_set import read_live_set
from streamguard.library.loading import load_snapshot
from streamguard.library.merging import FAN
from streamguard.library.store import KEPT_S, Library
from tests.library.made import RADIUS_BITS, library_of, new_item, reference, seen


class _Clock:
    """A clock that goes when told."""

    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def _live(path: Path) -> dict[str, str]:
    return {asset.id: asset.label for asset in load_snapshot(path).assets}


def test_everything_is_as_it_was(tmp_path: Path) -> None:
    """What came goes, what was removed comes back, states and labels are those of then; all of it in one version."""
    library_of(tmp_path, "abcd")
    with Library.open(tmp_path) as library:
        library.disable("d")
        then = read_live_set(tmp_path)
        library.remove("a")
        library.label("b", "other")
        library.disable("c")
        library.enable("d")
        library.add(new_item("e"), reference(5))
        before = read_live_set(tmp_path).generation
        done = library.roll_back(then.version)
        assert (done.restored, done.removed, done.relabelled, done.gone) == (1, 1, 1, ())
        assert read_live_set(tmp_path).generation == before + 1
        assert library.verify() == ()
        assert {item.id: item.state for item in library.items()} == {
            "a": ItemState.LIVE, "b": ItemState.LIVE, "c": ItemState.LIVE, "d": ItemState.DISABLED,
        }  # fmt: skip
    assert _live(tmp_path) == {"a": "test", "b": "test", "c": "test"}
    found = load_snapshot(tmp_path).search((seen(reference(ord("a")).prints[1].code),), radius_bits=RADIUS_BITS)
    assert [one.asset for one in found] == ["a"]


def test_a_rollback_can_be_rolled_back(tmp_path: Path) -> None:
    """It is a change like any other; and to where nothing has changed since, nothing happens."""
    library_of(tmp_path, "ab")
    with Library.open(tmp_path) as library:
        library.remove("a")
        library.add(new_item("c"), reference(3))
        now = read_live_set(tmp_path).version
        library.roll_back("2")
        assert _live(tmp_path) == {"a": "test", "b": "test"}
        library.roll_back(now)
        assert _live(tmp_path) == {"b": "test", "c": "test"}
        version = read_live_set(tmp_path).version
        library.roll_back(version)
        assert read_live_set(tmp_path).version == version
        assert [change.detail for change in library.changes() if change.action == "rollback"][1] == f"to {now}"


def test_through_a_merge(tmp_path: Path) -> None:
    """Segments that are merged meanwhile are in nobody's way, nor is another item under an id of then."""
    library_of(tmp_path, "abc")
    with Library.open(tmp_path) as library:
        then = read_live_set(tmp_path).version
        library.remove("a")
        library.add(new_item("a", label="new", content="other"), reference(300))
        for number in range(2 * FAN):
            library.add(new_item(f"more-{number}"), reference(number))
        library.roll_back(then)
        assert library.verify() == ()
        assert _live(tmp_path) == {"a": "test", "b": "test", "c": "test"}
        snapshot = load_snapshot(tmp_path)
        assert snapshot.search((seen(reference(ord("a")).prints[1].code),), radius_bits=RADIUS_BITS)
        assert not snapshot.search((seen(reference(300).prints[1].code),), radius_bits=RADIUS_BITS)


def test_what_is_gone_from_the_disk_is_named(tmp_path: Path) -> None:
    """After a week removed items cannot come back: nothing is done then, unless all others will do."""
    clock = _Clock()
    library_of(tmp_path, "ab")
    with Library.open(tmp_path, clock=clock) as library:
        library.remove("a")
        clock.now_s += KEPT_S + 1
        library.disable("b")
        with pytest.raises(UsageError, match="1 item of then no longer on the disk: a; --partly"):
            library.roll_back("2")
        assert _live(tmp_path) == {}
        assert library.roll_back("2", partly=True).gone == ("a",)
        assert library.verify() == ()
    assert _live(tmp_path) == {"b": "test"}


@pytest.mark.parametrize("version", ["", "seventeen", "-1", "2-0000000", "99", "2-00000000", "1" * 30])
def test_a_version_that_never_was_is_refused(tmp_path: Path, version: str) -> None:
    """No such generation, or one of another content: the library is as it was."""
    library_of(tmp_path, "ab")
    before = read_live_set(tmp_path)
    with Library.open(tmp_path) as library, pytest.raises(UsageError, match="streamguard library history"):
        library.roll_back(version)
    assert read_live_set(tmp_path) == before
