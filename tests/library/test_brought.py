"""streamguard.library.brought and handed_on: what others handed on is apart, reviewed or believed, at every moment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library import brought
from streamguard.library.brought import Brought
from streamguard.library.changes import Origin
from streamguard.library.exchange.schema import HashState
from streamguard.library.falling import restore
from streamguard.library.handed_on import HandedOn
from streamguard.library.loading import load_snapshot
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from tests.library.bundles_made import honest
from tests.library.made import new_item
from tests.library.opinions_made import catalogue_of, confirmed, mistake, tell

ORIGIN = Origin("anna", "seen it")
THEIRS = "platform-b"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Our own `ours`; of a sender who earns reviews `good`, and `bad`, which is kept apart."""
    path = tmp_path / "lib"
    new = [(new_item(id_), honest(number)) for number, id_ in enumerate(("ours", "good", "bad"))]
    with Library.open(path, create=True) as opened:
        opened.add_all(
            new,
            handed_on={
                new[1][0].sha256: HandedOn(THEIRS, may_kill=False),
                new[2][0].sha256: HandedOn(THEIRS, may_kill=False, reason=Reason.COMMON),
            },
        )
    return path


def searched(path: Path) -> dict[str, bool]:
    """What is searched, and whether it may kill."""
    snapshot = load_snapshot(path)
    return {asset.id: asset.id not in snapshot.fallen for asset in snapshot.assets}


def of(path: Path, *ids: str) -> list[Brought]:
    with catalogue_of(path) as catalogue:
        return [one for one in brought.brought(catalogue) if one.item.id in ids]


def done(path: Path, what: Callable[..., None], *ids: str) -> None:
    with Library.open(path, origin=ORIGIN) as opened:
        what(opened, of(path, *ids), origin=ORIGIN, now_unix_s=1.0)


def test_it_comes_in_as_it_is_to_be(library: Path) -> None:
    """In one step: no version has poison live, or lets a new sender kill."""
    assert searched(library) == {"ours": True, "good": False}
    with Library.open(library, read_only=True) as opened:
        assert [(change.action, change.items) for change in opened.changes()] == [("begin", 0), ("add", 3)]
    with catalogue_of(library) as catalogue:
        (apart,) = brought.kept_apart(catalogue, source=THEIRS)
    assert (apart.item.id, apart.reason, apart.state) == ("bad", Reason.COMMON, HashState.QUARANTINED)


def test_what_is_released_may_do_what_its_sender_may(library: Path) -> None:
    """And what is believed, what its label may, whoever it is from."""
    done(library, brought.release, "bad")
    assert searched(library) == {"ours": True, "good": False, "bad": False}
    done(library, brought.believe, "bad")
    assert searched(library) == {"ours": True, "good": False, "bad": True}
    with Library.open(library, read_only=True) as opened:
        assert [change.action for change in opened.changes(most=2)] == ["release", "believe"]


def test_what_is_believed_when_it_comes_may_kill(library: Path) -> None:
    """From its first version on, of a new sender as well, and whatever was found against it."""
    new = [(new_item(id_), honest(number)) for number, id_ in enumerate(("seen", "doubted"), start=3)]
    reasons = {new[0][0].sha256: Reason.NONE, new[1][0].sha256: Reason.COMMON}
    handed_on = {key: HandedOn(THEIRS, may_kill=False, reason=why, believed=True) for key, why in reasons.items()}
    with Library.open(library) as opened:
        opened.add_all(new, handed_on=handed_on)
    assert searched(library) == {"ours": True, "good": False, "seen": True, "doubted": True}


def test_what_was_disabled_by_hand_stays_so(library: Path) -> None:
    """Be it believed: somebody had a reason; it may kill once it is enabled."""
    with Library.open(library) as opened:
        opened.disable("good")
    done(library, brought.believe, "good")
    assert searched(library) == {"ours": True}
    with Library.open(library) as opened:
        opened.enable("good")
    assert searched(library) == {"ours": True, "good": True}


def test_a_sender_may_kill_and_may_not_any_more(library: Path) -> None:
    """For all that it brought; what is kept apart stays there."""
    for allowed in (True, False):
        with Library.open(library) as opened:
            brought.let_kill(opened, THEIRS, allowed=allowed, origin=ORIGIN, now_unix_s=1.0)
            brought.let_kill(opened, "nobody", allowed=allowed, origin=ORIGIN, now_unix_s=1.0)
        assert searched(library) == {"ours": True, "good": allowed}


def test_what_is_dropped_is_gone_and_remembered(library: Path) -> None:
    """By its content, and by looks of it."""
    with Library.open(library) as opened:
        codes = brought.codes_of(opened, of(library, "bad"))
    assert codes == tuple(look.code for look in honest(2).prints)
    done(library, brought.drop, "bad")
    with catalogue_of(library) as catalogue:
        assert brought.dropped_contents(catalogue) == {new_item("bad").sha256}
        assert brought.kept_apart(catalogue) == ()
    with Library.open(library) as opened:
        assert not opened.has("bad")
        opened.roll_back("1")
        assert not opened.has("bad")


def _let_out(opened: Library, way: str) -> None:
    if way == "enable":
        opened.enable("bad")
    else:
        restore(opened, "bad", origin=ORIGIN, now_unix_s=1.0)


@pytest.mark.parametrize("way", ["enable", "restore", "roll_back"])
def test_nothing_else_lets_it_out(library: Path, way: str) -> None:
    """Neither `enable`, nor `restore`, nor a rollback to a version in which it had been let out."""
    if way == "roll_back":
        done(library, brought.release, "bad")
        with Library.open(library) as opened:
            version = opened.stats().version
            opened.remove("bad")
            with opened.writing() as catalogue, catalogue.change(now_unix_s=2.0):
                catalogue.connection.execute("UPDATE brought SET state = 1 WHERE reason")
            opened.roll_back(version)
    else:
        with Library.open(library) as opened, pytest.raises(UsageError, match="it is in quarantine: harmless"):
            _let_out(opened, way)
    assert "bad" not in searched(library)


def test_what_was_right_and_wrong_is_counted_for_the_sender(library: Path) -> None:
    """By item: ten confirmed kills of one are one."""
    tell(library, *confirmed("s1", "good"), *confirmed("s2", "good"), *mistake("s3", "ours"))
    with catalogue_of(library) as catalogue:
        assert brought.standing(catalogue, THEIRS) == (1, 0)
    tell(library, *mistake("s4", "good"))
    with catalogue_of(library) as catalogue:
        assert brought.standing(catalogue, THEIRS) == (1, 1)


def test_a_library_that_nobody_handed_anything_has_none(tmp_path: Path) -> None:
    """As all libraries of before."""
    Library.open(tmp_path / "lib", create=True).close()
    with catalogue_of(tmp_path / "lib") as catalogue:
        assert (brought.brought(catalogue), brought.standing(catalogue, THEIRS)) == ((), (0, 0))
