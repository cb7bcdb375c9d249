"""The demo itself, in real time but short: caught by the real parts, from any folder that is its own."""

import json
import math
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest

from streamguard.demo import show
from streamguard.demo.footage import DemoPlan
from streamguard.demo.live import Broadcast
from streamguard.errors import UsageError
from streamguard.review.drawing import HEIGHT_PX, WIDTH_PX
from streamguard.review.explanation import load, what_differs
from streamguard.types import Evidence, KillSignal, MediaTime
from streamguard.worker.matcher import Matched
from streamguard.worker.streams import Stream

SHORT = DemoPlan(known_s=8.0, lead_in_s=3.0, shown_s=5.2)
OVER_TOO_SOON = DemoPlan(known_s=4.0, lead_in_s=3.0, shown_s=1.4)


class Notes:
    """A teller that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.moments_s: list[float] = []
        self.stream_s: list[float] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        yield
        self.told.append(f"step {title}")

    def live(self, url: str) -> None:
        self.told.append(f"live {url}")

    def state(self, at_s: float, stream: Stream) -> None:
        self.told.append(f"state {stream.state.value}")
        self.moments_s.append(at_s)

    def look(self, at_s: float, *, stream_s: float, between: bool, evidence: tuple[Evidence, ...]) -> None:
        self.told.append(f"{'between' if between else 'keyframe'} {len(evidence) > 0}")
        self.moments_s.append(at_s)
        self.stream_s += [] if between else [stream_s]

    def on_air(self, at_s: float) -> None:
        self.told.append("on air")
        self.moments_s.append(at_s)

    def signal(self, at_s: float, signal: KillSignal) -> None:
        self.told.append(f"signal {signal.verdict.value}")
        self.moments_s.append(at_s)


def test_the_footage_is_caught_and_the_folder_used_again(tmp_path: Path) -> None:
    """What an earlier demo left makes room; the story is told in order; the signal is durable, the evidence drawn."""
    (tmp_path / show.MARK).touch()
    (tmp_path / "outbox.sqlite").write_text("left over")
    notes = Notes()
    (caught,) = show.run(tmp_path, notes, plan=SHORT)
    assert 0 < caught.time_to_kill_s < 20
    data = json.loads(caught.signal.event)["data"]
    assert (data["verdict"], data["view"], data["reference"]) == ("kill", "mirrored", show.ASSET)
    watched = [told for told in notes.told if not told.startswith(("step", "live"))]
    assert "state watching" in watched
    assert watched.index("on air") < watched.index("keyframe True")
    assert watched[watched.index("signal kill") - 1] == "keyframe True"
    assert max(notes.moments_s) < 20
    assert np.allclose(np.diff(notes.stream_s), 2.0, atol=0.3)
    evidence = cv2.imread(str(caught.evidence))
    assert evidence is not None
    assert evidence.shape == (HEIGHT_PX, WIDTH_PX, 3)
    (kept,) = [load(path) for path in (tmp_path / "evidence").iterdir() if caught.signal.id in path.name]
    assert (kept.evidence_id, what_differs(kept)) == (data["evidence_id"], ())
    assert kept.thumbnail
    assert kept.reference_thumbnail
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as outbox:
        assert outbox.execute("SELECT id FROM signals").fetchall() == [(caught.signal.id,)]
    assert not [thread for thread in threading.enumerate() if "live" in thread.name]


def test_nothing_is_caught_when_the_stream_is_over_too_soon(tmp_path: Path) -> None:
    """One second of known footage has no two keyframes: the demo ends with the stream, and with nothing."""
    notes = Notes()
    assert show.run(tmp_path, notes, plan=OVER_TOO_SOON) == ()
    assert notes.told[-1] == "state ended"
    assert not (tmp_path / "evidence.png").exists()


def test_looks_between_keyframes_are_told_and_are_no_keyframes() -> None:
    """However many there are beside them."""
    notes = Notes()
    broadcast = cast("Broadcast", SimpleNamespace(offered_s=lambda _segment: math.inf))
    watch = show._Watch(notes, broadcast, first_segment=0)
    observation = SimpleNamespace(at=MediaTime(1, 2_000_000), evidence=())
    for between in (False, True, True):
        matched = cast("Matched", SimpleNamespace(observation=observation, between=between))
        watch.watcher.keyframe(cast("Stream", None), matched)
    assert notes.told == ["keyframe False", "between False", "between False"]
    assert watch.keyframes == 1


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    """A folder that no demo made is refused, and stays as it is."""
    precious = tmp_path / "library" / "catalogue.sqlite"
    precious.parent.mkdir()
    precious.write_text("precious")
    with pytest.raises(UsageError, match=r"other things.*--dir"):
        show.run(tmp_path, Notes(), plan=SHORT)
    assert precious.read_text() == "precious"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way is an error that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/demo.*--dir"):
        show.run(tmp_path / "file" / "demo", Notes(), plan=SHORT)
