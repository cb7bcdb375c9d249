"""How long a thread of this process may keep others waiting for Python."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_changing = threading.Lock()
_asked_s: list[float] = []
"""As long as turns were before anybody asked, then what each of those has asked for who are still within. It stands
beside what it is about, which is the interpreter's and so of the process.
"""


@contextmanager
def turns_of(seconds: float) -> Iterator[None]:
    """Meanwhile a turn takes no longer than that, for all threads of the process; then as long as before, or as the
    others allow who are still within: they may end in any order.

    It decorates functions as well.
    """
    with _changing:
        if not _asked_s:
            _asked_s.append(sys.getswitchinterval())
        _asked_s.append(seconds)
        sys.setswitchinterval(min(_asked_s))
    try:
        yield
    finally:
        with _changing:
            _asked_s.remove(seconds)
            sys.setswitchinterval(min(_asked_s))
            if len(_asked_s) == 1:
                _asked_s.clear()
