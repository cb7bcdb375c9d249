"""The drill itself: streams are made, looked at by the real pipeline, judged and deleted."""

import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.demo.encode import film, write_video
from streamguard.demo.scenes import Scene
from streamguard.drill.attacks import chosen
from streamguard.drill.footage import Plan
from streamguard.drill.run import Broken, Pipeline, drill
from streamguard.drill.score import Outcome, Result, Target
from streamguard.drill.targets import Footage
from streamguard.errors import UsageError
from streamguard.ingest.sources import SourceOptions
from streamguard.library.loading import load_snapshot
from streamguard.types import AssetId
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.matcher import Matcher
from streamguard.worker.supervisor import SupervisorOptions
from tests.known_library import make_library
from tests.scenes import Clips

PLAN = Plan(limit_s=8.0)


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Temporary files of a drill go where the test sees them."""
    (tmp_path / "room").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "room"))


def pipeline(library: Path, *, decoder_memory_mib: int = 1536) -> Pipeline:
    snapshot = load_snapshot(library)
    options = SupervisorOptions(SourceOptions(), decoder_memory_mib, most_at_once=2)
    return Pipeline(Matcher(lambda: snapshot, rule=BUILT_IN_RULE), options, at_once=2)


def footage(path: Path) -> Footage:
    return Footage(path, Target(AssetId(path.stem), "terror", review_only=False))


def told() -> tuple[list[float], Callable[[float], None]]:
    heard: list[float] = []
    return heard, heard.append


def test_each_attack_on_each_footage(clips: Clips, tmp_path: Path) -> None:
    """Results come by footage and attack: known footage is killed soon, what nobody knows is missed. The
    progress goes forward to the number of streams, and no file is left.
    """
    library = make_library(tmp_path / "library", clips.known)
    wanted, (heard, progress) = chosen(["grey", "mirror", "inset-50"]), told()
    targets = [footage(clips.known), footage(clips.unrelated)]
    results = list(drill(targets, wanted, plan=PLAN, pipeline=pipeline(library), progress=progress))
    outcomes = [(one.target.item, one.attack, one.outcome) for one in results if isinstance(one, Result)]
    assert outcomes == [
        ("known", "grey", Outcome.KILLED),
        ("known", "mirror", Outcome.KILLED),
        ("known", "inset-50", Outcome.KILLED),
        ("unrelated", "grey", Outcome.MISSED),
        ("unrelated", "mirror", Outcome.MISSED),
        ("unrelated", "inset-50", Outcome.MISSED),
    ]
    assert all(one.after_s in (3.0, 5.0) for one in results[:2] if isinstance(one, Result))
    assert heard == sorted(heard)
    assert heard[-1] == 6
    assert list((tmp_path / "room").iterdir()) == []


def test_the_same_twice(clips: Clips, tmp_path: Path) -> None:
    """The same seed gives the same results, to the millisecond, whatever else is attacked with it."""
    library = make_library(tmp_path / "library", clips.known)
    wanted = chosen(["grain", "crop-20"])
    one, other = (
        list(drill(targets, wanted, plan=PLAN, pipeline=pipeline(library), progress=lambda _: None))
        for targets in ([footage(clips.known)], [footage(clips.known), footage(clips.black)])
    )
    assert one == other[:2]


def test_a_kill_in_the_lead_in_is_a_false_kill(clips: Clips, tmp_path: Path) -> None:
    """Where the library happens to hold what leads in, the stream is cut too early."""
    seed = zlib.crc32(b"0 known")
    decoy = write_video(tmp_path / "decoy.mp4", film(Scene(seed + 1), seconds=7, size_px=(320, 180)))
    library = make_library(tmp_path / "library", clips.known, decoy)
    events = drill(
        [footage(clips.known)], chosen(["grey"]), plan=PLAN, pipeline=pipeline(library), progress=lambda _: None
    )
    (result,) = events
    assert isinstance(result, Result)
    assert (result.outcome, result.reference) == (Outcome.FALSE_KILL, "decoy")
    assert result.after_s is not None
    assert result.after_s < 0


def test_footage_that_cannot_be_read_is_told_once(clips: Clips, tmp_path: Path) -> None:
    """However many streams were to be made of it; the others are attacked, and all of them count as done."""
    library = make_library(tmp_path / "library", clips.known)
    wanted, (heard, progress) = chosen(["colour", "flip"]), told()
    targets = [footage(clips.not_a_video), footage(clips.known)]
    events = list(drill(targets, wanted, plan=Plan(limit_s=2.0), pipeline=pipeline(library), progress=progress))
    (broken,) = [event for event in events if isinstance(event, Broken)]
    assert (broken.footage, broken.attack) == (targets[0], "")
    assert "no audio or video" in str(broken.error)
    assert len(events) == 1 + len(wanted)
    assert heard[-1] == 2 * len(wanted)


def test_a_stream_that_cannot_be_looked_at_is_no_miss(clips: Clips, tmp_path: Path) -> None:
    """A pipeline whose decoders have no memory: an error for each stream, and no result."""
    library = make_library(tmp_path / "library", clips.known)
    poor = pipeline(library, decoder_memory_mib=1)
    (broken,) = drill([footage(clips.known)], chosen(["grey"]), plan=PLAN, pipeline=poor, progress=lambda _: None)
    assert isinstance(broken, Broken)
    assert broken.attack == "grey"
    assert "under grey: " in str(broken.error)


def test_whoever_stops_leaves_nothing_behind(clips: Clips, tmp_path: Path) -> None:
    """Stopped in the middle of a batch, as Ctrl-C does: the temporary files are gone."""
    library = make_library(tmp_path / "library", clips.known)
    seen: list[int] = []

    def stop(_done: float) -> None:
        seen.append(len(list((tmp_path / "room").rglob("*.mp4"))))
        raise KeyboardInterrupt

    events = drill([footage(clips.known)], chosen(["grey"]), plan=PLAN, pipeline=pipeline(library), progress=stop)
    with pytest.raises(KeyboardInterrupt):
        list(events)
    assert seen == [1]
    assert list((tmp_path / "room").iterdir()) == []


def test_no_room(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory for temporary files that is not there is an error with the next step."""
    library = make_library(tmp_path / "library", clips.known)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    events = drill(
        [footage(clips.known)], chosen(["grey"]), plan=PLAN, pipeline=pipeline(library), progress=lambda _: None
    )
    with pytest.raises(UsageError, match="TMPDIR"):
        list(events)
