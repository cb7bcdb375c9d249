"""A file to add, and what becomes of it."""

from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import StreamGuardError
from streamguard.library.catalogue import ItemRecord
from streamguard.types import AssetId


@dataclass(frozen=True, slots=True)
class Job:
    """A file to add. Without an id it gets one from its name."""

    path: Path
    label: str
    id: AssetId | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """All of it was read: it waits for its batch to be made durable."""

    footage_s: float


@dataclass(frozen=True, slots=True)
class Added:
    """In the library now, live and durable."""

    job: Job
    item: ItemRecord
    pictures_lost: int = 0
    """Parts of the file that could not be decoded."""


@dataclass(frozen=True, slots=True)
class Known:
    """The same bytes were in the library already, as `item`."""

    job: Job
    item: ItemRecord


@dataclass(frozen=True, slots=True)
class Failed:
    """Not added; the others go on."""

    job: Job
    error: StreamGuardError


Outcome = Added | Known | Failed
