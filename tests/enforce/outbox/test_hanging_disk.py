"""streamguard.enforce.outbox.outbox: a disk that does not answer, while several threads need it."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.enforce.outbox import outbox as outbox_module
from streamguard.enforce.outbox.outbox import DISK_ANSWERS_WITHIN_S, Outbox
from streamguard.errors import OutboxBusy, OutboxError
from tests.kill_signals import a_signal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def test_a_disk_that_hangs_keeps_one_thread_and_is_told_to_all_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait no longer than they must, closing included; what hung is there when the disk answers again."""
    monkeypatch.setattr(outbox_module, "DISK_ANSWERS_WITHIN_S", 0.05)
    outbox = Outbox.open(path)
    hangs, answers = threading.Event(), threading.Event()

    def disk() -> None:
        hangs.set()
        answers.wait()

    outbox._db.create_function("disk", 0, disk)
    outbox._db.execute("CREATE TEMP TRIGGER hang BEFORE INSERT ON signals BEGIN SELECT disk(); END")
    appender = threading.Thread(target=outbox.append, args=(a_signal(),))
    appender.start()
    try:
        hangs.wait()
        for ask in (outbox.depth, outbox.counts, lambda: outbox.append(a_signal(1)), lambda: outbox.pending(1)):
            with pytest.raises(OutboxError, match=r"its disk has not answered for 0\.05 s or more"):
                ask()
        outbox.close()
    finally:
        answers.set()
        appender.join()
    with pytest.raises(OutboxError, match="it is closed"):
        outbox.depth()
    outbox.close()
    with Outbox.open(path) as again:
        assert again.pending(10).signals == (a_signal(),)


def test_who_waits_for_many_others_is_not_told_of_a_disk_that_hangs(path: Path) -> None:
    """Whoever has it answers, one after the other, however many there are."""
    with Outbox.open(path) as outbox:
        askers = [threading.Thread(target=lambda: [outbox.depth() for _ in range(50)]) for _ in range(8)]
        for asker in askers:
            asker.start()
        outbox.append(*map(a_signal, range(100)))
        for asker in askers:
            asker.join()
        assert outbox.depth() == 100


def test_who_has_only_just_taken_it_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it was taken before that, by whoever has given it back since."""
    with Outbox.open(path) as outbox:
        lock = HandedOn(outbox)
        with monkeypatch.context() as patched:
            patched.setattr(outbox, "_lock", lock)
            outbox._taken_at_s = time.monotonic() - DISK_ANSWERS_WITHIN_S / 2
            assert outbox.depth() == 0
    assert lock.tries == 2


@pytest.mark.parametrize("is_held_outside", [False, True])
def test_who_waits_too_long_for_others_is_told_so(
    path: Path, *, is_held_outside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has the disk's answer, or finds the file in another process's hands: no disk hangs."""
    words = "another process has had it for 1 s" if is_held_outside else "other threads have had it for 1 s, one after"
    with Outbox.open(path) as outbox, closing(sqlite3.connect(path, isolation_level=None)) as shell:
        if is_held_outside:
            shell.execute("BEGIN IMMEDIATE")
            with pytest.raises(OutboxBusy, match="locked; another process has the outbox open"):
                outbox.append(a_signal())
        lock = InOthersHands(outbox)
        with monkeypatch.context() as patched:
            patched.setattr(outbox, "_lock", lock)
            patched.setattr(outbox_module, "time", lock)
            with pytest.raises(OutboxBusy, match=words):
                outbox.depth()


class InOthersHands:
    """A lock that is never free, though nobody has it for long; and the clock that goes on meanwhile."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._now_s = 100.0

    def monotonic(self) -> float:
        return self._now_s

    def acquire(self, *, timeout: float) -> bool:
        self._now_s += min(timeout, DISK_ANSWERS_WITHIN_S / 8)
        self._outbox._taken_at_s = self._now_s
        return False


class HandedOn:
    """A lock that somebody else takes as soon as it is free, and gives back."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.tries = 0

    def acquire(self, *, timeout: float) -> bool:
        assert timeout <= DISK_ANSWERS_WITHIN_S
        self.tries += 1
        if self.tries == 1:
            self._outbox._taken_at_s = time.monotonic()
        return self.tries > 1

    def release(self) -> None:
        pass
