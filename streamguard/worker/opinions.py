"""Follows the kill-signals in Redis and what people say of them, keeps that in the library, and lets references fall.

Whoever may write to the library does it: the worker, or `streamguard library opinions sync` where it is made. Several
may: what was taken in is there once. What cannot be written now is written later; nothing else waits for it.
"""

import math
import os
import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from streamguard.config import Config, LibraryConfig
from streamguard.core.backoff import delay_s
from streamguard.core.falls import FallRule
from streamguard.enforce.redis.url import RedisTarget, checked_target
from streamguard.enforce.signals.follow import ENTRIES_A_READ, FIRST_ID, Entry, Follower
from streamguard.errors import LibraryError, SignalNotUnderstood, SignalsError, UsageError
from streamguard.library import falling, opinions
from streamguard.library.catalogue import CATALOGUE, Catalogue
from streamguard.library.changes import Origin
from streamguard.library.ed25519 import Signer
from streamguard.library.falling import FallTerms, Fell, Waiting
from streamguard.library.live_set import read_signed
from streamguard.library.opinions import Signalled, Taken, Voiced
from streamguard.library.store import Library
from streamguard.signing import signing_key
from streamguard.worker.complaints import Complaint
from streamguard.worker.opinion_metrics import OpinionMetrics
from streamguard.worker.opinion_words import of_interest, told_by
from streamguard.worker.own_thread import OwnThread

READ_FOR_S = 1.0
RETRY_FIRST_S = 0.5
RETRY_CAP_S = 30.0
GENTLY_S = 0.02
"""Between two reads of what has heaped up: a week's signals must not take the processor from the streams."""

PLACE_EVERY = 1000
"""After so many entries that say nothing new it is noted how far was read."""

LOOK_EVERY_S = 30.0
"""How often it is looked whether a person let go on what was stopped."""

log = structlog.get_logger()


class EntrySource(Protocol):
    """The stream of kill-signals; raises SignalsUnreachable, SignalsRejected."""

    def read(self, *, at_most_s: float) -> tuple[Entry, ...]: ...

    def close(self) -> None: ...


class OpinionObserver(Protocol):
    """Who is told, by the taker's thread; must not raise."""

    def took(self, taken: Taken, /) -> None: ...

    def forged(self) -> None: ...

    def fell(self, one: Fell, /) -> None: ...

    def look(self, waiting: Waiting, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where opinions are kept, and what they may do. `place` names the stream that they are read from."""

    library: Path
    place: str
    key: bytes | None
    terms: FallTerms
    signer: Signer | None = None


class OpinionTaker:
    """`round()` reads once and takes in what was new. For one thread."""

    def __init__(
        self,
        keeping: Keeping,
        open_source: Callable[[str], EntrySource],
        *,
        observer: OpinionObserver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`open_source` is given the entry after which to begin."""
        self._keeping = keeping
        self._open_source = open_source
        self._observer = observer
        self._clock = clock
        self._source: EntrySource | None = None
        self._unsaved: tuple[Entry, ...] = ()
        self._look_at_s = -math.inf
        self._unplaced = 0

    def round(self, *, at_most_s: float = READ_FOR_S) -> int:
        """How many entries were read. Raises LibraryError, SignalsError, UsageError (it is signed, and no key here):
        nothing is lost by that, and the next round goes on.
        """
        if self._source is None:
            self._source = self._open_source(self._place())
        if not self._unsaved:
            self._unsaved = self._source.read(at_most_s=at_most_s)
        read = len(self._unsaved)
        if read:
            self._take(self._unsaved)
            self._unsaved = ()
        if read or self._clock() >= self._look_at_s:
            self._look_at_s = -math.inf  # where it fails, the next round tries again
            self._work_off()
            self._look_at_s = self._clock() + LOOK_EVERY_S
        return read

    def close(self) -> None:
        if self._source is not None:
            self._source.close()

    def _place(self) -> str:
        with closing(Catalogue.open(self._keeping.library, create=False)) as catalogue:
            return opinions.place_in(catalogue, self._keeping.place) or FIRST_ID

    def _take(self, entries: tuple[Entry, ...]) -> None:
        told: list[Signalled | Voiced] = []
        forged = 0
        for entry in entries:
            try:
                received = of_interest(entry.fields)
                if received is None:
                    continue
                if received.checked(self._keeping.key).doubtful:
                    forged += 1
                else:
                    told.append(told_by(received))
            except SignalNotUnderstood:  # enforcers count these
                continue
        self._unplaced += len(entries)
        with closing(Catalogue.open(self._keeping.library, create=False)) as catalogue:
            if not opinions.is_known(catalogue, told) or self._unplaced >= PLACE_EVERY:
                place = (self._keeping.place, entries[-1].id)
                self._observer.took(opinions.take_in(catalogue, told, place=place))
                self._unplaced = 0
        for _ in range(forged):
            self._observer.forged()

    def _work_off(self) -> None:
        keeping, now_unix_s = self._keeping, self._clock()
        waiting, is_unpublished = self._waiting()
        if is_unpublished:
            Library.open(keeping.library, origin=Origin(falling.BY), signer=keeping.signer).close()
        if waiting.any:
            fell: tuple[Fell, ...] = ()
            if waiting.references:
                with Library.open(keeping.library, origin=Origin(falling.BY), signer=keeping.signer) as library:
                    fell += falling.fall_due(library, keeping.terms, now_unix_s=now_unix_s)
            if waiting.hashes:
                origin = Origin(falling.BY)
                fell += falling.fall_hashes(
                    keeping.library, keeping.terms, now_unix_s=now_unix_s, origin=origin, signer=keeping.signer
                )
            for one in fell:
                self._observer.fell(one)
            waiting, _ = self._waiting()
        self._observer.look(waiting)

    def _waiting(self) -> tuple[Waiting, bool]:
        """What waits, and whether something fell that no worker knows of yet."""
        with closing(Catalogue.open(self._keeping.library, create=False)) as catalogue:
            return falling.waiting(catalogue), falling.is_unpublished(catalogue)


class Opinions:
    """A worker's, taken in by its `thread`; what that was reading when it was stopped is read again after the next
    start. Where the library is not this worker's to write, it says so and ends.
    """

    def __init__(self, config: Config, *, metrics: OpinionMetrics, clock: Callable[[], float] = time.time) -> None:
        """Raises UsageError."""
        self._metrics = metrics
        self._trouble = Complaint("opinions_not_taken", every_s=600.0)
        self._failures = 0
        self._stopped = False
        self._why_not = _why_not(config)
        self._taker: OpinionTaker | None = None
        if not self._why_not:
            keeping = keeping_of(config)
            self._taker = OpinionTaker(keeping, source_of(config), observer=self, clock=clock)
        self.thread = OwnThread(self._run, name="opinions")

    def worth_a_look(self) -> list[str]:
        """What is no reason to restart this worker."""
        if not self._stopped:
            return []
        return ["references should fall by mistakes, more than are believed: see `streamguard library opinions list`"]

    def took(self, taken: Taken) -> None:
        self._metrics.took(taken)
        if taken.opinions or taken.refused:
            counts = {opinion.value: count for opinion, count in taken.opinions.items()}
            refused = {reason.value: count for reason, count in taken.refused.items()}
            log.info("opinions_taken", **counts, **refused)

    def forged(self) -> None:
        self._metrics.forged()

    def fell(self, one: Fell) -> None:
        self._metrics.fell(one)
        log.warning("reference_fallen", reference=one.reference, to=one.to.value, why=one.why)

    def look(self, waiting: Waiting) -> None:
        self._metrics.look(waiting)
        stopped = waiting.stopped_unix_s is not None
        if stopped and not self._stopped:
            note = "somebody should look: `streamguard library opinions list`, then `resume`"
            log.critical("falls_stopped", references=waiting.references, hashes=waiting.hashes, note=note)
        self._stopped = stopped

    def round(self) -> float:
        """Returns the seconds to rest."""
        if self._taker is None:
            return READ_FOR_S
        try:
            read = self._taker.round()
        except (LibraryError, SignalsError, UsageError) as error:
            self._failures += 1
            self._metrics.taken.set(0)
            self._trouble.tell(str(error))
            jitter = random.random()  # noqa: S311 - spreads workers, guards nothing
            return delay_s(self._failures, first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S, jitter=jitter)
        self._failures = 0
        self._metrics.taken.set(1)
        self._trouble.tell("")
        return GENTLY_S if read >= ENTRIES_A_READ else 0.0

    def _run(self) -> None:
        if self._taker is None:
            log.info("opinions_elsewhere", why=self._why_not, note="see `streamguard library opinions sync --help`")
            return
        while not self.thread.is_asked:
            self.thread.rest(self.round())
        self._taker.close()


def fall_terms(config: LibraryConfig) -> FallTerms:
    rule = FallRule(config.mistakes_to_review, config.mistakes_to_disable)
    return FallTerms(rule, config.most_falls_per_hour)


def keeping_of(config: Config, *, signer: Signer | None = None) -> Keeping:
    """As the configuration says. Raises UsageError: no library, no Redis, or no key, without which anybody could say
    anything of any reference.
    """
    if config.library.path is None:
        raise UsageError("take opinions", "", "no library is named", hint="give --library DIR")
    key = signing_key(config.signals)
    if key is None and not config.enforce.accept_unsigned:
        hint = "give --key-file FILE, or SG__SIGNALS__HMAC_KEY: opinions are signed events"
        raise UsageError("take opinions", "", "no key to verify with", hint=hint)
    place = f"{_target(config)} {config.redis.prefix}"
    return Keeping(config.library.path, place, key, fall_terms(config.library), signer)


def source_of(config: Config) -> Callable[[str], Follower]:
    """Opens the stream of kill-signals after an entry. Raises UsageError where no Redis is named."""
    target = _target(config)
    return lambda since: Follower(target, prefix=config.redis.prefix, since=since)


def _target(config: Config) -> RedisTarget:
    if config.redis.url is None:
        raise UsageError("take opinions", "", "no Redis named", hint="give --redis URL, or set SG__REDIS__URL")
    return checked_target(config.redis.url.get_secret_value(), prefix=config.redis.prefix)


def _why_not(config: Config) -> str:
    """Why this worker takes no opinions in, in words; empty: it does."""
    library = config.library
    if not library.take_opinions or config.redis.url is None or library.path is None:
        return "library.take_opinions is off" if config.redis.url is not None else "no Redis is named"
    if signing_key(config.signals) is None and not config.enforce.accept_unsigned:
        return "there is no key to verify them with"
    if not all(os.access(path, os.W_OK) for path in (library.path, library.path / CATALOGUE)):
        return "the library is only read here"
    if library.public_key_file is not None or read_signed(library.path)[1] is not None:
        return "the library is signed, and whoever has its key takes them in"
    return ""
