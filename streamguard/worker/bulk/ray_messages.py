"""What the process that speaks with Ray is told, and what it tells; `shard_task.Answer` as well."""

from dataclasses import dataclass

from streamguard.library.catalogue import ItemRecord
from streamguard.worker.outcomes import Job


@dataclass(frozen=True, slots=True)
class Work:
    """All of it. What is `known` need not be decoded."""

    address: str
    jobs: tuple[Job, ...]
    known: tuple[ItemRecord, ...]


@dataclass(frozen=True, slots=True)
class Connected:
    """There is a cluster."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Whoever read the file was lost, each time; the others go on."""

    job: Job
    problem: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """It cannot go on."""

    problem: str


@dataclass(frozen=True, slots=True)
class TheEnd:
    """All was answered."""
