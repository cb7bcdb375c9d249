"""NumPy's files of arrays, and nothing else: rows of one known shape, which stay in the bytes that were checked before.

NumPy reads the header as Python does a program, and would unpickle what says that it is objects. It does so with
Python's own parser, which fails now and then where two threads are in it (`SystemError: AST constructor recursion depth
mismatch`, python/cpython#106905), and a library is read by several. So no header is parsed: it is what NumPy writes for
the rows that we expect, or it is damage.
"""

import io

import numpy as np
from numpy.typing import NDArray

from streamguard.errors import LibraryDamaged

MOST_HEADER_BYTES = 4096
_MAGIC = np.lib.format.magic(1, 0)
_TEXT_AT = len(_MAGIC) + 2
"""Behind the header's length, of two bytes."""


def to_bytes(array: NDArray[np.void]) -> bytes:
    """The file of an array."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def from_bytes(
    data: bytes | memoryview, *, dtype: np.dtype[np.void], rows: int | None, path: object
) -> NDArray[np.void]:
    """So many rows, which nobody can change; `rows` None: as many as there are. Raises LibraryDamaged."""
    head = bytes(data[:_TEXT_AT])
    rows_at = _TEXT_AT + int.from_bytes(head[len(_MAGIC) :], "little")
    count, rest = divmod(len(data) - rows_at, dtype.itemsize)
    known = not rest and count >= 0 and rows in (None, count) and rows_at <= MOST_HEADER_BYTES
    if not known or head[: len(_MAGIC)] != _MAGIC or bytes(data[_TEXT_AT:rows_at]).rstrip() != _header_of(count, dtype):
        raise LibraryDamaged("read segment", path, "not the rows that it should hold")
    array = np.frombuffer(data, dtype, count=count, offset=rows_at)
    array.flags.writeable = False
    return array


def _header_of(count: int, dtype: np.dtype[np.void]) -> bytes:
    """The text of it; what fills it up behind differs between versions of NumPy."""
    buffer = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()[_TEXT_AT:].rstrip()
