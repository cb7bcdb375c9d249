"""What looks between keyframes make of whole streams: footage that hides there is killed, and nobody innocent."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import pytest

from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.pdq import from_luma
from streamguard.core.sampling import EVERY_KEYFRAME
from streamguard.core.stillness import StreamMemory
from streamguard.demo.encode import film, read_video
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture
from streamguard.ingest.keyframes import PARSE_ONLY, Stamps
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.viewer import Viewer
from streamguard.library.loading import Demands
from streamguard.library.watch import SnapshotHolder
from streamguard.types import Levels, Luma, Verdict
from streamguard.worker.matcher import Matcher
from tests.known_library import make_library
from tests.scenes import SIZE_PX, UNRELATED_SEED, Clips

SUSPECT = replace(EVERY_KEYFRAME, between_share=1.0)
"""As many looks as can be: what is innocent under these is so under fewer."""


def _hashed(luma: Luma, levels: Levels) -> bytes:
    return from_luma(luma, levels=levels)[0]


@pytest.fixture(scope="module")
def matcher(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Matcher:
    """Knows moving footage, and a camera on Monday."""
    folder = make_library(tmp_path_factory.mktemp("between") / "library", clips.known, clips.same_camera[0])
    holder = SnapshotHolder(folder, demands=Demands(None, None))
    return Matcher(lambda: holder.snapshot, rule=BUILT_IN_RULE)


def decided(matcher: Matcher, path: Path, *, glances: bool = True) -> tuple[set[Verdict], int]:
    """The verdicts on it, live, and how many looks there were between keyframes."""
    options = SourceOptions(hashed=_hashed, glances=glances)
    viewer = Viewer("cam", options, session=1, tell=lambda _: None, live=True)
    viewer.pace = lambda: SUSPECT
    memory, state = StreamMemory(), DecisionState()
    verdicts: set[Verdict] = set()
    between = 0
    with av.open(str(path), options=PARSE_ONLY) as container:
        for packet in container.demux(viewer.open(container, position_s=0.0)):
            at_s = Stamps.of(packet).dts_s or 0.0
            for frame in viewer.frames(packet, arrived_s=at_s, position_s=at_s):
                matched = matcher.observe(state, memory.marked(fingerprints(frame, local=STREAM)))
                state = matched.state
                verdicts |= {decision.verdict for decision in matched.decisions}
                between += frame.between
    return verdicts, between


def _restless() -> Iterator[Picture]:
    """A stream with cuts, a white flash every 1.5 s, and a menu that pops up for a third of a second."""
    for number, picture in enumerate(film(Scene(UNRELATED_SEED), seconds=12.0, size_px=SIZE_PX)):
        if number % 37 == 20:
            yield cv2.convertScaleAbs(picture, alpha=0.2, beta=200).astype("uint8")
        elif number % 60 >= 52:
            menu = picture.copy()
            menu[30:150, 60:260] = 40
            for line in range(5):
                cv2.putText(menu, f"item {line}", (80, 55 + 20 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230, 230, 230))
            yield menu
        else:
            yield picture


def test_what_hides_between_keyframes_is_killed(clips: Clips, matcher: Matcher) -> None:
    """And called clear, as it was, by keyframes alone."""
    assert decided(matcher, clips.hidden, glances=False)[0] == set()
    assert decided(matcher, clips.hidden)[0] == {Verdict.KILL}


def test_flashes_menus_and_cuts_are_looked_at_and_change_no_verdict(clips: Clips, matcher: Matcher) -> None:
    """Nothing known is in them."""
    verdicts, between = decided(matcher, clips.written("restless.mp4", _restless))
    assert between >= 5
    assert verdicts == set()


def test_a_camera_on_another_day_is_not_killed_for_hiding(clips: Clips, matcher: Matcher) -> None:
    """Its background between harmless keyframes stood there in every look before, and tells nothing."""
    harmless = Scene(UNRELATED_SEED)

    def pictures() -> Iterator[Picture]:
        for number, picture in enumerate(read_video(clips.same_camera[1])):
            yield picture if number % 50 else harmless.frame(0.0, *SIZE_PX)

    verdicts, between = decided(matcher, clips.written("tuesday_hidden.mp4", pictures))
    assert between >= 3
    assert Verdict.KILL not in verdicts
