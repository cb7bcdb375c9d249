"""What a match is worth, in nats: how much likelier it is if this is the footage than if it only looks like it.

Strangers lie around 128 bits away, hardly ever within 31, so chance is not the rival: the rivals are look-alikes
(the same camera, studio or template), and against those a match is worth a bounded amount, less the farther away
it is. No single keyframe may be worth a kill.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from streamguard.types import TELLS_WHEN_BITS, Candidate, Evidence


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
