"""streamguard.worker.canary_run: a real decoder, a real reference, the real decision."""

from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import pytest

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.rules import BUILT_IN_WEIGHTS, Rules
from streamguard.demo import canary
from streamguard.errors import SourceUnavailable
from streamguard.ingest.news import Blind
from streamguard.ingest.sources import SourceOptions
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.types import SessionId, StreamId
from streamguard.worker.canary_making import ASSET, CLIP, LABEL, LIBRARY, Failure
from streamguard.worker.canary_metrics import Stage
from streamguard.worker.canary_run import CanaryLibrary, CanaryRun, Recognised
from streamguard.worker.children import Decoder, Rubbish
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.matcher import Matcher, Searchable
from streamguard.worker.messages import Ended, Exceeded, Failed
from tests.known_library import make_library
from tests.scenes import Clips
from tests.waiting import eventually
from tests.worker.fake_decoders import UNKNOWN, FakeClock, FakeDecoder, FakeLibrary, Line, keyframe

SESSION = SessionId("canary-1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the canary's clip and library."""
    folder = tmp_path_factory.mktemp("canary")
    ours, theirs = Pipe()
    with ours, theirs:
        canary.make_in(folder, theirs)
    return folder


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Snapshot:
    """The operator's library."""
    return load_snapshot(make_library(tmp_path_factory.mktemp("live") / "library", clips.known))


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


def a_job(clip: Path) -> DecoderJob:
    return DecoderJob(StreamId("canary"), str(clip), 7, SourceOptions(), 1536)


def end_of(run: CanaryRun) -> Recognised | Failure:
    end = eventually(run.turn, timeout_s=30, what="its end")
    assert end is not None
    assert eventually(lambda: run.end().gone(within_s=1.0))
    return end


def run_of(clip: Path, library: Searchable) -> CanaryRun:
    return CanaryRun(a_job(clip), session=SESSION, matcher=Matcher(lambda: library, rule=BUILT_IN_RULE), start=Decoder)


@pytest.mark.parametrize("kill_nats", [12.0, 40.0])
def test_it_is_recognised_by_any_rule_that_is_ever_fitted(made: Path, live: Snapshot, kill_nats: float) -> None:
    """Through a real decoder, by the canary's own reference and the rule and version of the operator's library."""
    strict = Rules(replace(BUILT_IN_RULE, name="strict", kill_nats=kill_nats), BUILT_IN_WEIGHTS)
    library = CanaryLibrary(load_snapshot(made / LIBRARY), replace(live, rules=strict))
    seen = end_of(run_of(made / CLIP, library))
    assert isinstance(seen, Recognised)
    assert (seen.decision.asset, seen.decision.label, seen.decision.rule) == (ASSET, LABEL, "strict")
    assert seen.decision.nats >= kill_nats
    assert (seen.session, seen.library_version) == (SESSION, live.version)


def test_what_only_the_operator_knows_is_no_canary(made: Path, live: Snapshot, clips: Clips) -> None:
    """Known footage in the canary's place is not recognised as the canary."""
    failure = end_of(run_of(clips.known, CanaryLibrary(load_snapshot(made / LIBRARY), live)))
    assert failure == Failure(Stage.RECOGNITION, "it was not recognised in 6 keyframes")


def test_a_file_that_is_gone(made: Path, live: Snapshot, tmp_path: Path) -> None:
    """Its decoder says so."""
    failure = end_of(run_of(tmp_path / "none.mp4", CanaryLibrary(load_snapshot(made / LIBRARY), live)))
    assert isinstance(failure, Failure)
    assert failure.stage is Stage.DECODER
    assert "no such file" in failure.problem


@pytest.mark.parametrize(
    ("line", "stage", "problem"),
    [
        (Ended(), Stage.RECOGNITION, "not recognised in 0 keyframes"),
        (Failed(SourceUnavailable("open stream", "canary", "refused")), Stage.DECODER, "open stream canary: refused"),
        (Blind("only audio"), Stage.DECODER, "only audio"),
        (Exceeded("memory"), Stage.DECODER, "memory"),
        (Rubbish("too long"), Stage.DECODER, "too long"),
        (None, Stage.DECODER, "its decoder "),
    ],
)
def test_each_end_of_a_decoder_has_its_stage(line: Line, stage: Stage, problem: str) -> None:
    """And its reason."""
    (failure, _) = played([(0.0, line)])
    assert isinstance(failure, Failure)
    assert failure.stage is stage
    assert problem in failure.problem


def test_time_that_goes_back_is_rubbish() -> None:
    """Of a canary as of any stream."""
    failure, _ = played([(0.0, keyframe(2.0)), (0.0, keyframe(1.0))])
    assert isinstance(failure, Failure)
    assert "not after the last" in failure.problem


def test_it_takes_a_little_at_a_time() -> None:
    """Two messages a turn, so that the streams that are watched do not notice."""
    _, turns = played([*((0.0, message) for _, message in UNKNOWN[:9]), (0.0, Ended())])
    assert turns == 5


def played(script: list[tuple[float, object]]) -> tuple[Recognised | Failure, int]:
    """What a run of this script ends with, and how many turns it took."""
    clock, library = FakeClock(), FakeLibrary()
    lines: list[Line] = script  # type: ignore[assignment]  # each is one
    run = CanaryRun(
        a_job(Path("clip")),
        session=SESSION,
        matcher=Matcher(lambda: CanaryLibrary(library, library), rule=BUILT_IN_RULE),
        start=lambda job: FakeDecoder(job, lines, clock),
    )
    turns = 1
    while (end := run.turn()) is None:
        turns += 1
    run.end().gone(within_s=0.0)
    return end, turns
