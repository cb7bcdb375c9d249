"""From one keyframe's fingerprints to decisions: look up, weigh, decide."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamguard.core.decide import DecisionRule, DecisionState, step
from streamguard.core.evidence import PdqWeights, weigh
from streamguard.types import Candidate, Decision, Fingerprint, Fingerprints, Observation


class Searchable(Protocol):
    """The library as the matcher needs it: one immutable version."""

    @property
    def version(self) -> str: ...

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]: ...


@dataclass(frozen=True, slots=True)
class Matched:
    """What one keyframe brought. `observation` is all that the decision rests on."""

    state: DecisionState
    observation: Observation
    decisions: tuple[Decision, ...]
    library_version: str
    lookup_s: float


class Matcher:
    """Holds the rule; asks for the library anew at each keyframe, so that a new version counts at once."""

    def __init__(
        self,
        snapshot: Callable[[], Searchable],
        *,
        rule: DecisionRule,
        weights: PdqWeights,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._snapshot = snapshot
        self._rule = rule
        self._weights = weights
        self._clock = clock

    @property
    def rule(self) -> DecisionRule:
        return self._rule

    def observe(self, state: DecisionState, keyframe: Fingerprints) -> Matched:
        """The state after this keyframe, and the decisions that fell."""
        library = self._snapshot()
        began_s = self._clock()
        candidates = library.search(keyframe.prints, radius_bits=self._weights.radius_bits)
        lookup_s = self._clock() - began_s
        observation = Observation(keyframe.at, weigh(candidates, self._weights))
        state, decisions = step(state, [observation], self._rule)
        return Matched(state, observation, decisions, library.version, lookup_s)
