"""A library that is made when its first item is: footage that turns out to be none leaves no empty one behind."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streamguard.library.catalogue import CATALOGUE, ItemRecord, NewItem
from streamguard.library.changes import Origin
from streamguard.library.ed25519 import Signer
from streamguard.library.handed_on import HandedOn
from streamguard.library.memberships import Into
from streamguard.library.segments import check_new
from streamguard.library.store import ADD, NOBODY, Library
from streamguard.types import Reference


class LibraryToBe:
    """Opens the library for adding, or makes it at the first item. Close it. Raises as Library does.

    Where none could be made it says so at once, and not after hours of decoding. `action`: what the history calls it.
    """

    def __init__(
        self, path: Path, *, action: str = ADD, origin: Origin | None = None, signer: Signer | None = None
    ) -> None:
        self._path = path
        self._action = action
        self._origin = origin
        self._signer = signer
        self._library: Library | None = None
        if not _can_be_made_later(path):
            self._library = self._opened()

    def close(self) -> None:
        if self._library is not None:
            self._library.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def items(self) -> tuple[ItemRecord, ...]:
        """Every item; none while there is no library."""
        there = self._if_there()
        return () if there is None else there.items()

    def has(self, id_: str) -> bool:
        there = self._if_there()
        return there is not None and there.has(id_)

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]:
        """The item made from a file of that SHA-256, or nothing."""
        there = self._if_there()
        return () if there is None else there.with_content(sha256)

    def add_all(
        self,
        new: Sequence[tuple[NewItem, Reference]],
        *,
        handed_on: Mapping[str, HandedOn] = NOBODY,
        into: Into | None = None,
    ) -> tuple[ItemRecord, ...]:
        """See Library.add_all, which also refuses what cannot be recognised: then no library is made for it."""
        if not new:
            return ()
        if self._library is None:
            for item, reference in new:
                check_new(item.id, item.label, reference)
            self._library = self._opened()
        return self._library.add_all(new, handed_on=handed_on, action=self._action, into=into)

    def _if_there(self) -> Library | None:
        """Another process may have made it meanwhile."""
        if self._library is None and (self._path / CATALOGUE).is_file():
            self._library = self._opened()
        return self._library

    def _opened(self) -> Library:
        return Library.open(self._path, create=True, origin=self._origin, signer=self._signer)


def _can_be_made_later(path: Path) -> bool:
    """Whether there is nothing yet, and room to make it."""
    place = path.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return False
    return place != path.absolute() or not any(place.iterdir())
