"""Which keyframes agree: the same footage, seen the same way, at places in it that the time between them can explain.

Local features find a scene again from elsewhere too: where a camera comes back to what it has filmed, in a shot that
goes on. There the footage seems to leap, to stand or to run backwards, and to shift in the picture. So of features a
kill takes one of the stories below (`STORIES`): footage that goes on at a likely speed and stays where it is in the
picture is believed soonest, what moves about or runs backwards one keyframe later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamguard.core.decision_rule import DecisionRule
from streamguard.types import AssetId, Evidence, MediaKind, MediaTime, Observation, Outline, Place, Region, View

_PER_SECOND_US = 1_000_000

_MOST_A_TRACK = 8
"""Of one keyframe's evidence for one asset in one view, so much of what tells when is looked at, and of what does not:
the strongest. Together, a background that eight frames show would crowd out the moment.
"""

Track = tuple[AssetId, View]
"""Only evidence for the same footage, seen the same way, can agree."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One keyframe's evidence on one track, the strongest first, and the stretch of footage with all its places."""

    evidence: tuple[Evidence, ...]
    reach: Place


@dataclass(frozen=True, slots=True)
class Seen:
    """The evidence of one keyframe by track."""

    at: MediaTime
    tracks: Mapping[Track, Sighting]


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier keyframe from now: what is left of its nats, and how far the footage can and must have gone since."""

    seen: Seen
    fading: float
    most_us: float
    least_us: float
    forward_us: tuple[float, float]
    is_near: bool


@dataclass(frozen=True, slots=True)
class Story:
    """How known footage may be shown, and how many keyframes more than the rule's least must tell it so."""

    forward: bool
    steady: bool
    more_keyframes: int


STORIES = (
    Story(forward=True, steady=True, more_keyframes=0),
    Story(forward=True, steady=False, more_keyframes=1),
    Story(forward=False, steady=True, more_keyframes=1),
)


Trace = Sequence[tuple[Past, Sighting]]
"""What earlier keyframes say of one track, the newest first."""


@dataclass(frozen=True, slots=True)
class Support:
    """A piece of evidence with the earlier keyframes that agree with it, and what they are worth together now."""

    nats: float
    chain: tuple[tuple[MediaTime, Evidence], ...]

    @property
    def rank(self) -> tuple[float, int]:
        """More nats first. They have a ceiling, which all frames of one shot may reach: then more features."""
        return self.nats, sum(item.features or 0 for _, item in self.chain)


def seen_in(observation: Observation) -> Seen:
    """Sorted, so that the decision does not hang on the order in which the library was searched."""
    tracks: dict[Track, list[Evidence]] = {}
    for item in observation.evidence:
        tracks.setdefault((item.asset, item.view), []).append(item)
    return Seen(observation.at, {track: _sighting(items) for track, items in tracks.items()})


def _sighting(items: list[Evidence]) -> Sighting:
    ordered = sorted(items, key=_order)
    telling = [item for item in ordered if item.tells_when][:_MOST_A_TRACK]
    blind = [item for item in ordered if not item.tells_when][:_MOST_A_TRACK]
    strongest = tuple(sorted([*telling, *blind], key=_order))
    reach = Place(min(item.place.from_us for item in strongest), max(item.place.to_us for item in strongest))
    return Sighting(strongest, reach)


def pasts_of(recent: Sequence[Seen], seen: Seen, rule: DecisionRule) -> list[Past]:
    """Those earlier keyframes as they are now, the newest first; none where now nothing is seen."""
    return [_past(past, now=seen.at, rule=rule) for past in reversed(recent)] if seen.tracks else []


def _past(seen: Seen, *, now: MediaTime, rule: DecisionRule) -> Past:
    elapsed_s = seconds(seen.at, now)
    return Past(
        seen=seen,
        fading=0.5 ** (elapsed_s / rule.half_life_s),
        most_us=(rule.max_speed * elapsed_s + rule.place_slack_s) * _PER_SECOND_US,
        least_us=rule.moving_speed * elapsed_s * _PER_SECOND_US,
        forward_us=(
            (rule.least_speed * elapsed_s - rule.speed_slack_s) * _PER_SECOND_US,
            (rule.max_speed * elapsed_s + rule.speed_slack_s) * _PER_SECOND_US,
        ),
        is_near=elapsed_s <= rule.near_s,
    )


def traced_back(tracks: Sequence[Track], *, seen: Seen, pasts: Sequence[Past]) -> Sequence[tuple[Sighting, Trace]]:
    """What each of the tracks shows now, and what it showed before."""
    return [
        (seen.tracks[track], [(past, past.seen.tracks[track]) for past in pasts if track in past.seen.tracks])
        for track in tracks
    ]


def strongest(
    traced: Sequence[tuple[Sighting, Trace]],
    *,
    now: MediaTime,
    rule: DecisionRule,
    enough: float,
    story: Story | None,
) -> Support | None:
    """The evidence with the most support, if that is keyframes and nats enough. Ties go to the first in order.

    Without a `story` any agreement will do.
    """
    best = None
    keyframes = rule.min_keyframes + (0 if story is None else story.more_keyframes)
    for sighting, trace in traced:
        # No item can be worth more than if the strongest of every keyframe agreed: most searches end here.
        most = sum((earlier.evidence[0].nats * past.fading for past, earlier in trace), sighting.evidence[0].nats)
        if len(trace) + 1 < keyframes or most < enough:
            continue
        for item in sighting.evidence:
            if item.tells_when or story is None:
                support = _support(item, trace, now=now, rule=rule, story=story)
                if len(support.chain) >= keyframes and support.nats >= enough:
                    best = support if best is None or support.rank > best.rank else best
    return best


def _support(item: Evidence, trace: Trace, *, now: MediaTime, rule: DecisionRule, story: Story | None) -> Support:
    """The item with, from each earlier keyframe that is not too near to one counted, the most that agrees with it."""
    nats = item.nats
    chain = [(now, item)]
    for past, earlier in trace:
        too_near = seconds(past.seen.at, chain[-1][0]) < rule.apart_s
        if too_near or not _reachable(earlier.reach, item.place, past):
            continue
        for other in earlier.evidence:
            if _reachable(other.place, item.place, past) and (
                story is None or (other.tells_when and _fits(other, item, past, rule=rule, story=story))
            ):
                nats += other.nats * past.fading
                chain.append((past.seen.at, other))
                break
    return Support(nats, tuple(reversed(chain)))


def _reachable(one: Place, other: Place, past: Past) -> bool:
    return one.from_us - other.to_us <= past.most_us and other.from_us - one.to_us <= past.most_us


def _fits(earlier: Evidence, later: Evidence, past: Past, *, rule: DecisionRule, story: Story) -> bool:
    """The footage went on between the two as the story has it; a known image needs only be held."""
    if later.kind is MediaKind.IMAGE:
        return True
    if earlier.place == later.place:
        return False
    gone_us = later.place.middle_us - earlier.place.middle_us
    if earlier.features is None and later.features is None:
        return (gone_us if story.forward else -gone_us) >= past.least_us
    if not (past.is_near or story.more_keyframes):
        return False
    least_us, most_us = past.forward_us
    goes_on = least_us <= (gone_us if story.forward else -gone_us) <= most_us
    return goes_on and (not story.steady or _shift(earlier.region, later.region) <= rule.steady_share)


def _shift(one: Outline, other: Outline) -> float:
    """How far the corner that moved the most has moved, as a share of the picture's width or height."""
    near, far = one.corners(), other.corners()
    if isinstance(one, Region) or isinstance(other, Region):
        # A rectangle's corners begin at the picture's top left, a mirrored outline's at its own.
        near, far = _ends(near), _ends(far)
    pairs = zip(near, far, strict=True)
    return max(abs(here - there) for mine, theirs in pairs for here, there in zip(mine, theirs, strict=True))


def _ends(corners: list[list[float]]) -> list[list[float]]:
    """The top left and the bottom right of what they take up."""
    sides = list(zip(*corners, strict=True))
    return [[min(side) for side in sides], [max(side) for side in sides]]


def _order(evidence: Evidence) -> tuple[float, bool, int, int, int, int, list[list[float]]]:
    """Most nats first; ties in an order that no search order can change."""
    place = evidence.place
    return (
        -evidence.nats,
        not evidence.tells_when,
        # Nats have a ceiling, which all frames of one shot may reach: the one with the most features is the moment.
        -(evidence.features or 0),
        place.from_us,
        place.to_us,
        -1 if evidence.distance_bits is None else evidence.distance_bits,
        evidence.region.corners(),
    )


def seconds(earlier: MediaTime, later: MediaTime) -> float:
    return (later.pts_us - earlier.pts_us) / _PER_SECOND_US
