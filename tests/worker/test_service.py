"""streamguard.worker.service: the parts together, with real decoders, a real outbox and a real library."""

import http.client
import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from streamguard.config import Config, load_config
from streamguard.core.thumbnails import is_thumbnail
from streamguard.demo.live import Broadcast, LiveServer
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import OutboxError, SignalsRejected, UsageError
from streamguard.library.rule_file import RULE, write_rules
from streamguard.review.explanation import load, what_differs
from streamguard.types import KillSignal, StreamId
from streamguard.worker.answers import Answers
from streamguard.worker.evidence import DIRECTORY
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.own_thread import OwnThread
from streamguard.worker.service import WatchService
from streamguard.worker.signalling import Signaller
from streamguard.worker.streams import StreamSpec, StreamState
from streamguard.worker.summary import Summary
from tests.kill_signals import a_signal
from tests.known_library import LABEL, make_library
from tests.library.fitted import fitted_rules
from tests.local_servers import free_ports
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually
from tests.worker.conftest import Logs


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """One with the known clip. Read-only."""
    return make_library(tmp_path_factory.mktemp("service") / "library", clips.known)


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


def config(library: Path, folder: Path, **options: object) -> Config:
    """Without HTTP, unless options say otherwise; `a__b=1` sets a.b."""
    overrides = {
        "library.path": library,
        "library.reload_every_s": 0.1,
        "signals.outbox": folder / "outbox.sqlite",
        "http.port": 0,
        "worker.drain_timeout_s": 2.0,
        **{name.replace("__", "."): value for name, value in options.items()},
    }
    return load_config(None, environ={}, overrides=overrides)


def a_file(path: Path, name: str = "file") -> StreamSpec:
    return StreamSpec(StreamId(name), str(path), str(path), once=True)


def nobody() -> StreamSpec:
    """A stream that is tried again and again, in vain."""
    (port,) = free_ports(1)
    url = f"rtmp://127.0.0.1:{port}/live/x"
    return StreamSpec(StreamId("nobody"), url, url, once=False)


class Running:
    """A service in a thread of its own, with its pages."""

    def __init__(self, service: WatchService) -> None:
        self.service = service
        self.summary: Summary | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.summary = self.service.run()

    def get(self, path: str) -> tuple[int, str]:
        assert self.service.http_url is not None
        address = self.service.http_url.removeprefix("http://")
        with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def readiness(self) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads(self.get("/readyz")[1])
        return tree


@contextmanager
def running(service: WatchService) -> Iterator[Running]:
    """Runs within the block, and is drained at its end."""
    run = Running(service)
    run.thread.start()
    try:
        yield run
    finally:
        service.stop()
        run.thread.join(15)
        assert not run.thread.is_alive()


def test_a_clip_is_watched_from_end_to_end(library: Path, tmp_path: Path, clips: Clips) -> None:
    """One kill-signal as a JSON line, durable and delivered; the summary tells of all, and nothing is left running."""
    before = set(threading.enumerate())
    out = io.StringIO()
    service = WatchService(
        config(library, tmp_path), [a_file(clips.disguised), a_file(clips.unrelated, "other")], stdout=out
    )
    summary = service.run()
    (line,) = out.getvalue().splitlines()
    event = json.loads(line)
    assert (event["type"], event["subject"]) == ("org.streamguard.kill.v1", "file")
    data = event["data"]
    assert (data["reference"], data["label"], data["view"]) == ("known", LABEL, "mirrored")
    assert data["library_version"] == service._library.snapshot.version
    tree = json.loads(json.dumps(summary.as_json()))
    by_stream = {stream.pop("stream"): stream for stream in tree.pop("by_stream")}
    assert (by_stream["file"]["verdict"], by_stream["other"]["verdict"]) == ("kill", "clear")
    assert by_stream["file"]["session_id"] == data["session_id"]
    lag_s = tree.pop("lag_s")
    assert 0 <= lag_s["p50"] <= lag_s["p99"] <= lag_s["max"] <= tree.pop("seconds") + 0.1  # a rounded tenth
    assert tree == {
        "summary": True, "streams": 2, "never_watched": 0, "keyframes": 12, "decisions": 1, "restarts": 0,
        "reconnects": 0, "undelivered": 0, "lost": 0, "left": 0, "by_server": [],
    }  # fmt: skip
    with Outbox.open(tmp_path / "outbox.sqlite") as outbox:
        assert (outbox.counts().delivered, outbox.depth()) == (1, 0)
    # A timer of the start of a decoder was told to end, and nobody waits for it.
    left = {thread for thread in threading.enumerate() if not isinstance(thread, threading.Timer)}
    assert left <= before


def test_a_decision_leaves_its_evidence_beside_the_outbox(library: Path, tmp_path: Path, clips: Clips) -> None:
    """A file under the kill-signal's id that decides the same again; none where it is to be kept for no time."""
    out = io.StringIO()
    WatchService(config(library, tmp_path), [a_file(clips.known)], stdout=out).run()
    event = json.loads(out.getvalue())
    (path,) = (tmp_path / DIRECTORY).iterdir()
    file = load(path)
    assert (path.stem, file.evidence_id, file.stream) == (event["id"], event["data"]["evidence_id"], "file")
    assert what_differs(file) == ()
    assert is_thumbnail(file.thumbnail)
    none = tmp_path / "none"
    none.mkdir()
    WatchService(config(library, none, evidence__keep_days=0), [a_file(clips.known)], stdout=out).run()
    assert not (none / DIRECTORY).exists()


def test_evidence_that_cannot_be_kept_stops_no_kill(library: Path, tmp_path: Path, clips: Clips, *, logs: Logs) -> None:
    """With a file in the place of its directory the signal is delivered all the same; it is told, and counted."""
    (tmp_path / "evidence").touch()
    out = io.StringIO()
    settings = config(library, tmp_path, evidence__directory=tmp_path / "evidence")
    service = WatchService(settings, [a_file(clips.known)], stdout=out)
    summary = service.run()
    assert json.loads(out.getvalue())["data"]["verdict"] == "kill"
    assert (summary.undelivered, summary.lost) == (0, 0)
    assert "evidence_not_kept" in [line["event"] for line in logs]
    assert "streamguard_evidence_failures_total 1.0" in generate_latest(service._metrics.registry).decode()


def test_the_policy_and_the_rule_of_the_library_count(
    *, library: Path, tmp_path: Path, clips: Clips, logs: Logs
) -> None:
    """A kill that is allowed no more than a limit goes out as one, and says by which rule it fell."""
    fitted = Path(shutil.copytree(library, tmp_path / "fitted"))
    write_rules(fitted, fitted_rules(kill_nats=14.5, name="calibrated-1"))
    rules = []
    for known in (library, fitted):
        out = io.StringIO()
        limited = config(known, tmp_path, policy__labels={LABEL: {"verdict": "limit"}})
        WatchService(limited, [a_file(clips.disguised)], stdout=out).run()
        event = json.loads(out.getvalue())
        assert (event["type"], event["data"]["verdict"]) == ("org.streamguard.limit.v1", "limit")
        rules.append(event["data"]["rule"])
    assert rules == ["built-in-3", "calibrated-1"]
    assert [line["rule"] for line in logs if line["event"] == "watching"] == rules
    assert len([line for line in logs if line["event"] == "built_in_rule"]) == 1


def test_a_damaged_rule_keeps_the_last_good_one_in_force(tmp_path: Path, clips: Clips, logs: Logs) -> None:
    """A new one counts while the worker runs; damaged, that is seen as damage of the library is."""
    library = make_library(tmp_path / "library", clips.image)
    (port,) = free_ports(1)
    with running(WatchService(config(library, tmp_path, http__port=port), [nobody()])) as run:
        write_rules(library, fitted_rules(name="calibrated-1"))
        eventually(lambda: [line for line in logs if line["event"] == "library_loaded"], what="the rule")
        (library / RULE).write_bytes(b"{")
        problem = eventually(lambda: run.readiness()["library_problem"], what="the problem")
        assert "read rule" in problem
        assert run.get("/readyz")[0] == 200
        assert "streamguard_library_reload_failing 1.0\n" in run.get("/metrics")[1]
        rules = run.service._library.snapshot.rules
        assert rules is not None
        assert rules.rule.name == "calibrated-1"
    assert [line["rule"] for line in logs if line["event"] == "library_loaded"] == ["calibrated-1"]
    assert len([line for line in logs if line["event"] == "library_not_loaded"]) == 1


def test_a_live_stream_is_recognised_by_an_item_added_while_it_runs(tmp_path: Path, clips: Clips) -> None:
    """The library may change at any time: what is added counts for the keyframes to come."""
    library = make_library(tmp_path / "library", clips.text)
    lead_in_s = 8.0
    broadcast = Broadcast(clips.segments, started_s=time.monotonic() - lead_in_s + 3.0)
    out = io.StringIO()
    (port,) = free_ports(1)
    with LiveServer(broadcast) as server:
        spec = StreamSpec(StreamId("cam"), server.url, server.url, once=False)
        service = WatchService(config(library, tmp_path, http__port=port), [spec], stdout=out)
        with running(service) as run:
            before = eventually(lambda: run.readiness()["library"], what="readiness")
            make_library(library, clips.known)
            eventually(lambda: run.readiness()["library"] != before, what="the new version")
            assert "streamguard_library_items 2.0\n" in run.get("/metrics")[1]
            eventually(out.getvalue, timeout_s=15, what="a kill-signal")
            status = json.loads(run.get("/api/streams")[1])["streams"][0]
    assert (status["state"], status["restarts"]) == ("watching", 0)
    assert json.loads(out.getvalue())["data"]["reference"] == "known"
    assert run.summary is not None
    assert run.summary.as_json()["reconnects"] == 0


def test_a_library_that_is_damaged_meanwhile_keeps_serving(tmp_path: Path, clips: Clips, logs: Logs) -> None:
    """The old version goes on, and everybody can see that a newer one does not load; mended, it is taken."""
    library = make_library(tmp_path / "library", clips.image)
    (port,) = free_ports(1)
    current = library / "current.json"
    good = current.read_bytes()
    with running(WatchService(config(library, tmp_path, http__port=port), [nobody()])) as run:
        version = eventually(lambda: run.readiness()["library"], what="readiness")
        current.write_bytes(good[:40])
        eventually(lambda: run.readiness()["library_problem"], what="the problem")
        assert run.get("/readyz")[0] == 200
        assert run.readiness()["library"] == version
        scrape = run.get("/metrics")[1]
        assert "streamguard_library_reload_failing 1.0\n" in scrape
        assert "streamguard_library_items 1.0\n" in scrape
        current.write_bytes(good)
        eventually(lambda: not run.readiness()["library_problem"], what="its end")
    assert len([line for line in logs if line["event"] == "library_not_loaded"]) == 1


def test_what_is_worth_a_look_leaves_it_ready(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the reasons, with 200: restarting the worker would not bring an enforcer back."""
    monkeypatch.setattr(Answers, "worth_a_look", lambda _self: ["nobody answers"])
    (port,) = free_ports(1)
    with running(WatchService(config(library, tmp_path, http__port=port), [nobody()])) as run:
        status, body = run.get("/readyz")
        assert (status, json.loads(body)["ready"], json.loads(body)["reasons"]) == (200, True, ["nobody answers"])


def test_a_drain_shows_and_ends_in_time(library: Path, tmp_path: Path, clips: Clips) -> None:
    """While the last signals are tried, it is alive but not ready; then they stay in the outbox for the next start."""
    closed = io.StringIO()
    closed.close()
    (port,) = free_ports(1)
    drain_s = 5.0
    options = config(library, tmp_path, http__port=port, worker__drain_timeout_s=drain_s)
    service = WatchService(options, [a_file(clips.known), nobody()], stdout=closed)
    with running(service) as run:
        eventually(lambda: "streamguard_outbox_depth 1.0\n" in run.get("/metrics")[1], what="a signal that stays")
        eventually(lambda: run.readiness()["delivery"] == "rejected", what="a delivery that was tried")
        began_s = time.monotonic()
        service.stop()
        eventually(lambda: run.readiness()["draining"], what="the drain")
        status, body = run.get("/readyz")
        assert (status, json.loads(body)["ready"]) == (503, False)
        assert "it was asked to stop, and drains" in json.loads(body)["reasons"]
        assert run.get("/livez")[0] == 200
        run.thread.join(30)
    assert time.monotonic() - began_s < drain_s + 10
    assert run.summary is not None
    assert run.summary.undelivered == 1
    assert service.was_asked_to_stop


def test_a_drain_without_time_loses_nothing(
    *, library: Path, tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided last is made durable all the same: what is well takes no time to speak of."""
    ends = threading.Event()
    append, last_words = Outbox.append, Signaller.last_words

    def late(outbox: Outbox, *signals: KillSignal) -> int:
        ends.wait()
        return append(outbox, *signals)

    def at_the_end(signaller: Signaller, within_s: float) -> int:
        ends.set()
        return last_words(signaller, within_s)

    monkeypatch.setattr(Outbox, "append", late)
    monkeypatch.setattr(Signaller, "last_words", at_the_end)
    monkeypatch.setattr("streamguard.worker.service._LEAST_SIGNALS_S", 60.0)
    service = WatchService(config(library, tmp_path, worker__drain_timeout_s=0.1), [a_file(clips.known)])
    assert service.run().lost == 0


def test_an_unreachable_redis_is_no_reason_not_to_watch(
    *, library: Path, tmp_path: Path, clips: Clips, logs: Logs
) -> None:
    """It shows, and the signals wait in the outbox."""
    (port,) = free_ports(1)
    url = f"redis://user:open-sesame@127.0.0.1:{port}/0"
    service = WatchService(config(library, tmp_path, redis__url=url), [a_file(clips.known)])
    summary = service.run()
    assert summary.undelivered == 1
    assert summary.streams[0].state is StreamState.ENDED
    assert [line["event"] for line in logs[:2]] == ["redis_unreachable", "signals_unsigned"]
    assert "open-sesame" not in str(logs)
    assert "streamguard_redis_up 0.0\n" in generate_latest(service._metrics.registry).decode()


def test_it_answers_the_roll_and_takes_opinions_in(redis_server: RedisServer, library: Path, tmp_path: Path) -> None:
    """While it watches, and without a kill to begin with."""
    settings = config(library, tmp_path, redis__url=redis_server.url, signals__hmac_key="one key for everybody here")
    with running(WatchService(settings, [nobody()])) as run:
        eventually(lambda: redis_server.run("HLEN", "{streamguard}:members"), what="that it is there")
        value = run.service._metrics.registry.get_sample_value
        eventually(lambda: value("streamguard_reference_opinions_up") == 1, what="that it takes opinions in")


def test_a_wrong_password_is(redis_with_password: RedisServer, library: Path, tmp_path: Path) -> None:
    """It will not mend itself; and it is not shown."""
    url = redis_with_password.url.replace("redis://", "redis://:not-the-password@")
    with pytest.raises(SignalsRejected, match="wrong password") as raised:
        WatchService(config(library, tmp_path, redis__url=url), [nobody()])
    assert "not-the-password" not in str(raised.value)
    Outbox.open(tmp_path / "outbox.sqlite").close()


def test_an_outbox_that_cannot_be_written_stops_the_start(library: Path, tmp_path: Path) -> None:
    """A watch whose decisions could not be durable must not look like one."""
    (tmp_path / "a-file").touch()
    (port,) = free_ports(1)
    before = set(threading.enumerate())
    with pytest.raises(OutboxError, match="must lie in a directory"):
        WatchService(config(library, tmp_path / "a-file", http__port=port), [nobody()])
    assert set(threading.enumerate()) <= before
    socket.create_server(("127.0.0.1", port)).close()


def test_a_service_that_cannot_be_built_lets_go_of_its_outbox(library: Path, tmp_path: Path) -> None:
    """As when its port is in use: the error is kept here, and with it everything it refers to."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="Address already in use") as raised:
            WatchService(config(library, tmp_path, http__port=port), [nobody()])
        Outbox.open(tmp_path / "outbox.sqlite").close()
    assert raised.value.hint


def test_a_failing_outbox_does_not_fail_the_scrape(library: Path, tmp_path: Path) -> None:
    """Metrics are needed most when something is broken."""
    service = WatchService(config(library, tmp_path), [nobody()])
    service._outbox.close()
    scrape = generate_latest(service._metrics.registry).decode()
    assert "streamguard_outbox_depth NaN\n" in scrape
    assert "streamguard_redis_up NaN\n" in scrape
    service.stop()
    service.run()


@pytest.mark.promise(8, "a worker whose loop stands still")
def test_a_loop_that_stands_still_shows_in_the_scrape(library: Path, tmp_path: Path) -> None:
    """Pages are served by threads of their own, and would go on saying that all is watched."""
    service = WatchService(config(library, tmp_path), [nobody()])
    service._supervisor.beat_at_s -= 3600
    since_s = service._metrics.registry.get_sample_value("streamguard_since_last_turn_seconds")
    assert since_s is not None
    assert 3600 <= since_s < 3700
    service.stop()
    service.run()


@pytest.mark.promise(8, "nobody looks for new versions of the library any more")
def test_a_library_that_nobody_follows_shows_in_the_scrape(library: Path, tmp_path: Path) -> None:
    """As one that does not load: both are stale. Not before the start, and not while it drains."""
    (port,) = free_ports(1)
    service = WatchService(config(library, tmp_path, http__port=port), [nobody()])

    def is_stale() -> bool:
        return service._metrics.registry.get_sample_value("streamguard_library_reload_failing") == 1.0

    service._follower.thread = OwnThread(lambda: None, name="library")
    assert not is_stale()
    with running(service) as run:
        eventually(is_stale, what="that it is stale")
        assert "this is a bug" in run.readiness()["library_problem"]
    assert not is_stale()


def test_an_outbox_that_fails_while_draining_is_said_and_everything_ends(
    library: Path, tmp_path: Path, logs: Logs
) -> None:
    """The summary does not claim that all was delivered."""
    service = WatchService(config(library, tmp_path), [nobody()])
    with running(service) as run:
        eventually(lambda: service._supervisor.statuses, what="the first second")
        service._outbox.close()
    assert run.summary is not None
    assert run.summary.as_json()["undelivered"] is None
    assert "outbox_failed" in [line["event"] for line in logs]


def test_a_decision_that_cannot_be_durable_is_not_lost_in_silence(
    *, library: Path, tmp_path: Path, clips: Clips, logs: Logs
) -> None:
    """While it waits, readiness says why in words; at the end it is counted, whoever asked for the end."""
    (port,) = free_ports(1)
    service = WatchService(config(library, tmp_path, http__port=port), [a_file(clips.known), nobody()])
    service._outbox.close()
    with running(service) as run:
        eventually(lambda: run.readiness()["signals_not_durable"], what="a decision")
        status, body = run.get("/readyz")
        reasons = json.loads(body)["reasons"]
    assert status == 503
    assert any(why.startswith("a kill-signal waits in memory, to be lost with this process: append") for why in reasons)
    assert run.summary is not None
    assert run.summary.as_json()["lost"] == 1
    (stopped,) = [line for line in logs if line["event"] == "stopped"]
    assert (stopped["lost"], stopped["why"], stopped["log_level"]) == (1, "asked to", "critical")


def test_what_an_earlier_worker_left_is_delivered(library: Path, tmp_path: Path) -> None:
    """Signals outlive the process that decided them."""
    with Outbox.open(tmp_path / "outbox.sqlite") as outbox:
        outbox.append(a_signal())
    out = io.StringIO()
    with running(WatchService(config(library, tmp_path), [nobody()], stdout=out)):
        eventually(out.getvalue, what="the signal")
    assert json.loads(out.getvalue())["id"] == a_signal().id
