"""streamguard.worker.calibration: harmless footage through the pipeline of `watch`, by its real children."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.cli.targets import once_spec
from streamguard.config import Config
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.demo.encode import Segment, film, write_segments
from streamguard.demo.live import Broadcast, LiveServer
from streamguard.demo.scenes import Scene
from streamguard.errors import LibraryMissing, UsageError
from streamguard.library.rule_file import RULE
from streamguard.library.snapshot import Snapshot
from streamguard.types import MediaTime, Observation
from streamguard.worker.calibration import (
    Calibration,
    Harmless,
    Outcome,
    Seen,
    Unusable,
    identity_of_file,
    library_to_calibrate,
)
from streamguard.worker.calibration_state import Watched
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.parts import supervisor_options
from tests.core.test_variants import evidence
from tests.known_library import make_library
from tests.library.fitted import fitted_rules
from tests.scenes import SIZE_PX, Clips


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Snapshot:
    """It knows the known clip, and a camera as it was on Monday."""
    start_forkserver()
    monday, _ = clips.same_camera
    return library_to_calibrate(make_library(tmp_path_factory.mktemp("calibration") / "library", clips.known, monday))


def harmless(path: Path, *, name: str = "0") -> Harmless:
    return Harmless(once_spec(str(path), name=name), identity_of_file(path))


def calibration(library: Snapshot, outcome: Callable[[Outcome], None]) -> Calibration:
    return Calibration(library, options=supervisor_options(Config(), most_at_once=2), outcome=outcome)


def run(library: Snapshot, *paths: Path) -> list[Outcome]:
    outcomes: list[Outcome] = []
    calibration(library, outcomes.append).run_files([harmless(path, name=str(i)) for i, path in enumerate(paths)])
    return sorted(outcomes, key=lambda one: [str(path) for path in paths].index(one.input))


def test_harmless_footage_has_no_near_miss(library: Snapshot, clips: Clips) -> None:
    """What was watched of it counts: from its first keyframe to its last."""
    (watched,) = run(library, clips.unrelated)
    assert isinstance(watched, Watched)
    assert watched.seconds == pytest.approx(10.0, abs=0.1)
    identity = identity_of_file(clips.unrelated)
    assert replace(watched, seconds=0.0) == Watched(str(clips.unrelated), identity, 0.0, 6, (), (), ())


def test_known_footage_is_a_kill_with_its_time(library: Snapshot, clips: Clips) -> None:
    """By the built-in rule, whatever rule the library has; its nearest is what every keyframe agreeing adds up to."""
    for known in (library, replace(library, rules=fitted_rules(kill_nats=39.0))):
        (watched,) = run(known, clips.disguised)
        assert isinstance(watched, Watched)
        (killed,) = watched.kills
        assert killed.asset == "known"
        assert killed.at_s == pytest.approx(2.0, abs=0.1)
        assert killed.nats >= BUILT_IN_RULE.kill_nats
        assert watched.near_kills[0].nats > 2 * killed.nats


def test_the_same_camera_is_a_near_review_and_no_kill(library: Snapshot, clips: Clips) -> None:
    """It does not tell when; that is what the nats of a review are fitted to."""
    _, tuesday = clips.same_camera
    (watched,) = run(library, tuesday)
    assert isinstance(watched, Watched)
    assert watched.kills == ()
    assert [near.asset for near in watched.near_reviews] == ["camera_monday"]
    assert all(near.nats < BUILT_IN_RULE.kill_nats for near in watched.near_kills)


def test_a_bad_input_costs_that_input(library: Snapshot, clips: Clips) -> None:
    """It is named with what is wrong, and the others go on."""
    bad, good = run(library, clips.not_a_video, clips.unrelated)
    assert isinstance(bad, Unusable)
    assert "no audio or video" in bad.problem
    assert isinstance(good, Watched)


def test_what_cannot_be_kept_ends_it(library: Snapshot, clips: Clips) -> None:
    """A full disk under the state is not taken for the fault of an input."""
    told: list[Outcome] = []

    def full(outcome: Outcome) -> None:
        told.append(outcome)
        raise UsageError("write state", "x", "disk full")

    with pytest.raises(UsageError, match="disk full"):
        calibration(library, full).run_files([harmless(clips.unrelated)])
    assert len(told) == 1


def test_a_live_stream_is_watched_for_so_long(library: Snapshot, tmp_path: Path) -> None:
    """All that came until then counts; a stream that is not there is named."""
    segments: tuple[Segment, ...] = write_segments(tmp_path, film(Scene(77), seconds=30.0, size_px=SIZE_PX))
    outcomes: list[Outcome] = []
    with LiveServer(Broadcast(segments, started_s=time.monotonic() - 10.0)) as server:
        urls = (server.url, f"http://{server.url.split('/')[2]}/nothing.m3u8")
        inputs = [
            Harmless(replace(once_spec(url, name=str(i)), once=False), f"live:{url}") for i, url in enumerate(urls)
        ]
        calibration(library, outcomes.append).run_live(inputs, seconds=5.0)
    watched, nothing = outcomes
    assert isinstance(watched, Watched)
    assert (watched.identity, watched.keyframes >= 2, watched.seconds >= 2.0) == (f"live:{urls[0]}", True, True)
    assert isinstance(nothing, Unusable)
    assert (nothing.input, nothing.problem.startswith("no keyframe came in 5 s: ")) == (urls[1], True)
    assert "404" in nothing.problem


def test_content_is_what_a_file_is_known_by(tmp_path: Path) -> None:
    """Another name is the same, another byte is not; what cannot be read is an error."""
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    one.write_bytes(b"x" * 3_000_000)
    same.write_bytes(b"x" * 3_000_000)
    other.write_bytes(b"x" * 2_999_999 + b"y")
    assert identity_of_file(one) == identity_of_file(same) != identity_of_file(other)
    with pytest.raises(UsageError, match="No such file"):
        identity_of_file(tmp_path / "none")


def test_a_damaged_rule_does_not_keep_a_new_one_out(tmp_path: Path, clips: Clips) -> None:
    """The library is what counts here; one with nothing in it, or none, is an error."""
    path = make_library(tmp_path / "library", clips.image)
    (path / RULE).write_text("{")
    assert library_to_calibrate(path).items == 1
    with pytest.raises(UsageError, match="nothing in it is enabled"):
        library_to_calibrate(make_library(tmp_path / "empty"))
    with pytest.raises(LibraryMissing):
        library_to_calibrate(tmp_path / "none")


def test_a_recording_that_is_shown_again_is_no_more_footage(library: Snapshot, tmp_path: Path) -> None:
    """An ended playlist, which every connection plays anew, the last one not to its end: its hours count once."""
    segments = write_segments(tmp_path, film(Scene(78), seconds=8.0, size_px=SIZE_PX))
    outcomes: list[Outcome] = []
    with LiveServer(Broadcast(segments, started_s=time.monotonic() - 100.0)) as server:
        spec = replace(once_spec(server.url, name="0"), once=False)
        calibration(library, outcomes.append).run_live([Harmless(spec, "live:x")], seconds=6.0)
    (watched,) = outcomes
    assert isinstance(watched, Watched)
    assert 0.0 < watched.seconds <= 8.0
    assert 2 <= watched.keyframes <= 4


@pytest.mark.parametrize("again", [2, 4], ids=["cut off", "to its end"])
def test_what_a_connection_showed_before_is_no_more_footage(tmp_path: Path, again: int) -> None:
    """However far the next connection comes; what it shows beyond that counts."""
    seen = Seen()
    for session, keyframes in enumerate((4, again, 6)):
        for i in range(keyframes):
            seen.saw(Observation(MediaTime(session, i * 2_000_000), ()), shown=i)
    watched = seen.watched(Harmless(once_spec(str(tmp_path), name="0"), "live:x"))
    assert (watched.keyframes, watched.seconds) == (6, 6.0 + 2.0)


def test_what_stands_between_keyframes_counts_as_they_do() -> None:
    """A rule that knew nothing of it would promise too much; where its keyframes were shown before it is none new."""
    seen = Seen()
    for session in range(2):
        for i in range(3):
            seen.saw(Observation(MediaTime(session, i * 2_000_000), ()), shown=i)
            between = Observation(MediaTime(session, i * 2_000_000 + 500_000), (evidence(9.0, at_s=1.0 + 2.0 * i),))
            seen.saw(between, shown=i, between=True)
    watched = seen.watched(Harmless(once_spec("/film.mp4", name="0"), "live:x"))
    assert (watched.keyframes, watched.seconds) == (3, 4.0)
    assert [(near.at_s, near.nats > 9.0) for near in watched.near_kills] == [(4.5, True)]
