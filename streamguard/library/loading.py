"""A library's newest version, read from the disk and checked: a snapshot to serve.

Reads `current.json` and the segments that it names; needs no write permission and no SQLite. What the version before
has is taken over, and only what is new is read and indexed.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streamguard.errors import LibraryDamaged, LibraryError, LibraryUntrusted
from streamguard.library import canaries, shard
from streamguard.library.ed25519 import Trust
from streamguard.library.in_threads import threads
from streamguard.library.live_set import CURRENT, SEGMENTS, LiveSegment, LiveSet, read_live_set
from streamguard.library.segments import SegmentRef
from streamguard.library.served import Served
from streamguard.library.shard import Part, Shard, read_part, ref_of, together
from streamguard.library.snapshot import Snapshot
from streamguard.library.turns import GiveWay, Turns
from streamguard.spare_memory import give_back

_LOADS_TRIED = 10


class Trial(Protocol):
    """Opens segments where a crash does no harm."""

    def __call__(self, directory: Path, refs: Sequence[SegmentRef], /, *, opened: Callable[[SegmentRef], None]) -> None:
        """`opened` is called with each that has passed, at once. Raises as `read_segment` does for the first that it
        would refuse; LibraryCrashes.
        """


@dataclass(frozen=True, slots=True)
class Demands:
    """What a new version must stand before it is loaded: one of `trust`'s keys signed it; `trial` opened it."""

    trust: Trust | None = None
    trial: Trial | None = None


NO_DEMANDS = Demands()


def load_snapshot(library: Path, *, previous: Snapshot | None = None, demands: Demands = NO_DEMANDS) -> Snapshot:
    """Read and check everything live; segments that `previous` has are taken from it.

    Raises LibraryMissing, LibraryFormatError, LibraryDamaged, LibraryError (also without the memory for it); where it
    is demanded LibraryUntrusted, for what is older than `previous` as well, and LibraryCrashes.
    """
    try:
        loaded = _load_live(library, previous, demands)
    except LibraryDamaged as error:
        if error.hint:
            raise
        hint = f"what to do: streamguard library verify --library {library}"
        raise LibraryDamaged(error.operation, error.subject, error.problem, hint=hint) from error
    except MemoryError as error:
        hint = "give the process more, or split the library; a version that serves goes on"
        raise LibraryError("load library", library, "there is not the memory for it", hint=hint) from error
    if previous is None:
        give_back()  # what loading took: 72 MiB with a million looks
    return loaded


def _load_live(library: Path, previous: Snapshot | None, demands: Demands) -> Snapshot:
    read: dict[LiveSegment, Part] = {}
    for tried in range(1, _LOADS_TRIED + 1):
        live = read_live_set(library, trust=demands.trust)
        if demands.trust is not None and previous is not None:
            _check_not_older(library, live, previous)
        try:
            return _load(library, live, previous=previous, read=read, trial=demands.trial)
        except (FileNotFoundError, NotADirectoryError) as error:
            # A writer may have removed a segment while we were reading; then current.json is a new one.
            if tried == _LOADS_TRIED or read_live_set(library).version == live.version:
                raise LibraryDamaged("load library", error.filename, "the file is missing") from error
    hint = "try again when nothing writes to it"
    raise LibraryDamaged("load library", library, "it keeps changing while it is read", hint=hint)


def _check_not_older(library: Path, live: LiveSet, previous: Snapshot) -> None:
    """Every version that was ever signed stays signed: who can write here could put an old one back, without what was
    added since.
    """
    if live.generation > previous.generation or live.version == previous.version:
        return
    problem = f"version {live.version} is signed, but not newer than {previous.version}, which serves: was it put back?"
    hint = "if you did so, restart the worker; else copy the library again from where it is made"
    raise LibraryUntrusted("load library", library / CURRENT, problem, hint=hint)


def _load(
    library: Path, live: LiveSet, *, previous: Snapshot | None, read: dict[LiveSegment, Part], trial: Trial | None
) -> Snapshot:
    """`read`: what was read for an earlier try."""
    if len({segment.id for segment in live.segments}) < len(live.segments):
        raise LibraryDamaged("load library", library / CURRENT, "it names a segment twice")
    before = () if previous is None else previous.served
    served_by: list[dict[SegmentRef, LiveSegment]] = [{} for _ in before]
    fresh = []
    for segment in live.segments:
        owner = next((n for n in reversed(range(len(before))) if before[n].covers(segment)), None)
        if owner is None:
            fresh.append(segment)
        else:
            served_by[owner][ref_of(segment)] = segment
    _read(library, fresh, read, known=before, trial=trial)
    served = [
        one if one.segments == segments else Served.of(one.shard, segments)
        for one, segments in zip(before, served_by, strict=True)
        if segments
    ]
    turns = Turns() if previous is None else previous.turns
    served = _with(library, served, fresh=fresh, read=read, give_way=turns.give_way)
    _check_distinct(library, served, known=before)
    return Snapshot.of(live, served, turns=turns)


def _read(
    library: Path,
    fresh: Sequence[LiveSegment],
    read: dict[LiveSegment, Part],
    *,
    known: Sequence[Served],
    trial: Trial | None,
) -> None:
    """Several at once at a start; later one after another, for then others look something up meanwhile."""
    missing = [segment for segment in fresh if segment not in read]
    with ThreadPoolExecutor(1 if known else threads(), thread_name_prefix="library") as pool:
        reading: dict[LiveSegment, Future[Part]] = {}

        def begin(segment: LiveSegment) -> None:
            reading[segment] = pool.submit(read_part, library, segment)

        try:
            _begin_each(library, missing, begin, known=known, trial=trial)
            for future in reading.values():
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
            good = {segment: one for segment, one in reading.items() if not one.cancelled() and not one.exception()}
            read |= {segment: one.result() for segment, one in good.items()}


def _begin_each(
    library: Path,
    missing: Sequence[LiveSegment],
    begin: Callable[[LiveSegment], None],
    *,
    known: Sequence[Served],
    trial: Trial | None,
) -> None:
    """One that is new only once the trial has opened it: while that opens the next, it is read."""
    untried: dict[SegmentRef, LiveSegment] = {}
    for segment in missing:
        ref = ref_of(segment)  # with other items off it was the same
        if trial is None or any(ref in one.shard.spans for one in known):
            begin(segment)
        else:
            untried[ref] = segment
    if trial is not None:
        trial(library / SEGMENTS, list(untried), opened=lambda ref: begin(untried[ref]))


def _with(
    library: Path,
    served: list[Served],
    *,
    fresh: Sequence[LiveSegment],
    read: dict[LiveSegment, Part],
    give_way: GiveWay,
) -> list[Served]:
    """With segments that are new: in the newest shard while it is small, else in one of their own. It is asked for what
    it must know.
    """
    if not fresh:
        return served
    # Out of what was read, so that nothing keeps it in memory beside the shard.
    parts = [read.pop(segment) for segment in fresh]
    names: list[LiveSegment | None] = [*fresh]
    segments: dict[SegmentRef, LiveSegment] = {}
    if served and served[-1].shard.rows + sum(part.rows for part in parts) <= shard.TAIL_ROWS:
        last = served[-1]
        served, segments = served[:-1], dict(last.segments)
        parts, names = [last.shard.part(last.worth_keeping), *parts], [None, *names]
    asked = canaries.questions(parts, names)
    made = Shard.over(together(parts, give_way=give_way), give_way=give_way)
    canaries.ask(library, made, asked, give_way=give_way)
    return [*served, Served.of(made, segments | {ref_of(segment): segment for segment in fresh})]


def _check_distinct(library: Path, served: Sequence[Served], *, known: Sequence[Served]) -> None:
    """A kill must name its reference without doubt. Of what is `known` to be so only the rest is looked at."""
    for number, one in enumerate(served):
        if any(one is old for old in known):
            continue
        for other in (*served[:number], *served[number + 1 :]):
            for asset in filter(one.is_live, one.shard.ids.shared(other.shard.ids)):
                if any(map(other.is_live, other.shard.with_id(one.assets[asset].id))):
                    raise LibraryDamaged("load library", library, "two live items have one id")
        for asset in filter(one.is_live, one.shard.ids.twins()):
            if sum(map(one.is_live, one.shard.with_id(one.assets[asset].id))) > 1:
                raise LibraryDamaged("load library", library, "two live items have one id")
