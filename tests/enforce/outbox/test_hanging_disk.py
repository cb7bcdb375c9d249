"""streamguard.enforce.outbox.outbox: a disk that does not answer, while several threads need it."""

import threading
from pathlib import Path

import pytest

from streamguard.enforce.outbox import outbox as outbox_module
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import OutboxError
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
