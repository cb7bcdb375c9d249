"""What a match is worth, in nats: how much likelier it is if this is the footage than if it only looks like it.

Strangers lie around 128 bits away, hardly ever within 31, so chance is not the rival: the rivals are look-alikes
(the same camera, studio or template), and against those a match is worth a bounded amount, less the farther away
it is. No single keyframe may be worth a kill.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamguard.types import TELLS_WHEN_BITS, Alignment, Candidate, Evidence, MediaKind, View


@dataclass(frozen=True, slots=True)
class PdqWeights:
    """Nats of one PDQ match: `nats_at_zero` at 0 bits, in a straight line down to `nats_at_radius` at `radius_bits`.

    A match tells when if it is nearer, by `tells_when_bits`, than the most similar other moment of the same footage:
    the same camera at another time is about as near as its own other moments are, a copy much nearer.
    """

    radius_bits: int = 31
    """The industry's for PDQ: unrelated pictures are 106 bits apart or more, recoded ones under 31."""
    nats_at_zero: float = 10.0
    nats_at_radius: float = 6.0
    tells_when_bits: int = TELLS_WHEN_BITS


def weigh(candidates: Iterable[Candidate], weights: PdqWeights) -> tuple[Evidence, ...]:
    """The evidence in one keyframe's candidates; those beyond the radius are worth nothing and left out."""
    return tuple(
        Evidence(
            asset=candidate.asset,
            label=candidate.label,
            kind=candidate.kind,
            place=candidate.place,
            view=candidate.view,
            region=candidate.region,
            nats=_nats(candidate.distance_bits, weights),
            distance_bits=candidate.distance_bits,
            tells_when=candidate.nearest_elsewhere_bits - candidate.distance_bits >= weights.tells_when_bits,
        )
        for candidate in candidates
        if candidate.distance_bits <= weights.radius_bits
    )


def _nats(distance_bits: int, weights: PdqWeights) -> float:
    slope = (weights.nats_at_zero - weights.nats_at_radius) / weights.radius_bits
    return weights.nats_at_zero - slope * distance_bits


@dataclass(frozen=True, slots=True)
class FeatureWeights:
    """Nats of one frame laid over the picture: so many for each feature that tells when, from `least_telling` on, and
    for each of any kind, from `least_features` on, towards a review; at most `most_nats` for one keyframe.

    By chance strangers share up to 4 features that tell when, and the same camera at another time up to 8 now and then:
    that is no kill as long as the places do not go on with the stream. What agrees must span `least_spread` of the
    frame, and `least_spread_of_a_review` where it does not tell when: a logo, a ticker or a banner that strangers wear
    as well spans little. An image has no other moments, so it must be seen as a whole: `least_spread_of_an_image`.

    Where footage is shown, what moves there is the footage: poor copies have few of its features, but `usual_share` of
    those that move. Another time of the same scene has the scene, and people of its own. With a smaller share, what
    tells counts for that much less.
    """

    nats_a_telling_feature: float = 1.2
    usual_share: float = 0.12
    nats_a_feature: float = 0.45
    most_nats: float = 10.0
    least_telling: int = 6
    least_features: int = 10
    least_spread: float = 0.015
    least_spread_of_a_review: float = 0.03
    least_spread_of_an_image: float = 0.5


def weigh_alignments(alignments: Iterable[Alignment], weights: FeatureWeights) -> tuple[Evidence, ...]:
    """The evidence in one keyframe's alignments: for each at most one piece that tells when and one that does not."""
    return tuple(
        _of_alignment(alignment, features=features, nats=min(weights.most_nats, nats), tells_when=tells_when)
        for alignment in alignments
        for features, nats, tells_when in _worth(alignment, weights)
    )


def _worth(alignment: Alignment, weights: FeatureWeights) -> Iterator[tuple[int, float, bool]]:
    is_image = alignment.kind is MediaKind.IMAGE
    least_spread = weights.least_spread_of_an_image if is_image else weights.least_spread
    telling = alignment.telling * min(1.0, alignment.moving_share / weights.usual_share)
    if telling >= weights.least_telling and alignment.spread >= least_spread:
        yield alignment.telling, weights.nats_a_telling_feature * telling, True
    if alignment.features >= weights.least_features and alignment.spread >= weights.least_spread_of_a_review:
        yield alignment.features, weights.nats_a_feature * alignment.features, False


def _of_alignment(alignment: Alignment, *, features: int, nats: float, tells_when: bool) -> Evidence:
    return Evidence(
        asset=alignment.asset,
        label=alignment.label,
        kind=alignment.kind,
        place=alignment.place,
        view=View.MIRRORED if alignment.mirrored else View.UPRIGHT,
        region=alignment.outline,
        nats=nats,
        distance_bits=None,
        tells_when=tells_when,
        features=features,
        points=alignment.points,
    )
