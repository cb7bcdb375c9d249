"""Where fingerprinted items go when no library is at hand: into shards, for `streamguard.worker.bulk.merging`.

`indexing.index` fills it as it fills a library, in the same batches; a batch is a shard.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from streamguard.core.telling import review_only
from streamguard.errors import StreamGuardError
from streamguard.library.catalogue import ItemRecord, ItemState, NewItem
from streamguard.library.durable import NEW_PREFIX, library_error
from streamguard.types import MediaKind, Reference
from streamguard.worker.bulk import shard_file
from streamguard.worker.bulk.shard_file import SUFFIX, ShardItem
from streamguard.worker.ids import id_from_name
from streamguard.worker.indexing import There

_LEFT_BEHIND_S = 3600.0
"""No shard takes so long to be written."""


@dataclass(frozen=True, slots=True)
class KnownContent:
    """What need not be done again, as it is looked up: for many shelves it is made once."""

    by_sha256: Mapping[str, ItemRecord]
    there: There


def known_content(items: Iterable[ItemRecord]) -> KnownContent:
    """No id is taken by it: ids are given when shards are merged."""
    by_sha256 = {item.sha256: item for item in items}
    return KnownContent(by_sha256, There((), frozenset(item.size_bytes for item in by_sha256.values())))


class ShardShelf:
    """`keep` gets the name and the content of each shard; it may raise LibraryError."""

    def __init__(self, known: KnownContent, *, keep: Callable[[str, bytes], None]) -> None:
        self._known = known.by_sha256
        self._added: dict[str, ItemRecord] = {}
        self._keep = keep

    def items(self) -> tuple[ItemRecord, ...]:
        return (*self._known.values(), *self._added.values())

    def has(self, id_: str) -> bool:  # noqa: ARG002 - a Shelf's
        """None is taken: ids are given when shards are merged."""
        return False

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]:
        item = self._known.get(sha256) or self._added.get(sha256)
        return () if item is None else (item,)

    def add_all(self, new: Sequence[tuple[NewItem, Reference]]) -> tuple[ItemRecord, ...]:
        """One shard. What is known already is left out."""
        fresh = [(item, reference) for item, reference in new if not self.with_content(item.sha256)]
        if not fresh:
            return ()
        name, data = shard_file.to_bytes(fresh)
        self._keep(name, data)
        added = tuple(_record(item, reference, shard=name) for item, reference in fresh)
        self._added |= {item.sha256: item for item in added}
        return added


def is_in_part(path: Path, *, index: int, of: int) -> bool:
    """Whether a file belongs to part `index` of so many. That hangs on its path alone: parts that list a folder at
    different times, while files come and go, still pass over none.
    """
    digest = hashlib.sha256(os.fsencode(path)).digest()
    return int.from_bytes(digest[:8], "big") % of == index


def shards_in(folder: Path) -> tuple[Path, ...]:
    """The shards of a folder, by their names, in order. Raises LibraryError."""
    try:
        return tuple(sorted(path for path in folder.iterdir() if path.suffix == SUFFIX))
    except OSError as error:
        raise library_error("read shards", folder, error) from error


def open_folder(
    folder: Path, *, clock: Callable[[], float] = time.time
) -> tuple[ShardShelf, tuple[StreamGuardError, ...]]:
    """Makes the folder when there is none, and tells which shards in it are no good: what they held is done again.

    Raises LibraryError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder, before_unix_s=clock() - _LEFT_BEHIND_S)
    except OSError as error:
        raise library_error("make shards", error.filename or folder, error) from error
    known: list[ItemRecord] = []
    problems: list[StreamGuardError] = []
    for path in shards_in(folder):
        try:
            known += [_known(item, shard=path.name) for item in shard_file.read_head(path).items]
        except StreamGuardError as error:
            problems.append(error)
    return ShardShelf(known_content(known), keep=partial(shard_file.write, folder)), tuple(problems)


def _sweep(folder: Path, *, before_unix_s: float) -> None:
    """What killed writers left; others may write into the same folder now."""
    for path in folder.glob(f"{NEW_PREFIX}*{SUFFIX}.*"):
        try:
            if path.lstat().st_mtime < before_unix_s:
                path.unlink()
        except FileNotFoundError:  # finished, or swept by another
            continue


def _record(item: NewItem, reference: Reference, *, shard: str) -> ItemRecord:
    return ItemRecord(
        number=0,
        id=item.id,
        label=item.label,
        state=ItemState.LIVE,
        kind=reference.kind,
        segment=shard,
        sha256=item.sha256,
        looks=len(reference.prints),
        duration_us=reference.duration_us,
        frames_seen=reference.frames_seen,
        blank_share=reference.blank_share,
        review_only=review_only(reference),
        added_unix_s=0.0,
        source=item.source,
        size_bytes=item.size_bytes,
    )


def _known(item: ShardItem, *, shard: str) -> ItemRecord:
    """What its head says."""
    return ItemRecord(
        number=0,
        id=id_from_name(Path(item.source)),
        label=item.label,
        state=ItemState.LIVE,
        kind=MediaKind.VIDEO,
        segment=shard,
        sha256=item.sha256,
        looks=0,
        duration_us=0,
        frames_seen=0,
        blank_share=0.0,
        review_only=False,
        added_unix_s=0.0,
        source=item.source,
        size_bytes=item.size_bytes,
    )
