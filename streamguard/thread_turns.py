"""How long a thread of this process may keep others waiting for Python."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def turns_of(seconds: float) -> Iterator[None]:
    """Meanwhile a turn takes no longer than that, for all threads of the process; then as long as before.

    It decorates functions as well.
    """
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
