"""What a source tells besides frames: the values that an operator's view of a stream is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Opened:
    """Connected, and there is video. Sent again when it changes. A file says how long it is, where it knows."""

    codec: str
    width_px: int
    height_px: int
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Alive:
    """The connection lives, but nothing was seen since the last word: at most once a second.

    For HLS a playlist that was answered counts as well, so `packets` may be 0. `passed_over` keyframes came since this
    was last told, and were not due to be looked at.
    """

    packets: int
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class Blind:
    """Connected, but nothing can be seen, and why. Ends with the next frame."""

    reason: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something could not be used and was passed over: what, and how many since the last word."""

    what: str
    count: int = 1


class Way(Enum):
    """How an HLS segment is looked at."""

    I_FRAMES = "iframe"
    """From a playlist of keyframes alone."""
    HEAD = "head"
    """As far as its keyframes, or its first one, go."""
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Pulled:
    """An HLS segment was fetched, and how; and the bytes of all bodies since the last word, playlists included."""

    way: Way
    fetched_bytes: int


News = Opened | Alive | Blind | Damaged | Pulled
Tell = Callable[[News], None]


def ignore(_: News) -> None:
    """For callers that want frames only."""
