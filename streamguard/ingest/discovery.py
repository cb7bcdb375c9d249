"""Who is live on one media server, listing after listing, in a thread of its own.

A listing that fails changes nothing: whoever was known stays, and the state says what is wrong. Whom a server cannot
list any more although he may be on the air stays as long as we see him. What a server lists is written by whoever
publishes there: names are hostile, and there may be any number of them.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from itertools import islice
from typing import Protocol

import structlog

from streamguard.core.backoff import delay_s
from streamguard.core.presence import Presence, after_listing
from streamguard.errors import ServerError, ServerUnreachable, SourceRefused
from streamguard.ingest.pull import Pull, pull_of
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId

BACKOFF_CAP_S = 4.0
"""A server that does not answer is asked again no later than this: it may come back any moment."""

LATE_S = 10.0
"""Without an answer for so long a server counts as one that does not answer, whatever its last answer was."""

BETWEEN_LISTINGS_S = 0.25
"""However often it is hinted: a server is left alone for so long, and for as long as its last listing took."""

_HINT_WAITS_S = 0.1
"""A hook is called before the publisher is listed."""
_MOST_NAME = 500
_MOST_SHOWN = 200
_NUMBER = re.compile(r"\d+")
_GOES_ON = "who is known goes on being watched; nobody new is found"
_AMBIGUOUS = "several publishers are listed under this name: whom we would see cannot be told"

log = structlog.get_logger()


class Lister(Protocol):
    """A media server, as far as it is used here. Its errors are ServerError."""

    @property
    def name(self) -> str: ...

    def publishers(self) -> tuple[Publisher, ...]: ...

    def may_live_unlisted(self, session: SessionId, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Target:
    """One publisher's session, to be watched. Without a `pull` it cannot be, and `problem` says why."""

    stream: StreamId
    session: SessionId
    pull: Pull | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DiscoveryOptions:
    """What is watched of a server, and how it is asked. Patterns are a shell's, for `app/name`."""

    pull_url: str = field(repr=False)
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    every_s: float = 1.0
    most_streams: int = 1000


@dataclass(frozen=True, slots=True)
class DiscoveryState:
    """How it stands with one server. `answered_at_s`: when it last answered; before the first time, when it was first
    asked. `needs_hand`: what is wrong does not pass by itself.
    """

    server: str
    answered_at_s: float
    problem: str = "it has not answered yet"
    needs_hand: bool = False
    ever_answered: bool = False
    listings: int = 0
    failures: int = 0
    watched: int = 0
    blind: int = 0
    left_out: int = 0
    unwatched: int = 0
    """Publishers beyond `most_streams`: nobody looks at them."""
    unlisted: int = 0
    """Listed no more, and on the air: watched over the connection that we have to them, as long as that stands."""

    def problem_now(self, now_s: float) -> str:
        """In words; empty while it answers in time."""
        late_s = now_s - self.answered_at_s
        if self.problem or late_s < LATE_S:
            return self.problem
        return f"it has not answered for {late_s:.0f} s"


Tell = Callable[[frozenset[Target]], None]
"""Called in the discovery's thread with all who are to be watched now, whenever that changes. Must not raise."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a listing says of one name."""

    session: SessionId
    pull_path: str
    is_ambiguous: bool = False


class Discovery:
    """One server. `start()` it; `hint()` from any thread when somebody may have come or left."""

    def __init__(
        self, server: Lister, options: DiscoveryOptions, *, tell: Tell, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = server
        self._options = self._next = options
        self._is_wanted = _pattern(options.include, options.exclude)
        self._tell = tell
        self._clock = clock
        self._presence: Presence[StreamId, _Seen] = Presence()
        self._unlisted: dict[StreamId, _Seen] = {}
        self._connected: set[SessionId] = set()
        self._lock = threading.Lock()
        self._targets: dict[StreamId, tuple[_Seen, Target]] = {}
        self._failures_in_row = 0
        self._hinted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"discovery-{server.name}", daemon=True)
        self.state = DiscoveryState(server.name, clock())
        """Other threads may read it."""

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """A listing under way is not waited for longer than this. Harmless where it was never started."""
        self._stopping.set()
        self._hinted.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)

    def hint(self) -> None:
        """One listing more, soon, unless the server does not answer anyway; any number of hints until then are one."""
        self._hinted.set()

    def change(self, options: DiscoveryOptions) -> None:
        """Others from the next listing on, which is soon. Where its streams are pulled from stays: that takes another
        discovery. From any thread.
        """
        self._next = replace(options, pull_url=self._options.pull_url)
        self.hint()

    @property
    def connections(self) -> frozenset[SessionId]:
        """The sessions to which a connection stands."""
        with self._lock:
            return frozenset(self._connected)

    def connected(self, session: SessionId, *, is_connected: bool) -> None:
        """Whether a connection to this one stands: then it is on the air, listed or not. From any thread."""
        with self._lock:
            (self._connected.add if is_connected else self._connected.discard)(session)

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_s = self._clock()
            due_s = began_s + self.list_once()
            self._stopping.wait(max(BETWEEN_LISTINGS_S, self._clock() - began_s))
            left_s = max(0.0, due_s - self._clock())
            if self._failures_in_row:
                self._stopping.wait(left_s)
            elif self._hinted.wait(left_s):
                self._stopping.wait(_HINT_WAITS_S)
            self._hinted.clear()

    def list_once(self) -> float:
        """Ask once, and tell what has changed; returns how many seconds after the asking to ask again."""
        try:
            publishers = self._server.publishers()
        except ServerError as error:
            return self._failed(error)
        self._failures_in_row = 0
        if self._next is not self._options:
            self._options = self._next
            self._is_wanted = _pattern(self._options.include, self._options.exclude)
        wanted = [publisher for publisher in publishers if self._is_wanted(publisher.stream)]
        named = [publisher for publisher in wanted if len(publisher.stream) <= _MOST_NAME]
        before = self._presence.present
        self._presence = after_listing(self._presence, _by_name(named), most=self._options.most_streams)
        self._note_unlisted(before)
        self._tell_changes()
        self._answered(left_out=len(publishers) - len(wanted), unwatched=len(wanted) - len(named))
        # Whoever is missing for the first time has probably left: that is soon known.
        return BETWEEN_LISTINGS_S if self._presence.missing else self._options.every_s

    def _note_unlisted(self, before: Mapping[StreamId, _Seen]) -> None:
        """Who is listed no more, and may be on the air: nginx was reloaded. Connections that stand go on, and a new
        one would reach somebody else.
        """
        present = self._presence.present
        listed = {seen.session for seen in present.values()}
        left = {stream: seen for stream, seen in before.items() if seen.session not in listed}
        doubts = {seen.session: self._server.may_live_unlisted(seen.session) for seen in left.values()}
        lost = {stream: seen for stream, seen in left.items() if doubts[seen.session]}
        known = self._unlisted.items()
        still = {stream: seen for stream, seen in known if self._server.may_live_unlisted(seen.session)} | lost
        with self._lock:
            kept = [
                (stream, seen)
                for stream, seen in still.items()
                if stream not in present and seen.session in self._connected
            ]
            self._unlisted = dict(islice(kept, self._options.most_streams))
            self._connected &= {seen.session for seen in (*present.values(), *self._unlisted.values())}
        if lost:
            problem, watched = next(filter(None, doubts.values())), len(lost.keys() & self._unlisted.keys())
            counts = {"publishers": len(lost), "watched": watched}
            log.warning("publishers_unlisted", server=self.state.server, problem=problem, **counts)

    def _tell_changes(self) -> None:
        before = self._targets
        self._targets = {}
        for stream, seen in (self._unlisted | dict(self._presence.present)).items():
            known = before.get(stream)
            is_same = known is not None and known[0] == seen
            self._targets[stream] = known if known is not None and is_same else (seen, self._target(stream, seen))
        # After the first listing also that nobody is there: who was known from an earlier discovery has left.
        if self._targets != before or not self.state.ever_answered:
            self._tell(frozenset(target for _, target in self._targets.values()))

    def _target(self, stream: StreamId, seen: _Seen) -> Target:
        if seen.is_ambiguous:
            return Target(stream, seen.session, None, _AMBIGUOUS)
        try:
            return Target(stream, seen.session, pull_of(seen.pull_path, at=self._options.pull_url))
        except SourceRefused as error:
            return Target(stream, seen.session, None, error.problem)

    def _failed(self, error: ServerError) -> float:
        state = self.state
        self._failures_in_row += 1
        problem = str(error)[:_MOST_SHOWN]
        if _NUMBER.sub("#", problem) != _NUMBER.sub("#", state.problem):
            known = state.watched + state.blind
            log.warning("discovery", server=state.server, problem=problem, streams_known=known, note=_GOES_ON)
        needs_hand = not isinstance(error, ServerUnreachable)
        self.state = replace(state, problem=problem, needs_hand=needs_hand, failures=state.failures + 1)
        return delay_s(
            self._failures_in_row,
            first_s=self._options.every_s,
            cap_s=max(BACKOFF_CAP_S, self._options.every_s),
            jitter=random.random(),  # noqa: S311 - spreads retries, keeps no secret
        )

    def _answered(self, *, left_out: int, unwatched: int) -> None:
        before = self.state
        blind = sum(target.pull is None for _, target in self._targets.values())
        self.state = replace(
            before,
            answered_at_s=self._clock(), problem="", needs_hand=False, ever_answered=True, listings=before.listings + 1,
            watched=len(self._targets) - blind - len(self._unlisted), blind=blind, left_out=left_out,
            unwatched=unwatched + self._presence.beyond, unlisted=len(self._unlisted),
        )  # fmt: skip
        if before.problem:
            log.info("discovery", server=before.server, publishers=len(self._targets), left_out=left_out)
        if bool(before.unwatched) != bool(self.state.unwatched):
            tell = log.warning if self.state.unwatched else log.info
            most = self._options.most_streams
            tell("publishers_unwatched", server=before.server, publishers=self.state.unwatched, most_streams=most)


def _by_name(publishers: list[Publisher]) -> dict[StreamId, _Seen]:
    """Two publishers of one name are one that cannot be watched."""
    seen: dict[StreamId, _Seen] = {}
    for publisher in publishers:
        known = seen.get(publisher.stream)
        if known is None:
            seen[publisher.stream] = _Seen(publisher.session, publisher.pull_path)
        elif (known.session, known.pull_path) != (publisher.session, publisher.pull_path):
            first = min(known.session, publisher.session)
            seen[publisher.stream] = _Seen(first, publisher.pull_path, is_ambiguous=True)
    return seen


def _pattern(include: tuple[str, ...], exclude: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a name fits one of the first and none of the others; an empty `include` takes all."""
    included = re.compile("|".join(translate(pattern) for pattern in include or ("*",)))
    excluded = re.compile("|".join(translate(pattern) for pattern in exclude) or r"(?!)")
    return lambda name: included.match(name) is not None and excluded.match(name) is None
