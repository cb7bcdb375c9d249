"""The one durable thing between deciding and cutting: an SQLite file of kill-signals, delivered and not.

A signal is appended before anything else happens with it. Rows are pending, delivered, or parked (refused again and
again while others passed, or not what was appended: kept for a person, out of the others' way). A delivered kill is
closed by an enforcer's acknowledgement, where one is waited for.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from streamguard.enforce.outbox.file import (
    HELD,
    UNASKED,
    claim,
    identity,
    is_claimed,
    lock_file,
    open_database,
    outbox_error,
    release,
)
from streamguard.enforce.outbox.rows import MOST_A_STATEMENT, PENDING, UNANSWERED, Row, insert, row_of, signal_of
from streamguard.errors import OutboxBusy, OutboxError
from streamguard.types import KillSignal, Trial

_CANARY = Trial.CANARY.value
PARK_AFTER_REFUSALS = 5
GIVE_UP_STEP = 200
PRUNE_STEP = 200
"""Settled rows go in small steps, so that no append waits behind a large DELETE."""

DISK_ANSWERS_WITHIN_S = 1.0
"""Whoever needs the file while another thread has waited so long for the disk is told, instead of waiting as well."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long settled rows (delivered or parked) are kept; the stricter bound wins. Pending rows are never dropped."""

    age_s: float = 7 * 86_400.0
    rows: int = 20_000


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """Rows by state."""

    pending: int
    delivered: int
    parked: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """A row that does not hold what was appended: the disk, or somebody, changed it."""

    row: int
    why: str


@dataclass(frozen=True, slots=True)
class Pending:
    """The next signals, and the rows in between that are none: `Outbox.park` them."""

    signals: tuple[KillSignal, ...]
    unfit: tuple[Unfit, ...] = ()


class Outbox:
    """Open it with `Outbox.open`. Safe to use from several threads; one process at a time. While the disk does not
    answer, it keeps the one thread that waits for it: all others get an OutboxError within DISK_ANSWERS_WITHIN_S. Where
    it answers, and another process or other threads have the file for so long, that is an OutboxBusy.

    Whoever deletes or replaces the file meanwhile costs one OutboxError: the next try finds a new file at the path,
    with all that waited in the old one.
    """

    def __init__(self, path: Path, *, db: sqlite3.Connection, claimed: int, retention: Retention) -> None:
        self.path = path
        self._db = db
        self._claimed = claimed
        self._retention = retention
        self._file = identity(path)
        self._rescued: tuple[KillSignal, ...] = ()
        self._lock = threading.Lock()
        self._taken_at_s: float | None = None
        """When whoever has the lock took it; None: it is free, or has just been taken."""
        self._is_held_outside = False
        """Whether whoever had the lock last found the file held by another process."""
        self._closed = self._let_go = False

    @classmethod
    def open(cls, path: Path, *, retention: Retention = Retention()) -> Self:
        """The outbox at `path`, made when there is none. Raises OutboxError: in use, damaged, newer, no permission."""
        is_new = not lock_file(path).exists()
        claimed = claim(path)
        try:
            db = open_database(path)
        except OutboxError:
            if is_new:  # nothing of ours stays beside what is no outbox
                lock_file(path).unlink(missing_ok=True)
            release(claimed)
            raise
        return cls(path, db=db, claimed=claimed, retention=retention)

    def append(self, *signals: KillSignal) -> int:
        """All are durable when it returns, in this order; the disk is waited for once. How many are new: where one with
        the same id was there, that one stays. Raises OutboxError.
        """
        if len(signals) <= MOST_A_STATEMENT:
            with self._using("append to") as db:
                return _insert(db, signals)
        with self._using("append to") as db, _in_one(db):
            return _insert(db, signals)

    def pending(self, limit: int) -> Pending:
        """The oldest signals still to be delivered, in the order of appending; those refused before come last.

        Expired ones as well: an enforcer judges by the session that a signal names and by its `expires_at`, so a stale
        signal cannot cut a successor session, and whoever counts or audits kills still learns of it.
        """
        with self._using("read") as db:
            return _pending(db, limit)

    def park(self, unfit: Unfit, *, at_unix_s: float) -> None:
        """Keeps the row for a person, out of the others' way. Raises OutboxError."""
        with self._using("write to") as db:
            db.execute(
                "UPDATE signals SET state = 'parked', last_refusal = ?, settled_unix_s = ?"
                " WHERE seq = ? AND state = 'pending'",
                (unfit.why, at_unix_s, unfit.row),
            )

    def delivered(self, *signal_ids: str, at_unix_s: float, awaits_ack: bool = False) -> None:
        """The signals have arrived; with `awaits_ack` a kill stays open until it is acknowledged. One transaction: the
        disk is waited for once. Raises OutboxError.
        """
        with self._using("write to") as db, _in_one(db):
            db.executemany(
                "UPDATE signals SET state = 'delivered', settled_unix_s = ?,"
                " ack = CASE WHEN ack IS NOT NULL OR (? AND verdict = 'kill') THEN ack ELSE ? END"
                " WHERE id = ? AND state = 'pending'",
                [(at_unix_s, awaits_ack, UNASKED, signal_id) for signal_id in signal_ids],
            )

    def unanswered(self, limit: int, *, delivered_by_unix_s: float, now_unix_s: float) -> tuple[KillSignal, ...]:
        """Kills that nobody answered to, and that have not expired: to be delivered again. Raises OutboxError."""
        with self._using("write to") as db, _in_one(db):
            found = _signals(db.execute(UNANSWERED, (now_unix_s, delivered_by_unix_s, limit)), None)
            # What is no signal any more can neither be sent again nor be waited for.
            db.executemany("UPDATE signals SET ack = 'unfit' WHERE seq = ?", [(unfit.row,) for unfit in found.unfit])
        return found.signals

    def delivered_again(self, signal_id: str, *, at_unix_s: float) -> None:
        """It need not be for a while. Raises OutboxError."""
        with self._using("write to") as db:
            db.execute(
                "UPDATE signals SET settled_unix_s = ? WHERE id = ? AND state = 'delivered'", (at_unix_s, signal_id)
            )

    def acknowledged(self, signal_id: str, *, outcome: str) -> bool:
        """An enforcer answered. False: not to one of ours, or not for the first time. Raises OutboxError."""
        with self._using("write to") as db:
            return (
                db.execute("UPDATE signals SET ack = ? WHERE id = ? AND ack IS NULL", (outcome, signal_id)).rowcount
                == 1
            )

    def awaiting_ack(self) -> int:
        """Kills that were delivered, and that nobody answered to yet. Raises OutboxError."""
        with self._using("read") as db:
            row = db.execute("SELECT count(*) FROM signals WHERE state = 'delivered' AND ack IS NULL").fetchone()
        return int(row[0])

    def awaiting_since(self, *, decided_by_unix_s: float, limit: int) -> tuple[tuple[str, float], ...]:
        """The oldest of them that were decided by then: event, and when it was last delivered. Raises OutboxError."""
        found = (
            "SELECT CAST(event AS BLOB), settled_unix_s FROM signals WHERE state = 'delivered' AND ack IS NULL"
            " AND decided_unix_s <= ? ORDER BY seq LIMIT ?"
        )
        with self._using("read") as db:
            rows = db.execute(found, (decided_by_unix_s, limit)).fetchall()
        return tuple(
            (event.decode("utf-8", "replace"), at)
            for event, at in rows
            if isinstance(event, bytes) and isinstance(at, float)
        )

    def oldest_unanswered_unix_s(self) -> float | None:
        """When the oldest of them was decided. Raises OutboxError."""
        with self._using("read") as db:
            oldest = "SELECT min(decided_unix_s) FROM signals WHERE state = 'delivered' AND ack IS NULL"
            (decided_unix_s,) = db.execute(oldest).fetchone()
        return decided_unix_s if isinstance(decided_unix_s, float) else None

    def give_up(self, *, expired_by_unix_s: float) -> tuple[str, ...]:
        """Closes kills that nobody answered to in time, GIVE_UP_STEP at most; returns their events.

        Raises OutboxError.
        """
        found = "state = 'delivered' AND ack IS NULL AND expires_unix_s <= ? ORDER BY seq LIMIT ?"
        with self._using("write to") as db, _in_one(db):
            rows = db.execute(
                f"SELECT seq, CAST(event AS BLOB) FROM signals WHERE {found}",  # noqa: S608 - words of ours
                (expired_by_unix_s, GIVE_UP_STEP),
            ).fetchall()
            db.executemany("UPDATE signals SET ack = 'none' WHERE seq = ?", [(seq,) for seq, _ in rows])
        return tuple(event.decode("utf-8", "replace") for _, event in rows)

    def refused(self, signal_id: str, *, why: str, at_unix_s: float) -> bool:
        """One refusal of this signal alone, while others pass. True: that was the last try, the row is parked now."""
        with self._using("write to") as db:
            db.execute(
                "UPDATE signals SET refusals = refusals + 1, last_refusal = ?,"
                " state = CASE WHEN refusals + 1 >= ? THEN 'parked' ELSE state END,"
                " settled_unix_s = CASE WHEN refusals + 1 >= ? THEN ? END"
                " WHERE id = ? AND state = 'pending'",
                (why, PARK_AFTER_REFUSALS, PARK_AFTER_REFUSALS, at_unix_s, signal_id),
            )
            parked = db.execute("SELECT 1 FROM signals WHERE id = ? AND state = 'parked'", (signal_id,)).fetchone()
        return parked is not None

    def depth(self) -> int:
        """Signals still to be delivered, without canaries: nobody waits for those. Raises OutboxError."""
        with self._using("read") as db:
            row = db.execute(
                "SELECT count(*) FROM signals WHERE state = 'pending' AND verdict != ?", (_CANARY,)
            ).fetchone()
        return int(row[0])

    def counts(self) -> OutboxCounts:
        """Without canaries. Raises OutboxError."""
        counted = "SELECT state, count(*) FROM signals WHERE verdict != ? GROUP BY state"
        with self._using("read") as db:
            by_state = dict(db.execute(counted, (_CANARY,)).fetchall())
        return OutboxCounts(by_state.get("pending", 0), by_state.get("delivered", 0), by_state.get("parked", 0))

    def is_delivered(self, signal_id: str) -> bool:
        """Raises OutboxError."""
        delivered = "SELECT 1 FROM signals WHERE id = ? AND state = 'delivered'"
        with self._using("read") as db:
            return db.execute(delivered, (signal_id,)).fetchone() is not None

    def drop_canaries(self) -> None:
        """Whatever became of them: they are no decisions, and must take nobody's place. Raises OutboxError."""
        with self._using("write to") as db:
            # The index of ids finds them: there may be many rows, and the loop waits.
            db.execute("DELETE FROM signals WHERE id GLOB 'can_*' AND verdict = ?", (_CANARY,))

    def prune(self, *, now_unix_s: float) -> int:
        """Drops settled rows, too old or too many, at most PRUNE_STEP a call; returns how many. Raises OutboxError."""
        oldest_s = now_unix_s - self._retention.age_s
        delete = (
            "DELETE FROM signals WHERE seq IN (SELECT seq FROM signals WHERE settled_unix_s IS NOT NULL AND"
            " (settled_unix_s < ? OR seq <= (SELECT seq FROM signals WHERE settled_unix_s IS NOT NULL"
            " ORDER BY seq DESC LIMIT 1 OFFSET ?)) ORDER BY seq LIMIT ?)"
        )
        with self._using("write to") as db:
            return db.execute(delete, (oldest_s, self._retention.rows, PRUNE_STEP)).rowcount

    def close(self) -> None:
        """Harmless when called twice. While the disk does not answer the file is kept, until the next call or the end
        of the process.
        """
        self._closed = True
        if self._take():
            if not self._let_go:
                self._let_go = True
                self._db.close()
                release(self._claimed)
            self._give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _using(self, operation: str) -> Iterator[sqlite3.Connection]:
        """The connection, by one thread at a time; each statement is a transaction of its own, but for `_in_one`."""
        if not self._take():
            raise self._not_taken(f"{operation} outbox")
        try:
            if self._closed:
                raise OutboxError(f"{operation} outbox", self.path, "it is closed")
            if self._file is None or self._file != identity(self.path):
                rescued = self._start_again()
                hint = f"a new one was made, {rescued} waiting signals are in it; leave it to the worker"
                raise OutboxError(f"{operation} outbox", self.path, "the file was deleted or replaced", hint=hint)
            yield self._db
            self._is_held_outside = False
        except (sqlite3.Error, UnicodeDecodeError) as error:
            ours = outbox_error(operation, self.path, error)
            self._is_held_outside = isinstance(ours, OutboxBusy)
            raise ours from error
        finally:
            self._give_back()

    def _take(self) -> bool:
        """The lock. False: whoever has it has waited too long for the disk by now, or all before us together."""
        until_s = time.monotonic() + DISK_ANSWERS_WITHIN_S
        while True:
            now_s, taken_at_s = time.monotonic(), self._taken_at_s
            others_until_s = until_s if taken_at_s is None else taken_at_s + DISK_ANSWERS_WITHIN_S
            if self._lock.acquire(timeout=max(0.0, min(until_s, others_until_s) - now_s)):
                self._taken_at_s = time.monotonic()
                return True
            if taken_at_s == self._taken_at_s or time.monotonic() >= until_s:
                return False

    def _not_taken(self, operation: str) -> OutboxError:
        """Why it was not had within DISK_ANSWERS_WITHIN_S: whoever alone has had it for so long waits for the disk."""
        within, taken_at_s = f"{DISK_ANSWERS_WITHIN_S:g} s", self._taken_at_s
        if taken_at_s is not None and time.monotonic() - taken_at_s >= DISK_ANSWERS_WITHIN_S:
            problem = f"its disk has not answered for {within} or more"
            return OutboxError(operation, self.path, problem, hint="does it hang? see the kernel's log")
        if self._is_held_outside:
            return OutboxBusy(operation, self.path, f"another process has had it for {within} or more", hint=HELD)
        problem = f"other threads have had it for {within}, one after the other"
        return OutboxBusy(operation, self.path, problem, hint="is its disk slow?")

    def _give_back(self) -> None:
        self._taken_at_s = None
        self._lock.release()

    def _start_again(self) -> int:
        """What is written into a file without a name is lost. Returns how many signals were still to be had from it.

        When a step fails, the next call goes on from there.
        """
        if not is_claimed(self.path, self._claimed):
            claimed = claim(self.path)
            release(self._claimed)
            self._claimed = claimed
        lost, self._file = self._file, None
        try:
            if lost is not None:
                self._rescued = _pending(self._db, None).signals
        finally:
            # Before the new one is opened: SQLite deletes a journal by its name, which will be the new one's as well.
            self._db.close()
        self._db = open_database(self.path)
        self._db.execute("BEGIN IMMEDIATE")
        _insert(self._db, self._rescued)
        self._db.execute("COMMIT")
        rescued, self._rescued = len(self._rescued), ()
        self._file = identity(self.path)
        return rescued


@contextmanager
def _in_one(db: sqlite3.Connection) -> Iterator[None]:
    """All statements, those of an `executemany` as well, as one transaction: the disk is waited for once."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # some errors end it by themselves
            db.execute("ROLLBACK")
        raise


def _insert(db: sqlite3.Connection, signals: Sequence[KillSignal]) -> int:
    """In as few statements as can be; how many are new."""
    new = 0
    for start in range(0, len(signals), MOST_A_STATEMENT):
        some = signals[start : start + MOST_A_STATEMENT]
        new += db.execute(insert(len(some)), [value for signal in some for value in row_of(signal)]).rowcount
    return new


def _pending(db: sqlite3.Connection, limit: int | None) -> Pending:
    return _signals(db.execute(PENDING), limit)


def _signals(rows: Iterable[Row], limit: int | None) -> Pending:
    """Up to `limit` signals; None: all."""
    signals: list[KillSignal] = []
    unfit: list[Unfit] = []
    for row in rows:
        if len(signals) == limit:
            break
        try:
            signals.append(signal_of(row))
        except ValueError as error:
            unfit.append(Unfit(row[0], f"its row does not hold what was appended: {error}"))
    return Pending(tuple(signals), tuple(unfit))
