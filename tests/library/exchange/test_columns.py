"""streamguard.library.exchange.columns: a list in memory."""

import pytest

from streamguard.errors import UsageError
from streamguard.library.exchange import columns
from streamguard.library.exchange.columns import ListInMemory
from streamguard.library.exchange.hashes import BadRow, HashKind, ListedHash, Remarks
from tests.library.exchange.shared import hashes

CODES = hashes(2, 3)


def test_a_column_is_sorted_and_has_each_hash_once() -> None:
    """Of what is said twice of a hash, the last counts."""
    held = ListInMemory()
    remarks = Remarks(("tag",), agree=1)
    rows: list[ListedHash | BadRow] = [
        ListedHash(HashKind.PDQ, CODES[1], 60),
        ListedHash(HashKind.PDQ, CODES[0], 70, remarks),
        BadRow(3, "none"),
        ListedHash(HashKind.MD5, b"m" * 16),
        ListedHash(HashKind.PDQ, CODES[1], 80, remarks),
        ListedHash(HashKind.PDQ, CODES[2], deleted=True),
    ]
    assert list(held.take(rows)) == []
    column = held.column(HashKind.PDQ)
    told = {CODES[0]: (70, 1), CODES[1]: (80, 1)}
    assert [code.tobytes() for code in column.codes] == sorted(told)
    assert list(zip(column.qualities.tolist(), column.remarks.tolist(), strict=True)) == [told[c] for c in sorted(told)]
    assert column.deleted == (CODES[2],)
    assert held.remarks() == (remarks,)
    assert len(held.column(HashKind.MD5)) == 1
    assert len(held.column(HashKind.SHA256)) == 0
    assert (held.rows, held.bad_rows, held.bad) == (5, 1, [BadRow(3, "none")])


def test_what_is_named_and_taken_back_is_what_was_said_last() -> None:
    """A list may correct itself, either way."""
    held = ListInMemory()
    rows = [
        ListedHash(HashKind.PDQ, CODES[0], 70),
        ListedHash(HashKind.PDQ, CODES[1], deleted=True),
        ListedHash(HashKind.PDQ, CODES[0], deleted=True),
        ListedHash(HashKind.PDQ, CODES[1], 60),
    ]
    assert list(held.take(rows)) == []
    column = held.column(HashKind.PDQ)
    assert column.deleted == (CODES[0],)
    assert [code.tobytes() for code in column.codes] == [CODES[1]]
    assert column.qualities.tolist() == [60]


def test_of_many_bad_rows_the_first_are_kept_and_all_counted() -> None:
    """A file of nonsense costs no memory."""
    held = ListInMemory()
    assert list(held.take(BadRow(number, "none") for number in range(1000))) == []
    assert (len(held.bad), held.bad_rows) == (columns.MOST_BAD_TOLD, 1000)


def test_a_list_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it takes the memory, and says what to do."""
    monkeypatch.setattr(columns, "MOST_HASHES", 100_000)
    endless = (ListedHash(HashKind.PDQ, number.to_bytes(32, "big")) for number in range(10_000_000))
    with pytest.raises(UsageError, match="over 100000 hashes; split it"):
        list(ListInMemory().take(endless))
