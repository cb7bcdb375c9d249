"""What a stream shows besides the footage: a host's studio, a waiting screen, a slate.

It stands beside recognised footage as more of that footage does, and whoever made it known would have every later
broadcast of that host cut. So a picture that was on long before the footage came, or that stands on the other side of
it as well, is context.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamguard.core import pdq
from streamguard.core.stillness import same_place
from streamguard.types import Fingerprints, MediaTime, View

LONG_BEFORE_S = 30.0
"""What was on so long before the first recognised keyframe of a session, and is on again, is none of the footage."""

_ALIKE_BITS = 31
"""PDQ's usual radius."""

_ALIKE_SHARE, _LEAST_FEATURES = 0.4, 30
"""Of the features so many stand at the same place: the same camera, whoever moves before it."""

_STANDS_S = 4.0
"""On for so long without a change: a film that is shown over and over does not stand."""

_MOST_OF_IT = 0.5

_MOST_COMPARED = 12
"""Of one run, by features, which take 0.3 ms a pair."""


@dataclass(frozen=True, slots=True)
class Run:
    """Keyframes of one session in a row that show nothing known, in order of time."""

    keyframes: tuple[Fingerprints, ...]


def is_blank(keyframe: Fingerprints) -> bool:
    """Black, flat or fading: nothing to recognise by its hash."""
    return all(look.quality < pdq.MIN_QUALITY for look in keyframe.prints)


def stands_still(keyframes: Sequence[Fingerprints]) -> bool:
    """Whether most of what there is to see is one camera that does not move, whatever moves before it."""
    seen = [one for one in keyframes if not is_blank(one)]
    alike = sum(_is_among(one, seen) for one in seen)
    return bool(seen) and alike >= _MOST_OF_IT * len(seen)


def context_in(runs: Sequence[Run], *, first_known_us: Mapping[int, int]) -> frozenset[MediaTime]:
    """When the runs of one stream show context. `first_known_us`: of each session in which something was recognised,
    the time of the first such keyframe.
    """
    long_before = {
        session: [
            one
            for run in runs
            for one in run.keyframes
            if one.at.session == session and known_us - one.at.pts_us > LONG_BEFORE_S * 1e6
        ]
        for session, known_us in first_known_us.items()
    }
    found = set()
    for number, run in enumerate(runs):
        others = [other.keyframes for at, other in enumerate(runs) if at != number]
        for one in run.keyframes:
            if not is_blank(one) and (
                _is_among(one, long_before.get(one.at.session, [])) or any(_stands_in(one, other) for other in others)
            ):
                found.add(one.at)
    return frozenset(found)


def _is_among(one: Fingerprints, others: Sequence[Fingerprints]) -> bool:
    """At another time than its own."""
    return any(abs(other.at.pts_us - one.at.pts_us) >= _STANDS_S * 1e6 for other in _alike_in(one, others))


def _stands_in(one: Fingerprints, run: Sequence[Fingerprints]) -> bool:
    """Whether it is on there, and for a while."""
    first_us: int | None = None
    for other in _alike_in(one, run):
        first_us = other.at.pts_us if first_us is None else min(first_us, other.at.pts_us)
        if other.at.pts_us - first_us >= _STANDS_S * 1e6:
            return True
    return False


def _alike_in(one: Fingerprints, others: Sequence[Fingerprints]) -> Iterator[Fingerprints]:
    """In order of time: by hash all of them, by features a few."""
    step = max(1, -(-len(others) // _MOST_COMPARED))
    for number, other in enumerate(others):
        if _is_near(one, other) or (number % step == 0 and _has_the_same_places(one, other)):
            yield other


def _is_near(one: Fingerprints, other: Fingerprints) -> bool:
    """By any of their pictures, with black bars and without."""
    return any(
        pdq.distance_bits(mine.codes[View.UPRIGHT], theirs.codes[View.UPRIGHT]) <= _ALIKE_BITS
        for mine in one.prints
        for theirs in other.prints
        if min(mine.quality, theirs.quality) >= pdq.MIN_QUALITY
    )


def _has_the_same_places(one: Fingerprints, other: Fingerprints) -> bool:
    mine, theirs = one.features, other.features
    if min(len(mine), len(theirs)) < _LEAST_FEATURES:
        return False
    return bool(same_place(mine, theirs).mean() >= _ALIKE_SHARE)
