"""What was decided for some footage, from a worker's evidence files."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from streamguard.enforce.evidence.file import EvidenceFile, from_bytes
from streamguard.enforce.evidence.store import read_file
from streamguard.errors import EvidenceError

MOST_FILES = 5000
"""The newest are read: a decision takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class KeptDecisions:
    """The oldest first. `unread`: files that are damaged, or were not read because there are too many."""

    files: tuple[EvidenceFile, ...]
    unread: int


def decisions_for(directory: Path, references: Collection[str], *, since_unix_s: float) -> KeptDecisions:
    """Those that name one of these references and fell since then. Raises EvidenceError where there is no directory."""
    try:
        paths = [path for path in directory.iterdir() if path.match("sig_*.json")]
        found = [(at_unix_s, path) for path in paths for at_unix_s in _written_unix_s(path)]
    except OSError as error:
        hint = "is it the directory that the worker writes to?"
        raise EvidenceError("read evidence", directory, error.strerror or str(error), hint=hint) from error
    late = sorted((one for one in found if one[0] >= since_unix_s), reverse=True)
    unread = max(0, len(late) - MOST_FILES)
    files = []
    for _, path in late[:MOST_FILES]:
        try:
            file = from_bytes(read_file(path), subject=path)
        except EvidenceError:
            unread += 1
            continue
        if file.decision.asset in references and file.decided_unix_s >= since_unix_s:
            files.append(file)
    return KeptDecisions(tuple(sorted(files, key=attrgetter("decided_unix_s", "id"))), unread)


def _written_unix_s(path: Path) -> Iterator[float]:
    """Nothing where it is gone: the worker makes room while we look. Raises OSError."""
    with suppress(FileNotFoundError):
        yield path.stat().st_mtime
