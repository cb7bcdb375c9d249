"""Is a file, byte for byte, one that a shared list names?"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import UsageError
from streamguard.library.exchange.book import BOOK, Book
from streamguard.library.exchange.hashes import HashKind
from streamguard.library.exchange.schema import HashState
from streamguard.regular_files import open_regular

_CHUNK_BYTES = 1 << 20
_MOST_TOLD = 16


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A list that names the file. What comes from the list's source may earn a kill, or a review only."""

    source: str
    label: str
    kind: HashKind
    code: bytes
    may_kill: bool


class FileLists:
    """The MD5 and SHA-256 hashes of a library's lists. Close it."""

    def __init__(self, library: Path) -> None:
        """Raises LibraryError."""
        has_book = (library / BOOK).is_file()
        self._book = Book.open(library, read_only=True) if has_book else None
        self._sources = {one.number: one for one in self._book.sources()} if self._book else {}
        self._kinds = self._listed_kinds()

    def close(self) -> None:
        if self._book is not None:
            self._book.close()

    def known(self, path: Path) -> tuple[KnownFile, ...]:
        """The lists that name it, at most 16. Reads the file only where there is a list to compare it with.

        Raises UsageError for a file that cannot be read.
        """
        if self._book is None or not self._kinds:
            return ()
        found = []
        for kind, code in _hashes(path, self._kinds).items():
            rows = self._book.rows(
                "SELECT source FROM hashes WHERE kind = ? AND code = ? AND state = ? LIMIT ?",
                *(kind, code, HashState.LIVE, _MOST_TOLD),
            )
            for row in rows:
                source = self._sources[row["source"]]
                found.append(KnownFile(source.name, source.label, kind, code, source.may_kill))
        return tuple(found[:_MOST_TOLD])

    def _listed_kinds(self) -> tuple[HashKind, ...]:
        if self._book is None:
            return ()
        return tuple(
            kind
            for kind in (HashKind.MD5, HashKind.SHA256)
            if self._book.rows("SELECT 1 FROM hashes WHERE kind = ? LIMIT 1", kind)
        )


def _hashes(path: Path, kinds: tuple[HashKind, ...]) -> dict[HashKind, bytes]:
    # MD5 is what the lists have; nobody's safety rests on it.
    digests = {kind: hashlib.new(kind.word, usedforsecurity=False) for kind in kinds}
    try:
        with open_regular(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                for digest in digests.values():
                    digest.update(chunk)
    except OSError as error:
        raise UsageError("read", path, error.strerror or str(error), hint="check the path") from error
    return {kind: digest.digest() for kind, digest in digests.items()}
