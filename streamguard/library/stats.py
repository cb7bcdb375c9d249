"""What is in a library, in figures."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import LibraryError
from streamguard.library.catalogue import Catalogue, ItemState
from streamguard.library.folder import bytes_in
from streamguard.library.live_set import read_signed


@dataclass(frozen=True, slots=True)
class Stats:
    """What is in a library, and what it costs. `looks` are those that are searched; `signed_by` is the key's id."""

    version: str
    signed_by: str | None
    changed_unix_s: float
    live: int
    disabled: int
    removed: int
    looks: int
    footage_s: float
    segments: int
    bytes_on_disk: int
    labels: tuple[tuple[str, int], ...]


def stats(path: Path, catalogue: Catalogue) -> Stats:
    """Writes nothing. Raises LibraryError."""
    live = catalogue.live_set()
    items = catalogue.items(removed=False)
    on = [item for item in items if item.state is ItemState.LIVE]
    labels: dict[str, int] = {}
    for item in on:
        labels[item.label] = labels.get(item.label, 0) + 1
    return Stats(
        version=live.version,
        signed_by=_signed_by(path),
        changed_unix_s=live.changed_unix_s,
        live=len(on),
        disabled=len(items) - len(on),
        removed=catalogue.removed_count(),
        looks=sum(item.looks for item in on),
        footage_s=sum(item.duration_us for item in on) / 1e6,
        segments=len(live.segments),
        bytes_on_disk=bytes_in(path),
        labels=tuple(sorted(labels.items())),
    )


def _signed_by(path: Path) -> str | None:
    with suppress(LibraryError):  # `verify` says what is wrong with it
        _, signature = read_signed(path)
        return None if signature is None else signature.key
    return None
