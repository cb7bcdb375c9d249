"""streamguard.worker.matcher: what is hot is searched first; what comes of it is as if all were searched together."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.policy import LabelPolicy, Policy
from streamguard.core.replay import replay
from streamguard.core.shown import as_reference
from streamguard.demo.scenes import Footage, Scene, same_camera
from streamguard.errors import LibraryError
from streamguard.library.hot_set import HotSet
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from streamguard.types import (
    AssetId,
    Candidate,
    Decision,
    Evidence,
    Features,
    Fingerprint,
    Fingerprints,
    MediaTime,
    Reference,
    ReferenceFrame,
    Verdict,
    Votes,
)
from streamguard.worker.matcher import Matched, Matcher
from tests.library.made import new_item, reference, seen, with_frames
from tests.live_keyframes import live_keyframes
from tests.made_features import flipped_bits, joined, made_features, moved
from tests.worker.fake_decoders import FakeLibrary, keyframe

GOP_US = 2_000_000
STREAM_PX = (640, 360)
NAMES = ("a", "b", "c", "d", "e")
CLIP = AssetId("clip")
OPENING = LibraryError("search library", "lib", "being opened")


@dataclass
class Told:
    """A library, and in which order it and its hot set were asked and decisions were told."""

    happened: list[str] = field(default_factory=list)
    heard: list[Matched] = field(default_factory=list)
    fails: Exception | None = None

    def library(self, *, hot: bool = True) -> "Asked":
        """One that knows `clip`, and has it in its hot set."""
        whole = Asked(self, "all")
        if hot:
            whole.hot, whole.in_incidents = Asked(self, "hot"), frozenset({CLIP})
        return whole

    def tell(self, matched: Matched) -> None:
        self.heard.append(matched)
        self.happened += [f"told {decision.verdict.value}" for decision in matched.decisions]


class Asked(FakeLibrary):
    """Says when it is searched, and fails if it is to; not as the hot set."""

    def __init__(self, told: Told, name: str) -> None:
        self._told, self._name = told, name

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:
        self._told.happened.append(self._name)
        if self._told.fails is not None and self._name == "all":
            raise self._told.fails
        return super().search(prints, radius_bits=radius_bits)


def _seen(second: int, *, known: bool = True) -> Fingerprints:
    made = keyframe(second, known_s=second if known else None)
    return replace(made, at=MediaTime(1, second * 1_000_000))


def test_what_the_hot_set_decides_is_told_before_anything_else_is_searched() -> None:
    """Once, and it is not returned again; its recording decides the same."""
    told = Told()
    library = told.library()
    matcher = Matcher(lambda: library, rule=BUILT_IN_RULE)
    first = matcher.observe(DecisionState(), _seen(0), at_once=told.tell)
    second = matcher.observe(first.state, _seen(2), at_once=told.tell)
    third = matcher.observe(second.state, _seen(4), at_once=told.tell)
    assert told.happened == ["hot", "all", "hot", "told kill", "all", "hot", "all"]
    assert (first.decisions, second.decisions, third.decisions) == ((), (), ())
    (matched,) = told.heard
    assert replay(matched.grounds[0].recording) == matched.decisions
    assert matched.library_version == "v1"
    assert second.state.decided == {CLIP: (Verdict.KILL, MediaTime(1, 2_000_000))}


@pytest.mark.parametrize("verdict", [Verdict.REVIEW, Verdict.LIMIT])
def test_a_review_is_in_no_hurry(verdict: Verdict) -> None:
    """Only what is cut or limited is told before the rest is searched: that may make a kill of a review."""
    told = Told()
    library = told.library()
    matcher = Matcher(lambda: library, rule=BUILT_IN_RULE, policy=Policy(LabelPolicy(verdict)))
    first = matcher.observe(DecisionState(), _seen(0), at_once=told.tell)
    second = matcher.observe(first.state, _seen(2), at_once=told.tell)
    is_urgent = verdict is Verdict.LIMIT
    assert told.happened == ["hot", "all", "hot", *(["told limit"] if is_urgent else []), "all"]
    assert [one.verdict for one in second.decisions] == ([] if is_urgent else [Verdict.REVIEW])
    assert second.state.decided[CLIP][0] is verdict


def test_who_is_in_no_hurry_gets_all_decisions_together() -> None:
    """Each once, with its grounds."""
    told = Told()
    library = told.library()
    matcher = Matcher(lambda: library, rule=BUILT_IN_RULE)
    matched = matcher.observe(matcher.observe(DecisionState(), _seen(0)).state, _seen(2))
    assert [decision.verdict for decision in matched.decisions] == [Verdict.KILL]
    assert replay(matched.grounds[0].recording) == matched.decisions


@pytest.mark.parametrize("fails", [OPENING, MemoryError()], ids=["library", "memory"])
def test_where_the_rest_fails_what_is_hot_is_killed(fails: Exception) -> None:
    """On the evidence of several such keyframes; each says why it was looked up in the hot set alone."""
    told = Told(fails=fails)
    library = told.library()
    matcher = Matcher(lambda: library, rule=BUILT_IN_RULE)
    state = DecisionState()
    for second in (0, 2):
        matched = matcher.observe(state, _seen(second), at_once=told.tell)
        assert matched.rest_problem == (str(fails) or "no memory")
        assert [one.asset for one in matched.observation.evidence] == ["clip"]
        state = matched.state
    assert told.happened == ["hot", "all", "hot", "told kill", "all"]
    told.fails = None
    assert matcher.observe(state, _seen(4), at_once=told.tell).rest_problem == ""


@pytest.mark.parametrize("fails", [OPENING, MemoryError()], ids=["library", "memory"])
def test_without_an_incident_a_library_that_fails_is_the_callers_fault(fails: Exception) -> None:
    """Nobody has looked, and nothing may pass for clear."""
    library = Told(fails=fails).library(hot=False)
    with pytest.raises(type(fails)):
        Matcher(lambda: library, rule=BUILT_IN_RULE).observe(DecisionState(), _seen(0))


def test_an_incidents_policy_counts_while_it_is_open() -> None:
    """From one keyframe to the next, with the evidence that there is; in what is recorded as well."""
    told = Told()
    hot, cold = told.library(), told.library(hot=False)
    for_incidents = Policy(LabelPolicy(Verdict.KILL))
    policy = Policy(LabelPolicy(Verdict.REVIEW), for_incidents=for_incidents)
    for libraries, expected in (
        ((cold, cold, hot, hot), [(2, Verdict.REVIEW), (4, Verdict.KILL)]),
        ((hot, hot, cold, cold), [(2, Verdict.KILL)]),
        ((hot, cold, cold, cold), [(2, Verdict.REVIEW)]),
    ):
        left = iter(libraries)
        matcher = Matcher(lambda: next(left), rule=BUILT_IN_RULE, policy=policy)  # noqa: B023 - used in this turn alone
        state, found = DecisionState(), []
        for second in (0, 2, 4, 6):
            matched = matcher.observe(state, _seen(second))
            state = matched.state
            for decision, grounds in zip(matched.decisions, matched.grounds, strict=True):
                found.append((second, decision.verdict))
                assert replay(grounds.recording) == (decision,)
        assert found == expected


def test_what_has_fallen_earns_a_review_in_an_incident_too() -> None:
    """Whatever its policy says."""
    library = Told().library()
    library.fallen = frozenset({CLIP})
    policy = Policy(for_incidents=Policy(LabelPolicy(Verdict.KILL)))
    matcher = Matcher(lambda: library, rule=BUILT_IN_RULE, policy=policy)
    matched = matcher.observe(matcher.observe(DecisionState(), _seen(0)).state, _seen(2))
    assert [decision.verdict for decision in matched.decisions] == [Verdict.REVIEW]


def _footage(seed: int) -> Reference:
    """Looks a quarter of a second apart, and a frame every two seconds, all of whose features tell when."""
    frames = tuple(
        ReferenceFrame(
            replace(frame.place, from_us=number * GOP_US, to_us=number * GOP_US),
            frame.features,
            np.zeros(len(frame.features), np.uint8),
        )
        for number, frame in enumerate(with_frames(seed, frames=4).frames)
    )
    return replace(reference(seed), duration_us=8_000_000, frames=frames)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Five items of footage. Read-only."""
    path = tmp_path_factory.mktemp("hot") / "lib"
    with Library.open(path, create=True) as opened:
        for name in NAMES:
            opened.add(new_item(name), _footage(ord(name)))
    return load_snapshot(path)


def _with_hot(snapshot: Snapshot, names: Sequence[str]) -> Snapshot:
    hot = HotSet(lambda work: work())
    hot.want(tuple(map(AssetId, names)))
    hot.beside(snapshot)
    return hot.beside(snapshot)


@dataclass(frozen=True)
class Shown:
    """A keyframe with frames of footage in it, side by side, and the hash of a look of other footage."""

    insets: tuple[tuple[str, int], ...]
    hashed: tuple[str, int] | None
    is_still: bool

    def at(self, number: int) -> Fingerprints:
        parts = [made_features(900 + number, count=60, size_px=STREAM_PX)]
        for place, (name, frame) in enumerate(self.insets):
            found = _footage(ord(name)).frames[frame].features
            shift_px = (20.0 + 300.0 * place, 90.0)
            inset = moved(found, linear=np.diag([0.5, 0.5]), shift_px=shift_px, size_px=STREAM_PX)
            inset = replace(inset, codes=flipped_bits(inset.codes, 20))
            parts.append(replace(inset, still=np.full(len(inset), self.is_still)))
        code = bytes([number, 0x5A] * 16)
        if self.hashed is not None:
            code = reference(ord(self.hashed[0])).prints[self.hashed[1]].code
        return Fingerprints(MediaTime(1, number * GOP_US), 0.0, *STREAM_PX, (seen(code),), joined(*parts))


INSETS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3)), max_size=2).map(tuple)
HASHES = st.none() | st.tuples(st.sampled_from(NAMES), st.integers(0, 9))
STREAMS = st.lists(st.builds(Shown, INSETS, HASHES, st.booleans()), min_size=1, max_size=7)


def _stream(shown: Sequence[Shown]) -> list[Fingerprints]:
    return [one.at(number) for number, one in enumerate(shown)]


def _said(decisions: Sequence[Decision]) -> list[tuple[str, Verdict, MediaTime]]:
    return [(decision.asset, decision.verdict, decision.at) for decision in decisions]


def _watched(
    matcher: Matcher, shown: Sequence[Fingerprints]
) -> tuple[list[Decision], list[set[Evidence]], DecisionState]:
    state, decisions, evidence = DecisionState(), list[Decision](), list[set[Evidence]]()
    for one in shown:
        told: list[Decision] = []
        matched = matcher.observe(state, one, at_once=lambda first: told.extend(first.decisions))  # noqa: B023
        state = matched.state
        decisions += sorted((*told, *matched.decisions), key=lambda decision: decision.asset)
        evidence.append(set(matched.observation.evidence))
        assert len(evidence[-1]) == len(matched.observation.evidence)
    return decisions, evidence, state


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shown=STREAMS, names=st.sets(st.sampled_from(NAMES)), nats=st.sampled_from([6.0, 12.0, 20.0]))
def test_hot_first_and_all_together_decide_the_same(
    library: Snapshot, *, shown: list[Shown], names: set[str], nats: float
) -> None:
    """Whatever is hot, and whatever a stream shows: the same evidence, decisions and state after each keyframe."""
    hot = _with_hot(library, sorted(names))
    assert (hot.hot is not None) == bool(names)
    policy = Policy(LabelPolicy(kill_nats=nats))
    together, first = (
        _watched(Matcher(lambda: one, rule=BUILT_IN_RULE, policy=policy), _stream(shown))  # noqa: B023 - used at once
        for one in (library, hot)
    )
    assert first[0] == together[0]
    assert first[1] == together[1]
    assert first[2].decided == together[2].decided
    assert [one.at for one in first[2].recent] == [one.at for one in together[2].recent]


def test_made_footage_is_decided_on_the_same_both_ways(tmp_path: Path) -> None:
    """Films and their copies: what is hot, what is not, a mirror image, the same camera on another day, a stranger.

    Alone in the hot set footage has a few features more, of which the library has nearer ones elsewhere: they count
    while a keyframe is decided on, and are no evidence after it.
    """
    camera = same_camera(4)
    films: dict[str, Footage] = {"hot": Scene(7), "other": Scene(8), "camera": camera[0]}
    with Library.open(tmp_path / "lib", create=True) as opened:
        for name, footage in films.items():
            opened.add(new_item(name), as_reference(live_keyframes(footage, seconds=16)))
    snapshot = load_snapshot(tmp_path / "lib")
    hot = _with_hot(snapshot, ["hot", "camera"])
    found: dict[str, Verdict] = {}
    others: tuple[Footage, ...] = (*films.values(), camera[1], Scene(9))
    streams = [live_keyframes(one, seconds=10, from_s=3.0) for one in others]
    for stream in (*streams, live_keyframes(Scene(7), seconds=10, from_s=3.6, mirrored=True)):
        together, first = (
            _watched(Matcher(lambda: one, rule=BUILT_IN_RULE), stream)  # noqa: B023 - used at once
            for one in (snapshot, hot)
        )
        assert first[1] == together[1]
        assert _said(first[0]) == _said(together[0])
        found |= {decision.asset: decision.verdict for decision in together[0]}
    assert (found["hot"], found["other"]) == (Verdict.KILL, Verdict.KILL)


def test_streams_of_the_property_are_decided_on(library: Snapshot) -> None:
    """So that it can fail: shown as they go on, two pieces of footage are killed, of which one is hot."""
    shown = [Shown((("a", number), ("b", number)), None, is_still=False) for number in range(3)]
    for one in (library, _with_hot(library, "a")):
        decisions, _, _ = _watched(Matcher(lambda: one, rule=BUILT_IN_RULE), _stream(shown))  # noqa: B023 - used at once
        assert [(decision.asset, decision.verdict) for decision in decisions] == [
            ("a", Verdict.KILL), ("b", Verdict.KILL),
        ]  # fmt: skip


def test_copies_that_crowd_the_rest_do_not_crowd_what_is_hot(tmp_path: Path) -> None:
    """A library full of one picture shows at most so many of it; what is hot is among them, and is decided on."""
    code = reference(7).prints[0].code
    with Library.open(tmp_path / "lib", create=True) as opened:
        opened.add_all([(new_item(name), _still(code)) for name in (*(f"copy-{n:02}" for n in range(80)), "hot")])
    snapshot = load_snapshot(tmp_path / "lib")
    shown = [Fingerprints(MediaTime(1, number * GOP_US), 0.0, *STREAM_PX, (seen(code),)) for number in range(3)]
    hot = _with_hot(snapshot, ["hot"])
    for one, is_said in ((snapshot, False), (hot, True)):
        matcher, state, said = Matcher(lambda: one, rule=BUILT_IN_RULE), DecisionState(), set()  # noqa: B023
        for keyframe_ in shown:
            matched = matcher.observe(state, keyframe_)
            state = matched.state
            said |= {decision.asset for decision in matched.decisions}
        assert ("hot" in said) is is_said


def _still(code: bytes) -> Reference:
    return replace(reference(7, looks=4), prints=tuple(replace(one, code=code) for one in reference(7, looks=4).prints))


class _Glanced(FakeLibrary):
    def __init__(self) -> None:
        self.asked: list[bool] = []

    def vote(self, features: Features, *, closely: bool) -> tuple[Votes, ...]:  # noqa: ARG002 - the library's
        self.asked.append(closely)
        return ()


def test_what_is_hot_is_looked_at_as_closely_as_the_rest() -> None:
    """At a glance as long as nothing was found, closely from what was found on: it is no dearer than it must be."""
    whole, hot = _Glanced(), _Glanced()
    whole.hot = hot
    matcher, state = Matcher(lambda: whole, rule=BUILT_IN_RULE), DecisionState()
    for second, known in ((0, False), (2, True), (4, False)):
        state = matcher.observe(state, _seen(second, known=known)).state
    assert whole.asked == hot.asked == [False, True, True]
