"""One canary: its clip through a decoder child as any stream's, matched and decided on as any stream's."""

from collections.abc import Callable
from dataclasses import dataclass

from streamguard.core.decide import DecisionState
from streamguard.core.rules import Rules
from streamguard.ingest.news import Blind
from streamguard.types import (
    AssetId,
    Candidate,
    Decision,
    Features,
    Fingerprint,
    Fingerprints,
    Place,
    SessionId,
    Verdict,
    Votes,
)
from streamguard.worker.canary_making import ASSET, Failure
from streamguard.worker.canary_metrics import Stage
from streamguard.worker.children import Rubbish
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.matcher import Matcher, Searchable
from streamguard.worker.messages import Ended, Exceeded, Failed, Message
from streamguard.worker.quarantine import how_it_ended
from streamguard.worker.streams import RunningDecoder

_MESSAGES_A_TURN = 2
"""A look-up or two: the streams that are watched do not notice."""


@dataclass(frozen=True, slots=True)
class CanaryLibrary:
    """The canary's own reference, under the rule of the library that serves. That one is asked as well, and what it
    finds is left out: a library that fails to answer fails the canary, and one that has the canary's footage does not.
    """

    own: Searchable
    live: Searchable

    @property
    def version(self) -> str:
        return self.live.version

    @property
    def rules(self) -> Rules | None:
        return self.live.rules

    @property
    def fallen(self) -> frozenset[AssetId]:
        return self.own.fallen

    @property
    def hot(self) -> None:
        """There is one item, and no hurry."""

    @property
    def in_incidents(self) -> frozenset[AssetId]:
        return frozenset()

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:
        self.live.search(prints, radius_bits=radius_bits)
        return self.own.search(prints, radius_bits=radius_bits)

    def vote(self, features: Features, *, closely: bool) -> tuple[Votes, ...]:
        self.live.vote(features, closely=closely)
        return self.own.vote(features, closely=closely)

    def picture(self, asset: AssetId, place: Place, /) -> bytes:
        return self.own.picture(asset, place)


@dataclass(frozen=True, slots=True)
class Recognised:
    """It was killed, had it been a stream."""

    decision: Decision
    session: SessionId
    library_version: str


class CanaryRun:
    """`turn()` now and again until it says something, then `end()`."""

    def __init__(
        self, job: DecoderJob, *, session: SessionId, matcher: Matcher, start: Callable[[DecoderJob], RunningDecoder]
    ) -> None:
        """Raises OSError where no decoder can be had."""
        self.session = session
        self._matcher = matcher
        self._state = DecisionState()
        self._keyframes = 0
        self._decoder = start(job)

    def turn(self) -> Recognised | Failure | None:
        """None: not yet. Never waits."""
        for message in self._decoder.received(most=_MESSAGES_A_TURN):
            if (end := self._heard(message)) is not None:
                return end
        return None

    def end(self) -> RunningDecoder:
        """The decoder, which will be gone in a moment."""
        self._decoder.end()
        return self._decoder

    def _heard(self, message: Message | Rubbish | None) -> Recognised | Failure | None:
        match message:
            case Fingerprints():
                return self._keyframe(message)
            case Ended():
                return Failure(Stage.RECOGNITION, f"it was not recognised in {self._keyframes} keyframes")
            case Failed(error):
                return Failure(Stage.DECODER, str(error))
            case Blind(problem) | Exceeded(problem) | Rubbish(problem):
                return Failure(Stage.DECODER, problem)
            case None:
                return Failure(Stage.DECODER, f"its decoder {how_it_ended(self._decoder.exit_code())}")
        return None

    def _keyframe(self, keyframe: Fingerprints) -> Recognised | Failure | None:
        newest = self._state.newest
        if newest is not None and keyframe.at <= newest:
            return Failure(Stage.DECODER, "its decoder sent a keyframe that is not after the last")
        matched = self._matcher.observe(self._state, keyframe)
        self._state = matched.state
        self._keyframes += not keyframe.between
        for decision in matched.decisions:
            if decision.asset == ASSET and decision.verdict is Verdict.KILL:
                return Recognised(decision, self.session, matched.library_version)
        return None
