"""streamguard.enforce.outbox.probe: what opening would say, with nothing made and nothing changed."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.outbox.probe import LEAST_ROOM_BYTES, OutboxProbe, check_room, probe_outbox
from streamguard.errors import OutboxError
from tests.kill_signals import a_signal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox #1?.sqlite"


def test_where_there_is_none_yet_none_is_made(path: Path) -> None:
    """The folder stays as it is."""
    assert probe_outbox(path) == OutboxProbe(in_use=False)
    assert list(path.parent.iterdir()) == []


def test_what_waits_is_counted_and_no_file_is_added(path: Path) -> None:
    """After a clean end there is no journal, and none is made; an empty file is an outbox to be."""
    with Outbox.open(path) as outbox:
        outbox.append(a_signal())
    before = sorted(path.parent.iterdir())
    assert probe_outbox(path) == OutboxProbe(in_use=False, waiting=1)
    path.with_name("empty").touch()
    assert probe_outbox(path.with_name("empty")) == OutboxProbe(in_use=False)
    path.with_name("empty").unlink()
    assert sorted(path.parent.iterdir()) == before


def test_what_a_killed_worker_left_in_its_journal_counts(path: Path, tmp_path: Path) -> None:
    """The journal is read where there is one, and stays."""
    copy = tmp_path / "copy.sqlite"
    with Outbox.open(path) as outbox:
        outbox.append(a_signal())
        for suffix in ("", "-wal", "-shm"):
            copy.with_name(f"{copy.name}{suffix}").write_bytes(path.with_name(f"{path.name}{suffix}").read_bytes())
    assert probe_outbox(copy) == OutboxProbe(in_use=False, waiting=1)
    assert copy.with_name(f"{copy.name}-wal").exists()


def test_one_that_is_in_use_is_left_alone(path: Path) -> None:
    """Its user does not notice."""
    with Outbox.open(path) as outbox:
        assert probe_outbox(path) == OutboxProbe(in_use=True)
        assert outbox.append(a_signal())


def test_what_cannot_be_opened_is_told_as_opening_tells_it(path: Path) -> None:
    """No folder, a file in its place, damage, another program's database, a directory: each with the next step."""
    with pytest.raises(OutboxError, match=r"No such file or directory; signals\.outbox must lie in"):
        probe_outbox(path / "outbox.sqlite")
    path.write_bytes(b"rubbish, no database at all" * 100)
    with pytest.raises(OutboxError, match=r"No such file or directory; signals\.outbox must lie in"):
        probe_outbox(path / "outbox.sqlite")
    with pytest.raises(OutboxError, match=r"the file is damaged: .*; move it aside"):
        probe_outbox(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE items (id)")
    with pytest.raises(OutboxError, match="an SQLite file, but no outbox"):
        probe_outbox(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(OutboxError, match="it is a directory; name a file"):
        probe_outbox(path)


def test_what_this_user_may_not_write_is_said_to_be_anothers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when root looked first: the hint names the file and its owner."""
    Outbox.open(path).close()
    monkeypatch.setattr("os.access", lambda name, _mode: name != path)
    with pytest.raises(OutboxError, match=r"cannot be written; signals\.outbox must lie"):
        probe_outbox(path)
    owner = path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    with pytest.raises(OutboxError, match=r"sqlite cannot be written; .*sqlite belongs to .*\(chown\)"):
        probe_outbox(path)


@pytest.mark.parametrize(
    ("room", "files_left", "problem"),
    [(LEAST_ROOM_BYTES - 1024, 1, "16383 KiB of at least 16384 KiB left"), (1 << 40, 0, "room for no file left")],
)
def test_a_full_disk_is_an_error(
    *, path: Path, monkeypatch: pytest.MonkeyPatch, room: int, files_left: int, problem: str
) -> None:
    """Also one that has bytes and no file left; with what to do."""
    disk = SimpleNamespace(f_bavail=room // 1024, f_frsize=1024, f_favail=files_left, f_files=100)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    with pytest.raises(OutboxError, match=f"its disk is full: {problem}; make room"):
        check_room(path)


def test_room_enough_is_no_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files are not counted. A folder that is gone is an error of its own."""
    disk = SimpleNamespace(f_bavail=LEAST_ROOM_BYTES // 1024, f_frsize=1024, f_favail=0, f_files=0)
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda _path: disk)
        check_room(path)
    with pytest.raises(OutboxError, match="must lie in a directory that exists"):
        check_room(path / "none" / "outbox.sqlite")
