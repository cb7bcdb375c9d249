"""Exchanges that have an API, and what we take from one: updates by their keys, and a checkpoint to go on from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from streamguard.library.exchange.hashes import HashKind, ListedHash, Opinion


class ExchangeKind(Enum):
    """Whose API."""

    NCMEC = "ncmec"
    STOPNCII = "stopncii"
    TAT = "tat"
    THREATEXCHANGE = "threatexchange"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Update:
    """What an exchange says of one of its records: its hashes now, none where it took the record back. `detail` is what
    it wants to be told with an opinion.
    """

    key: str
    hashes: tuple[ListedHash, ...]
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some updates in their order, and where to go on from once they are kept; None: not from here. `unread`: records
    that were none.
    """

    updates: tuple[Update, ...]
    checkpoint: str | None
    unread: int = 0


@dataclass(frozen=True, slots=True)
class OpinionOfRecord:
    """An opinion of ours for the exchange, on each of its records that has the hash."""

    kind: HashKind
    code: bytes
    opinion: Opinion
    records: tuple[tuple[str, Mapping[str, str]], ...]


class Exchange(Protocol):
    """One exchange. Its methods raise ExchangeError."""

    def is_stale(self, checkpoint: str) -> bool:
        """Whether it is too old to go on from: then all is fetched anew, and what does not come is gone."""
        ...

    def fetch(self, checkpoint: str) -> Iterator[Batch]:
        """From a checkpoint on; an empty one is the beginning. Ends when there is nothing more."""
        ...

    def tell(self, opinion: OpinionOfRecord) -> bool:
        """Whether it takes such an opinion; then it has it."""
        ...
