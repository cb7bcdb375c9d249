"""From one keyframe's fingerprints to decisions: look up, weigh, decide."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import DecisionRule
from streamguard.core.evidence import weigh, weigh_alignments
from streamguard.core.geometry import align
from streamguard.core.policy import BUILT_IN_POLICY, Policy
from streamguard.core.replay import Recording, record
from streamguard.core.rules import BUILT_IN_WEIGHTS, Rules, Weights
from streamguard.types import (
    AssetId,
    Candidate,
    Decision,
    Features,
    Fingerprint,
    Fingerprints,
    Observation,
    Place,
    Votes,
)


class Searchable(Protocol):
    """The library as the matcher needs it: one immutable version."""

    @property
    def version(self) -> str: ...

    @property
    def rules(self) -> Rules | None: ...

    @property
    def fallen(self) -> frozenset[AssetId]:
        """Footage that earns a review at most."""

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]: ...

    def vote(self, features: Features, *, closely: bool) -> tuple[Votes, ...]: ...

    def picture(self, asset: AssetId, place: Place, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Grounds:
    """What it takes to explain a decision later: its recording, and thumbnails of the stream and of the footage;
    `reference_thumbnail` reads a file.
    """

    recording: Recording
    weights: Weights
    thumbnail: bytes
    reference_thumbnail: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Matched:
    """What one keyframe brought. `observation` is all that the decision rests on; each decision has its `grounds`.

    `alike`: some of it hangs together as it does in known footage, be it too little to be evidence.
    """

    state: DecisionState
    observation: Observation
    decisions: tuple[Decision, ...]
    grounds: tuple[Grounds, ...]
    library_version: str
    lookup_s: float
    alike: bool = False
    between: bool = False
    """The picture was no keyframe."""


class Matcher:
    """Asks for the library anew at each keyframe, so that a new version and a new rule count at once. `rule` and
    `weights` are for a library that has no rule of its own.
    """

    def __init__(
        self,
        snapshot: Callable[[], Searchable],
        *,
        rule: DecisionRule,
        weights: Weights = BUILT_IN_WEIGHTS,
        policy: Policy = BUILT_IN_POLICY,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._snapshot = snapshot
        self._rules = Rules(rule, weights)
        self.policy = policy
        """Whoever runs `observe` may exchange it: the next keyframe is decided by the new one."""
        self._clock = clock

    @property
    def rule(self) -> DecisionRule:
        return (self._snapshot().rules or self._rules).rule

    def observe(self, state: DecisionState, keyframe: Fingerprints) -> Matched:
        """The state after this keyframe, and the decisions that fell."""
        library = self._snapshot()
        began_s = self._clock()
        rules = library.rules or self._rules
        weights = rules.weights
        policy = replace(self.policy, fallen=library.fallen)
        candidates = library.search(keyframe.prints, radius_bits=weights.pdq.radius_bits)
        votes = library.vote(keyframe.features, closely=bool(state.recent or candidates))
        lookup_s = self._clock() - began_s
        alignments = [alignment for one in votes for alignment in align(one, weights.geometry)]
        evidence = weigh(candidates, weights.pdq) + weigh_alignments(alignments, weights.features)
        observation = Observation(keyframe.at, evidence)
        after, decisions = step(state, [observation], rules.rule, policy=policy)
        grounds = tuple(
            Grounds(
                recording=record(
                    *(state, after),
                    asset=decision.asset,
                    rule=rules.rule,
                    policy=policy.of_footage(decision.asset, decision.label),
                ),
                weights=weights,
                thumbnail=keyframe.thumbnail,
                reference_thumbnail=partial(library.picture, decision.asset, decision.evidence[-1][1].place),
            )
            for decision in decisions
        )
        return Matched(
            *(after, observation, decisions, grounds, library.version, lookup_s),
            alike=bool(alignments),
            between=keyframe.between,
        )
