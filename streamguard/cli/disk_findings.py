"""Whether the disks are nearly full on which a worker writes: one that is full keeps kill-signals from being sent."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamguard.cli.findings import Finding, Outcome
from streamguard.config import Config
from streamguard.worker.evidence import evidence_store

LOW_SHARE = 0.05
LOW_BYTES = 1 << 30
"""Below both a disk is nearly full: a large one has room for long at 5 %."""
_GIB, _MIB = 1 << 30, 1 << 20
_LOST = {
    "signals.outbox": "kill-signals that cannot be made durable are not sent, and nothing is cut",
    "evidence.directory": "evidence is lost",
    "library.path": "nothing can be added",
    "temporary files": "decoders and the canary cannot be started",
}


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a disk for this user."""

    free_bytes: int
    total_bytes: int
    free_files: int
    total_files: int

    @property
    def is_low(self) -> bool:
        return self.free_bytes < min(LOW_BYTES, LOW_SHARE * self.total_bytes) or self.lacks_files

    @property
    def lacks_files(self) -> bool:
        """Some file systems do not count files."""
        return self.total_files > 0 and self.free_files < LOW_SHARE * self.total_files / 10


def disk_findings(config: Config) -> Iterator[Finding]:
    """One for each disk, with all that is on it. What is not there at all is a finding of its own."""
    places = {"signals.outbox": config.signals.outbox.absolute().parent}
    if config.evidence.keep_days:
        places["evidence.directory"] = evidence_store(config).directory.absolute()
    if config.library.path is not None:
        places["library.path"] = config.library.path.absolute()
    places["temporary files"] = Path(tempfile.gettempdir())
    by_disk: dict[int, tuple[Path, list[str]]] = {}
    for what, path in places.items():
        there = _existing(path)
        try:
            device = there.stat().st_dev
        except OSError:
            continue
        by_disk.setdefault(device, (there, []))[1].append(what)
    for path, whats in by_disk.values():
        yield _finding(path, whats)


def _existing(path: Path) -> Path:
    """It, or the nearest folder above that is there."""
    while not os.path.exists(path) and path != path.parent:  # noqa: PTH110 - Path's may raise
        path = path.parent
    return path


def room_at(path: Path) -> Room:
    """Raises OSError."""
    disk = os.statvfs(path)
    size = disk.f_frsize
    return Room(disk.f_bavail * size, disk.f_blocks * size, disk.f_favail, disk.f_files)


def _finding(path: Path, whats: list[str]) -> Finding:
    of = ", ".join(whats)
    try:
        room = room_at(path)
    except OSError as error:
        return Finding("disk", Outcome.PROBLEM, f"of {of} ({path}): {error.strerror or error}; is it still mounted?")
    left = f"{_size(room.free_bytes)} of {_size(room.total_bytes)} are free"
    if not room.is_low:
        return Finding("disk", Outcome.OK, f"of {of} ({path}): {left}")
    why = f"room for {room.free_files} files is left" if room.lacks_files else left
    lost = "; ".join(_LOST[what] for what in whats)
    detail = f"of {of} ({path}) is nearly full: {why}. When it is full, {lost}: make room, or name another place"
    return Finding("disk", Outcome.PROBLEM, detail)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB" if size_bytes >= _GIB else f"{size_bytes / _MIB:.0f} MiB"
