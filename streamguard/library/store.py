"""The library as writers and people see it: every change is one durable step, with a line in the history.

A segment is written beside and synced before the writers' lock is taken, and named under it; then comes the catalogue's
transaction; then `current.json`. Killed at any point, the library is whole: what was not published yet is published by
the next writer, what nothing uses is removed.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from streamguard.errors import LibraryDamaged, LibraryError, LibraryMissing, UsageError, one_line
from streamguard.library import changes, inspection, memberships, merging
from streamguard.library.additions import New, not_there, put
from streamguard.library.catalogue import CATALOGUE, Catalogue, ItemRecord, ItemState, NewItem
from streamguard.library.changes import Change, Origin
from streamguard.library.durable import LOCK_WAIT_S, MERGING, NEW_PREFIX, alone, library_error, writer_lock
from streamguard.library.ed25519 import Signer
from streamguard.library.folder import make_room, remove_segments
from streamguard.library.handed_on import HandedOn, refuse_kept_apart
from streamguard.library.holdings import Held, held
from streamguard.library.inspection import Problem
from streamguard.library.live_set import CURRENT, SEGMENTS, check_signer, publish, read_live_set
from streamguard.library.memberships import Into
from streamguard.library.rollback import RolledBack, roll_back
from streamguard.library.segments import Staged, check_label, check_new, contents_of
from streamguard.library.staged import stage
from streamguard.library.stats import Stats, stats
from streamguard.library.worth import SourceWorth, source_worth
from streamguard.types import Reference

KEPT_S = 7 * 86_400.0
"""For so long what was removed can come back by a rollback."""

NOBODY: Mapping[str, HandedOn] = MappingProxyType({})
ADD = "add"

_MERGES_TRIED = 3


class Library:
    """Open one with `Library.open`, and close it. Locks only while it writes, so that a long `add` keeps nobody out."""

    def __init__(
        self,
        path: Path,
        catalogue: Catalogue,
        *,
        clock: Callable[[], float],
        origin: Origin = Origin(),  # noqa: B008 - it is frozen
        signer: Signer | None = None,
    ) -> None:
        self._path = path
        self._catalogue = catalogue
        self._clock = clock
        self._origin = origin
        self._signer = signer

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        create: bool = False,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
        origin: Origin | None = None,
        signer: Signer | None = None,
    ) -> Self:
        """For writing it first finishes what a killed writer left; `create` makes the library when there is none.
        `origin` is what its history says of each change: the user of this process, where nobody is named. Each
        version is signed by `signer`.

        Raises LibraryMissing, LibraryFormatError, LibraryDamaged, LibraryLocked, LibraryError; UsageError or
        LibraryUntrusted where another key signed the last version, or none was given or had.
        """
        if read_only:
            return cls(path, Catalogue.open(path, create=False), clock=clock)
        if create:
            make_room(path)
        elif not (path / CATALOGUE).is_file():
            Catalogue.open(path, create=False).close()  # raises: there is none
        with writer_lock(path, wait_s=LOCK_WAIT_S):
            check_signer(path, signer)
            catalogue = Catalogue.open(path, create=create, now_unix_s=clock())
            library = cls(path, catalogue, clock=clock, origin=origin or changes.origin(), signer=signer)
            try:
                catalogue.begin_history()
                library._recover()
            except BaseException:
                library.close()
                raise
        return library

    def close(self) -> None:
        self._catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        return self._path

    def add(self, item: NewItem, reference: Reference) -> ItemRecord:
        """As `add_all`, for one. Raises UsageError where its id or content is there already: see `with_content`."""
        for record in self.add_all([(item, reference)]):
            return record
        problem = "the library has an item of this id or content already"
        raise UsageError("add", item.id, problem, hint="see `streamguard library list`")

    def add_all(
        self,
        new: Sequence[tuple[NewItem, Reference]],
        *,
        handed_on: Mapping[str, HandedOn] = NOBODY,
        action: str = ADD,
        into: Into | None = None,
    ) -> tuple[ItemRecord, ...]:
        """One segment, one durable step: all are live, and in the incident they come `into`, when it returns, but what
        is `handed_on` (by its SHA-256) to be kept apart. The history calls it `action`. Those whose id or content is
        there already, or came before in `new`, are left out. Raises UsageError (nothing to recognise in one, the
        incident is not open or full) or LibraryError, and then nothing was added; but where only publishing failed, all
        are in the catalogue, and the next writer publishes it.
        """
        for item, reference in new:
            check_new(item.id, item.label, reference)
        fresh = not_there(self._catalogue, [New.of(*one) for one in new])
        while True:
            with stage(self._path) as beside:
                parts = [(one.item.id, one.item.label, one.reference) for one in fresh]
                made = beside.write(contents_of(parts)) if parts else None
                with self._writing():
                    still = not_there(self._catalogue, fresh)
                    if len(still) == len(fresh):
                        self._put_in(made, fresh, handed_on=handed_on, action=action, into=into)
                        break
            fresh = still  # another writer added some of it meanwhile
        return tuple(self.item(one.item.id) for one in fresh)

    def _put_in(
        self,
        made: Staged | None,
        fresh: Sequence[New],
        *,
        handed_on: Mapping[str, HandedOn],
        action: str,
        into: Into | None,
    ) -> None:
        """Under the lock; `made` is of what is `fresh`, if anything is."""
        if into is not None:
            memberships.check_open(self._path, into, [one.item.id for one in fresh])
        if made is not None:
            ref = made.put_in_place(number=self._catalogue.generation() + 1)
            with self._change(action, sources=[one.item.source for one in fresh]) as now:
                put(self._catalogue, ref, fresh, handed_on=handed_on, into=into, now_unix_s=now)
        elif into is not None:
            memberships.note_known(self._path, into, signer=self._signer)

    def items(self, *, removed: bool = False) -> tuple[ItemRecord, ...]:
        """Every item by id; `removed` ones only when asked for."""
        return self._catalogue.items(removed=removed)

    def item(self, id_: str) -> ItemRecord:
        """Raises UsageError when there is none of that id."""
        for record in self._catalogue.with_id(id_):
            return record
        raise UsageError("find item", id_, f"not in {self._path}", hint="see `streamguard library list`")

    def has(self, id_: str) -> bool:
        return bool(self._catalogue.with_id(id_))

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]:
        """The item made from a file of that SHA-256, or nothing."""
        return self._catalogue.with_content(sha256)

    def history(self, id_: str) -> tuple[tuple[float, str], ...]:
        """(when, what was done) to an item, oldest first."""
        return self._catalogue.audit(self.item(id_))

    def disable(self, id_: str) -> ItemRecord:
        """Not searched any more, until enabled. Doing it twice does no harm."""
        return self._set_state(id_, ItemState.DISABLED, action="disable")

    def enable(self, id_: str) -> ItemRecord:
        """Searched again."""
        return self._set_state(id_, ItemState.LIVE, action="enable")

    def remove(self, id_: str) -> ItemRecord:
        """Searched no more, and gone but for the catalogue's record that it was there. Its id and content may be added
        again. For KEPT_S it can come back by a rollback; then it leaves the disk when something else is changed.
        """
        return self._set_state(id_, ItemState.REMOVED, action="remove")

    def label(self, id_: str, label: str) -> ItemRecord:
        """Call it something else, which may earn it another verdict. Raises UsageError, LibraryError."""
        check_label(id_, label)
        with self._writing():
            record = self.item(id_)
            if record.label != label:
                with self._change("label", detail=f"{record.label} -> {label}") as now:
                    self._catalogue.set_label(record, label, now_unix_s=now)
        return dataclasses.replace(record, label=label)

    def changes(self, *, most: int | None = None, id_: str | None = None) -> tuple[Change, ...]:
        """The library's history, the newest `most` of it, oldest first; with `id_` what has changed items of that id,
        though they were removed since. Raises UsageError where there never was one.
        """
        found = self._catalogue.changes(most=most, id_=id_)
        if not found and id_ is not None:
            self.item(id_)
        return found

    def roll_back(self, version: str, *, partly: bool = False) -> RolledBack:
        """See rollback.roll_back."""
        with self._writing():
            return roll_back(
                self._path, self._catalogue, version, partly=partly, origin=self._origin, now_unix_s=self._clock()
            )

    def compact(self, *, forget: bool = False) -> int:
        """Merge all that is to be merged, as each change does after itself, and free what nothing needs; how many times
        something was merged. `forget`: also what is kept for a rollback, at once and for good.

        Lets others write meanwhile. Raises LibraryDamaged; LibraryError, also where they change what is merged each
        time.
        """
        merged = 0
        with writer_lock(self._path, wait_s=LOCK_WAIT_S, name=MERGING):
            while self._merge_once(since_unix_s=math.inf, rewrite_share=0.0) if forget else self._merge_once():
                merged += 1
        self._tidy(since_unix_s=math.inf if forget else None)
        return merged

    def remove_all(self, ids: Sequence[str]) -> None:
        """As `remove`, for many in one step; those that are not there are passed over."""
        with self._writing():
            there = [record for id_ in ids for record in self._catalogue.with_id(id_)]
            if there:
                with self._change("remove") as now:
                    for record in there:
                        self._catalogue.set_state(record, ItemState.REMOVED, action="remove", now_unix_s=now)

    def disable_all(self, ids: Sequence[str]) -> int:
        """As `disable`, for many in one step; how many were searched until then."""
        with self._writing():
            there = [record for id_ in ids for record in self._catalogue.with_id(id_)]
            live = [record for record in there if record.state is ItemState.LIVE]
            if live:
                with self._change("disable") as now:
                    for record in live:
                        self._catalogue.set_state(record, ItemState.DISABLED, action="disable", now_unix_s=now)
        return len(live)

    def verify(self) -> tuple[Problem, ...]:
        """Everything that is wrong with the files; writes nothing. Nothing is compared with a damaged catalogue."""
        generation = -1
        problems: tuple[Problem, ...] = ()
        try:
            # A writer may change things under us; what is still wrong once it has rested is wrong.
            while generation != (generation := self._catalogue.generation()):
                problems = inspection.inspect(self._path, self._catalogue)
        except LibraryDamaged as error:
            return (Problem(error.subject, error.problem, error.hint),)
        return problems

    def stats(self) -> Stats:
        return stats(self._path, self._catalogue)

    def source_worth(self) -> tuple[SourceWorth, ...]:
        """Which sources are worth their price, the best first."""
        return source_worth(self._path, self._catalogue)

    def _set_state(self, id_: str, state: ItemState, *, action: str) -> ItemRecord:
        record = self.item(id_)
        with self._writing():
            record = self.item(id_)
            if state is ItemState.LIVE:
                refuse_kept_apart(self._catalogue.connection, record.number, operation="library enable", subject=id_)
            if record.state is not state:
                with self._change(action) as now:
                    self._catalogue.set_state(record, state, action=action, now_unix_s=now)
        return dataclasses.replace(record, state=state)

    @contextmanager
    def _change(self, action: str, *, detail: str = "", sources: Sequence[str] = ()) -> Iterator[float]:
        """One step of the history; yields its time."""
        now, origin = self._clock(), self._origin
        if sources and not origin.source:
            origin = dataclasses.replace(origin, source=_source_of(sources))
        with self._catalogue.change(now_unix_s=now, action=action, detail=detail, origin=origin):
            yield now

    @contextmanager
    def writing(self) -> Iterator[Catalogue]:
        """The catalogue under the lock, for changes that are made elsewhere (falling.py); published when it ends.
        Nothing is merged: a worker must not be held up.
        """
        with self._writing(merges=False):
            yield self._catalogue

    @contextmanager
    def _writing(self, *, merges: bool = True) -> Iterator[None]:
        """The lock, then what is done under it, then publishing; then merging, without it. OSError becomes ours."""
        with writer_lock(self._path, wait_s=LOCK_WAIT_S):
            before = self._catalogue.generation()
            try:
                yield
            except OSError as error:
                raise library_error("write library", error.filename or self._path, error) from error
            self._publish()
            # What was asked for is done by now. Where merging or sweeping fails, the next change tries again: damage is
            # for `verify` to tell, and a full disk for whoever adds more.
            merges = merges and self._catalogue.generation() != before
            with suppress(LibraryError):
                if merges and not (merges := bool(self._next_merge())):
                    self._sweep()
        if merges:
            with suppress(LibraryError):
                self._merge_what_is_due()

    def _merge_what_is_due(self) -> None:
        """One writer merges at a time; what becomes due by others meanwhile it finds when it has ended."""
        while self._next_merge():
            with alone(self._path, MERGING) as is_alone:
                if not is_alone:
                    return
                while self._merge_once():
                    pass

    def _next_merge(
        self, *, since_unix_s: float | None = None, rewrite_share: float = merging.REWRITE_SHARE
    ) -> tuple[Held, ...]:
        return merging.next_merge(
            held(self._catalogue, since_unix_s=self._since(since_unix_s)), rewrite_share=rewrite_share
        )

    def _merge_once(self, *, since_unix_s: float | None = None, rewrite_share: float = merging.REWRITE_SHARE) -> bool:
        """Merge, publish and sweep what is next; False where nothing is. Others write meanwhile: where they changed
        what is merged, it is made again.
        """
        since = self._since(since_unix_s)
        for _ in range(_MERGES_TRIED):
            group = self._next_merge(since_unix_s=since, rewrite_share=rewrite_share)
            if not group:
                return False
            with stage(self._path) as beside:
                try:
                    made = merging.merged(self._path, self._catalogue, group, beside=beside, since_unix_s=since)
                except (LibraryDamaged, OSError) as error:
                    if self._next_merge(since_unix_s=since, rewrite_share=rewrite_share) != group:
                        continue  # another writer has merged it, and removed the files
                    if isinstance(error, LibraryDamaged):
                        raise
                    raise library_error("merge segments", error.filename or self._path, error) from error
                if self._put_in_place(made):
                    return True
        hint = "run it again when nothing writes to it; until then it is searched as it is"
        raise LibraryError("merge segments", self._path, "they were changed while they were merged", hint=hint)

    def _put_in_place(self, made: merging.Merged) -> bool:
        with self._writing(merges=False):
            if made.is_outdated(self._catalogue):
                return False
            merging.put_in_place(self._catalogue, made, now_unix_s=self._clock())
        self._tidy(since_unix_s=made.since_unix_s)
        return True

    def _since(self, since_unix_s: float | None) -> float:
        return self._clock() - KEPT_S if since_unix_s is None else since_unix_s

    def _publish(self) -> None:
        live = self._catalogue.live_set()
        try:
            memberships.note_since(self._path, self._catalogue, self._published(), signer=self._signer)
            publish(self._path, live, signer=self._signer)
        except OSError as error:
            raise library_error("publish library", self._path / CURRENT, error) from error

    def _published(self) -> int | None:
        """The generation that was published last, by whomever; None: nobody knows."""
        with suppress(LibraryMissing, LibraryDamaged):
            return read_live_set(self._path).generation
        return None

    def _recover(self) -> None:
        """Under the lock: publish what is not published, remove what a killed writer left."""
        try:
            (self._path / SEGMENTS).mkdir(exist_ok=True)
            for left in self._path.glob(f"{NEW_PREFIX}*.json"):  # of all who write here under the lock
                left.unlink()
        except OSError as error:
            raise library_error("write library", self._path, error) from error
        live = self._catalogue.live_set()
        try:
            published = read_live_set(self._path)
        except (LibraryMissing, LibraryDamaged):
            # Nothing is swept: without it we cannot tell an old catalogue, put back from a backup, from the right one.
            self._publish()
            return
        if published.generation > live.generation:
            problem = f"it is of generation {live.generation}, but {CURRENT} of {published.generation}: an old copy?"
            hint = f"put both back from one backup, or delete {CURRENT} to go on with the catalogue as it is"
            raise LibraryDamaged("open library", self._path / CATALOGUE, problem, hint=hint)
        if published != live:
            self._publish()
        self._sweep()

    def _tidy(self, *, since_unix_s: float | None) -> None:
        """Publishes first: a writer that could not may have left a version that names what nothing needs any more."""
        with writer_lock(self._path, wait_s=LOCK_WAIT_S):
            self._publish()
            self._sweep(since_unix_s=since_unix_s)

    def _sweep(self, *, since_unix_s: float | None = None) -> None:
        """Under the lock: remove segments that no item needs, and those never finished."""
        used = {one.ref.id for one in held(self._catalogue, since_unix_s=self._since(since_unix_s))}
        remove_segments(self._path, but=used)


def _source_of(sources: Sequence[str]) -> str:
    """In a few words: one of them, or how many and the first."""
    first = one_line(sources[0])[: changes.MOST_WORDS]
    return first if len(sources) == 1 else f"{len(sources)} files, the first is {first}"
