"""From one keyframe's fingerprints to decisions: look up, weigh, decide; first by what is hot, then by all."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from streamguard.core.decide import DecisionState, step, with_verdicts
from streamguard.core.decision_rule import DecisionRule
from streamguard.core.evidence import weigh, weigh_alignments
from streamguard.core.geometry import align
from streamguard.core.policy import BUILT_IN_POLICY, Policy
from streamguard.core.replay import Recording, record
from streamguard.core.rules import BUILT_IN_WEIGHTS, Rules, Weights
from streamguard.errors import LibraryError
from streamguard.types import (
    AssetId,
    Candidate,
    Decision,
    Evidence,
    Features,
    Fingerprint,
    Fingerprints,
    Observation,
    Place,
    Verdict,
    Votes,
)


class Searched(Protocol):
    """What is looked up in."""

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]: ...

    def vote(self, features: Features, *, closely: bool) -> tuple[Votes, ...]: ...


class Searchable(Searched, Protocol):
    """The library as the matcher needs it: one immutable version."""

    @property
    def version(self) -> str: ...

    @property
    def rules(self) -> Rules | None: ...

    @property
    def fallen(self) -> frozenset[AssetId]:
        """Footage that earns a review at most."""

    @property
    def hot(self) -> Searched | None:
        """What came in open incidents alone, to be searched first; the library has all of it as well."""

    @property
    def in_incidents(self) -> frozenset[AssetId]:
        """All that came in open incidents."""

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

    `alike`: some of it hangs together as it does in known footage, be it too little to be evidence. `rest_problem`: why
    nothing but the hot set could be searched, if so.
    """

    state: DecisionState
    observation: Observation
    decisions: tuple[Decision, ...]
    grounds: tuple[Grounds, ...]
    library_version: str
    lookup_s: float
    alike: bool = False
    rest_problem: str = ""
    between: bool = False
    """The picture was no keyframe."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search brought, and how long it took."""

    evidence: tuple[Evidence, ...] = ()
    alike: bool = False
    took_s: float = 0.0

    def beside(self, hot: "_Found") -> "_Found":
        """All of this, as if nothing were hot; and of footage of which nothing is here, as others crowded it out or the
        search failed, what the hot set has.
        """
        known = {one.asset for one in self.evidence}
        others = tuple(one for one in hot.evidence if one.asset not in known)
        return _Found(self.evidence + others, self.alike or hot.alike, self.took_s + hot.took_s)


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
        self._policies = self.policy, self.policy
        """The one that it last was, and the same with what was said of the library's footage then."""

    @property
    def rule(self) -> DecisionRule:
        return (self._snapshot().rules or self._rules).rule

    def observe(
        self, state: DecisionState, keyframe: Fingerprints, *, at_once: Callable[[Matched], None] | None = None
    ) -> Matched:
        """The state after this keyframe, and the decisions that fell.

        A kill or a limit that the hot set alone carries, `at_once` hears before anything else is searched, and then it
        is not returned; a review is in no hurry. A library of which the rest fails is searched in its hot set alone;
        without one the error is the caller's.
        """
        library = self._snapshot()
        terms = self._terms(library)
        hot, first = _Found(), None
        if library.hot is not None:
            hot = self._look_up(library.hot, state, keyframe, weights=terms.weights)
        if hot.evidence:
            first = terms.decided(state, keyframe, hot, above=Verdict.REVIEW)
            state = with_verdicts(state, first.decisions)
            if at_once is not None and first.decisions:
                at_once(first)
                first = None
        rest, problem = _Found(), ""
        try:
            rest = self._look_up(library, state, keyframe, weights=terms.weights)
        except (LibraryError, MemoryError) as error:
            if library.hot is None:
                raise
            problem = str(error) or "no memory"
        matched = terms.decided(state, keyframe, rest.beside(hot), rest_problem=problem)
        if first is None:
            return matched
        return replace(matched, decisions=first.decisions + matched.decisions, grounds=first.grounds + matched.grounds)

    def _terms(self, library: Searchable) -> "_Terms":
        asked, policy = self._policies
        said = policy.fallen is library.fallen and policy.in_incidents is library.in_incidents
        if not said or asked is not self.policy:
            policy = replace(self.policy, fallen=library.fallen, in_incidents=library.in_incidents)
            self._policies = self.policy, policy
        return _Terms(library, library.rules or self._rules, policy)

    def _look_up(self, library: Searched, state: DecisionState, keyframe: Fingerprints, *, weights: Weights) -> _Found:
        began_s = self._clock()
        candidates = library.search(keyframe.prints, radius_bits=weights.pdq.radius_bits)
        votes = library.vote(keyframe.features, closely=bool(state.recent or candidates))
        took_s = self._clock() - began_s
        alignments = [alignment for one in votes for alignment in align(one, weights.geometry)]
        evidence = weigh(candidates, weights.pdq) + weigh_alignments(alignments, weights.features)
        return _Found(evidence, bool(alignments), took_s)


@dataclass(frozen=True, slots=True)
class _Terms:
    """By what one keyframe is decided on."""

    library: Searchable
    rules: Rules
    policy: Policy

    @property
    def weights(self) -> Weights:
        return self.rules.weights

    def decided(
        self,
        state: DecisionState,
        keyframe: Fingerprints,
        found: _Found,
        *,
        above: Verdict = Verdict.CLEAR,
        rest_problem: str = "",
    ) -> Matched:
        """What comes of it in that state; of the decisions those that are stronger than `above`."""
        observation = Observation(keyframe.at, found.evidence)
        after, fallen = step(state, [observation], self.rules.rule, policy=self.policy)
        decisions = tuple(one for one in fallen if one.verdict.severity > above.severity)
        grounds = tuple(
            Grounds(
                recording=record(
                    *(state, after),
                    asset=decision.asset,
                    rule=self.rules.rule,
                    policy=self.policy.of_footage(decision.asset, decision.label),
                ),
                weights=self.weights,
                thumbnail=keyframe.thumbnail,
                reference_thumbnail=partial(self.library.picture, decision.asset, decision.evidence[-1][1].place),
            )
            for decision in decisions
        )
        version = self.library.version
        return Matched(
            *(after, observation, decisions, grounds, version, found.took_s),
            alike=found.alike,
            rest_problem=rest_problem,
            between=keyframe.between,
        )
