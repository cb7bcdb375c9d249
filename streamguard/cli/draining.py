"""How services end that drain: once by asking them to, and at once by asking again."""

import signal
from collections.abc import Callable
from types import FrameType


def drain_on_signals(stop: Callable[[], None]) -> None:
    """The first SIGTERM or Ctrl-C calls `stop`; a second Ctrl-C interrupts."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
