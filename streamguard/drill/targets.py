"""Which footage to attack: the operator's files, and whose footage they are. The library itself keeps no footage."""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamguard.drill.score import Target
from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemRecord, ItemState
from streamguard.library.exchange.book import ORIGIN
from streamguard.regular_files import open_regular

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Footage:
    """A file, and the item that was made from it."""

    path: Path
    target: Target


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that is not attacked, or a file. `by_name`: it was asked for, so that its lack is an error."""

    name: str
    reason: str
    by_name: bool


def find(
    records: Iterable[ItemRecord], *, items: Sequence[str], files: Sequence[Path]
) -> tuple[list[Footage], list[Skipped]]:
    """The footage of all items that are searched; of those named; or the files, each for the item of its content.

    One item with one file is taken for that item's footage whatever its content. Raises UsageError for an item that is
    not in the library, or is disabled.
    """
    live = [record for record in records if record.state is ItemState.LIVE]
    for name in set(items) - {record.id for record in live}:
        problem, hint = f"no item {name!r} is searched", "`streamguard library list` shows which there are"
        raise UsageError("drill", "", problem, hint=hint)
    wanted = [record for record in live if not items or record.id in items]
    if files and items:
        if len(files) > 1 or len(wanted) > 1:
            hint = "the item of a FILE is told by its content"
            raise UsageError("drill", "", "--item goes with one FILE only", hint=hint)
        return _looked_at([_of_file(files[0], wanted[0])])
    if files:
        by_content = {record.sha256: record for record in wanted}
        return _looked_at(_told_by_content(file, by_content) for file in files)
    # Of a shared list there is no footage, and it may have thousands of parts: only who names one is told so.
    filmed = [record for record in wanted if items or not record.source.startswith(ORIGIN)]
    return _looked_at(_of_item(record, by_name=bool(items)) for record in filmed)


def sample(footage: Sequence[Footage], *, most: int | None, seed: int) -> list[Footage]:
    """So many of them at random, in their order; all without a number."""
    if most is None or most >= len(footage):
        return list(footage)
    chosen = random.Random(seed).sample(range(len(footage)), most)  # noqa: S311 - keeps no secret
    return [footage[number] for number in sorted(chosen)]


def _looked_at(found: Iterable[Footage | Skipped]) -> tuple[list[Footage], list[Skipped]]:
    footage: list[Footage] = []
    skipped: list[Skipped] = []
    for one in found:
        if isinstance(one, Footage):
            footage.append(one)
        else:
            skipped.append(one)
    return footage, skipped


def _of_item(record: ItemRecord, *, by_name: bool) -> Footage | Skipped:
    """By the path that it was added from."""
    path = Path(record.source)
    hint = f"where it is now: drill --item {record.id} FILE"
    try:
        with open_regular(path) as file:
            size_bytes = file.seek(0, 2)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Skipped(record.id, f"{record.source}: {reason}; {hint}", by_name)
    if size_bytes != record.size_bytes:
        return Skipped(record.id, f"{record.source}: not the file that was added, by its size; {hint}", by_name)
    return Footage(path, _target(record))


def _of_file(path: Path, record: ItemRecord) -> Footage | Skipped:
    """Whatever its content."""
    try:
        with open_regular(path):
            return Footage(path, _target(record))
    except (OSError, ValueError) as error:
        return _unreadable(path, error)


def _told_by_content(path: Path, by_content: Mapping[str, ItemRecord]) -> Footage | Skipped:
    try:
        content = _sha256(path)
    except (OSError, ValueError) as error:
        return _unreadable(path, error)
    if content not in by_content:
        reason = "no item of the library has this content; name the item that it shows: drill --item ID FILE"
        return Skipped(str(path), reason, by_name=True)
    return Footage(path, _target(by_content[content]))


def _unreadable(path: Path, error: Exception) -> Skipped:
    return Skipped(str(path), getattr(error, "strerror", None) or str(error), by_name=True)


def _target(record: ItemRecord) -> Target:
    return Target(record.id, record.label, record.review_only)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
