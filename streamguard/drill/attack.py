"""What an attack is: something done to each picture of footage, to its time, or to how it is encoded."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from streamguard.demo.scenes import Footage
from streamguard.demo.textures import Picture

USUAL_BIT_RATE_BPS = 900_000


class Family(Enum):
    """What attacks have in common."""

    RECODING = "recoding"
    COLOUR = "colour"
    NOISE = "noise"
    CROP = "crop"
    BARS = "bars"
    TURN = "turn"
    EMBEDDING = "embedding"
    OVERLAY = "overlay"
    SCREEN = "screen"
    SHAPE = "shape"
    HIDING = "hiding"
    TIME = "time"
    COMBINATION = "combination"


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in the attacked stream we are: seconds since the footage came on, the drill's seed for this footage, and
    the unrelated footage that runs beside or behind it.
    """

    t_s: float
    seed: int
    behind: Footage

    def picture_behind(self, like: Picture) -> Picture:
        """The unrelated picture of this moment, in the size of that one."""
        return self.behind.frame(self.t_s, like.shape[1], like.shape[0])

    def randomness(self) -> np.random.Generator:
        """The same for the same moment and seed."""
        return np.random.default_rng([self.seed, round(self.t_s * 1000)])


Edit = Callable[[Picture, Moment], Picture]
"""A new picture of the same size; the one given is left as it is."""

TimeMap = Callable[[float, float], float]
"""From seconds since the footage came on, and how many seconds of it there are, to the second of it that is shown. The
stream ends where that is at the footage's end, or before its beginning.
"""


def untouched(picture: Picture, _moment: Moment) -> Picture:
    """As it is."""
    return picture


def in_time(t_s: float, _length_s: float) -> float:
    """As it was filmed."""
    return t_s


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to get known footage past us. `about` is a line for people."""

    name: str
    family: Family
    about: str
    edit: Edit = untouched
    when: TimeMap = in_time
    bit_rate_bps: int = USUAL_BIT_RATE_BPS
    hides: bool = False
    """Each keyframe shows other footage; what is known stands in all other pictures."""
