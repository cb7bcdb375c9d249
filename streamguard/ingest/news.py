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
    """The connection lives, but nothing was seen since the last word, 2.5 s ago.

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


class Refusal(Enum):
    """What a source asked for and did not get, for it is beyond our bounds."""

    SCHEME = "scheme"
    """A URL that is not http(s)."""
    ADDRESS = "address"
    """A host inside the operator's network that nobody allowed."""
    PORT = "port"
    """One where another service than HTTP is at home, on a host that nobody allowed."""
    NAMES = "names"
    """One host more than a stream may name."""
    URL = "url"
    """What cannot be understood as one, or is too long."""
    REDIRECTS = "redirects"
    HEADERS = "headers"
    """More of them, or longer ones, than an HTTP answer has."""
    PLAYLIST = "playlist"
    """It is too long, names too many renditions, or leads to another master playlist."""
    SEGMENT = "segment"
    """It is too long, or made so that reading it would take too much."""
    CODEC = "codec"
    PICTURE = "picture"
    """One larger than `max_pixels`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something beyond our bounds was left alone, whatever becomes of the stream: why, and what it was."""

    why: Refusal
    what: str


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


@dataclass(frozen=True, slots=True)
class Glanced:
    """Since the last word so many pictures between keyframes were looked at, in that much processor time, and so many
    that might have been were not. `hiding`: something may hide there.
    """

    looks: int
    refused: int
    cost_s: float
    hiding: bool


News = Opened | Alive | Blind | Damaged | Glanced | Pulled | Refused
Tell = Callable[[News], None]


def ignore(_: News) -> None:
    """For callers that want frames only."""
