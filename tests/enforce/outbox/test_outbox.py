"""streamguard.enforce.outbox.outbox: decisions on the disk before anything else."""

import signal as signals
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.enforce.outbox.outbox import (
    PARK_AFTER_REFUSALS,
    PRUNE_STEP,
    Outbox,
    OutboxCounts,
    Pending,
    Retention,
    Unfit,
)
from streamguard.errors import OutboxError
from streamguard.types import Verdict
from tests.kill_signals import NOW_UNIX_S, a_canary, a_decision, a_signal, addressed

APPENDER = """
import sys
from pathlib import Path
from streamguard.enforce.outbox.outbox import Outbox
from tests.kill_signals import a_signal
with Outbox.open(Path(sys.argv[1])) as outbox:
    for number in range(100_000):
        outbox.append(a_signal(number))
        print(number, flush=True)
"""

FILLER = """
import resource, sys
from pathlib import Path
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import OutboxError
from tests.kill_signals import a_signal
outbox = Outbox.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
appended = 0
try:
    while True:
        outbox.append(a_signal(appended))
        appended += 1
except OutboxError as error:
    print(appended, error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def test_a_signal_waits_until_it_is_delivered(path: Path) -> None:
    """What was appended is pending, as it was, and is not when it was delivered."""
    with Outbox.open(path) as outbox:
        assert outbox.append(a_signal())
        assert outbox.pending(10).signals == (a_signal(),)
        assert outbox.depth() == 1
        outbox.delivered(a_signal().id, at_unix_s=NOW_UNIX_S)
        assert outbox.pending(10).signals == ()
        assert outbox.counts() == OutboxCounts(pending=0, delivered=1, parked=0)


def test_the_same_id_is_kept_once_also_after_delivery(path: Path) -> None:
    """The first one stays; a second is no error."""
    with Outbox.open(path) as outbox:
        first, second = addressed(a_decision()), addressed(a_decision(), now_unix_s=NOW_UNIX_S + 5)
        assert outbox.append(first)
        assert not outbox.append(second)
        assert outbox.pending(10).signals == (first,)
        outbox.delivered(first.id, at_unix_s=NOW_UNIX_S)
        assert not outbox.append(second)
        assert outbox.depth() == 0


def test_several_are_appended_in_order_and_those_that_were_there_stay(path: Path) -> None:
    """It says how many are new."""
    with Outbox.open(path) as outbox:
        assert outbox.append(*(a_signal(number) for number in (2, 0))) == 2
        assert outbox.append(*(a_signal(number) for number in (0, 1, 2, 3))) == 2
        assert outbox.pending(10).signals == tuple(a_signal(number) for number in (2, 0, 1, 3))


def test_of_several_all_are_appended_or_none(path: Path) -> None:
    """An error in the middle leaves the outbox as it was, and the next attempt finds nothing half done."""
    with Outbox.open(path) as outbox:
        refuse = f"WHEN NEW.id = '{a_signal(2).id}' BEGIN SELECT RAISE(ABORT, 'no'); END"
        outbox._db.execute(f"CREATE TEMP TRIGGER refuse BEFORE INSERT ON signals {refuse}")
        with pytest.raises(OutboxError, match="append to outbox"):
            outbox.append(*map(a_signal, range(4)))
        assert outbox.depth() == 0
        outbox._db.execute("DROP TRIGGER refuse")
        assert outbox.append(*map(a_signal, range(4))) == 4


def test_signals_come_in_the_order_of_appending_and_those_refused_last(path: Path) -> None:
    """A refused row does not stand before the others."""
    with Outbox.open(path) as outbox:
        for number in range(4):
            outbox.append(a_signal(number))
        assert not outbox.refused(a_signal(0).id, why="too large", at_unix_s=NOW_UNIX_S)
        assert outbox.pending(4).signals == tuple(a_signal(number) for number in (1, 2, 3, 0))
        assert outbox.pending(2).signals == (a_signal(1), a_signal(2))


def test_a_row_refused_again_and_again_is_parked(path: Path) -> None:
    """The last refusal allowed says so; the row is counted and no longer pending."""
    with Outbox.open(path) as outbox:
        outbox.append(a_signal())
        answers = [outbox.refused(a_signal().id, why="no", at_unix_s=NOW_UNIX_S) for _ in range(PARK_AFTER_REFUSALS)]
        assert answers == [False] * (PARK_AFTER_REFUSALS - 1) + [True]
        assert outbox.counts() == OutboxCounts(pending=0, delivered=0, parked=1)


def test_rows_that_were_changed_keep_no_other_from_coming(path: Path) -> None:
    """They are told apart, whatever the limit, and once parked they are gone from it."""
    with Outbox.open(path) as outbox:
        for number in range(4):
            outbox.append(a_signal(number))
        with closing(sqlite3.connect(path, isolation_level=None)) as shell:
            shell.execute("UPDATE signals SET event = CAST(x'ff' AS TEXT) WHERE seq = 1")
            shell.execute("UPDATE signals SET stream = 'another' WHERE seq = 3")
        pending = outbox.pending(2)
        assert pending.signals == (a_signal(1), a_signal(3))
        assert [unfit.row for unfit in pending.unfit] == [1, 3]
        for unfit in pending.unfit:
            outbox.park(unfit, at_unix_s=NOW_UNIX_S)
        assert outbox.pending(10) == Pending((a_signal(1), a_signal(3)))
        assert outbox.counts() == OutboxCounts(pending=2, delivered=0, parked=2)


def test_a_delivered_row_is_not_parked(path: Path) -> None:
    """Whoever reads and parks may come late."""
    with Outbox.open(path) as outbox:
        outbox.append(a_signal())
        outbox.delivered(a_signal().id, at_unix_s=NOW_UNIX_S)
        outbox.park(Unfit(1, "damaged"), at_unix_s=NOW_UNIX_S)
        assert outbox.counts() == OutboxCounts(pending=0, delivered=1, parked=0)


def test_it_is_all_there_after_opening_again(path: Path) -> None:
    """Pending stays pending, delivered stays delivered."""
    with Outbox.open(path) as outbox:
        for number in range(3):
            outbox.append(a_signal(number))
        outbox.delivered(a_signal(1).id, at_unix_s=NOW_UNIX_S)
    with Outbox.open(path) as outbox:
        assert outbox.pending(10).signals == (a_signal(0), a_signal(2))


@pytest.mark.promise(1, "a process that fills the outbox, kill -9", times=3)
def test_kill_9_loses_nothing_that_was_appended(path: Path) -> None:
    """Killed three times in the middle of appending: every append that returned is there."""
    known = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", APPENDER, str(path)], stdout=subprocess.PIPE) as appender:
            assert appender.stdout is not None
            for _, line in zip(range(known + 100), appender.stdout, strict=False):
                acknowledged = int(line)
            appender.send_signal(signals.SIGKILL)
            acknowledged = max([acknowledged, *(int(line) for line in appender.stdout if line.endswith(b"\n"))])
        with Outbox.open(path) as outbox:
            depth = outbox.depth()
            ids = [signal.id for signal in outbox.pending(depth).signals]
        assert depth >= acknowledged + 1
        assert ids == [a_signal(number).id for number in range(depth)]
        known = depth


@pytest.mark.promise(1, "the disk full in the middle of filling the outbox")
def test_a_full_disk_is_told_with_the_next_step_and_loses_nothing(path: Path) -> None:
    """What was appended before stays, the outbox can be opened again, and appending works once there is room."""
    done = subprocess.run([sys.executable, "-c", FILLER, str(path)], capture_output=True, text=True, check=True)
    appended, _, error = done.stdout.partition(" ")
    assert "append to outbox" in error
    assert "disk" in error
    with Outbox.open(path) as outbox:
        assert outbox.depth() == int(appended) > 5
        assert outbox.append(a_signal(100_000))


def test_settled_rows_go_by_age_and_pending_rows_never(path: Path) -> None:
    """Old delivered and parked rows are dropped; what waits stays, however old."""
    with Outbox.open(path, retention=Retention(age_s=100, rows=1000)) as outbox:
        for number in range(4):
            outbox.append(a_signal(number))
        outbox.delivered(a_signal(0).id, at_unix_s=NOW_UNIX_S)
        outbox.delivered(a_signal(1).id, at_unix_s=NOW_UNIX_S + 50)
        for _ in range(PARK_AFTER_REFUSALS):
            outbox.refused(a_signal(2).id, why="no", at_unix_s=NOW_UNIX_S)
        assert outbox.prune(now_unix_s=NOW_UNIX_S + 100) == 0
        assert outbox.prune(now_unix_s=NOW_UNIX_S + 101) == 2
        assert outbox.counts() == OutboxCounts(pending=1, delivered=1, parked=0)


def test_settled_rows_go_by_number_the_oldest_first_in_small_steps(path: Path) -> None:
    """Each call drops a bounded number, until as many are left as are wanted."""
    with Outbox.open(path, retention=Retention(age_s=1e9, rows=10)) as outbox:
        for number in range(PRUNE_STEP + 60):
            outbox.append(a_signal(number))
            outbox.delivered(a_signal(number).id, at_unix_s=NOW_UNIX_S)
        assert [outbox.prune(now_unix_s=NOW_UNIX_S) for _ in range(3)] == [PRUNE_STEP, 50, 0]
        assert outbox.counts().delivered == 10
        assert not outbox.append(a_signal(PRUNE_STEP + 59))


def test_two_threads_may_use_it(path: Path) -> None:
    """One appends while the other delivers; in the end all are delivered."""
    with Outbox.open(path) as outbox:
        appender = threading.Thread(target=lambda: [outbox.append(a_signal(number)) for number in range(200)])
        appender.start()
        while appender.is_alive() or outbox.depth():
            for signal in outbox.pending(16).signals:
                outbox.delivered(signal.id, at_unix_s=NOW_UNIX_S)
        appender.join()
        assert outbox.counts() == OutboxCounts(pending=0, delivered=200, parked=0)


def test_what_breaks_while_it_is_open_is_our_error(path: Path) -> None:
    """A table that somebody dropped under us is an OutboxError with the path, not SQLite's."""
    with Outbox.open(path) as outbox:
        with sqlite3.connect(path) as other:
            other.execute("DROP TABLE signals")
        other.close()
        with pytest.raises(OutboxError, match=r"append to outbox .*outbox\.sqlite: no such table"):
            outbox.append(a_signal())


def test_a_closed_outbox_says_so(path: Path) -> None:
    """Closing twice is harmless, using it is not silent."""
    outbox = Outbox.open(path)
    outbox.close()
    outbox.close()
    with pytest.raises(OutboxError, match="it is closed"):
        outbox.append(a_signal())


@pytest.mark.parametrize("everything", [False, True], ids=["the file", "its journal and lock too"])
def test_a_deleted_outbox_is_made_anew_with_what_waited_in_it(path: Path, *, everything: bool) -> None:
    """One error says so; from then on the file at the path holds all that is to be delivered."""
    with Outbox.open(path) as outbox:
        for number in range(3):
            outbox.append(a_signal(number))
        outbox.delivered(a_signal(0).id, at_unix_s=NOW_UNIX_S)
        for file in path.parent.glob(f"{path.name}*") if everything else [path]:
            file.unlink()
        with pytest.raises(OutboxError, match=r"deleted or replaced; a new one was made, 2 waiting signals"):
            outbox.append(a_signal(3))
        assert outbox.append(a_signal(3))
        with pytest.raises(OutboxError, match="another process is using it"):
            Outbox.open(path)
        journal = path.with_name(f"{path.name}-wal")
        assert journal.exists()
    with Outbox.open(path) as outbox:
        assert outbox.pending(10).signals == (a_signal(1), a_signal(2), a_signal(3))


def test_a_deleted_outbox_that_cannot_be_made_anew_keeps_what_waits(path: Path) -> None:
    """It is tried with each call, and nothing is forgotten meanwhile."""
    with Outbox.open(path) as outbox:
        outbox.append(a_signal(1))
        path.unlink()
        path.mkdir()
        for _ in range(2):
            with pytest.raises(OutboxError, match="unable to open database file"):
                outbox.append(a_signal(2))
        path.rmdir()
        with pytest.raises(OutboxError, match="a new one was made, 1 waiting signals"):
            outbox.append(a_signal(2))
        assert outbox.append(a_signal(2))
        assert outbox.pending(10).signals == (a_signal(1), a_signal(2))


def test_a_deleted_outbox_that_another_process_has_by_now_is_left_to_it(path: Path) -> None:
    """Two workers never share one."""
    with Outbox.open(path) as outbox:
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        with Outbox.open(path) as other, pytest.raises(OutboxError, match="another process is using it"):
            outbox.append(a_signal())
        assert other.path == path
        with pytest.raises(OutboxError, match="a new one was made"):
            outbox.append(a_signal())
        assert outbox.append(a_signal())


EXPIRES_UNIX_S = a_signal().expires_unix_s


def unanswered(outbox: Outbox, *, at_unix_s: float = NOW_UNIX_S + 60) -> tuple[str, ...]:
    found = outbox.unanswered(10, delivered_by_unix_s=at_unix_s - 30, now_unix_s=at_unix_s)
    return tuple(signal.id for signal in found)


def delivered(outbox: Outbox, *numbers: int, awaits_ack: bool = True) -> list[str]:
    for number in numbers:
        outbox.append(a_signal(number))
        outbox.delivered(a_signal(number).id, at_unix_s=NOW_UNIX_S, awaits_ack=awaits_ack)
    return [a_signal(number).id for number in numbers]


def test_a_kill_is_open_until_somebody_answers(path: Path) -> None:
    """Delivered is not executed. It is to be sent again now and then, until it expires."""
    with Outbox.open(path) as outbox:
        first, second = delivered(outbox, 1, 2)
        assert outbox.oldest_unanswered_unix_s() == a_signal(1).decided_unix_s
        assert unanswered(outbox) == (first, second)
        assert unanswered(outbox, at_unix_s=NOW_UNIX_S + 20) == ()
        assert unanswered(outbox, at_unix_s=EXPIRES_UNIX_S + 1) == ()
        outbox.delivered_again(first, at_unix_s=NOW_UNIX_S + 50)
        assert unanswered(outbox) == (second,)
        assert outbox.acknowledged(second, outcome="executed")
        assert not outbox.acknowledged(second, outcome="executed")
        assert not outbox.acknowledged("sig_of_another_worker", outcome="executed")
        assert outbox.awaiting_ack() == 1
        assert outbox.acknowledged(first, outcome="failed")
        assert (outbox.awaiting_ack(), outbox.oldest_unanswered_unix_s()) == (0, None)


def test_open_kills_are_listed_by_when_they_were_decided(path: Path) -> None:
    """The oldest first, with when each was last delivered; none that is answered or younger."""
    with Outbox.open(path) as outbox:
        first, second = delivered(outbox, 1, 2)
        later = NOW_UNIX_S + 30
        outbox.delivered_again(first, at_unix_s=later)
        found = outbox.awaiting_since(decided_by_unix_s=later, limit=10)
        assert found == ((a_signal(1).event, later), (a_signal(2).event, NOW_UNIX_S))
        assert outbox.awaiting_since(decided_by_unix_s=later, limit=1) == found[:1]
        assert outbox.awaiting_since(decided_by_unix_s=0.0, limit=10) == ()
        outbox.acknowledged(second, outcome="executed")
        assert outbox.awaiting_since(decided_by_unix_s=later, limit=10) == found[:1]


def test_the_disk_is_waited_for_once_for_all_that_is_noted_together(path: Path) -> None:
    """That signals have arrived, that nobody answered, that rows were changed: one transaction each time."""
    with Outbox.open(path) as outbox:
        ids = [a_signal(number).id for number in range(20)]
        for number in range(20):
            outbox.append(a_signal(number))
        assert commits(path) >= 20
        outbox.delivered(*ids, at_unix_s=NOW_UNIX_S, awaits_ack=True)
        assert commits(path) == 1
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE signals SET event = 'x' WHERE id IN (?, ?)", ids[:2])
            other.commit()
        assert len(outbox.unanswered(64, delivered_by_unix_s=NOW_UNIX_S, now_unix_s=NOW_UNIX_S)) == 18
        assert commits(path) == 2, "that of the other one, and ours"
        assert len(outbox.give_up(expired_by_unix_s=NOW_UNIX_S + 1e9)) == 18
        assert commits(path) == 1


def commits(path: Path) -> int:
    """How many transactions there were since this was asked before: the log has a word for each."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        frames = path.with_name(f"{path.name}-wal").read_bytes()[32:]
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    heads = [frames[at : at + 24] for at in range(0, len(frames), 24 + page_bytes)]
    return sum(int.from_bytes(head[4:8]) > 0 for head in heads)


def test_what_fails_in_the_middle_leaves_it_usable(path: Path) -> None:
    """Nothing of it is noted, and the next call does not stumble over it."""
    with Outbox.open(path) as outbox:
        for number in range(2):
            outbox.append(a_signal(number))
        with closing(sqlite3.connect(path)) as other:
            refuse = "CREATE TRIGGER t BEFORE UPDATE ON signals WHEN old.seq = 2 BEGIN SELECT RAISE(FAIL, 'no'); END"
            other.execute(refuse)
            with pytest.raises(OutboxError, match="no"):
                outbox.delivered(a_signal(0).id, a_signal(1).id, at_unix_s=NOW_UNIX_S)
            other.execute("DROP TRIGGER t")
        assert outbox.depth() == 2
        outbox.delivered(a_signal(0).id, a_signal(1).id, at_unix_s=NOW_UNIX_S)
        assert outbox.depth() == 0


def test_only_kills_wait_for_an_answer_and_only_where_one_may_come(path: Path) -> None:
    """A review is for people; standard output never answers."""
    with Outbox.open(path) as outbox:
        review = addressed(a_decision(verdict=Verdict.REVIEW))
        outbox.append(review)
        outbox.delivered(review.id, at_unix_s=NOW_UNIX_S, awaits_ack=True)
        delivered(outbox, 1, awaits_ack=False)
        assert outbox.awaiting_ack() == 0
        assert outbox.give_up(expired_by_unix_s=EXPIRES_UNIX_S + 1000) == ()


def test_an_answer_may_come_before_the_note_of_the_delivery(path: Path) -> None:
    """An enforcer is quick; it counts all the same."""
    with Outbox.open(path) as outbox:
        outbox.append(a_signal(1))
        assert outbox.acknowledged(a_signal(1).id, outcome="executed")
        assert outbox.depth() == 1
        delivered(outbox, 1)
        assert (outbox.depth(), outbox.awaiting_ack()) == (0, 0)


def test_what_nobody_answered_to_is_given_up_once(path: Path) -> None:
    """When it has expired, with its event, so that it can be said what it was."""
    with Outbox.open(path) as outbox:
        delivered(outbox, 1)
        assert outbox.give_up(expired_by_unix_s=EXPIRES_UNIX_S - 1) == ()
        assert outbox.give_up(expired_by_unix_s=EXPIRES_UNIX_S) == (a_signal(1).event,)
        assert outbox.give_up(expired_by_unix_s=EXPIRES_UNIX_S) == ()
        assert outbox.awaiting_ack() == 0


def test_an_open_kill_that_was_changed_is_not_sent_again(path: Path) -> None:
    """It is no signal of ours any more, and nobody waits for it."""
    with Outbox.open(path) as outbox:
        delivered(outbox, 1, 2)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("UPDATE signals SET stream = 'innocent' WHERE id = ?", (a_signal(1).id,))
        assert unanswered(outbox) == (a_signal(2).id,)
        assert outbox.awaiting_ack() == 1


def test_a_canary_waits_among_the_others_and_is_counted_nowhere(tmp_path: Path) -> None:
    """It is delivered in its turn; depth, counts and kills that wait for an answer are those of decisions."""
    with Outbox.open(tmp_path / "outbox.sqlite") as outbox:
        assert outbox.append(a_canary())
        assert outbox.append(a_signal())
        assert outbox.pending(10).signals == (a_canary(), a_signal())
        assert (outbox.depth(), outbox.counts()) == (1, OutboxCounts(1, 0, 0))
        assert not outbox.is_delivered(a_canary().id)
        outbox.delivered(a_canary().id, at_unix_s=NOW_UNIX_S, awaits_ack=True)
        assert outbox.is_delivered(a_canary().id)
        assert outbox.awaiting_ack() == 0


def test_canaries_go_and_nothing_else(tmp_path: Path) -> None:
    """Delivered or not."""
    with Outbox.open(tmp_path / "outbox.sqlite") as outbox:
        for signal in (a_canary(), a_signal(), a_canary(1)):
            outbox.append(signal)
        outbox.delivered(a_canary(1).id, at_unix_s=NOW_UNIX_S)
        outbox.drop_canaries()
        assert outbox.pending(10).signals == (a_signal(),)
        assert not outbox.is_delivered(a_canary(1).id)
