"""NumPy's files of arrays, and nothing else: rows of one known shape, which stay in the bytes that were checked before.

NumPy reads the header as Python does a program, and would unpickle what says that it is objects. So no more than a
short header is given to it, and no header but that of the rows that we expect is taken.
"""

import io
import tokenize

import numpy as np
from numpy.typing import NDArray

from streamguard.errors import LibraryDamaged

MOST_HEADER_BYTES = 4096
_MOST_HEADER_CHARACTERS = 1024
"""A long one may be nested deep."""

_VERSION = (1, 0)
_UNREADABLE = (
    *(ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError, RecursionError),
    tokenize.TokenError,
)
"""What NumPy raises for headers that no array has."""


def to_bytes(array: NDArray[np.void]) -> bytes:
    """The file of an array."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def from_bytes(
    data: bytes | memoryview, *, dtype: np.dtype[np.void], rows: int | None, path: object
) -> NDArray[np.void]:
    """So many rows, which nobody can change; `rows` None: as many as there are. Raises LibraryDamaged."""
    head = io.BytesIO(data[:MOST_HEADER_BYTES])
    try:
        is_known = np.lib.format.read_magic(head) == _VERSION
        shape, _, found = np.lib.format.read_array_header_1_0(head, max_header_size=_MOST_HEADER_CHARACTERS)
    except _UNREADABLE as error:
        raise LibraryDamaged("read segment", path, "NumPy cannot read it") from error
    count, rest = divmod(len(data) - head.tell(), dtype.itemsize)
    if not is_known or rest or found != dtype or shape != (count,) or rows not in (None, count):
        raise LibraryDamaged("read segment", path, "not the rows that it should hold")
    array = np.frombuffer(data, dtype, count=count, offset=head.tell())
    array.flags.writeable = False
    return array
