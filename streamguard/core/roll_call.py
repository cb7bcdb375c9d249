"""Whether those who share a Redis agree: on the key of signals, on whose sessions a server's name means, on the time.

Workers and enforcers say who they are in Redis (enforce/sharing/roll.py). What does not fit together there is no error
of any one of them, and would first be seen when a kill is not executed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import combinations, islice, product

MOST_SKEW_S = 1.0
"""From Redis's clock; so that any two agree within the 2 s by which an enforcer tells a successor."""
MOST_TOLD = 10
"""Of each kind: a fleet with two halves has many pairs."""


class Role(Enum):
    WORKER = "worker"
    ENFORCER = "enforcer"


@dataclass(frozen=True, slots=True)
class Present:
    """Who is there. `key`: its key's fingerprint; empty: it has none, and signs or checks nothing. `servers`: where an
    enforcer cuts, by the server's name. `skew_s`: by how much its clock is ahead of Redis's.
    """

    role: Role
    name: str
    key: str = ""
    servers: Mapping[str, str] = field(default_factory=dict)
    skew_s: float = 0.0


class About(Enum):
    """What does not fit."""

    KEY = "key"
    SERVER = "server"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """In words, with the next step."""

    about: About
    detail: str


def disagreements(present: Sequence[Present]) -> tuple[Disagreement, ...]:
    """All that does not fit among them, the same for whoever asks."""
    ordered = sorted(present, key=lambda one: (one.role.value, one.name))
    workers = [one for one in ordered if one.role is Role.WORKER]
    enforcers = [one for one in ordered if one.role is Role.ENFORCER]
    return (*_keys(workers, enforcers), *_servers(enforcers), *_clocks(ordered))


def _keys(workers: Iterable[Present], enforcers: Sequence[Present]) -> tuple[Disagreement, ...]:
    found = (
        f"worker {worker.name} {f'signs with key {worker.key}' if worker.key else 'signs nothing'}, enforcer"
        f" {enforcer.name} checks with key {enforcer.key}: it takes every kill of that worker for forged, and cuts"
        " nothing; give both the same signals.hmac_key_file"
        for worker, enforcer in product(workers, enforcers)
        # One without a key checks nothing, as it was told to.
        if enforcer.key and enforcer.key != worker.key
    )
    return _told(About.KEY, found)


def _servers(enforcers: Iterable[Present]) -> tuple[Disagreement, ...]:
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for enforcer in enforcers:
        for server, where in enforcer.servers.items():
            places[server].append((where, enforcer.name))
    # Whoever may write there can have a thousand enforcers with two hundred servers each: no pair without need.
    several = ((server, named) for server, named in sorted(places.items()) if len({where for where, _ in named}) > 1)
    found = (
        f"enforcer {first} cuts at {one}, enforcer {second} at {other}, and both call it {server}: if these are two"
        " servers, half of the kills go to the wrong one, where they end as already_gone; give each server a name of"
        " its own, KIND@NAME=URL, here and in [[discover]]. If they are one, write its URL the same way for both"
        for server, named in several
        for (one, first), (other, second) in combinations(named, 2)
        if one != other
    )
    return _told(About.SERVER, found)


def _clocks(present: Iterable[Present]) -> tuple[Disagreement, ...]:
    found = (
        f"the clock of {one.role.value} {one.name} is {abs(one.skew_s):.1f} s"
        f" {'ahead of' if one.skew_s > 0 else 'behind'} that of Redis: signals expire too early or too late,"
        " and successors cannot be told; synchronise both (NTP)"
        for one in present
        if abs(one.skew_s) > MOST_SKEW_S
    )
    return _told(About.CLOCK, found)


def _told(about: About, found: Iterable[str]) -> tuple[Disagreement, ...]:
    """What is not told is not looked for."""
    return tuple(Disagreement(about, detail) for detail in islice(found, MOST_TOLD))
