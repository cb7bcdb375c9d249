"""streamguard.enforce.outbox.file: one process at a time, and trouble at opening told with the next step."""

import errno
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.enforce.outbox.file import SCHEMA_VERSION, claim, outbox_error
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import OutboxError
from tests.kill_signals import a_signal

HOLDER = """
import sys
from pathlib import Path
from streamguard.enforce.outbox.outbox import Outbox
outbox = Outbox.open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def test_a_second_process_is_told_that_the_outbox_is_in_use(path: Path) -> None:
    """Two deliverers would send everything twice; the first one's end, kill -9 too, frees it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(OutboxError, match="another process is using it; each worker needs an outbox of its own"):
            Outbox.open(path)
        holder.kill()
    Outbox.open(path).close()


def test_a_shell_that_holds_a_lock_is_named_at_once(path: Path) -> None:
    """All streams wait while one signal is appended; when the shell is closed, the next one goes through."""
    with Outbox.open(path) as outbox, closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        began_s = time.monotonic()
        with pytest.raises(OutboxError, match="locked; another process has the outbox open, an sqlite3 shell"):
            outbox.append(a_signal())
        assert time.monotonic() - began_s < 3  # SQLite's own patience is 5 s
        shell.execute("ROLLBACK")
        assert outbox.append(a_signal())


def test_a_failed_opening_lets_go_of_the_lock(path: Path) -> None:
    """After the file was mended it opens in the same process."""
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(OutboxError):
        Outbox.open(path)
    path.unlink()
    Outbox.open(path).close()


@pytest.mark.parametrize("content", [b"rubbish, no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_file_that_is_no_database_is_called_damaged(path: Path, content: bytes) -> None:
    """The error names the file and what to do."""
    path.write_bytes(content)
    with pytest.raises(OutboxError, match=r"outbox\.sqlite: the file is damaged: .*; move it aside"):
        Outbox.open(path)
    assert list(path.parent.iterdir()) == [path], "nothing of ours stays beside it"


def test_damage_in_the_middle_is_found_at_opening(path: Path) -> None:
    """Pages overwritten by something else don't wait for the night to show."""
    with Outbox.open(path) as outbox:
        for number in range(100):
            outbox.append(a_signal(number))
    content = bytearray(path.read_bytes())
    content[8192:40_000] = b"\xa5" * (40_000 - 8192)
    path.write_bytes(content)
    with pytest.raises(OutboxError, match="the file is damaged"):
        Outbox.open(path)


@pytest.mark.parametrize("wrong", [b"sessiom", b"sessio\xff"], ids=["another column", "no text"])
def test_a_damaged_schema_is_told(path: Path, wrong: bytes) -> None:
    """A flipped bit in the name of a column is no bug, and the next step is said."""
    with Outbox.open(path) as outbox:
        outbox.append(a_signal())
    path.write_bytes(path.read_bytes().replace(b"session", wrong))

    def used() -> None:
        with Outbox.open(path) as outbox:
            outbox.pending(1)

    with pytest.raises(OutboxError, match="move it aside and start again"):
        used()


def test_a_newer_outbox_is_left_alone(path: Path) -> None:
    """A file that a newer StreamGuard made is not touched by an older one."""
    Outbox.open(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(OutboxError, match=rf"newer StreamGuard \(format {SCHEMA_VERSION + 1}"):
        Outbox.open(path)


def test_an_outbox_of_the_first_format_is_taken_over(path: Path) -> None:
    """What waits in it is delivered, and what comes after it has the sum that the first format had not."""
    with Outbox.open(path) as outbox:
        outbox.append(a_signal(0))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP INDEX unanswered")
        db.execute("ALTER TABLE signals DROP COLUMN ack")
        db.execute("ALTER TABLE signals DROP COLUMN sha256")
        db.execute("PRAGMA user_version = 1")
    for _ in range(2):
        with Outbox.open(path) as outbox:
            outbox.append(a_signal(1))
            assert outbox.pending(10).signals == (a_signal(0), a_signal(1))
            assert not outbox.pending(10).unfit


def test_an_outbox_of_the_second_format_is_taken_over(path: Path) -> None:
    """What was delivered before waits for nobody's answer; what waits is delivered."""
    with Outbox.open(path) as outbox:
        for number in (0, 1):
            outbox.append(a_signal(number))
        outbox.delivered(a_signal(0).id, at_unix_s=a_signal(0).decided_unix_s)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP INDEX unanswered")
        db.execute("ALTER TABLE signals DROP COLUMN ack")
        db.execute("PRAGMA user_version = 2")
    for _ in range(2):
        with Outbox.open(path) as outbox:
            assert outbox.pending(10).signals == (a_signal(1),)
            assert outbox.awaiting_ack() == 0


def test_another_programs_database_is_left_alone(path: Path) -> None:
    """A catalogue given as the outbox by mistake stays what it was."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE items (id)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="an SQLite file, but no outbox"):
        Outbox.open(path)
    assert path.read_bytes() == before


def test_a_directory_that_is_not_there_or_not_writable_is_told(tmp_path: Path) -> None:
    """The hint names the setting."""
    with pytest.raises(OutboxError, match=r"No such file or directory; signals\.outbox must lie in"):
        Outbox.open(tmp_path / "nowhere" / "outbox.sqlite")
    with pytest.raises(OutboxError, match=r"; signals\.outbox must lie in a directory that"):
        Outbox.open(Path("/proc/outbox.sqlite"))


def test_a_directory_in_the_files_place_is_told(path: Path) -> None:
    """SQLite's own words come with a next step."""
    path.mkdir()
    with pytest.raises(OutboxError, match=r"open outbox .*unable to open database file; the directory must"):
        Outbox.open(path)


def test_somebody_elses_file_is_said_to_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose it is, and what to do: as when it was first opened by root."""
    Outbox.open(path).close()
    readonly = sqlite3.OperationalError("attempt to write a readonly database")
    readonly.sqlite_errorname = "SQLITE_READONLY"
    assert str(outbox_error("open", path, readonly)).endswith("writable for StreamGuard's user")
    owner = path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    assert f"{path} belongs to " in str(outbox_error("open", path, readonly))

    def refuse(name: Path, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(name))

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(OutboxError, match=r"Permission denied; .*\.lock belongs to .*\(chown\)"):
        claim(path)


def test_the_journal_is_synced_at_each_commit(path: Path) -> None:
    """WAL with synchronous=FULL: the promise that DESIGN.md makes."""
    with Outbox.open(path) as outbox:
        assert outbox._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert outbox._db.execute("PRAGMA synchronous").fetchone() == (2,)
