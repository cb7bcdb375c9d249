"""A worker's share of the streams that several watch, by leases in Redis: a thread that asks once a second.

What it cannot know it watches: while Redis is away it keeps what it has, and takes what nobody was known to have.
"""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import structlog

from streamguard.core.leases import NO_LIMIT, NOBODY, Fleet, Member, WorkerId, ranking, takers, to_claim, to_offer
from streamguard.enforce.sharing.lease_book import LEASE_S, Wishes
from streamguard.errors import SignalsError, SignalsRejected
from streamguard.types import StreamId, Verdict
from streamguard.worker.leaving import OVERLAP_S, Leaving
from streamguard.worker.matcher import Matched
from streamguard.worker.own_thread import OwnThread
from streamguard.worker.streams import Stream, StreamSpec, StreamStatus
from streamguard.worker.watcher import Watcher

_LATE_S = 10.0
"""A turn that has not come to its end by then hangs."""
_TURN_S = 1.0
_DRAINING_TURN_S = 0.2
_BETWEEN_TURNS_S = 0.1
_JUST_AFTER_S = 0.02
_UNWATCHED_AFTER_TURNS = 3
_OFFER_STANDS_TURNS = 3
_PATIENCE_S = 3.0
_MOST_NAMED = 20
_SUSPECT_FOR_S = 60.0
"""Evidence adds up for so long, and a move forgets it."""

_COMPLAIN_EVERY_S = 60.0
_KEEPS = "this worker goes on with what it has; who died, and who is new, is not known meanwhile"

log = structlog.get_logger()


class Change(Enum):
    """How streams come to a worker, and leave it for another one."""

    TAKEN = "taken"
    """Nobody had it."""
    TAKEN_OVER = "taken_over"
    """From another worker, that was not heard of in time or that offered it."""
    LOST = "lost"
    """Another worker has it, and this one did not offer it: it had not been heard of in time."""
    HANDED_OVER = "handed_over"


class Book(Protocol):
    """Where leases are; each call raises SignalsError."""

    def step(self, me: WorkerId, report: Member | None, wishes: Wishes) -> Fleet: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SharingState:
    """How it stands; other threads may read it. `problem`: why leases are not kept now, in words."""

    problem: str = "Redis has not answered yet"
    needs_hand: bool = False
    workers: int = 0
    held: int = 0
    unwatched: tuple[StreamId, ...] = ()
    changes: Mapping[Change, int] = field(default_factory=dict)


class WantedStreams(Protocol):
    """All streams that some worker is to watch; the same object while nothing has changed."""

    def specs(self) -> frozenset[StreamSpec]: ...

    def refresh(self) -> None: ...

    def close(self) -> None: ...


Epochs = Mapping[StreamId, int]
"""What this worker watches, and the epoch of each lease; 0: it has none."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What `streams()` said last, and of what."""

    wanted: frozenset[StreamSpec] | None = None
    watched: frozenset[StreamId] = frozenset()
    specs: frozenset[StreamSpec] = frozenset()


class Sharing:
    """`start()` it; the supervisor's loop asks for `streams()`; `hand_over()` from a signal handler, then `stop()`."""

    def __init__(
        self, book: Book, wanted: WantedStreams, *, name: str, most_streams: int = NO_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.me = WorkerId(f"{name}.{uuid.uuid4().hex[:8]}")
        self.state = SharingState()
        self._book = book
        self._wanted = wanted
        self._most = most_streams
        self._clock = clock
        self._fleet = Fleet()
        self._answered_at_s = clock()
        self._complain_at_s = clock()
        self._turned_at_s = clock()
        self._epochs: Epochs = {}
        self._handed_until_s: dict[StreamId, float] = {}
        """What others have taken from here, and until when it is watched here all the same."""
        self._watched: frozenset[StreamId] = frozenset()
        """All of both."""
        self._turns_free: Counter[StreamId] = Counter()
        """For how many turns a stream was to be had, and nobody took it."""
        self._offered: Epochs = {}
        self._offer_turns = 0
        self._times_offered: Counter[StreamId] = Counter()
        self._changes: Counter[Change] = Counter()
        self._idle: frozenset[StreamId] = frozenset()
        self._suspect_at_s: dict[StreamId, float] = {}
        self._chosen = _Chosen()
        self._others: frozenset[StreamId] = frozenset()
        """What others had before Redis was away, and are left for a moment to say that they still have."""
        self._patient_until_s = clock()
        self._leaving: Leaving | None = None
        self._wake = threading.Event()
        self._thread = OwnThread(self._run, name="leases")

    @property
    def is_running(self) -> bool:
        return self._thread.is_running

    @property
    def is_renewing(self) -> bool:
        """Whether a turn has come to its end lately, well or not: what the state says is no older."""
        return self.is_running and self._clock() - self._turned_at_s < _LATE_S

    @property
    def watcher(self) -> Watcher:
        """Which streams show nothing suspect: those may be moved."""
        return Watcher(keyframe=self._keyframe, tick=self._tick)

    def streams(self) -> frozenset[StreamSpec]:
        """Its share, and what it has just handed over; the same object while nothing has changed. Returns at once."""
        wanted, watched, chosen = self._wanted.specs(), self._watched, self._chosen
        if chosen.wanted is wanted and chosen.watched is watched:
            return chosen.specs
        if chosen.wanted is not wanted:
            self._wake.set()
        specs = frozenset(spec for spec in wanted if spec.key in watched)
        self._chosen = _Chosen(wanted, watched, chosen.specs if specs == chosen.specs else specs)
        return self._chosen.specs

    def limit(self, most_streams: int) -> None:
        """So many are taken at most from now on; what is here stays."""
        self._most = most_streams

    def has(self, spec: StreamSpec) -> bool:
        """Whether it is this worker that watches streams of this name."""
        return spec.key in self._watched

    def detail(self) -> dict[str, object]:
        """As `/readyz` shows it."""
        state = self.state
        return {
            "worker": self.me, "problem": state.problem, "workers": state.workers, "held": state.held,
            "most_streams": self._most, "unwatched": len(state.unwatched),
            "unwatched_streams": [shown_name(stream) for stream in state.unwatched[:_MOST_NAMED]],
        }  # fmt: skip

    def why_not_ready(self) -> list[str]:
        """In words; an unreachable Redis is no reason, for restarting would not help."""
        reasons = [self.state.problem] if self.state.needs_hand else []
        if not self.is_running:
            reasons.append("nobody renews this worker's leases any more; this is a bug, restart the worker")
        return reasons

    def start(self) -> None:
        self._thread.start()

    def hand_over(self, *, within_s: float, then: Callable[[], None]) -> bool:
        """Offer the streams to the others, one by one where there is time for that, watch each until somebody has it
        and for a moment more, and then call that, in the thread. Safe in a signal handler. False: there is nobody to do
        it.
        """
        if self._leaving is None:
            self._leaving = Leaving(until_s=self._clock() + within_s, then=then)
        self._wake.set()
        return self.is_running

    def stop(self, within_s: float) -> None:
        """Give back what is left: others take it at once. Harmless where it was never started, or twice."""
        self._thread.ask_to_stop()
        self._wake.set()
        self._thread.stop(within_s)

    def _run(self) -> None:
        while not self._thread.is_asked:
            self.step_once()
            if self._leaving is not None and self._is_given_away(self._leaving):
                self._leaving.then()
            self._thread.rest(_BETWEEN_TURNS_S)
            self._wake.wait(self._rest_s())
            if not self._thread.is_asked:
                self._wake.clear()
        self._give_back()
        self._book.close()
        self._wanted.close()

    def _rest_s(self) -> float:
        """A turn comes right when a lease runs out: who has died is not given another second."""
        if self._leaving is not None:
            return _DRAINING_TURN_S
        ends_s = _TURN_S if self.state.problem else self._fleet.first_end_s(besides=self.me) - _BETWEEN_TURNS_S
        return min(_TURN_S, max(0.0, ends_s) + _JUST_AFTER_S)

    def _is_given_away(self, leaving: Leaving) -> bool:
        """All that can be: what no other worker can take it has until the end."""
        if self._clock() >= leaving.until_s or self.state.problem:
            return True
        return not self._handed_until_s and (not self._epochs or not takers(self._fleet, besides=self.me))

    def _give_back(self) -> None:
        try:
            self._book.step(self.me, None, Wishes({}, release=tuple(self._epochs.items())))
        except SignalsError as error:
            log.warning("leases_not_given_back", problem=str(error), note=f"others take them in {LEASE_S:.0f} s")

    def step_once(self) -> None:
        """One turn: keep what is here, take what nobody has, and hand over what is too much."""
        self._wanted.refresh()
        wanted = frozenset(spec.key for spec in self._wanted.specs())
        gone = tuple((stream, epoch) for stream, epoch in self._epochs.items() if stream not in wanted)
        kept = {stream: epoch for stream, epoch in self._epochs.items() if stream in wanted}
        offers = self._offers(kept)
        try:
            fleet = self._step(Wishes(kept, offer=offers, release=gone))
            self._be_patient(fleet, kept)
            claims = () if self._leaving is not None else self._claims(fleet, wanted)
            before = fleet
            if claims:
                fleet = self._step(Wishes(kept, claim=claims))
        except SignalsError as error:
            self._away(error, wanted, kept)
        else:
            self._note_changes(before, fleet, kept)
            self._answered(fleet, wanted)

    def _step(self, wishes: Wishes) -> Fleet:
        report = Member(0, self._most, len(self.state.unwatched), is_draining=self._leaving is not None)
        return self._book.step(self.me, report, wishes)

    def _offers(self, kept: Epochs) -> list[tuple[StreamId, int, WorkerId]]:
        if self._leaving is not None:
            return self._leaving.offers(kept, idle=self._idle, now_s=self._clock())
        standing = {stream: epoch for stream, epoch in self._offered.items() if epoch and kept.get(stream) == epoch}
        self._offer_turns += 1
        if standing and self._offer_turns < _OFFER_STANDS_TURNS:
            return []
        # What nobody took they may not see. Others may be to their liking.
        offers = [(stream, epoch, NOBODY) for stream, epoch in standing.items()]
        idle = frozenset(stream for stream in self._idle if kept.get(stream))
        found = to_offer(self._fleet, me=self.me, idle=idle, times_offered=lambda stream: self._times_offered[stream])
        self._offered, self._offer_turns = {stream: kept[stream] for stream, _ in found}, 0
        self._times_offered.update(self._offered.keys())
        return offers + [(stream, kept[stream], worker) for stream, worker in found]

    def _be_patient(self, fleet: Fleet, kept: Epochs) -> None:
        """After Redis was away, or lost its data, the others are still there: they need a moment to say so."""
        mine = fleet.of(self.me)
        is_lost = any(epoch and stream in mine and mine[stream].epoch != epoch for stream, epoch in kept.items())
        known = {worker: member for worker, member in self._fleet.members.items() if member.until_ms > fleet.now_ms}
        is_lost |= any(not member.is_draining and worker not in fleet.members for worker, member in known.items())
        if is_lost or self._clock() - self._answered_at_s >= LEASE_S / 2:
            self._patient_until_s = self._clock() + _PATIENCE_S
            self._others = frozenset(s for s, lease in self._fleet.leases.items() if lease.owner != self.me)
        elif self._clock() >= self._patient_until_s:
            self._others = frozenset()

    def _claims(self, fleet: Fleet, wanted: frozenset[StreamId]) -> tuple[StreamId, ...]:
        room = None if self._most == NO_LIMIT else max(0, self._most - len(fleet.of(self.me)))
        return to_claim(
            fleet,
            me=self.me,
            wanted=sorted(wanted - self._others),
            room=room,
            turns_free=lambda stream: self._turns_free[stream],
        )

    def _note_changes(self, before: Fleet, after: Fleet, kept: Epochs) -> None:
        now = after.of(self.me)
        for stream in now.keys() - kept.keys():
            is_from_another = stream in before.leases and before.leases[stream].owner != self.me
            self._note(Change.TAKEN_OVER if is_from_another else Change.TAKEN, stream)
        for stream in kept.keys() - now.keys():
            was_offered = self._leaving is not None or stream in self._offered
            self._note(Change.HANDED_OVER if was_offered else Change.LOST, stream)
            if was_offered:
                self._handed_until_s[stream] = self._clock() + OVERLAP_S

    def _note(self, change: Change, stream: StreamId) -> None:
        self._changes[change] += 1
        log.info("lease", change=change.value, stream=shown_name(stream))

    def _answered(self, fleet: Fleet, wanted: frozenset[StreamId]) -> None:
        """What Redis says is what counts, whatever was thought before."""
        self._fleet, self._answered_at_s = fleet, self._clock()
        self._keep({stream: lease.epoch for stream, lease in fleet.of(self.me).items() if stream in wanted})
        free = {stream for stream in wanted if fleet.is_to_be_had(stream, by=self.me)}
        self._turns_free = Counter({stream: self._turns_free[stream] + 1 for stream in free})
        self._times_offered = Counter({stream: self._times_offered[stream] for stream in self._epochs})
        nobody = [stream for stream in free if fleet.holder(stream) is None]
        unwatched = tuple(sorted(stream for stream in nobody if self._turns_free[stream] >= _UNWATCHED_AFTER_TURNS))
        if self.state.problem:
            log.info("sharing", worker=self.me, workers=len(fleet.alive()), held=len(self._epochs))
        self._tell_unwatched(unwatched)
        self._became(problem="", needs_hand=False, workers=len(fleet.alive()), unwatched=unwatched)
        self._complain_at_s = self._clock()

    def _tell_unwatched(self, unwatched: tuple[StreamId, ...]) -> None:
        if bool(unwatched) == bool(self.state.unwatched):
            return
        names = [shown_name(stream) for stream in unwatched[:_MOST_NAMED]]
        tell = log.warning if unwatched else log.info
        tell("streams_unwatched", streams=len(unwatched), some=names, most_streams=self._most)

    def _away(self, error: SignalsError, wanted: frozenset[StreamId], kept: Epochs) -> None:
        """Keep what is here, and take what nobody was known to have: at once the first by rank, the others when it is
        clear that this is no hiccup.
        """
        is_long = self._clock() - self._answered_at_s >= LEASE_S
        others = takers(self._fleet, besides=self.me)
        new = [stream for stream in sorted(wanted - kept.keys()) if self._fleet.is_to_be_had(stream, by=self.me)]
        mine = [stream for stream in new if is_long or ranking(stream, {*others, self.me})[0] == self.me]
        room = None if self._most == NO_LIMIT else max(0, self._most - len(kept))
        taken = [] if self._leaving is not None else mine[:room]
        self._keep({**kept, **dict.fromkeys(taken, 0)})
        if self._clock() >= self._complain_at_s:
            self._complain_at_s = self._clock() + _COMPLAIN_EVERY_S
            log.warning("leases_without_redis", problem=str(error), held=len(self._epochs), note=_KEEPS)
        left_out = tuple(mine[len(taken) :]) if is_long else self.state.unwatched
        self._tell_unwatched(left_out)
        needs_hand = isinstance(error, SignalsRejected)
        self._became(problem=str(error), needs_hand=needs_hand, workers=self.state.workers, unwatched=left_out)

    def _keep(self, epochs: Epochs) -> None:
        if epochs != self._epochs:
            self._epochs = epochs
        now_s, handed = self._clock(), self._handed_until_s
        self._handed_until_s = {stream: s for stream, s in handed.items() if s > now_s and stream not in epochs}
        watched = frozenset(epochs) | self._handed_until_s.keys()
        if watched != self._watched:
            self._watched = watched

    def _became(self, *, problem: str, needs_hand: bool, workers: int, unwatched: tuple[StreamId, ...]) -> None:
        self._turned_at_s = self._clock()
        self.state = SharingState(problem, needs_hand, workers, len(self._epochs), unwatched, dict(self._changes))

    def _keyframe(self, stream: Stream, matched: Matched) -> None:
        if matched.observation.evidence:
            self._suspect_at_s[stream.spec.key] = self._clock()

    def _tick(self, statuses: tuple[StreamStatus, ...]) -> None:
        now_s = self._clock()
        self._suspect_at_s = {
            stream: at_s for stream, at_s in self._suspect_at_s.items() if now_s - at_s < _SUSPECT_FOR_S
        }
        clear = (status for status in statuses if status.verdict in (None, Verdict.CLEAR))
        self._idle = frozenset(key_of(status) for status in clear) - self._suspect_at_s.keys()


def key_of(status: StreamStatus) -> StreamId:
    """Of the specification whose status it is."""
    return status.stream if status.server is None else StreamId(f"{status.server}\0{status.stream}")


def shown_name(stream: StreamId) -> str:
    """A lease's stream for people: `edge-1 live/cam` of one that was discovered."""
    return stream.replace("\0", " ").encode("utf-8", "backslashreplace").decode()
