"""streamguard.worker.matcher: one keyframe in, decisions out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.policy import LabelPolicy, Policy
from streamguard.core.replay import replay
from streamguard.core.rules import BUILT_IN_RULES, Rules
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import (
    AssetId,
    Decision,
    Features,
    Fingerprints,
    MediaKind,
    MediaTime,
    Reference,
    ReferenceFrame,
    Verdict,
    View,
    Votes,
)
from streamguard.worker.matcher import Matcher
from tests.library.made import STEP_US, new_item, reference, seen, with_frames
from tests.made_features import flipped_bits, joined, made_features, moved
from tests.worker.fake_decoders import FakeLibrary, keyframe

STREAM_PX = (640, 360)
HALF = np.diag([0.5, 0.5])
GOP_US = 2_000_000


class _NextVersion(FakeLibrary):
    version = "v2"


def _seen(second: int) -> Fingerprints:
    made = keyframe(second, known_s=second)
    return Fingerprints(MediaTime(1, second * 1_000_000), 0.0, 320, 180, made.prints)


def test_each_keyframe_asks_for_the_library_anew() -> None:
    """A new version counts at once, and a decision names the one that it was made with."""
    libraries = iter([FakeLibrary(), _NextVersion()])
    matcher = Matcher(lambda: next(libraries), rule=BUILT_IN_RULE)
    first = matcher.observe(DecisionState(), _seen(0))
    second = matcher.observe(first.state, _seen(2))
    assert (first.library_version, first.decisions) == ("v1", ())
    assert second.library_version == "v2"
    assert [decision.verdict for decision in second.decisions] == [Verdict.KILL]


def test_what_it_rests_on_is_returned() -> None:
    """The observation and the look-up's time, and no other state than the one that is handed on."""
    times_s = iter([10.0, 10.25])
    matcher = Matcher(FakeLibrary, rule=BUILT_IN_RULE, clock=lambda: next(times_s))
    matched = matcher.observe(DecisionState(), _seen(4))
    assert matched.lookup_s == 0.25
    assert matched.observation.at == MediaTime(1, 4_000_000)
    assert [evidence.asset for evidence in matched.observation.evidence] == ["clip"]
    assert matcher.rule is BUILT_IN_RULE


def _footage(seed: int, *, kind: MediaKind = MediaKind.VIDEO) -> Reference:
    """Known footage with a frame every two seconds, all of whose features tell when."""
    frames = tuple(
        ReferenceFrame(
            replace(frame.place, from_us=number * GOP_US, to_us=number * GOP_US),
            frame.features,
            np.zeros(len(frame.features), np.uint8),
        )
        for number, frame in enumerate(with_frames(seed, frames=5).frames)
    )
    return replace(reference(seed), kind=kind, duration_us=10_000_000, frames=frames)


@pytest.fixture
def matcher(tmp_path: Path) -> Matcher:
    """Over a library of two items of footage, an item of hashes alone between them, and an image."""
    with Library.open(tmp_path / "lib", create=True) as library:
        library.add(new_item("first"), _footage(1))
        library.add(new_item("hashes"), reference(50))
        library.add(new_item("second"), _footage(2))
        library.add(new_item("image"), replace(_footage(3, kind=MediaKind.IMAGE), frames=_footage(3).frames[:1]))
    snapshot = load_snapshot(tmp_path / "lib")
    return Matcher(lambda: snapshot, rule=BUILT_IN_RULE)


def _inset(known: Features, *, mirrored: bool = False) -> Features:
    """The known frame at half its size in the middle of other footage, poorly copied, or its mirror image."""
    linear = np.diag([-0.5, 0.5]) if mirrored else HALF
    shown = moved(known, linear=linear, shift_px=(416.0 if mirrored else 160.0, 90.0), size_px=STREAM_PX)
    shown = replace(shown, codes=flipped_bits(shown.codes, 25), mirrored=shown.mirrored ^ mirrored)
    return joined(shown, made_features(999, count=150, size_px=STREAM_PX))


def _keyframe(number: int, features: Features, *, code: bytes | None = None) -> Fingerprints:
    """Every two seconds one; its hash is a stranger's unless `code` is given."""
    print_ = seen(code or bytes([number, 0x5A] * 16))
    return Fingerprints(MediaTime(1, number * GOP_US), 0.0, 640, 360, (print_,), features)


def _decisions(matcher: Matcher, keyframes: list[Fingerprints]) -> list[Decision]:
    state = DecisionState()
    decisions: list[Decision] = []
    for one in keyframes:
        matched = matcher.observe(state, one)
        state = matched.state
        decisions.extend(matched.decisions)
    return decisions


@pytest.mark.parametrize("mirrored", [False, True])
def test_footage_in_a_part_of_the_picture_is_killed(matcher: Matcher, *, mirrored: bool) -> None:
    """Features alone are enough, and say whose footage it is, in which view, when, and where it stands."""
    frames = _footage(2).frames
    shown = [_keyframe(number, _inset(frames[number].features, mirrored=mirrored)) for number in range(2)]
    (decision,) = _decisions(matcher, shown)
    assert (decision.verdict, decision.asset, decision.reference_us) == (Verdict.KILL, "second", GOP_US)
    assert decision.view is (View.MIRRORED if mirrored else View.UPRIGHT)
    left, right = 160 / 640, (160 + 256) / 640
    corners = [[left, 0.25], [right, 0.25], [right, 0.65], [left, 0.65]]
    expected = [corners[at] for at in ((1, 0, 3, 2) if mirrored else (0, 1, 2, 3))]
    assert decision.region.corners() == [pytest.approx(corner, abs=0.01) for corner in expected]
    assert all(evidence.features is not None for _, evidence in decision.evidence)


def test_what_stands_still_in_the_stream_earns_a_review(matcher: Matcher) -> None:
    """Features that the stream showed at the same place seconds ago tell nothing of the time."""
    shown = []
    for number, frame in enumerate(_footage(1).frames):
        found = _inset(frame.features)
        shown.append(_keyframe(number, replace(found, still=np.ones(len(found), np.bool_))))
    assert [decision.verdict for decision in _decisions(matcher, shown)] == [Verdict.REVIEW]


def test_an_item_of_hashes_is_found_by_its_hashes(matcher: Matcher) -> None:
    """Beside items of footage, and whatever features the stream has: those of strangers, or none."""
    looks = reference(50).prints
    for found in (made_features(999, count=350, size_px=STREAM_PX), made_features(999, count=0)):
        # Its looks are a tenth of a second apart: as fast as it may be shown.
        shown = [
            replace(_keyframe(0, found, code=look.code), at=MediaTime(1, 10 * number * STEP_US))
            for number, look in enumerate(looks[::9])
        ]
        decisions = _decisions(matcher, shown)
        assert [(one.asset, one.verdict) for one in decisions] == [("hashes", Verdict.KILL)]
        assert all(evidence.features is None for _, evidence in decisions[0].evidence)


def test_hashes_and_features_add_up(matcher: Matcher) -> None:
    """One keyframe seen by its hash and the next by its features are two keyframes of the footage; where these stand
    elsewhere in the picture, it moves about, and two are not enough for a kill.
    """
    footage = _footage(1)
    known = footage.frames[1].features
    hashed = _keyframe(0, made_features(999, count=100), code=footage.prints[0].code)
    whole = moved(known, linear=np.eye(2) * 1.25, shift_px=(0.0, 0.0), size_px=STREAM_PX)
    for features, verdict in ((whole, Verdict.KILL), (_inset(known), Verdict.REVIEW)):
        (decision,) = _decisions(matcher, [hashed, _keyframe(1, features)])
        assert (decision.verdict, decision.asset) == (verdict, "first")
        assert [evidence.features is None for _, evidence in decision.evidence] == [True, False]


def test_a_held_image_is_killed_by_its_features(matcher: Matcher) -> None:
    """It stands still by nature, also in the stream; and its mirror image is another view of it."""
    (frame,) = _footage(3).frames[:1]
    for mirrored in (False, True):
        found = _inset(frame.features, mirrored=mirrored)
        held = replace(found, still=np.ones(len(found), np.bool_))
        (decision,) = _decisions(matcher, [_keyframe(number, held) for number in range(2)])
        assert (decision.verdict, decision.asset) == (Verdict.KILL, "image")


def test_strangers_get_nothing(matcher: Matcher) -> None:
    """A minute of footage that nobody knows is clear."""
    shown = [_keyframe(number, made_features(2000 + number, count=350, size_px=STREAM_PX)) for number in range(30)]
    assert _decisions(matcher, shown) == []


class _Counting(FakeLibrary):
    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []

    def vote(self, features: Features, *, closely: bool) -> tuple[Votes, ...]:
        self.asked.append((len(features), closely))
        return ()


def test_each_keyframe_is_voted_on_once() -> None:
    """With the features that came with it: at a glance as long as nothing was found, closely from what was found on."""
    library = _Counting()
    matcher = Matcher(lambda: library, rule=BUILT_IN_RULE)
    state = DecisionState()
    for number, known_s in enumerate([None, 2, None]):
        shown = replace(keyframe(2 * number, known_s=known_s), features=made_features(number, count=17 + number))
        state = matcher.observe(state, shown).state
    assert library.asked == [(17, False), (18, True), (19, True)]


class _WithRule(FakeLibrary):
    rules: Rules | None = replace(BUILT_IN_RULES, rule=replace(BUILT_IN_RULE, name="fitted", kill_nats=25.0))


def test_the_rule_of_the_library_counts() -> None:
    """From the keyframe on that finds it; decisions name it, and without one the built-in rule decides."""
    libraries = iter([FakeLibrary(), _WithRule(), _WithRule(), FakeLibrary()])
    matcher = Matcher(lambda: next(libraries), rule=BUILT_IN_RULE)
    state, named = DecisionState(), []
    for second in (0, 2, 4):
        matched = matcher.observe(state, _seen(second))
        state = matched.state
        named += [(decision.verdict, decision.rule) for decision in matched.decisions]
    assert named == [(Verdict.REVIEW, "fitted"), (Verdict.KILL, "fitted")]
    assert matcher.rule is BUILT_IN_RULE


def test_the_policy_caps_the_verdict() -> None:
    """What would be a kill is what the label's policy allows."""
    policy = Policy(labels={"terror": LabelPolicy(Verdict.LIMIT)})
    matcher = Matcher(FakeLibrary, rule=BUILT_IN_RULE, policy=policy)
    first = matcher.observe(DecisionState(), _seen(0))
    assert [one.verdict for one in matcher.observe(first.state, _seen(2)).decisions] == [Verdict.LIMIT]


class _Fallen(FakeLibrary):
    fallen = frozenset({AssetId("clip")})


def test_footage_with_mistakes_is_reviewed_and_what_is_recorded_says_so() -> None:
    """From the version on that says so; decided again from the recording it is the same."""
    libraries = iter([FakeLibrary(), _Fallen()])
    matcher = Matcher(lambda: next(libraries), rule=BUILT_IN_RULE)
    first = matcher.observe(DecisionState(), _seen(0))
    second = matcher.observe(first.state, _seen(2))
    assert [one.verdict for one in second.decisions] == [Verdict.REVIEW]
    assert second.grounds[0].recording.policy == LabelPolicy(Verdict.REVIEW)
    assert replay(second.grounds[0].recording) == second.decisions


class _InAnIncident(FakeLibrary):
    in_incidents = frozenset({AssetId("clip")})


def test_an_incident_counts_from_the_keyframe_on_at_which_it_is_open() -> None:
    """Though what fell is the same set in both versions: what it allows is not that of the keyframe before."""
    libraries = iter([FakeLibrary(), FakeLibrary(), _InAnIncident()])
    policy = Policy(LabelPolicy(Verdict.REVIEW), for_incidents=Policy(LabelPolicy(Verdict.KILL)))
    matcher = Matcher(lambda: next(libraries), rule=BUILT_IN_RULE, policy=policy)
    state, found = DecisionState(), []
    for second in (0, 2, 4):
        matched = matcher.observe(state, _seen(second))
        state = matched.state
        found += [(second, decision.verdict) for decision in matched.decisions]
    assert found == [(2, Verdict.REVIEW), (4, Verdict.KILL)]


def test_another_policy_counts_with_the_next_keyframe() -> None:
    """With the evidence that there is; and each decision can be decided again from what was recorded of it."""
    matcher = Matcher(FakeLibrary, rule=BUILT_IN_RULE, policy=Policy(LabelPolicy(Verdict.REVIEW)))
    state, found = DecisionState(), []
    for second in (0, 2, 4):
        if second == 4:
            matcher.policy = Policy()
        matched = matcher.observe(state, _seen(second))
        state = matched.state
        for decision, grounds in zip(matched.decisions, matched.grounds, strict=True):
            assert replay(grounds.recording) == (decision,)
            found.append((second, decision.verdict))
    assert found == [(2, Verdict.REVIEW), (4, Verdict.KILL)]
