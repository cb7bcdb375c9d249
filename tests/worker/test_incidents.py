"""streamguard.worker.incidents: what is open is followed, and what streams have shown is told over HTTP."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client import CollectorRegistry

from streamguard.config import load_config
from streamguard.core.decide import DecisionState
from streamguard.enforce.signals.events import signal_id
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import INCIDENTS, Book
from streamguard.library.signed import sign_library
from streamguard.types import AssetId, MediaTime, Observation, SessionId
from streamguard.worker.health import Health, HealthServer
from streamguard.worker.incident_metrics import IncidentMetrics
from streamguard.worker.incidents import IncidentMode, OpenIncidents
from streamguard.worker.looked_up import LookedUp, from_json
from streamguard.worker.matcher import Matched
from streamguard.worker.messages import Kept, KeptTold, pack
from streamguard.worker.part_ids import mark_of
from streamguard.worker.shown import from_bytes
from streamguard.worker.watcher import Found
from tests.kill_signals import a_decision
from tests.library.key_files import trust_in
from tests.library.made import library_of
from tests.local_servers import free_ports
from tests.worker.conftest import Logs
from tests.worker.fake_decoders import GROUNDS, FakeClock, FakeDecoder, keyframe
from tests.worker.test_health import ask
from tests.worker.test_shown import a_stream
from tests.worker.works import job


@pytest.fixture
def library(tmp_path: Path) -> Path:
    library_of(tmp_path / "lib", "a")
    return tmp_path / "lib"


@pytest.fixture
def book(library: Path) -> Book:
    return Book(library, lambda: 1_700_000_000.0)


def events(logs: Logs) -> list[str]:
    return [line["event"] for line in logs]


def test_what_is_opened_and_closed_is_followed(library: Path, book: Book, logs: Logs) -> None:
    """With one line in the log for each; what is added to one is no news."""
    followed = OpenIncidents(library)
    followed.refresh()
    assert (followed.open, events(logs)) == ((), [])
    book.open("attack", label=None, by="", reason="a call")
    book.open("other", label="terror", by="", reason="")
    followed.refresh()
    assert [one.name for one in followed.open] == ["attack", "other"]
    book.note("attack", ("a",))
    followed.refresh()
    book.close("attack")
    followed.refresh()
    followed.refresh()
    assert [one.name for one in followed.open] == ["other"]
    assert events(logs) == ["incident_opened", "incident_opened", "incident_closed"]
    assert (logs[0]["incident"], logs[0]["label"], logs[0]["reason"]) == ("attack", "incident-attack", "a call")
    (library / INCIDENTS).unlink()
    followed.refresh()
    assert followed.open == ()


def test_what_cannot_be_read_changes_nothing(library: Path, book: Book, logs: Logs) -> None:
    """It is said once, and the file counts again when it is another one."""
    followed = OpenIncidents(library)
    book.open("attack", label=None, by="", reason="")
    followed.refresh()
    good = (library / INCIDENTS).read_bytes()
    (library / INCIDENTS).write_bytes(good[:-30])
    for _ in range(3):
        followed.refresh()
    assert [one.name for one in followed.open] == ["attack"]
    assert "read incidents" in followed.problem
    assert events(logs) == ["incident_opened", "incidents_not_read"]
    (library / INCIDENTS).unlink()
    os.mkfifo(library / INCIDENTS)
    writer = os.open(library / INCIDENTS, os.O_RDWR)
    followed.refresh()
    assert "not a regular file" in followed.problem
    os.close(writer)
    (library / INCIDENTS).unlink()
    (library / INCIDENTS).write_bytes(good)
    followed.refresh()
    assert followed.problem == ""


def test_a_library_that_vanishes_closes_none(library: Path, book: Book, logs: Logs) -> None:
    """A disk that is away for a moment is no end of a crisis; it counts again when it is back."""
    followed = OpenIncidents(library)
    book.open("attack", label=None, by="", reason="")
    followed.refresh()
    library.rename(library.with_name("away"))
    for _ in range(2):
        followed.refresh()
    assert [one.name for one in followed.open] == ["attack"]
    assert "no such directory" in followed.problem
    assert events(logs) == ["incident_opened", "incidents_not_read"]
    library.with_name("away").rename(library)
    followed.refresh()
    assert ([one.name for one in followed.open], followed.problem) == (["attack"], "")


def test_where_a_key_is_asked_for_nobody_else_opens_one(
    library: Path, book: Book, tmp_path: Path, *, logs: Logs
) -> None:
    """It would cost every worker time."""
    followed = OpenIncidents(library, trust=trust_in(Signer.new(), folder=tmp_path))
    book.open("attack", label=None, by="", reason="")
    followed.refresh()
    assert followed.open == ()
    assert "not signed" in followed.problem
    assert events(logs) == ["incidents_not_read"]


def test_keys_that_change_count_for_incidents_too(library: Path, tmp_path: Path) -> None:
    """What was refused is open as soon as the file of trusted keys has the one that signed it."""
    mine, other = Signer.new(), Signer.new()
    sign_library(library, mine)
    Book(library, lambda: 1_700_000_000.0, mine).open("attack", label=None, by="", reason="")
    followed = OpenIncidents(library, trust=trust_in(other, folder=tmp_path))
    followed.refresh()
    assert "is signed by key" in followed.problem
    trust_in(other, mine, folder=tmp_path)
    followed.refresh()
    assert ([one.name for one in followed.open], followed.problem) == (["attack"], "")


class Served:
    """An incident mode with its pages, as a worker has it."""

    def __init__(self, library: Path, *, remember_s: float = 120.0) -> None:
        self.clock = FakeClock(100.0)
        registry = CollectorRegistry()
        config = load_config(None, environ={}, overrides={"library.path": library, "incident.remember_s": remember_s})
        self.mode = IncidentMode(config, trust=None, metrics=IncidentMetrics(registry), clock=self.clock)
        (port,) = free_ports(1)
        health = Health(alive=True, ready=True)
        self.server = HealthServer("127.0.0.1", port, registry=registry, health=lambda: health, statuses=tuple)
        self.server.add(self.mode.pages)
        self.address = ("127.0.0.1", port)

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        status, body = ask(self.address, path)
        tree: dict[str, object] = json.loads(body)
        return status, tree

    def show(self, name: str, *, server: str | None = None, keyframes: int = 3) -> None:
        for number in range(keyframes):
            self.mode.watcher.seen(a_stream(name, server=server), keyframe(2.0 * number))


@pytest.fixture
def served(library: Path) -> Iterator[Served]:
    found = Served(library)
    found.server.start()
    yield found
    found.server.stop()


def test_an_incident_shows_everywhere(served: Served, book: Book) -> None:
    """In /api/incidents, in what /readyz says of it, and in the metrics; and what attention asks."""
    assert served.get("/api/incidents") == (200, {"incidents": []})
    assert not served.mode.is_open()
    book.open("attack", label="terror", by="anna", reason="a call")
    served.mode.read_items()
    status, tree = served.get("/api/incidents")
    assert status == 200
    assert tree["incidents"] == [
        {
            "name": "attack", "label": "terror", "opened_unix_s": 1_700_000_000.0, "opened_by": "anna",
            "reason": "a call", "items": 0, "streams_believed": None,
        }
    ]  # fmt: skip
    assert served.mode.is_open()
    assert served.mode.detail() == {"open": ["attack"], "problem": ""}
    metrics = ask(served.address, "/metrics")[1]
    assert "\nstreamguard_incidents_open 1.0\n" in metrics
    assert "\nstreamguard_shown_reach_seconds 120.0\n" in metrics


def test_a_problem_is_worth_a_look(served: Served, library: Path) -> None:
    """/readyz says it among its reasons; the watching goes on."""
    assert served.mode.worth_a_look() == []
    (library / INCIDENTS).write_bytes(b"rubbish")
    served.mode.read_items()
    (reason,) = served.mode.worth_a_look()
    assert reason.startswith("incidents are not followed: ")


def test_what_was_passed_over_is_asked_for_first(served: Served) -> None:
    """So that the answer has it, in its place; of a stream that is over what is remembered is all there is."""
    stream = a_stream("cam")
    decoder = FakeDecoder(job(), (), served.clock)
    stream.decoder = decoder
    for watcher in (served.mode.watcher, served.mode.asker):
        for at_s in (0.0, 6.0):
            watcher.seen(stream, keyframe(at_s))

    def answer() -> bool:
        for watcher in (served.mode.watcher, served.mode.asker):
            for at_s in (4.0, 2.0):
                watcher.kept(stream, Kept(keyframe(at_s, arrived_s=90.0 + at_s)))
            watcher.kept(stream, KeptTold())
        return True

    decoder.ask_for_kept = answer  # type: ignore[method-assign]
    assert _times_us(served) == [2_000_000, 4_000_000, 0, 6_000_000]
    stream.decoder = None
    assert len(_times_us(served)) == 4


def _times_us(served: Served) -> list[int]:
    with closing(HTTPConnection(*served.address, timeout=10)) as client:
        client.request("GET", "/api/streams/cam/shown?last_s=60")
        return [one.at.pts_us for one in from_bytes(client.getresponse().read()).keyframes]


@pytest.mark.parametrize("name", ["cam", "live/cam-7", "live/\u00fc?&#%2f\u6620\u753b", "/shown", "a//b/"])
def test_what_was_shown_is_told(served: Served, name: str) -> None:
    """By the stream's name, percent-encoded, whatever is in it."""
    served.show(name)
    served.show("other", keyframes=1)
    with closing(HTTPConnection(*served.address, timeout=10)) as client:
        client.request("GET", f"/api/streams/{quote(name, safe='')}/shown?last_s=60")
        answer = client.getresponse()
        body = answer.read()
    assert (answer.status, answer.getheader("Content-Type")) == (200, "application/octet-stream")
    assert [one.at.pts_us for one in from_bytes(body).keyframes] == [0, 2_000_000, 4_000_000]


def test_what_is_not_remembered_is_not_there(served: Served) -> None:
    """404, with what that means; so is a page that is none."""
    status, tree = served.get("/api/streams/cam/shown?last_s=30")
    assert (status, tree["error"]) == (404, "nothing was seen here of a stream of that name in the last 30 s")
    served.show("cam")
    served.clock.now_s += 31.0
    assert served.get("/api/streams/cam/shown?last_s=30")[0] == 404
    assert served.get("/api/streams/cam/shown?last_s=60&server=edge-1")[0] == 404
    for path in ("/api/streams//shown", "/api/streams/shown", "/api/streams/cam", "/api/streams/cam/shown/"):
        status, tree = served.get(path)
        assert (status, tree["error"]) == (404, "not here"), path
        assert "/api/streams/NAME/shown" in str(tree["paths"])


@pytest.mark.parametrize("last", ["0", "-1", "nan", "inf", "86401", "x", "1e999"])
def test_a_length_of_time_that_is_none(served: Served, last: str) -> None:
    """400, with what may be asked for."""
    served.show("cam")
    status, tree = served.get(f"/api/streams/cam/shown?last_s={last}")
    assert (status, str(tree["error"])[:22]) == (HTTPStatus.BAD_REQUEST, "last_s must be seconds")


def test_of_two_streams_of_one_name_one_must_be_named(served: Served) -> None:
    """409, with the media servers that have one."""
    served.show("live/cam", server="edge-1")
    served.show("live/cam", server="edge-2", keyframes=1)
    status, tree = served.get("/api/streams/live%2Fcam/shown")
    assert (status, tree["error"]) == (409, "several media servers have a stream of that name: edge-1, edge-2")
    assert ask(served.address, "/api/streams/live%2Fcam/shown?server=edge-2", "HEAD") == (200, "")


def test_who_was_decided_on_is_told(served: Served) -> None:
    """With how much of what was shown is unknown to the library, where it was asked, and for which references; no other
    stream is.
    """
    served.show("live/cam", server="edge-1", keyframes=4)
    served.show("other")
    stream = a_stream("live/cam", server="edge-1")
    served.mode.watcher.found(Found(stream.spec, SessionId("1"), a_decision(), GROUNDS, "v1", 0.0))
    served.clock.now_s += 2.5
    status, tree = served.get("/api/shown")
    decision = a_decision()
    assert status == 200
    assert tree["streams"] == [
        {
            "stream": "live/cam", "server": "edge-1", "keyframes": 4, "unknown": 0,
            "verdicts": [
                {
                    "reference": decision.asset, "verdict": decision.verdict.value, "ago_s": 2.5,
                    "signal": signal_id(decision, session=SessionId("1")),
                }
            ],
        }
    ]  # fmt: skip


def test_what_keyframes_were_recognised_as_is_told(served: Served) -> None:
    """Of each that is remembered of a stream, by the name that it has among the fingerprints."""
    served.show("live/cam", server="edge-1", keyframes=2)
    served.clock.now_s += 2.5
    status, body = ask(served.address, "/api/streams/live%2Fcam/known?server=edge-1")
    assert status == 200
    marks = [mark_of(pack(replace(keyframe(at_s), thumbnail=b""))) for at_s in (0.0, 2.0)]
    assert from_json(body.encode()) == dict.fromkeys(marks, LookedUp(2.5, None))
    assert served.get("/api/streams/other/known")[0] == 404


def test_what_a_decided_stream_has_shown_is_kept_as_configured(served: Served) -> None:
    """For incident.keep_decided_s, an hour; of others it is forgotten."""
    served.show("live/cam")
    served.show("other")
    stream = a_stream("live/cam")
    served.mode.watcher.found(Found(stream.spec, SessionId("1"), a_decision(), GROUNDS, "v1", 0.0))
    served.clock.now_s += 600.0
    served.mode.watcher.tick(())
    assert ask(served.address, "/api/streams/live%2Fcam/known")[0] == 200
    assert ask(served.address, "/api/streams/other/known")[0] == 404
    served.clock.now_s += 3100.0
    served.mode.watcher.tick(())
    assert ask(served.address, "/api/streams/live%2Fcam/known")[0] == 404


def test_where_nothing_is_remembered_it_says_so(library: Path) -> None:
    """So that nobody looks for the stream elsewhere."""
    served = Served(library, remember_s=0.0)
    served.server.start()
    try:
        served.show("cam")
        status, tree = served.get("/api/streams/cam/shown")
    finally:
        served.server.stop()
    assert (status, tree["error"]) == (404, "nothing is remembered here: incident.remember_s is 0")


def test_what_came_last_is_named_first(library: Path, book: Book) -> None:
    """Of all that are open, each item once: where there is not room for all in what is searched first, those count."""
    followed = OpenIncidents(library)
    book.open("attack", label=None, by="", reason="")
    book.note("attack", ("a", "b"))
    later = Book(library, lambda: 1_700_000_100.0)
    later.open("other", label=None, by="", reason="")
    later.note("other", ("c", "a"))
    followed.refresh()
    assert list(followed.items) == ["a", "c", "b"]
    later.close("other")
    followed.refresh()
    assert list(followed.items) == ["b", "a"]
    book.close("attack")
    followed.refresh()
    assert list(followed.items) == []


def test_how_much_is_believed_of_an_item(served: Served, book: Book) -> None:
    """What was said of its incident, the most where it came in several; else what the configuration says; and nothing
    of an item of none that is open.
    """

    def believed(asset: str, *, unsaid: int | None = 300) -> int:
        return served.mode.streams_believed(AssetId(asset), unsaid=unsaid)

    for name, streams in (("one", None), ("two", 700), ("three", 90)):
        book.open(name, label=None, by="", reason="", streams_believed=streams)
    book.note("one", ("a", "b"))
    book.note("two", ("b", "c"))
    book.note("three", ("c", "d"))
    assert believed("a") == 0
    served.mode.read_items()
    assert [believed(asset) for asset in "abcd"] == [300, 700, 700, 90]
    assert [believed(asset, unsaid=None) for asset in "ab"] == [0, 700]
    assert believed("e") == 0
    book.close("two")
    served.mode.read_items()
    assert [believed(asset) for asset in "abcd"] == [300, 300, 90, 90]


def test_a_rest_that_fails_is_counted_and_told(served: Served, logs: Logs) -> None:
    """Each keyframe in the metrics, one line a minute in the log, and in /readyz for a minute; and what streams have
    shown is remembered all the same.
    """
    matched = Matched(DecisionState(), Observation(MediaTime(1, 0), ()), (), (), "v1", 0.0)
    stream = a_stream("cam")
    for problem in ("", "no memory", "no memory"):
        served.mode.watcher.keyframe(stream, replace(matched, rest_problem=problem))
    assert "\nstreamguard_incident_hot_alone_total 2.0\n" in ask(served.address, "/metrics")[1]
    assert [(line["event"], line["problem"], line["times"]) for line in logs] == [("rest_not_searched", "no memory", 1)]
    assert served.mode.worth_a_look() == ["only what came in open incidents is found, the rest fails: no memory"]
    served.clock.now_s += 61.0
    assert served.mode.worth_a_look() == []
