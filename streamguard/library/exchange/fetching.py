"""An exchange's updates into the book, and our opinions back to it.

Its records are kept by their keys, as it takes them back by these: a hash goes with the last record that has it. What
was fetched and the checkpoint after it are one step, so that a fetch may be ended at any moment and goes on there.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace

from streamguard.errors import ExchangeNotUnderstood
from streamguard.library.exchange.book import Book, Source
from streamguard.library.exchange.columns import ListInMemory
from streamguard.library.exchange.exchanges import Batch, Exchange, OpinionOfRecord, Update
from streamguard.library.exchange.hashes import HashKind, ListedHash, Remarks
from streamguard.library.exchange.opinions import given, note
from streamguard.library.exchange.parts import heal, plan, sync
from streamguard.library.exchange.taking import is_doubtful, take
from streamguard.library.poison import Reason
from streamguard.library.store import Library

_AT_ONCE = 20_000
"""Updates are kept in steps of so many: judging a step costs a look at all that is there."""

_MOST_UPDATES = 20_000_000
_LONGEST_KEY = 512

_MOST_REPEATED = 100
"""So often the same answer, from the same place on, is no progress but an exchange that goes round in a circle."""

Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought. `unread`: records that were none of an exchange's."""

    updates: int = 0
    new: int = 0
    known: int = 0
    gone: int = 0
    unread: int = 0
    quarantined: dict[Reason, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Step:
    """Updates that wait to be kept, and the checkpoint after them."""

    updates: dict[str, Update] = field(default_factory=dict)
    checkpoint: str | None = None
    unread: int = 0


def fetch(
    book: Book,
    library: Library,
    *,
    source: Source,
    exchange: Exchange,
    who: str,
    told: Told = lambda _updates: None,
) -> Fetched:
    """All that is new at the exchange; live in every worker when it returns. Raises ExchangeError, and then what came
    before is kept; LibraryError.
    """
    is_stale = exchange.is_stale(source.checkpoint)
    seen: set[str] | None = set() if is_stale else None
    done, last = Fetched(), None
    try:
        for step in _steps(exchange.fetch("" if is_stale else source.checkpoint), source.name):
            done = _kept(book, source, step, done=done, who=who, keeps_checkpoint=not is_stale)
            if seen is not None:
                seen.update(step.updates)
            told(done.updates)
            last = step.checkpoint or last
        if seen is not None:
            done = _forget_the_rest(book, source, seen, done=done, checkpoint=last or "")
    finally:
        with book.change():
            heal(book, library)
            plan(book)
        sync(book, library)
    return done


def push(book: Book, source: Source, exchange: Exchange) -> tuple[int, int]:
    """Our opinions that the exchange was not told yet: (told, those that it does not take). One that fails ends it, and
    what was told before is not told again. Raises ExchangeError.
    """
    told = 0
    waiting = given(book, source=source, unsent=True)
    for one in waiting:
        records = book.rows(
            "SELECT key, detail FROM records WHERE source = ? AND kind = ? AND code = ?",
            *(source.number, one.kind, one.code),
        )
        of_records = tuple((row["key"], json.loads(row["detail"])["detail"]) for row in records)
        if not exchange.tell(OpinionOfRecord(one.kind, one.code, one.opinion, of_records)):
            continue
        with book.change():
            book.connection.execute(
                "UPDATE opinions SET sent_unix_s = ? WHERE kind = ? AND code = ? AND source = ?",
                (book.now_unix_s(), one.kind, one.code, source.number),
            )
        told += 1
    return told, len(waiting) - told


def _steps(batches: Iterable[Batch], name: str) -> Iterator[_Step]:
    """Batches put together, each step ending where there is a checkpoint to go on from, or being large."""
    step, updates = _Step(), 0
    for batch in _going_on(batches, name):
        known = [update for update in batch.updates if len(update.key) <= _LONGEST_KEY]
        step.updates.update((update.key, update) for update in known)
        step.unread += batch.unread + len(batch.updates) - len(known)
        step.checkpoint = batch.checkpoint or step.checkpoint
        updates += len(batch.updates)
        if updates > _MOST_UPDATES:
            problem = f"over {_MOST_UPDATES} updates in one fetch"
            raise ExchangeNotUnderstood("fetch", name, problem, hint="run it again to go on")
        if len(step.updates) >= _AT_ONCE:
            yield step
            step = _Step(checkpoint=None)
    yield step


def _going_on(batches: Iterable[Batch], name: str) -> Iterator[Batch]:
    """As long as there is something new in them. Raises ExchangeNotUnderstood."""
    before, repeated = Batch((), None), 0
    for batch in batches:
        repeated = repeated + 1 if batch == before else 0
        if repeated >= _MOST_REPEATED:
            problem = f"the same answer {repeated + 1} times, each as if there were more to come"
            raise ExchangeNotUnderstood("fetch", name, problem, hint="what came before is kept; tell whoever runs it")
        before = batch
        yield batch


def _kept(book: Book, source: Source, step: _Step, *, done: Fetched, who: str, keeps_checkpoint: bool) -> Fetched:
    with book.change():
        taken = _take(book, source, step.updates.values())
        if step.checkpoint is not None and keeps_checkpoint:
            _set_checkpoint(book, source, step.checkpoint)
        note(book, source, "fetch", who=who, why=f"{len(step.updates)} updates")
    return _sum(done, taken, updates=len(step.updates), unread=step.unread)


def _take(book: Book, source: Source, updates: Iterable[Update]) -> Fetched:
    """Within `change`."""
    run = book.connection.execute
    touched: set[tuple[HashKind, bytes]] = set()
    for update in updates:
        of_key = (source.number, update.key)
        for row in run("SELECT kind, code FROM records WHERE source = ? AND key = ?", of_key).fetchall():
            touched.add((HashKind(row["kind"]), bytes(row["code"])))
        run("DELETE FROM records WHERE source = ? AND key = ?", of_key)
        for one in update.hashes:
            touched.add((one.kind, one.code))
            detail = json.dumps({"remarks": asdict(one.remarks), "detail": dict(update.detail)})
            run("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", (*of_key, one.kind, one.code, detail))
    return _apply(book, source, touched)


def _apply(book: Book, source: Source, touched: Iterable[tuple[HashKind, bytes]]) -> Fetched:
    """The hashes as the records now have them."""
    held = ListInMemory()
    for _ in held.take(_as_listed(book, source, touched)):
        pass
    done = Fetched()
    for kind in HashKind:
        column = held.column(kind)
        if len(column) or column.deleted:
            taken = take(book, source, column, remarks=held.remarks())
            quarantined = dict(taken.quarantined)
            done = _sum(done, Fetched(new=taken.new, known=taken.known, gone=taken.gone, quarantined=quarantined))
    return done


def _as_listed(book: Book, source: Source, touched: Iterable[tuple[HashKind, bytes]]) -> Iterator[ListedHash]:
    for kind, code in sorted(touched):
        rows = book.connection.execute(
            "SELECT detail FROM records WHERE kind = ? AND code = ? AND source = ?", (kind, code, source.number)
        ).fetchall()
        yield ListedHash(kind, code, remarks=_together([json.loads(row["detail"])["remarks"] for row in rows]),
                         deleted=not rows)  # fmt: skip


def _together(remarks: list[dict[str, object]]) -> Remarks:
    """What several records say of one hash."""
    each = [Remarks(tuple(one["tags"]), one["agree"], one["disagree"], one["seen"]) for one in remarks]  # type: ignore[arg-type]  # as _take wrote it
    return Remarks(
        tags=tuple(sorted({tag for one in each for tag in one.tags}))[:32],
        agree=sum(one.agree for one in each),
        disagree=sum(one.disagree for one in each),
        seen=sum(one.seen for one in each),
    )


def _forget_the_rest(book: Book, source: Source, seen: set[str], *, done: Fetched, checkpoint: str) -> Fetched:
    """After a whole fetch: records that did not come are no more. Raises ExchangeNotUnderstood where they are nearly
    all: an empty answer must not take away what is known.
    """
    with book.change():
        keys = [row["key"] for row in book.rows("SELECT DISTINCT key FROM records WHERE source = ?", source.number)]
        gone = [key for key in keys if key not in seen]
        if is_doubtful(gone=len(gone), of=len(keys)) or (keys and not seen):
            problem = f"of {len(keys)} records {len(gone)} are gone at once: nothing was taken away"
            hint = f"if that is so: streamguard library exchange remove {source.name}, and fetch again"
            raise ExchangeNotUnderstood("fetch", source.name, problem, hint=hint)
        taken = _take(book, source, [Update(key, ()) for key in gone])
        _set_checkpoint(book, source, checkpoint)
    return _sum(done, taken)


def _set_checkpoint(book: Book, source: Source, checkpoint: str) -> None:
    book.connection.execute(
        "UPDATE sources SET checkpoint = ?, fetched_unix_s = ? WHERE number = ?",
        (checkpoint, book.now_unix_s(), source.number),
    )


def _sum(done: Fetched, more: Fetched, *, updates: int = 0, unread: int = 0) -> Fetched:
    return replace(
        done,
        updates=done.updates + updates,
        new=done.new + more.new,
        known=done.known + more.known,
        gone=done.gone + more.gone,
        unread=done.unread + unread,
        quarantined=dict(Counter(done.quarantined) + Counter(more.quarantined)),
    )
