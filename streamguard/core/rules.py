"""The rule with all that it was fitted for: what matches are worth, when that is enough, and how that was found."""

from dataclasses import dataclass

from streamguard.core.decision_rule import BUILT_IN_RULE, DecisionRule
from streamguard.core.evidence import FeatureWeights, PdqWeights
from streamguard.core.geometry import Geometry


@dataclass(frozen=True, slots=True)
class Weights:
    """What matches are worth, of either kind, and what an overlay of one picture on another may be."""

    pdq: PdqWeights
    features: FeatureWeights
    geometry: Geometry


BUILT_IN_WEIGHTS = Weights(PdqWeights(), FeatureWeights(), Geometry())


@dataclass(frozen=True, slots=True)
class Fitted:
    """On what a rule was fitted, and what it promises: rates an hour of stream, `at_most` with this confidence. A
    promise above what was asked for says that the footage was too short to support that.
    """

    at_unix_s: float
    library_version: str
    inputs: int
    stream_hours: float
    keyframes: int
    confidence: float
    kills_asked_per_stream_hour: float
    kills_at_most_per_stream_hour: float
    reviews_asked_per_stream_hour: float
    reviews_at_most_per_stream_hour: float

    @property
    def is_supported(self) -> bool:
        """Whether the rate of kills that was asked for is kept."""
        return self.kills_at_most_per_stream_hour <= self.kills_asked_per_stream_hour


@dataclass(frozen=True, slots=True)
class Rules:
    """A rule, the weights that it was fitted with, and how; the built-in one was not fitted to anybody's streams."""

    rule: DecisionRule
    weights: Weights
    fitted: Fitted | None = None


BUILT_IN_RULES = Rules(BUILT_IN_RULE, BUILT_IN_WEIGHTS)
