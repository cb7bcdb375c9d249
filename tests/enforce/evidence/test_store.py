"""streamguard.enforce.evidence.store: whole or not there, for a set time and within a set size."""

import os
from pathlib import Path

import pytest

from streamguard.enforce.evidence.file import MOST_FILE_BYTES
from streamguard.enforce.evidence.store import EvidenceStore, find_file, read_file
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import EvidenceError
from tests.kill_signals import a_signal
from tests.small_disks import MakeDisk

DAY_S = 86_400.0
NOW_UNIX_S = 1_700_000_000.0


def _id(number: int) -> str:
    return f"sig_{number:032x}"


def _store(directory: Path, *, most_bytes: int = 1 << 20, keep_days: float = 30.0) -> EvidenceStore:
    return EvidenceStore(directory, keep_s=keep_days * DAY_S, most_bytes=most_bytes, wall_clock=lambda: NOW_UNIX_S)


def _aged(path: Path, days: float) -> None:
    os.utime(path, (NOW_UNIX_S - days * DAY_S,) * 2)


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_there_whole_for_its_owner_only(tmp_path: Path) -> None:
    """Under the kill-signal's id, with nothing left beside it; written again it is replaced."""
    store = _store(tmp_path / "evidence")
    path = store.write(_id(1), b"{}")
    assert store.write(_id(1), b"{1}") == path
    assert (path.name, read_file(path)) == (f"{_id(1)}.json", b"{1}")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert _names(path.parent) == [path.name]


def test_looking_makes_nothing(tmp_path: Path) -> None:
    """Whether the directory is there, what is kept in it and how much room there is; nothing is made or changed."""
    store = _store(tmp_path / "evidence")
    new = store.probe()
    assert (new.is_there, new.kept_bytes) == (False, 0)
    assert new.room_bytes > 0
    assert _names(tmp_path) == []
    store.write(_id(1), bytes(700))
    (store.directory / "notes.txt").write_text("not ours")
    assert (store.probe().is_there, store.probe().kept_bytes) == (True, 700)
    assert _names(store.directory) == ["notes.txt", f"{_id(1)}.json"]


def test_looking_where_nothing_can_be_kept(tmp_path: Path) -> None:
    """A file in its place, a parent that is none or is not there: the errors that writing would meet."""
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path / "file", "must be a directory"),
        (tmp_path / "file" / "evidence", "must be a directory"),
        (tmp_path / "no" / "where", "must lie in a directory that exists"),
    ):
        with pytest.raises(EvidenceError, match=words):
            _store(path).probe()
    assert _names(tmp_path) == ["file"]


def test_old_files_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """After the set time; what was left half written too; what is not ours stays, whatever its age."""
    store = _store(tmp_path)
    for number, days in ((1, 29.0), (2, 31.0), (3, 400.0)):
        _aged(store.write(_id(number), b"{}"), days)
    others = [tmp_path / name for name in ("notes.txt", "sig_1.json", f"{_id(5)}.json.bak")]
    left = tmp_path / f".new-{_id(4)}.json"
    for path in (*others, left):
        path.write_text("x")
        _aged(path, 400.0)
    (tmp_path / f"{_id(6)}.json").mkdir()
    _aged(tmp_path / f"{_id(6)}.json", 400.0)
    assert store.clean_up() == 3
    assert _names(tmp_path) == sorted([f"{_id(1)}.json", f"{_id(6)}.json", *(path.name for path in others)])
    assert store.clean_up() == 0


def test_keeping_for_no_time_keeps_none(tmp_path: Path) -> None:
    """`keep_days = 0` removes what there is."""
    _aged(_store(tmp_path).write(_id(1), b"{}"), 0.001)
    assert _store(tmp_path, keep_days=0.0).clean_up() == 1


def test_the_size_is_bounded(tmp_path: Path) -> None:
    """The oldest go first, also those that another worker wrote; the newest always stays."""
    for number in range(5):
        _aged(_store(tmp_path).write(_id(number), b"x" * 1000), 10.0 - number)
    store = _store(tmp_path, most_bytes=5000)
    store.clean_up()
    for number in range(5, 20):
        _aged(store.write(_id(number), b"x" * 1000), 5.0 - number / 10)
        sizes = [path.stat().st_size for path in tmp_path.iterdir()]
        assert sum(sizes) <= 5000
        assert (tmp_path / f"{_id(number)}.json").exists()
    assert not (tmp_path / f"{_id(14)}.json").exists()


def test_there_is_nothing_to_clean_up_before_the_first(tmp_path: Path) -> None:
    """The directory is made with the first file, not before."""
    assert _store(tmp_path / "evidence").clean_up() == 0
    assert not (tmp_path / "evidence").exists()


def test_a_directory_that_was_removed_is_not_made_anew(tmp_path: Path) -> None:
    """Only its own: whoever removed what it lies in may have an outbox there, which must not come back half."""
    with pytest.raises(EvidenceError, match="must lie in a directory that exists"):
        _store(tmp_path / "gone" / "evidence").write(_id(1), b"{}")
    assert _names(tmp_path) == []


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    """One line with the next step, whatever is asked."""
    (tmp_path / "file").touch()
    for act in (_store(tmp_path / "file").make_room, lambda: _store(tmp_path / "file" / "x").write(_id(1), b"")):
        with pytest.raises(EvidenceError, match=r"make directory .*file.*must be a directory"):
            act()
    with pytest.raises(EvidenceError, match="clean up evidence"):
        _store(tmp_path / "file").clean_up()


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """What cannot be written whole is not there, and the error says so."""
    (tmp_path / f".new-{_id(1)}.json").symlink_to("/dev/full")
    with pytest.raises(EvidenceError, match="write evidence"):
        _store(tmp_path).write(_id(1), b"{}")
    assert _names(tmp_path) == []


def test_the_last_of_a_disk_is_left_to_the_outbox(make_disk: MakeDisk) -> None:
    """A kill that cannot be made durable is not sent, so evidence does not fill the disk; nor is any removed for it."""
    disk = make_disk(2048)
    store = _store(disk.path / "evidence")
    store.write(_id(1), b"{}")
    with Outbox.open(disk.path / "outbox.sqlite") as outbox:
        disk.fill(leave_kib=120)
        with pytest.raises(
            EvidenceError, match="nearly full: its last 102 KiB are left to the outbox; free some space"
        ):
            store.write(_id(2), b"x" * 20_000)
        assert outbox.append(a_signal())
    assert _names(disk.path / "evidence") == [f"{_id(1)}.json"]
    disk.empty()
    store.write(_id(2), b"x" * 20_000)
    assert len(_names(disk.path / "evidence")) == 2


def test_reading_what_is_no_file(tmp_path: Path) -> None:
    """A pipe, a folder, what is not there and what is too large are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MOST_FILE_BYTES + 1)
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing", large):
        with pytest.raises(EvidenceError, match="read evidence"):
            read_file(path)


def test_files_are_found_by_either_id(tmp_path: Path) -> None:
    """The kill-signal's own, or that of the evidence in it."""
    evidence_id = "ev_" + "a" * 32
    store = _store(tmp_path)
    store.write(_id(1), b'{"id":"x"}')
    path = store.write(_id(2), f'{{"format":1,"id":"{_id(2)}","evidence_id":"{evidence_id}"}}'.encode())
    assert find_file(tmp_path, _id(2)) == path
    assert find_file(tmp_path, evidence_id) == path
    for id_ in (_id(3), "ev_" + "b" * 32, "../x"):
        with pytest.raises(EvidenceError, match=r"find evidence .*--dir"):
            find_file(tmp_path, id_)
