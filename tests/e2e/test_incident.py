"""An incident with a real worker on real streams: what one stream has shown is cut in another, within seconds."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.library.incidents import Book
from streamguard.library.live_set import read_live_set
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import COMMAND, Setup
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually

SEED = 41
"""Footage that no library of these tests has."""

FOOTAGE_S = 10.0
PHASE_S = 3.0
"""The other stream begins here in it, so that its keyframes fall between those of the first."""

BUSY_MACHINE_S = 4.0
"""For publishing, and for keyframes that are passed over, on a machine that does other things as well."""


def incident(*words: object) -> list[dict[str, Any]]:
    """What the command prints."""
    return [json.loads(line) for line in called(*words, "--json").stdout.splitlines()]


def called(*words: object) -> "subprocess.CompletedProcess[str]":
    call = [*COMMAND, "incident", *map(str, words)]
    return subprocess.run(call, check=True, capture_output=True, text=True, timeout=60)


@pytest.fixture
def library_to_change(library: Path, tmp_path: Path) -> Path:
    """A copy of the library of one item."""
    return Path(shutil.copytree(library, tmp_path / "library"))


@pytest.fixture
def footage(clips: Clips) -> tuple[Path, Path]:
    """The same footage from its beginning, and from elsewhere on with other keyframes, smaller."""
    first = clips.film("incident.mp4", Scene(SEED), seconds=FOOTAGE_S)
    pictures = film(Scene(SEED), seconds=FOOTAGE_S - PHASE_S, from_s=PHASE_S, size_px=(240, 136))
    return first, write_video(clips.folder / "incident_other.mp4", pictures)


def test_what_one_stream_has_shown_is_killed_in_another(
    rtmp_server: RtmpServer, footage: tuple[Path, Path], *, library_to_change: Path, start_worker: StartWorker,
    record_testsuite_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """Nobody knew the footage and nobody recorded it. A stream is over when it is added; the next one that shows it is
    killed, as what is searched first, and in as many streams as is believed; and the worker says everywhere that there
    is an incident.
    """
    streams = {name: rtmp_server.rtmp_url(f"incident-{name.replace('/', '-')}") for name in ("live/a", "live/b")}
    worker = start_worker(Setup(streams, library_to_change))
    book = Book(library_to_change, time.time)
    book.open("attack", label=None, by="", reason="a test", streams_believed=800)
    eventually(lambda: worker.log("incident_opened"), what="the incident in the log")
    with rtmp_server.publish("incident-live-a", footage[0], loop=False) as publisher:
        publisher.wait()
    worker.until_logged("live/a", state="ended")
    assert worker.stream("live/a")["decisions"] == 0
    began_s = time.monotonic()
    asked = ("--library", library_to_change, "--worker", f"http://127.0.0.1:{worker.port}")
    (item,) = incident("add", "attack", *asked, "--stream", "live/a")
    version = read_live_set(library_to_change).version
    eventually(lambda: worker.readiness()[1]["library"] == version, what="the new version serves")
    eventually(lambda: worker.metric("streamguard_incident_hot_items") == 1, what="what is searched first")
    record_testsuite_property("seconds of incident add --stream", round(time.monotonic() - began_s, 2))
    assert (item["status"], item["label"], item["review_only"]) == ("added", "incident-attack", False)
    with rtmp_server.publish("incident-live-b", footage[1]):
        killed = worker.until("live/b", verdict="kill", timeout_s=20.0 + BUSY_MACHINE_S)
    assert killed["attention"] == "every"
    (event,) = (one for one in worker.printed() if one["type"] == "org.streamguard.kill.v1")
    data = event["data"]
    assert (event["subject"], data["reference"], data["label"]) == ("live/b", item["id"], "incident-attack")
    assert data["streams_believed"] == 800
    record_testsuite_property("seconds into a stream until it is killed for what another showed", data["at_s"])
    assert data["at_s"] <= 6.0 + BUSY_MACHINE_S
    assert json.loads(worker.get("/api/incidents")[1])["incidents"][0]["name"] == "attack"
    assert worker.metric("streamguard_incidents_open") == 1
    (variant,) = incident("variants", "attack", *asked)
    assert (variant["stream"], variant["verdict"], variant["reference"]) == ("live/b", "kill", item["id"])
    assert "command" not in variant, "nothing takes all of a stream"
    book.close("attack")
    eventually(lambda: worker.log("incident_closed"), what="its end in the log")
    eventually(lambda: worker.metric("streamguard_incident_hot_items") == 0, what="the end of what is searched first")
    assert worker.drain() == 0


def test_a_quiet_stream_is_known_as_closely_as_any_other(
    rtmp_server: RtmpServer, clips: Clips, *, library_to_change: Path, start_worker: StartWorker
) -> None:
    """Most of its keyframes were passed over, one a second; they are in what is added all the same."""
    file = clips.film("incident_quiet.mp4", Scene(SEED + 1), seconds=8.0, encoding=Encoding(gop_s=1.0))
    streams = {"live/quiet": rtmp_server.rtmp_url("incident-quiet")}
    worker = start_worker(Setup(streams, library_to_change, sections={"attention": {"young_s": 1.0}}))
    with rtmp_server.publish("incident-quiet", file):
        worker.until("live/quiet", attention="quiet")
        eventually(lambda: worker.stream("live/quiet")["passed_over"] >= 5, what="keyframes that are passed over")
        Book(library_to_change, time.time).open("attack", label=None, by="", reason="a test")
        asked = ("--library", library_to_change, "--worker", f"http://127.0.0.1:{worker.port}")
        told = called("add", "attack", *asked, "--stream", "live/quiet").stderr
    words = re.match(r"live/quiet has shown: (\d+) keyframes, from \d+ s to \d+ s ago; one each (\d\.\d) s", told)
    assert words, told
    assert int(words[1]) >= 7
    assert float(words[2]) <= 1.5
    assert worker.drain() == 0
