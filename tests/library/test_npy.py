"""streamguard.library.npy: NumPy's files of arrays, of rows that we expect."""

import ast
import io
from contextlib import nullcontext

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged
from streamguard.library.npy import from_bytes, to_bytes

ROW = np.dtype([("item", "<u4"), ("from_us", "<i8")])


@pytest.fixture
def rows() -> np.ndarray:
    made = np.zeros(5, ROW)
    made["item"], made["from_us"] = range(5), range(10, 15)
    return made


def test_there_and_back(rows: np.ndarray) -> None:
    """What is written is read where it stands, and nobody changes it; also where nobody knows how many there are."""
    data = to_bytes(rows)
    for count in (5, None):
        read = from_bytes(data, dtype=ROW, rows=count, path="x")
        assert np.array_equal(read, rows)
        assert np.shares_memory(read, np.frombuffer(data, np.uint8))
        with pytest.raises(ValueError, match="read-only"):
            read["item"] = 7
    assert len(from_bytes(to_bytes(rows[:0]), dtype=ROW, rows=0, path="x")) == 0


def test_what_is_not_just_these_rows_is_damage(rows: np.ndarray) -> None:
    """Fewer, more, other ones, a cut, a byte more, another version of the format, and what is no array."""
    data, later = to_bytes(rows), io.BytesIO()
    np.lib.format.write_array(later, rows, version=(2, 0))
    bad = [(data, 4), (data, 6), (data[:-1], 5), (data + b"\0", 5), (data[:-12], 5), (data[:60], 5), (b"", 0)]
    bad += [(later.getvalue(), 5), (to_bytes(rows.reshape(5, 1)), 5), (to_bytes(rows["from_us"]), 5), (b"PK\3\4", 0)]
    for text, count in bad:
        for known in (count, None):
            if known is None and text == data:
                continue
            with pytest.raises(LibraryDamaged, match=r"^read segment x: "):
                from_bytes(text, dtype=ROW, rows=known, path="x")


def test_no_header_is_parsed(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's parser fails now and then where two threads are in it, and a library is read by several."""

    def fail(*_: object, **__: object) -> None:
        raise SystemError("AST constructor recursion depth mismatch (before=42, after=39)")

    data = to_bytes(rows)
    monkeypatch.setattr(ast, "literal_eval", fail)
    assert np.array_equal(from_bytes(data, dtype=ROW, rows=5, path="x"), rows)


@pytest.mark.parametrize("filling", [0, 1, 53])
def test_headers_of_other_versions_of_numpy(rows: np.ndarray, filling: int) -> None:
    """They fill up otherwise. The same said in other words is damage: NumPy never wrote that."""
    text = to_bytes(rows)[10 : -rows.nbytes].rstrip()
    for head, is_ours in ((text, True), (text.replace(b"(5,)", b"(5, )"), False), (text.replace(b"'", b'"'), False)):
        filled = head + b" " * filling + b"\n"
        data = b"\x93NUMPY\1\0" + len(filled).to_bytes(2, "little") + filled + rows.tobytes()
        with nullcontext() if is_ours else pytest.raises(LibraryDamaged, match=r"^read segment x: "):
            assert np.array_equal(from_bytes(data, dtype=ROW, rows=5, path="x"), rows)
