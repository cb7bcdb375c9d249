"""What a match is worth, in nats: how much likelier it is if this is the footage than if it only looks like it.

Strangers lie around 128 bits away, hardly ever within 31, so chance is not the rival: the rivals are look-alikes
(the same camera, studio or template), and against those a match is worth a bounded amount, less the farther away
it is. No single keyframe may be worth a kill.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from streamguard.types import MOST_ALIKE_SHARE, Candidate, Evidence, MediaKind, tells_when


@dataclass(frozen=True, slots=True)
class PdqWeights:
    """Nats of one PDQ match: `nats_at_zero` at 0 bits, in a straight line down to `nats_at_radius` at `radius_bits`.

    A look tells when while at most `most_alike_share` of its own footage, elsewhere, looks like it.
    """

    radius_bits: int = 31
    nats_at_zero: float = 10.0
    nats_at_radius: float = 6.0
    most_alike_share: float = MOST_ALIKE_SHARE


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
            tells_when=candidate.kind is MediaKind.IMAGE
            or tells_when(candidate.alike_share, most_alike_share=weights.most_alike_share),
        )
        for candidate in candidates
        if candidate.distance_bits <= weights.radius_bits
    )


def _nats(distance_bits: int, weights: PdqWeights) -> float:
    slope = (weights.nats_at_zero - weights.nats_at_radius) / weights.radius_bits
    return weights.nats_at_zero - slope * distance_bits
