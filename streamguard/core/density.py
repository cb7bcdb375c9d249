"""How closely something was seen: when, how often, and since when more often than before."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from streamguard.errors import counted

_DIFFERENT = 1.5
"""So many times as far apart are worth a word: how far apart looks at a quiet stream are changes by chance."""

_LEAST_GAPS = 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which something was seen about every `every_s`; it began `from_s` ago."""

    from_s: float
    every_s: float


def stretches(agos_s: Sequence[float]) -> tuple[Stretch, ...]:
    """Of what was seen so many seconds ago, the newest stretch first: two where it was seen at one pace and then at
    another, else one; none where it was seen once.
    """
    newest_first = sorted(agos_s)
    gaps_s = [older - newer for newer, older in pairwise(newest_first)]
    if not gaps_s:
        return ()
    cuts = range(_LEAST_GAPS, len(gaps_s) - _LEAST_GAPS + 1)
    cut = min(cuts, key=lambda at: _spread(gaps_s[:at]) + _spread(gaps_s[at:]), default=0)
    newer_s, older_s = (fmean(part) if part else 0.0 for part in (gaps_s[:cut], gaps_s[cut:]))
    if not cut or max(newer_s, older_s) <= _DIFFERENT * min(newer_s, older_s):
        return (Stretch(newest_first[-1], fmean(gaps_s)),)
    return Stretch(newest_first[cut], newer_s), Stretch(newest_first[-1], older_s)


def in_words(agos_s: Sequence[float]) -> str:
    """`19 keyframes, from 87 s to 1 s ago; one each 2.0 s in the last 31 s, one each 6.0 s before`."""
    found = stretches(agos_s)
    paces = [f"one each {one.every_s:.1f} s" for one in found]
    if len(found) > 1:
        paces = [f"{paces[0]} in the last {found[0].from_s:.0f} s", f"{paces[1]} before"]
    times = f"from {max(agos_s, default=0.0):.0f} s to {min(agos_s, default=0.0):.0f} s ago"
    return "; ".join([f"{counted(len(agos_s), 'keyframe')}, {times}", *([", ".join(paces)] if paces else [])])


def _spread(gaps_s: Sequence[float]) -> float:
    mean_s = fmean(gaps_s)
    return sum((gap_s - mean_s) ** 2 for gap_s in gaps_s)
