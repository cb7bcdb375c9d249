"""streamguard.library.watch: what a new version must stand before it serves."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from streamguard.errors import LibraryCrashes, LibraryUntrusted
from streamguard.library.ed25519 import Signer
from streamguard.library.live_set import CURRENT
from streamguard.library.loading import Demands
from streamguard.library.rule_file import RULE, write_rules
from streamguard.library.segments import SegmentRef
from streamguard.library.signed import sign_library
from streamguard.library.store import Library
from streamguard.library.watch import Refreshed, SnapshotHolder
from tests.library.fitted import fitted_rules
from tests.library.key_files import trust_in
from tests.library.made import library_of, new_item, reference

MINE, OTHER = Signer.new(), Signer.new()


class _Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class _Trial:
    """Remembers what it was asked to open, and refuses while it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses = False

    def __call__(self, directory: Path, refs: Sequence[SegmentRef], /, *, opened: Callable[[SegmentRef], None]) -> None:
        for ref in refs:
            self.asked.append(ref.id)
            if self.refuses:
                raise LibraryCrashes("try segment", directory / ref.id, "it crashed")
            opened(ref)


def _add(library: Path, id_: str, signer: Signer | None = MINE) -> None:
    with Library.open(library, create=True, signer=signer) as opened:
        opened.add(new_item(id_), reference(ord(id_)))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """One item, signed."""
    _add(tmp_path / "lib", "a")
    return tmp_path / "lib"


@pytest.fixture
def demands(tmp_path: Path) -> Demands:
    return Demands(trust_in(MINE, folder=tmp_path))


def _serves(holder: SnapshotHolder) -> str:
    return "".join(sorted(asset.id for asset in holder.snapshot.assets))


def test_what_the_key_signed_goes_live(library: Path, demands: Demands) -> None:
    """As without a key."""
    holder = SnapshotHolder(library, demands=demands)
    _add(library, "b")
    assert holder.refresh() == Refreshed(changed=True)
    assert (_serves(holder), holder.error) == ("ab", None)


@pytest.mark.promise(5, "a version that another key signed, or none")
@pytest.mark.parametrize("who", ["nobody", "somebody else"])
def test_what_it_did_not_sign_never_does(tmp_path: Path, demands: Demands, who: str) -> None:
    """The last version that it signed serves; it is told once, never tried again, and over with the next good one."""
    _add(tmp_path / "lib", "a")
    clock = _Clock()
    holder = SnapshotHolder(tmp_path / "lib", demands=demands, clock=clock)
    forged = Path(shutil.copytree(tmp_path / "lib", tmp_path / "forged"))
    (forged / CURRENT).unlink()
    _add(forged, "x", None if who == "nobody" else OTHER)
    shutil.copytree(forged, tmp_path / "lib", dirs_exist_ok=True)
    assert isinstance(holder.refresh().error, LibraryUntrusted)
    for _ in range(2):
        clock.now_s += 3600
        assert holder.refresh() == Refreshed(changed=False)
    assert _serves(holder) == "a"
    assert str(holder.error).startswith("check signature")
    sign_library(tmp_path / "lib", MINE)
    assert holder.refresh() == Refreshed(changed=True)
    assert (_serves(holder), holder.error) == ("ax", None)


@pytest.mark.promise(5, "a library that another key signed, or none, at the start", times=2)
def test_a_worker_does_not_start_on_what_it_did_not_sign(tmp_path: Path, library: Path, demands: Demands) -> None:
    """There is nothing better to serve."""
    library_of(tmp_path / "unsigned", "a")
    for path in (tmp_path / "unsigned", library):
        write_rules(path, fitted_rules(), signer=MINE if path == library else None)
    SnapshotHolder(library, demands=demands)
    with pytest.raises(LibraryUntrusted, match=CURRENT):
        SnapshotHolder(tmp_path / "unsigned", demands=demands)
    shutil.copy(tmp_path / "unsigned" / RULE, library / RULE)
    with pytest.raises(LibraryUntrusted, match=RULE):
        SnapshotHolder(library, demands=demands)


@pytest.mark.promise(5, "an old version, signed, put back")
def test_an_old_version_that_is_put_back_does_not_take_over(library: Path, demands: Demands) -> None:
    """It is signed, as all that ever were, and lacks what was added since. A change by command is newer."""
    _add(library, "b")
    old = (library / CURRENT).read_bytes()
    _add(library, "c")
    holder = SnapshotHolder(library, demands=demands)
    new = (library / CURRENT).read_bytes()
    (library / CURRENT).write_bytes(old)
    error = holder.refresh().error
    assert isinstance(error, LibraryUntrusted)
    assert "not newer than 3-" in str(error)
    assert "restart the worker" in str(error)
    assert _serves(holder) == "abc"
    assert _serves(SnapshotHolder(library, demands=demands)) == "ab"
    (library / CURRENT).write_bytes(new)
    assert holder.refresh() == Refreshed(changed=False)
    with Library.open(library, signer=MINE) as opened:
        opened.remove("c")
    assert holder.refresh() == Refreshed(changed=True)
    assert _serves(holder) == "ab"


def test_another_library_of_the_same_generation_does_not_take_over(
    tmp_path: Path, library: Path, demands: Demands
) -> None:
    """Of two that one key signed, each stays where it is."""
    holder = SnapshotHolder(library, demands=demands)
    _add(tmp_path / "sister", "z")
    shutil.copytree(tmp_path / "sister", library, dirs_exist_ok=True)
    assert isinstance(holder.refresh().error, LibraryUntrusted)
    assert _serves(holder) == "a"


def test_without_a_key_an_old_version_is_taken(tmp_path: Path) -> None:
    """As from a backup: who can write an old one could write any."""
    library_of(tmp_path / "lib", "ab")
    old = (tmp_path / "lib" / CURRENT).read_bytes()
    _add(tmp_path / "lib", "c", None)
    holder = SnapshotHolder(tmp_path / "lib")
    (tmp_path / "lib" / CURRENT).write_bytes(old)
    assert holder.refresh() == Refreshed(changed=True)
    assert _serves(holder) == "ab"


def test_a_rule_that_it_did_not_sign_leaves_the_last_one_and_holds_up_no_item(library: Path, demands: Demands) -> None:
    """A rule decides about kills."""
    write_rules(library, fitted_rules(), signer=MINE)
    holder = SnapshotHolder(library, demands=demands)
    write_rules(library, fitted_rules(), signer=MINE)
    text = (library / RULE).read_text()
    (library / RULE).write_text(text[: text.index('"signature"')] + text[text.index('"rule"') :])
    _add(library, "b")
    refreshed = holder.refresh()
    assert refreshed.changed
    assert isinstance(refreshed.error, LibraryUntrusted)
    assert refreshed.error.subject == str(library / RULE)
    assert (_serves(holder), holder.snapshot.rules) == ("ab", fitted_rules())


def test_only_new_segments_are_tried_first(library: Path) -> None:
    """At the start all of them; then not those that serve, also with an item off."""
    trial = _Trial()
    holder = SnapshotHolder(library, demands=Demands(trial=trial))
    assert [name[:8] for name in trial.asked] == ["00000001"]
    trial.asked.clear()
    with Library.open(library, signer=MINE) as opened:
        opened.add_all([(new_item(id_), reference(ord(id_))) for id_ in "bc"])
    assert holder.refresh().changed
    with Library.open(library, signer=MINE) as opened:
        opened.disable("b")
    assert holder.refresh().changed
    _add(library, "d")
    assert holder.refresh().changed
    assert [name[:8] for name in trial.asked] == ["00000002", "00000004"]
    assert _serves(holder) == "acd"


@pytest.mark.promise(5, "a segment that crashes whoever opens it, at the start")
def test_a_worker_does_not_start_on_what_crashes_whoever_opens_it(library: Path) -> None:
    """It ends with words, and not by the crash."""
    trial = _Trial()
    trial.refuses = True
    with pytest.raises(LibraryCrashes):
        SnapshotHolder(library, demands=Demands(trial=trial))


@pytest.mark.promise(5, "a segment that crashes whoever opens it")
def test_what_crashes_whoever_opens_it_is_refused_and_tried_again(library: Path) -> None:
    """The crash may have been another's fault: every 30 s, and told once."""
    trial, clock = _Trial(), _Clock()
    holder = SnapshotHolder(library, demands=Demands(trial=trial), clock=clock)
    trial.asked.clear()
    _add(library, "b")
    trial.refuses = True
    assert isinstance(holder.refresh().error, LibraryCrashes)
    assert holder.refresh() == Refreshed(changed=False)
    assert len(trial.asked) == 1
    clock.now_s += 31
    assert holder.refresh() == Refreshed(changed=False)
    assert (len(trial.asked), _serves(holder)) == (2, "a")
    trial.refuses = False
    clock.now_s += 31
    assert holder.refresh() == Refreshed(changed=True)
    assert _serves(holder) == "ab"


def _key_file(demands: Demands) -> Path:
    assert demands.trust is not None
    assert demands.trust.file is not None
    return demands.trust.file


def test_a_key_that_is_added_counts_without_a_restart(library: Path, demands: Demands) -> None:
    """What it signed was refused until then, and goes live at the next refresh though the library did not change."""
    holder = SnapshotHolder(library, demands=demands)
    sign_library(library, MINE)
    _add(library, "b")
    sign_library(library, OTHER)
    assert isinstance(holder.refresh().error, LibraryUntrusted)
    trust_in(MINE, OTHER, folder=_key_file(demands).parent)
    assert holder.refresh() == Refreshed(changed=True)
    assert (_serves(holder), holder.error) == ("ab", None)


@pytest.mark.promise(5, "a version that a key signed which counts no more")
def test_a_key_that_is_taken_away_signs_nothing_new(library: Path, demands: Demands) -> None:
    """What serves goes on serving, and is told of; the next version that a key signed which counts is taken."""
    write_rules(library, fitted_rules(), signer=MINE)
    holder = SnapshotHolder(library, demands=demands)
    trust_in(OTHER, folder=_key_file(demands).parent)
    refreshed = holder.refresh()
    assert (refreshed.changed, type(refreshed.error)) == (False, LibraryUntrusted)
    assert holder.refresh() == Refreshed(changed=False)
    _add(library, "b")
    assert not holder.refresh().changed
    assert (_serves(holder), holder.snapshot.rules) == ("a", fitted_rules())
    sign_library(library, OTHER)
    assert holder.refresh() == Refreshed(changed=True)
    assert (_serves(holder), holder.error) == ("ab", None)


def test_a_broken_key_file_changes_nothing_and_is_told(library: Path, demands: Demands) -> None:
    """Versions by the keys of before go live meanwhile; mended, all is well."""
    holder = SnapshotHolder(library, demands=demands)
    file = _key_file(demands)
    good = file.read_bytes()
    file.write_bytes(good[:40])
    error = holder.refresh().error
    assert error is not None
    assert error.subject == str(file)
    assert "the keys that were read before go on counting" in str(error)
    assert holder.refresh() == Refreshed(changed=False)
    _add(library, "b")
    assert holder.refresh() == Refreshed(changed=True)
    assert (_serves(holder), str(holder.error)) == ("ab", str(error))
    file.write_bytes(good)
    assert holder.refresh() == Refreshed(changed=False)
    assert holder.error is None
