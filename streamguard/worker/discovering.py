"""Discovery as the worker runs it: one listing thread a media server, hints from Redis, streams for the supervisor."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from streamguard.config import Config, DiscoverConfig
from streamguard.enforce.gate.publisher_hints import PublisherHints
from streamguard.enforce.redis.url import RedisTarget, parse_redis_url
from streamguard.errors import UsageError
from streamguard.ingest.discovery import Discovery, DiscoveryOptions, DiscoveryState, Lister, Target
from streamguard.ingest.pull import check_pull_url
from streamguard.servers.known import media_server
from streamguard.servers.spec import HINT, ServerSpec, read_spec
from streamguard.worker.streams import Origin, Stream, StreamSpec, StreamState, StreamStatus
from streamguard.worker.watcher import Watcher

_MAY_HAVE_LEFT = frozenset({StreamState.ENDED, StreamState.STALLED})
_NOT_CONNECTED = frozenset({StreamState.ENDED, StreamState.CONNECTING})


@dataclass(frozen=True, slots=True)
class Plan:
    """A media server, and what to watch of it. `spec`: as the operator names it; the same names the same server."""

    server: Lister
    options: DiscoveryOptions
    spec: ServerSpec | None = None

    def asks_the_same(self, other: "Plan") -> bool:
        """Whether it asks the same server, and pulls from the same place."""
        return self.spec is not None and self.spec == other.spec


def plans_of(config: Config) -> tuple[Plan, ...]:
    """What [[discover]] asks for; nothing has been asked of any server yet. Raises UsageError."""
    plans = tuple(_plan(block) for block in config.discover)
    names = [plan.server.name for plan in plans]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        hint = "give them names: KIND@NAME=..., or `name` in [[discover]]"
        raise UsageError("discover", twice, "two media servers have this name", hint=hint)
    return plans


def _plan(block: DiscoverConfig) -> Plan:
    head = block.kind if block.name is None else f"{block.kind}@{block.name}"
    pull = "" if block.pull is None else f",{block.pull.get_secret_value()}"
    spec = read_spec(f"{head}={block.api.get_secret_value()}{pull}")
    if not spec.pull_url:
        problem = "no URL is given to pull its streams from"
        raise UsageError("discover", spec.name, problem, hint=HINT)
    options = DiscoveryOptions(
        pull_url=check_pull_url(spec.pull_url),
        include=block.include,
        exclude=block.exclude,
        every_s=block.every_s,
        most_streams=block.most_streams,
    )
    return Plan(media_server(spec), options, spec)


class DiscoveryCounts(Protocol):
    """What is counted of it, once a second."""

    def tick(self, states: tuple[DiscoveryState, ...], hints: PublisherHints | None, *, now_s: float) -> None: ...


def discoveries_of(config: Config, *, counts: DiscoveryCounts) -> "Discoveries":
    """What the configuration asks for. Raises UsageError."""
    plans, url = plans_of(config), config.redis.url
    target = None if url is None else parse_redis_url(url.get_secret_value())
    return Discoveries(plans, counts=counts, hints_in=target, prefix=config.redis.prefix)


class Discoveries:
    """All servers. `start` them, `replace` them when there are others, and `stop` them when nothing new is to be
    watched.

    `hints_in`: the Redis where publish gates say who comes; None: nobody listens.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        *,
        counts: DiscoveryCounts,
        hints_in: RedisTarget | None = None,
        prefix: str = "{streamguard}:",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counts = counts
        self._clock = clock
        self._lock = threading.Lock()
        self._hints_in, self._prefix = hints_in, prefix
        self._is_started = False
        self._of_server: dict[str, frozenset[StreamSpec]] = {}
        self._streams: frozenset[StreamSpec] = frozenset()
        self._plans = {plan.server.name: plan for plan in plans}
        self._discoveries = {name: self._discovery(plan) for name, plan in self._plans.items()}
        """Never changed, only exchanged: other threads go through it."""
        self._hints = self._hints_of(self._plans)

    def __len__(self) -> int:
        return len(self._discoveries)

    def asks(self, server: str) -> bool:
        """Whether it is one of them."""
        return server in self._discoveries

    def replace(self, plans: Sequence[Plan]) -> None:
        """These are all servers now. One that is asked as before goes on, by what is new for it; what another one is
        asked now has, under its name, the streams of the last one until its first listing. From one thread at a time.
        """
        before, old_plans = self._discoveries, self._plans
        wanted = {plan.server.name: plan for plan in plans}
        kept = {name for name, plan in wanted.items() if name in before and plan.asks_the_same(old_plans[name])}
        wanted.update({name: replace(wanted[name], server=old_plans[name].server) for name in kept})
        new = {name: before[name] if name in kept else self._discovery(plan) for name, plan in wanted.items()}
        with self._lock:
            self._discoveries, self._plans = new, wanted
            self._of_server = {name: specs for name, specs in self._of_server.items() if name in wanted}
            self._gather()
        for name in kept:
            if wanted[name].options != old_plans[name].options:
                new[name].change(wanted[name].options)
        for name in new.keys() - kept:
            for session in before[name].connections if name in before else ():
                new[name].connected(session, is_connected=True)
            if self._is_started:
                new[name].start()
        for name in before.keys() - kept:
            before[name].stop(0.0)
        self._listen_for_hints()

    def _listen_for_hints(self) -> None:
        """Where a first server has come."""
        if self._hints is None and (hints := self._hints_of(self._plans)) is not None:
            self._hints = hints
            if self._is_started:
                hints.start()

    def streams(self) -> frozenset[StreamSpec]:
        """Who is to be watched now; the same object while nothing has changed."""
        return self._streams

    @property
    def states(self) -> tuple[DiscoveryState, ...]:
        return tuple(discovery.state for discovery in self._discoveries.values())

    @property
    def watcher(self) -> Watcher:
        return Watcher(state_changed=self._state_changed, tick=self._tick)

    def why_not_ready(self) -> list[str]:
        """In words; what a server does not answer now, and may answer soon, is no reason."""
        reasons = [f"{state.server}: {state.problem}" for state in self.states if state.needs_hand]
        dead = [name for name, one in self._discoveries.items() if not one.is_running]
        return reasons + [f"nobody asks {name} any more; this is a bug, restart the worker" for name in dead]

    def detail(self) -> list[dict[str, object]]:
        """Each server as `/readyz` shows it."""
        now_s = self._clock()
        return [
            {
                "server": state.server, "problem": state.problem_now(now_s),
                "answered_s_ago": round(now_s - state.answered_at_s, 1) if state.ever_answered else None,
                "watched": state.watched, "blind": state.blind, "left_out": state.left_out,
                "unwatched": state.unwatched, "unlisted": state.unlisted,
            }
            for state in self.states
        ]  # fmt: skip

    def start(self) -> None:
        self._is_started = True
        for discovery in self._discoveries.values():
            discovery.start()
        if self._hints is not None:
            self._hints.start()

    def stop(self, within_s: float) -> None:
        """All of them together within that time. Harmless where they were never started."""
        until_s = self._clock() + within_s
        parts: list[Discovery | PublisherHints] = [*self._discoveries.values()]
        if self._hints is not None:
            parts.append(self._hints)
        for part in parts:
            part.stop(0.0)
        for part in parts:
            part.stop(max(0.0, until_s - self._clock()))

    def hint(self) -> None:
        """Somebody may have come or left, at any of them."""
        for discovery in self._discoveries.values():
            discovery.hint()

    def _tick(self, _statuses: tuple[StreamStatus, ...]) -> None:
        self._counts.tick(self.states, self._hints, now_s=self._clock())

    def _state_changed(self, stream: Stream) -> None:
        """What our connection notes first: whether another one publishes there now decides what it may see next."""
        origin = stream.spec.origin
        discovery = None if origin is None else self._discoveries.get(origin.server)
        if origin is None or discovery is None:  # it leaves, for its server is asked no more
            return
        is_connected = stream.state not in _NOT_CONNECTED and not stream.finished
        discovery.connected(origin.session, is_connected=is_connected)
        if stream.state in _MAY_HAVE_LEFT and not stream.finished:
            discovery.hint()

    def _discovery(self, plan: Plan) -> Discovery:
        return Discovery(plan.server, plan.options, tell=partial(self._told, plan))

    def _hints_of(self, plans: Mapping[str, Plan]) -> PublisherHints | None:
        if not plans or self._hints_in is None:
            return None
        return PublisherHints(self._hints_in, prefix=self._prefix, on_hint=self.hint)

    def _told(self, plan: Plan, targets: frozenset[Target]) -> None:
        server = plan.server.name
        specs = frozenset(_spec(target, server=server) for target in targets)
        with self._lock:
            # The last listing of one that is asked no more counts no more.
            if server in self._plans and self._plans[server].server is plan.server:
                self._of_server[server] = specs
                self._gather()

    def _gather(self) -> None:
        self._streams = frozenset[StreamSpec]().union(*self._of_server.values())


def _spec(target: Target, *, server: str) -> StreamSpec:
    if target.pull is None:
        origin = Origin(server, target.session, unwatchable=target.problem)
        return StreamSpec(target.stream, "", "", once=False, origin=origin)
    pull = target.pull
    return StreamSpec(
        target.stream, pull.url, pull.public_url, once=False, origin=Origin(server, target.session, pull.rtmp)
    )
