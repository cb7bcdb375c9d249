"""The hot set: what came in open incidents, in shards of its own, so that it can be searched before everything else.

It is a small snapshot beside the large one, which has all of it as well: what is not in the hot set yet, or has no room
in it, is found with the rest. So nothing waits for it: it is cut out of the large shards and indexed beside other work,
and whatever puts those in order, or merges segments, only has it made anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import structlog

from streamguard.library.local_features import LocalFeatures
from streamguard.library.segments import SegmentRef
from streamguard.library.served import Served
from streamguard.library.shard import Arrays, Ids, Part, Shard, Span, of_items, together
from streamguard.library.snapshot import Snapshot
from streamguard.library.tidying import Run, in_a_thread, newest_alike
from streamguard.library.turns import GiveWay
from streamguard.spare_memory import give_back
from streamguard.types import AssetId

MOST_ROWS = 1 << 20
"""Looks and features of all that is hot: some hours of footage. What is over that is searched with the rest."""

MOST_PIECES = 4
"""Of more shards the newest of one size are made one."""

Item = tuple[SegmentRef, AssetId]
"""Where it is on the disk, and its id: what is removed and added anew under one id is two of them."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Place:
    """In which shard of the library an item is, and its number there."""

    owner: int
    number: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A shard of nothing but what was hot when it was made."""

    shard: Shard
    items: frozenset[Item]

    def serves(self, snapshot: Snapshot, places: Mapping[Item, _Place]) -> Served:
        """What of it is still wanted, under the labels of now."""
        segments = {}
        for ref, own in self._by_segment().items():
            wanted = [places[item] for item in own if item in places]
            if wanted:
                live = snapshot.served[wanted[0].owner].segments[ref]
                off = tuple(id_ for item, id_ in own.items() if item not in places)
                segments[ref] = live.model_copy(update={"off": off})
        return Served.of(self.shard, segments)

    def _by_segment(self) -> dict[SegmentRef, dict[Item, AssetId]]:
        found: dict[SegmentRef, dict[Item, AssetId]] = {}
        for item in self.items:
            found.setdefault(item[0], {})[item] = item[1]
        return found


class HotSet:
    """Follows a library and what is hot in it. One thread calls `want` and `beside`; what is new is made where `run`
    does it, one piece at a time.
    """

    def __init__(self, run: Run = in_a_thread) -> None:
        self._run = run
        self._wanted: tuple[AssetId, ...] = ()
        self._all: frozenset[AssetId] = frozenset()
        self._pieces: tuple[_Piece, ...] = ()
        self._is_busy = False
        self._made: tuple[_Piece, ...] | None = None
        self._seen: tuple[object, ...] = ()
        self._hot: Snapshot | None = None

    def want(self, ids: tuple[AssetId, ...]) -> None:
        """What is hot from now on; where there is not room for all, what comes first is."""
        if ids != self._wanted:
            self._wanted, self._all = ids, frozenset(ids)

    def beside(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what is hot in it, as far as that is made; itself where nothing has changed."""
        if not self._is_busy and self._made is not None:
            self._pieces, self._made = self._made, None
        seen = (snapshot.served, self._wanted, self._pieces)
        if len(seen) != len(self._seen) or any(one is not other for one, other in zip(seen, self._seen, strict=True)):
            self._seen = seen
            self._hot = self._look(snapshot)
        return snapshot.with_hot(self._hot, self._all)

    def _look(self, snapshot: Snapshot) -> Snapshot | None:
        if not self._wanted:
            self._pieces = ()
            return None
        order = {id_: number for number, id_ in enumerate(self._wanted)}
        places = _places(snapshot.served, order, Ids.of(order))
        served = [piece.serves(snapshot, places) for piece in self._pieces]
        if not all(one.items for one in served):
            self._pieces = tuple(piece for piece, one in zip(self._pieces, served, strict=True) if one.items)
            served = [one for one in served if one.items]
        is_whole = places.keys() <= frozenset[Item]().union(*(piece.items for piece in self._pieces))
        if not (is_whole or self._is_busy):
            self._make(snapshot, places, dead_rows=sum(one.dead_rows for one in served))
        return snapshot.with_hot(None, frozenset()).over(served) if served else None

    def _make(self, snapshot: Snapshot, places: Mapping[Item, _Place], *, dead_rows: int) -> None:
        """Begin with what is missing, unless something is being made: then it is looked at again after that."""
        kept, sizes = self._pieces, [piece.shard.rows for piece in self._pieces]
        if 2 * dead_rows > sum(sizes):
            kept = ()
        elif len(kept) >= MOST_PIECES:
            kept = kept[: newest_alike(sizes) or 1]
        has = frozenset[Item]().union(*(piece.items for piece in kept))
        wanted = {item: place for item, place in places.items() if item not in has}
        self._is_busy = True
        self._run(lambda: self._index(snapshot, wanted, kept))

    def _index(self, snapshot: Snapshot, wanted: Mapping[Item, _Place], kept: tuple[_Piece, ...]) -> None:
        try:
            self._made = (*kept, _cut_out(snapshot.served, wanted, snapshot.turns.give_way))
            give_back()
        except MemoryError:
            note = "what is new in open incidents is found with the rest of the library; tried again at the next change"
            log.warning("hot_set_not_made", version=snapshot.version, items=len(wanted), note=note)
        finally:
            self._is_busy = False


def _places(served: Sequence[Served], wanted: Mapping[AssetId, int], ids: Ids) -> dict[Item, _Place]:
    """Of those that are searched, in the order that is wanted, as far as there is room."""
    found: list[tuple[int, Item, _Place, int]] = []
    for owner, one in enumerate(served):
        shard = one.shard
        live = [n for n in shard.ids.shared(ids) if one.is_live(n) and shard.assets[n].id in wanted]
        for number, ref in zip(live, _segments_of(shard, live), strict=True):
            id_, rows = shard.assets[number].id, int(shard.looks_of[number] + shard.features_of[number])
            found.append((wanted[id_], (ref, id_), _Place(owner, number), rows))
    places: dict[Item, _Place] = {}
    room = MOST_ROWS
    for _, item, place, rows in sorted(found, key=itemgetter(0)):
        if rows <= room:
            room -= rows
            places[item] = place
    return places


def _segments_of(shard: Shard, numbers: Sequence[int]) -> list[SegmentRef]:
    spans = sorted(shard.spans.items(), key=lambda each: each[1].first)
    owners = np.searchsorted([span.first for _, span in spans], numbers, side="right") - 1
    return [spans[owner][0] for owner in owners.tolist()]


def _cut_out(served: Sequence[Served], wanted: Mapping[Item, _Place], give_way: GiveWay) -> _Piece:
    """These items in a shard of their own."""
    parts = []
    for owner, one in enumerate(served):
        numbers = sorted(place.number for place in wanted.values() if place.owner == owner)
        if numbers:
            parts.append(_part(one.shard, numbers))
    return _Piece(Shard.over(together(parts, give_way=give_way), give_way=give_way), frozenset(wanted))


def _part(shard: Shard, numbers: Sequence[int]) -> Part:
    on = np.zeros(len(shard.assets), np.bool_)
    on[numbers] = True
    local = LocalFeatures(shard.feature_codes, shard.features.rows, shard.features.frames)
    places, local = of_items(on, shard.places, local)
    codes = shard.index.codes()[on[shard.places["item"]]]
    spans: dict[SegmentRef, Span] = {}
    for new, ref in enumerate(_segments_of(shard, numbers)):
        before = spans.get(ref)
        first = new if before is None else before.first
        spans[ref] = Span(first, new + 1, frozenset(), shard.spans[ref].album)
    return Part.of(tuple(shard.assets[number] for number in numbers), Arrays(len(numbers), codes, places, local), spans)
