"""How far a reference has fallen by what people said of its matches, and what a share of so few is worth. Pure.

A mistake counts at once, an agreement never takes one away: only an operator puts a reference back.
"""

import math
from dataclasses import dataclass
from enum import Enum

_NORMAL_95 = 1.959964
"""Of a normal distribution 95 % lie within so many standard deviations."""


class Fall(Enum):
    """What is left to a reference: all that its label may earn, a review at most, or nothing."""

    NONE = "none"
    REVIEW = "review"
    DISABLED = "disabled"

    @property
    def depth(self) -> int:
        return list(Fall).index(self)


@dataclass(frozen=True, slots=True)
class FallRule:
    """So many mistakes let a reference fall; 0: never. It is disabled only where mistakes outnumber agreements as well:
    what is right most of the time is worth a person's look.
    """

    mistakes_to_review: int = 1
    mistakes_to_disable: int = 3


DEFAULT_RULE = FallRule()


@dataclass(frozen=True, slots=True)
class Said:
    """Of how many of a reference's matches people said that they were right, and that they were not."""

    agreed: int
    mistaken: int

    @property
    def share_right(self) -> float | None:
        """Nothing, where nobody said anything."""
        total = self.agreed + self.mistaken
        return self.agreed / total if total else None


NOTHING_SAID = Said(0, 0)


def fall_of(said: Said, rule: FallRule) -> Fall:
    """How far a reference is to fall by this."""
    if rule.mistakes_to_disable and said.mistaken >= rule.mistakes_to_disable and said.mistaken > said.agreed:
        return Fall.DISABLED
    if rule.mistakes_to_review and said.mistaken >= rule.mistakes_to_review:
        return Fall.REVIEW
    return Fall.NONE


def share_bounds(said: Said) -> tuple[float, float]:
    """Between which shares the true share of right matches lies with 95 % confidence: Wilson's score interval, which
    stays within 0 and 1 and is honest where there are few. (0, 1) where nobody said anything.
    """
    total = said.agreed + said.mistaken
    if not total:
        return 0.0, 1.0
    share, square = said.agreed / total, _NORMAL_95**2
    middle = share + square / (2 * total)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    # Rounding leaves 1e-17 of what is nothing.
    lowest = 0.0 if not said.agreed else max(0.0, (middle - half) / (1 + square / total))
    highest = 1.0 if not said.mistaken else min(1.0, (middle + half) / (1 + square / total))
    return lowest, highest
