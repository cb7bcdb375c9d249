"""A list in memory: a few bytes a hash, sorted, each hash once. Two million take 90 MB."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamguard.errors import UsageError
from streamguard.library.exchange.hashes import BadRow, HashKind, ListedHash, Remarks, in_order
from streamguard.types import Codes

MOST_HASHES = 10_000_000
"""Of one import: 450 MB."""

MOST_BAD_TOLD = 20
"""So many malformed rows are told with their lines; all are counted."""

_MOST_REMARKS = 1_000_000
_DELETED = 254
"""In the place of a quality: the list takes the hash back."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The hashes of one kind, sorted by their bytes, and of each its quality and the number of its remarks. `deleted`:
    what the list takes back.
    """

    kind: HashKind
    codes: Codes
    qualities: NDArray[np.uint8]
    remarks: NDArray[np.uint32]
    deleted: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(slots=True)
class _Growing:
    codes: bytearray = field(default_factory=bytearray)
    qualities: bytearray = field(default_factory=bytearray)
    remarks: "array[int]" = field(default_factory=lambda: array("I"))


class ListInMemory:
    """Takes rows, one after the other, and gives columns. What is said twice of a hash, the last counts; also where it
    is named and taken back.
    """

    def __init__(self) -> None:
        self.bad: list[BadRow] = []
        self.bad_rows = 0
        self.rows = 0
        self._kinds: dict[HashKind, _Growing] = {}
        self._numbers: dict[Remarks, int] = {}

    def take(self, rows: Iterable[ListedHash | BadRow]) -> Iterator[int]:
        """Yields the number of rows so far, now and then. Raises UsageError for more than MOST_HASHES."""
        for row in rows:
            if isinstance(row, BadRow):
                self.bad_rows += 1
                if len(self.bad) < MOST_BAD_TOLD:
                    self.bad.append(row)
                continue
            self.rows += 1
            self._add(row)
            if not self.rows & 0x7FFF:
                if self.rows > MOST_HASHES:
                    raise UsageError("import list", "", f"over {MOST_HASHES} hashes", hint="split it, and import each")
                yield self.rows

    def column(self, kind: HashKind) -> Column:
        """Those of a kind, maybe none."""
        held = self._kinds.get(kind, _Growing())
        codes = np.frombuffer(bytes(held.codes), np.uint8).reshape(-1, kind.bytes)
        qualities, remarks = np.frombuffer(bytes(held.qualities), np.uint8), np.array(held.remarks, np.uint32)
        order = in_order(codes)
        codes = codes[order]
        # The order is stable: of equal ones the last was said last.
        last = np.ones(len(codes), np.bool_)
        last[:-1] = (codes[1:] != codes[:-1]).any(axis=1)
        kept, codes = order[last], codes[last]
        gone = qualities[kept] == _DELETED
        deleted = tuple(code.tobytes() for code in codes[gone])
        return Column(kind, codes[~gone], qualities[kept][~gone], remarks[kept][~gone], deleted)

    def remarks(self) -> tuple[Remarks, ...]:
        """By their numbers less one; number 0 is none."""
        return tuple(self._numbers)

    def _add(self, row: ListedHash) -> None:
        held = self._kinds.get(row.kind)
        if held is None:
            held = self._kinds[row.kind] = _Growing()
        held.codes += row.code
        held.qualities.append(_DELETED if row.deleted else row.quality)
        held.remarks.append(0 if row.deleted else self._number(row.remarks))

    def _number(self, remarks: Remarks) -> int:
        if not (remarks.tags or remarks.agree or remarks.disagree or remarks.seen):
            return 0
        if len(self._numbers) >= _MOST_REMARKS and remarks not in self._numbers:
            hint = "leave the columns of tags and opinions out"
            raise UsageError("import list", "", f"over {_MOST_REMARKS} different remarks in it", hint=hint)
        return self._numbers.setdefault(remarks, len(self._numbers) + 1)
