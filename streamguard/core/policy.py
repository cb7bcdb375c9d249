"""What may be done about known footage, by its label: the strongest verdict, and how many nats it takes. Pure values;
`core.decide` applies them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from streamguard.types import AssetId, Verdict


@dataclass(frozen=True, slots=True)
class LabelPolicy:
    """`verdict` is the strongest allowed for footage of one label: what is worth a kill earns no more than that.

    Time-blind evidence (the same camera at another time looks like it too) earns a review; `time_blind` allows more to
    as many nats as a kill takes. Nats that are None are the rule's.
    """

    verdict: Verdict = Verdict.KILL
    time_blind: Verdict = Verdict.REVIEW
    kill_nats: float | None = None
    review_nats: float | None = None

    @property
    def blind_verdict(self) -> Verdict:
        """The strongest for time-blind evidence."""
        return min(self.verdict, self.time_blind, key=lambda verdict: verdict.severity)

    @property
    def of_a_review(self) -> "LabelPolicy":
        """The same, and never more than a review."""
        return replace(self, verdict=min(self.verdict, Verdict.REVIEW, key=lambda verdict: verdict.severity))


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed for each label, and for all that are not named; footage that is `fallen` earns a review at most,
    whatever its label may. For footage that is `in_incidents`, those that are open, `for_incidents` counts instead,
    where there is one.
    """

    default: LabelPolicy = LabelPolicy()
    labels: Mapping[str, LabelPolicy] = field(default_factory=dict)
    fallen: frozenset[AssetId] = frozenset()
    in_incidents: frozenset[AssetId] = frozenset()
    for_incidents: "Policy | None" = None

    def of(self, label: str) -> LabelPolicy:
        return self.labels.get(label, self.default)

    def of_footage(self, asset: AssetId, label: str) -> LabelPolicy:
        """What is allowed for footage of that label."""
        counts = self.for_incidents if self.for_incidents is not None and asset in self.in_incidents else self
        allowed = counts.of(label)
        return allowed.of_a_review if asset in self.fallen else allowed


BUILT_IN_POLICY = Policy()
