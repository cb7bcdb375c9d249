"""Shared lists for tests: hashes of pictures that are none of ours, from a seed."""

import random
from collections.abc import Sequence
from pathlib import Path

from streamguard.library.exchange.book import Book
from streamguard.library.exchange.importing import Asked, Imported, import_files
from streamguard.library.exchange.lists import ListFormat
from streamguard.library.exchange.quarantine import counts
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from tests.library.made import RADIUS_BITS, seen

SOURCE = "partner"


def hashes(seed: int, count: int) -> list[bytes]:
    """As PDQ makes them, with half of their bits set; nothing in common with each other."""
    rng = random.Random(seed)  # noqa: S311  (repeatable, not secret)
    made = []
    for _ in range(count):
        bits = [1] * 128 + [0] * 128
        rng.shuffle(bits)
        made.append(int("".join(map(str, bits)), 2).to_bytes(32, "big"))
    return made


def near(code: bytes, *, bits: int = 10) -> bytes:
    """A hash so many bits away that has as many bits set: pairs of unlike bits change places."""
    value, changed = int.from_bytes(code, "big"), 0
    for one, other in zip(range(0, 256, 2), range(1, 256, 2), strict=True):
        if changed < bits and (value >> one & 1) != (value >> other & 1):
            value ^= (1 << one) | (1 << other)
            changed += 2
    return value.to_bytes(32, "big")


def write(path: Path, rows: Sequence[bytes | str]) -> Path:
    """A list of a hash, or a line, each."""
    lines = [row.hex() if isinstance(row, bytes) else row for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def take_up(
    library: Path, rows: Sequence[bytes | str], *, source: str = SOURCE, label: str | None = "terror",
    form: ListFormat | None = None, replace: bool = False,
) -> Imported:  # fmt: skip
    """Imports such a list; the library is made where there is none."""
    Library.open(library, create=True).close()
    path = write(library.with_name("list.txt"), rows)
    return import_files(library, [path], Asked(source, label, form, replace=replace, who="me@here"))


def found(library: Path | Snapshot, code: bytes) -> list[tuple[str, int]]:
    """(label, bits away) of what a stream's look with that hash finds."""
    snapshot = load_snapshot(library) if isinstance(library, Path) else library
    candidates = snapshot.search((seen(code),), radius_bits=RADIUS_BITS)
    return [(candidate.label, candidate.distance_bits) for candidate in candidates]


def lost(library: Path, codes: Sequence[bytes], *, label: str = "terror") -> list[bytes]:
    """Those of the hashes that are not found, once each, under that label."""
    snapshot = load_snapshot(library)
    return [code for code in codes if found(snapshot, code) != [(label, 0)]]


def quarantined(library: Path) -> dict[str, int]:
    """How many are in quarantine, by their reason."""
    with Book.open(library, read_only=True) as book:
        return {reason.name.lower(): count for (_, reason), count in counts(book).items()}
