"""Ids for files that were given none: from their names."""

import re
import unicodedata
from collections.abc import Container
from pathlib import Path

from streamguard.types import AssetId

_MOST_CHARACTERS = 100


def id_from_name(path: Path) -> AssetId:
    """The file's name in safe characters."""
    plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    return AssetId(re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:_MOST_CHARACTERS] or "item")


class FreshIds:
    """Gives no id twice, and none that is `taken`. An id costs the same however many files have one name."""

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken
        self._given: set[str] = set()
        self._next: dict[str, int] = {}

    def give(self, path: Path) -> AssetId:
        """The file's name, with a number when it is taken."""
        name = id_from_name(path)
        number = self._next.get(name, 1)
        while (id_ := name if number == 1 else f"{name}-{number}") in self._taken or id_ in self._given:
            number += 1
        self._next[name] = number + 1
        self._given.add(id_)
        return AssetId(id_)

    def take(self, id_: AssetId) -> AssetId:
        """One that was asked for: no other file gets it."""
        self._given.add(id_)
        return id_
