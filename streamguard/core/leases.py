"""Who watches which stream, where several workers share them: from one view of all leases to what one worker does.

A lease says that a worker watches a stream, until when, and with an epoch that no earlier lease of the stream had. Two
watchers of one stream do no harm and none does: all in doubt, a worker watches.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NewType

from streamguard.types import StreamId

WorkerId = NewType("WorkerId", str)
"""One process, not the name that its operator gave it: two may have one name."""

ANYBODY = WorkerId("*")
"""To whom a worker that drains offers its streams."""

NOBODY = WorkerId("-")
"""An offer to nobody withdraws the last one."""

NO_LIMIT = 0

HAND_OVER_S = 1.5
"""From an offer until another worker, which asks once a second, has taken it, and that is known."""

HOPELESS_S = 5.0
"""What nobody took for so long keeps nothing else waiting: the others may not see it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """`offered_to`: who may take it although it runs; its owner watches until that one has it."""

    owner: WorkerId
    epoch: int
    until_ms: int
    offered_to: WorkerId | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A worker as it reported itself. `most_streams`: its capacity. `unwatched`: how many it knows that nobody has."""

    until_ms: int
    most_streams: int = NO_LIMIT
    unwatched: int = 0
    is_draining: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """All leases and workers as they stood at one moment of Redis's clock; what has run out is in it, too."""

    now_ms: int = 0
    leases: Mapping[StreamId, Lease] = field(default_factory=dict)
    members: Mapping[WorkerId, Member] = field(default_factory=dict)

    def holder(self, stream: StreamId) -> Lease | None:
        """Who watches it; None: nobody."""
        lease = self.leases.get(stream)
        return lease if lease is not None and lease.until_ms > self.now_ms else None

    def is_to_be_had(self, stream: StreamId, *, by: WorkerId) -> bool:
        """Nobody watches it, or another one who watches it offers it."""
        lease = self.holder(stream)
        return lease is None or (lease.owner != by and lease.offered_to in (by, ANYBODY))

    def of(self, worker: WorkerId) -> dict[StreamId, Lease]:
        """What it watches."""
        held = self.leases.items()
        return {stream: lease for stream, lease in held if lease.owner == worker and lease.until_ms > self.now_ms}

    def alive(self) -> dict[WorkerId, Member]:
        """Workers that reported lately."""
        return {worker: member for worker, member in self.members.items() if member.until_ms > self.now_ms}

    def first_end_s(self, *, besides: WorkerId) -> float:
        """Until the first lease of another worker runs out, unless it is renewed; infinite where there is none."""
        ends_ms = (lease.until_ms for lease in self.leases.values() if lease.owner != besides)
        return min((ms - self.now_ms for ms in ends_ms if ms > self.now_ms), default=math.inf) / 1000

    def loads(self) -> dict[WorkerId, int]:
        """How many streams each living worker has."""
        loads = dict.fromkeys(self.alive(), 0)
        for lease in self.leases.values():
            if lease.until_ms > self.now_ms and lease.owner in loads:
                loads[lease.owner] += 1
        return loads


def ranking(stream: StreamId, workers: Iterable[WorkerId]) -> list[WorkerId]:
    """Who tries first, by rendezvous hashing: a worker more or less changes nothing between the others."""
    return sorted(workers, key=lambda worker: (_score(stream, worker), worker), reverse=True)


def _score(stream: StreamId, worker: WorkerId) -> bytes:
    text = f"{worker} {stream}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=8).digest()


def takers(fleet: Fleet, *, besides: WorkerId) -> frozenset[WorkerId]:
    """Living workers that have room for one more, and stay."""
    loads = fleet.loads()
    return frozenset(
        worker
        for worker, member in fleet.alive().items()
        if worker != besides and not member.is_draining and _has_room(member, loads[worker])
    )


def _has_room(member: Member, load: int) -> bool:
    return member.most_streams == NO_LIMIT or load < member.most_streams


def to_claim(
    fleet: Fleet, *, me: WorkerId, wanted: Iterable[StreamId], room: int | None, turns_free: Callable[[StreamId], int]
) -> tuple[StreamId, ...]:
    """Which streams to try for now, `room` at most (None: any number): those that nobody has come first.

    The first by rank tries at once, the next one a turn later, and so on: so one is taken also where those before have
    died, or cannot see it. `turns_free`: for how many turns one could have been had before.
    """
    others = takers(fleet, besides=me)
    free: list[StreamId] = []
    offered: list[StreamId] = []
    for stream in wanted:
        if not fleet.is_to_be_had(stream, by=me):
            continue
        lease = fleet.holder(stream)
        is_mine = lease is not None and lease.offered_to == me
        if is_mine or ranking(stream, {*others, me}).index(me) <= turns_free(stream):
            (free if lease is None else offered).append(stream)
    return tuple((free + offered)[:room])


def to_offer(
    fleet: Fleet, *, me: WorkerId, idle: Collection[StreamId], times_offered: Callable[[StreamId], int]
) -> tuple[tuple[StreamId, WorkerId], ...]:
    """Which streams to hand over now, and to whom, so that workers come to have about as many each: one by one near
    the end, and before that an eighth of the difference. Empty: all is well.

    Only `idle` ones move, for a move forgets what was seen: one that shows something suspect stays. While a worker
    drains none does: what it has is still to come, and would be moved twice.
    """
    if any(member.is_draining for member in fleet.alive().values()):
        return ()
    loads = fleet.loads()
    mine = loads.get(me, 0)
    room = takers(fleet, besides=me)
    ranked = sorted(idle, key=lambda stream: (times_offered(stream), stream))
    most = max(1, (mine - min((loads[worker] for worker in room), default=mine)) // 8)
    offers = []
    for stream in ranked[:most]:
        room = frozenset(worker for worker in room if _has_room(fleet.members[worker], loads[worker]))
        lighter = {worker for worker in room if mine - loads[worker] > 1}
        if not lighter:
            break
        least = min(loads[worker] for worker in lighter)
        target = ranking(stream, {worker for worker in lighter if loads[worker] == least})[0]
        offers.append((stream, target))
        loads[target] += 1
        mine -= 1
    return tuple(offers)


def to_give_away(
    mine: Sequence[StreamId], *, offered_for_s: Mapping[StreamId, float], left_s: float
) -> tuple[StreamId, ...]:
    """Which streams a worker that drains offers now, in addition to those that are on offer, in the order of `mine`.

    One by one, and as many at a time as are needed for the last to be on offer when `left_s` is over: whoever takes
    hundreds at once opens some of them too late. An offer stands, so one that nobody takes does no harm.
    """
    fresh = [stream for stream in mine if stream not in offered_for_s]
    waiting = sum(offered_for_s.get(stream, HOPELESS_S) < HOPELESS_S for stream in mine)
    hand_overs_left = left_s / HAND_OVER_S
    if hand_overs_left <= 1.0:
        return tuple(fresh)
    at_a_time = math.ceil((len(fresh) + waiting) / hand_overs_left)
    return tuple(fresh[: max(0, at_a_time - waiting)])
