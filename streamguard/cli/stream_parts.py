"""Which parts of streams may be made known in an incident: asked of workers, tried, named."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamguard.cli.asked_workers import Remembered, Variant, ask_what_it_knew
from streamguard.cli.taken_parts import TakenParts, runs_without
from streamguard.core.variants import Look, Offer, Out, Recognised, offer, unwanted
from streamguard.library.harmless import harmless_among
from streamguard.library.poison import Known
from streamguard.library.store import Library
from streamguard.servers.http_api import ApiUrl
from streamguard.types import AssetId, Fingerprints, MediaTime
from streamguard.worker.part_ids import part_id, rows_left_of, rows_of

MOST_STREAMS = 100
"""Looked into at once: each may take some megabytes."""

_MOST_IN_VAIN = 3
"""A worker that has died meanwhile is not waited for a hundred times."""

_SURE_NATS = 1e3


@dataclass(frozen=True, slots=True)
class Stretch:
    """Keyframes of one session in a row: what they are called together, and how long ago they were on."""

    id: str
    keyframes: int
    from_ago_s: float
    to_ago_s: float


@dataclass(frozen=True, slots=True)
class Shown:
    """Keyframes of one session, the last of them so long ago."""

    keyframes: tuple[Fingerprints, ...]
    ago_s: float


@dataclass(frozen=True, slots=True)
class Sought:
    """A part that was asked for by its id. `piece` is without so many keyframes that are `unwanted`: context. `rest` is
    what of it is not in the library by now, as the items `taken`: in pieces, for what is may lie between.
    """

    stream: str
    worker: str
    piece: Shown
    unwanted: int
    taken: tuple[AssetId, ...]
    rest: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class StreamOfParts:
    """A stream that was decided on, with all that its worker remembers of it."""

    variant: Variant
    _sessions: tuple[tuple[Remembered, ...], ...]
    _looks: tuple[Look, ...]
    _taken: Mapping[MediaTime, AssetId]
    _references: frozenset[AssetId]

    def offer(self, *, within_s: float) -> Offer:
        """What may be made known of it."""
        return offer(self._looks, references=self._references, within_s=within_s)

    def stretch(self, keyframes: Sequence[Fingerprints]) -> Stretch:
        """Of some keyframes of one of its sessions, in order of time."""
        by_time = {one.keyframe.at: one for session in self._sessions for one in session}
        first, last = by_time[keyframes[0].at], by_time[keyframes[-1].at]
        id_ = part_id([first.mark, last.mark])
        return Stretch(id_, len(keyframes), first.looked_up.ago_s, last.looked_up.ago_s)

    def sought(self, id_: str, *, believe: bool = False) -> Sought | None:
        """That part, if it is one of this stream, and remembered as a whole. `believe`: nothing of it is unwanted."""
        for session in self._sessions:
            rows = rows_of(id_, [one.mark for one in session])
            if rows:
                chosen = session[rows.start : rows.stop]
                others = set() if believe else self._context()
                wanted = [one for one in chosen if one.keyframe.at not in others]
                known = {
                    row: self._taken[at] for row, one in enumerate(wanted) if (at := one.keyframe.at) in self._taken
                }
                return Sought(
                    stream=self.variant.stream,
                    worker=self.variant.worker,
                    piece=_shown(wanted),
                    unwanted=len(chosen) - len(wanted),
                    taken=tuple(dict.fromkeys(known.values())),
                    rest=tuple(_shown([wanted[row] for row in run]) for run in runs_without(known, range(len(wanted)))),
                )
        return None

    def _context(self) -> set[MediaTime]:
        """What is harmless is for the library's own trial to find."""
        found = unwanted(self._looks, references=self._references)
        return {at for at, why in found.items() if why is Out.CONTEXT}

    def has_some_of(self, id_: str) -> bool:
        """Whether the end of that part is remembered, be its beginning forgotten."""
        return any(rows_left_of(id_, [one.mark for one in session]) for session in self._sessions)


class PartsOfStreams:
    """What is asked of streams: which parts the library has by now, and what its guard says of pictures."""

    def __init__(self, library: Path, references: Collection[str], *, guarded_by: Known, removed: bool = False) -> None:
        """`references`: the incident's items that are believed. With `removed` what was made known and removed since is
        nothing new either. Raises LibraryError.
        """
        self._references = frozenset(map(AssetId, references))
        self._guarded_by = guarded_by
        with Library.open(library, read_only=True) as opened:
            self._added = TakenParts(opened.items(removed=removed))

    def of(
        self, variants: Sequence[Variant], urls: Mapping[str, ApiUrl], *, problem: Callable[[str], None]
    ) -> Iterator[StreamOfParts]:
        """Of each stream, one after the other; `problem` is told of those whose worker says nothing (any more)."""
        in_vain: Counter[str] = Counter()
        for variant in variants[:MOST_STREAMS]:
            if in_vain[variant.worker] == _MOST_IN_VAIN:
                continue
            told = ask_what_it_knew(urls[variant.worker], variant.stream, server=variant.server)
            if isinstance(told, str):
                problem(f"{variant.worker}: of {variant.stream}: {told}")
                in_vain[variant.worker] += 1
            else:
                yield self._tried(variant, told)
        if len(variants) > MOST_STREAMS:
            problem(f"{len(variants) - MOST_STREAMS} more streams were decided on; close what is done, or ask later")

    def _tried(self, variant: Variant, told: Sequence[Remembered]) -> StreamOfParts:
        times: dict[int, dict[int, Remembered]] = {}
        for one in told:
            times.setdefault(one.keyframe.at.session, {})[one.keyframe.at.pts_us] = one
        sessions = tuple(tuple(of[pts_us] for pts_us in sorted(of)) for of in times.values())
        taken = self._taken(variant.stream, sessions)
        every = [one for session in sessions for one in session]
        harmless = harmless_among([one.keyframe for one in every], self._guarded_by)
        looks = tuple(
            Look(one.keyframe, _known(one, taken), is_harmless)
            for one, is_harmless in zip(every, harmless, strict=True)
        )
        return StreamOfParts(variant, sessions, looks, taken, self._references)

    def _taken(self, stream: str, sessions: Sequence[Sequence[Remembered]]) -> dict[MediaTime, AssetId]:
        """A worker looked its keyframes up when they came, and does not know what was added since."""
        found: dict[MediaTime, AssetId] = {}
        for session in sessions:
            rows = self._added.rows(stream, [one.mark for one in session])
            found |= {session[row].keyframe.at: item.id for row, item in rows.items()}
        return found


def _shown(keyframes: Sequence[Remembered]) -> Shown:
    ago_s = keyframes[-1].looked_up.ago_s if keyframes else 0.0
    return Shown(tuple(one.keyframe for one in keyframes), ago_s)


def _known(one: Remembered, taken: Mapping[MediaTime, AssetId]) -> tuple[Recognised, ...] | None:
    at = one.keyframe.at
    if at not in taken:
        return one.looked_up.known
    return (Recognised(taken[at], _SURE_NATS, tells_when=True, reference_us=at.pts_us), *(one.looked_up.known or ()))
