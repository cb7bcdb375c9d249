"""streamguard.worker.evidence: each decision's evidence is kept, and nothing waits for it or fails with it."""

import os
import threading
from pathlib import Path

import pytest

from streamguard.config import Config, EvidenceConfig, SignalsConfig
from streamguard.core.replay import replay
from streamguard.enforce.evidence.file import from_bytes
from streamguard.enforce.evidence.store import EvidenceStore
from streamguard.enforce.signals.events import kill_signal
from streamguard.errors import EvidenceError
from streamguard.worker import evidence
from streamguard.worker.evidence import EvidenceKeeper, evidence_directory, evidence_store
from streamguard.worker.metrics import Metrics
from streamguard.worker.watcher import Found
from tests.waiting import eventually
from tests.worker.conftest import Logs
from tests.worker.fake_decoders import KNOWN, REFERENCE_THUMBNAIL, THUMBNAIL, FakeClock, Stage

NOW_UNIX_S = 1_700_000_000.0


class SickStore(EvidenceStore):
    """Fails while it is told to; or hangs, until it is let go."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, keep_s=1e9, most_bytes=1 << 30)
        self.fails = False
        self.go = threading.Event()
        self.go.set()

    def write(self, id_: str, data: bytes) -> Path:
        self.go.wait()
        if self.fails:
            raise EvidenceError("write evidence", id_, "No space left on device")
        return super().write(id_, data)


class Desk:
    """A keeper, and what it counts."""

    def __init__(self, directory: Path) -> None:
        self.store = SickStore(directory)
        self.metrics = Metrics()
        self.clock = FakeClock()
        self.keeper = EvidenceKeeper(self.store, counts=self.metrics, clock=self.clock, wall_clock=lambda: NOW_UNIX_S)

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"streamguard_evidence_{name}_total")


@pytest.fixture(scope="module")
def found() -> Found:
    """A decision as the supervisor finds it."""
    stage = Stage({"cam": [[*KNOWN, (5, None)], [(99, None)]]})
    stage.run(5)
    (one,) = stage.found
    return one


def test_a_decision_leaves_a_file_that_replays(tmp_path: Path, found: Found) -> None:
    """Under its kill-signal's id, naming its evidence as that does, with both pictures, and deciding the same."""
    desk = Desk(tmp_path)
    desk.keeper.start()
    desk.keeper.watcher.found(found)
    desk.keeper.stop(10)
    signal = kill_signal(
        found.decision, stream=found.spec.stream, session=found.session_id, worker="w",
        library_version=found.library_version, now_unix_s=NOW_UNIX_S, expires_after_s=300,
    )  # fmt: skip
    (path,) = tmp_path.iterdir()
    file = from_bytes(path.read_bytes(), subject=path)
    assert (path.name, file.id) == (f"{signal.id}.json", signal.id)
    assert file.evidence_id in signal.event
    assert (file.stream, file.session, file.decided_unix_s) == ("cam", found.session_id, NOW_UNIX_S)
    assert (file.thumbnail, file.reference_thumbnail) == (THUMBNAIL, REFERENCE_THUMBNAIL)
    assert file.decision == found.decision
    assert replay(file.recording) == (found.decision,)
    assert (desk.metric("files"), desk.metric("failures")) == (1, 0)


def test_a_full_disk_is_counted_and_told(tmp_path: Path, found: Found, logs: Logs) -> None:
    """At once, then now and again; and when there is room, that there is."""
    desk = Desk(tmp_path)
    desk.store.fails = True
    desk.keeper.start()
    for _ in range(3):
        desk.keeper.watcher.found(found)
    eventually(lambda: desk.metric("failures") == 3)
    desk.store.fails = False
    desk.keeper.watcher.found(found)
    desk.keeper.stop(10)
    assert [line["event"] for line in logs] == ["evidence_not_kept", "evidence_recovered"]
    assert "No space left" in str(logs[0]["problem"])
    assert (desk.metric("files"), desk.metric("failures")) == (1, 3)


def test_a_disk_that_hangs_holds_nobody_up(
    tmp_path: Path, found: Found, logs: Logs, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many wait, the rest are counted as not kept, and the end does not wait for them either."""
    monkeypatch.setattr(evidence, "MOST_WAITING", 4)
    desk = Desk(tmp_path)
    desk.store.go.clear()
    desk.keeper.start()
    for _ in range(10):
        desk.keeper.watcher.found(found)
    assert (desk.metric("failures") or 0) >= 5
    desk.keeper.stop(0.05)
    assert {line["event"] for line in logs} == {"evidence_not_kept", "evidence_lost"}
    desk.store.go.set()
    desk.keeper.stop(10)


def test_a_stop_without_any_time_left_writes_what_a_disk_takes_at_once(
    tmp_path: Path, found: Found, logs: Logs
) -> None:
    """A decision of the last moment has its file, and nobody calls it lost."""
    desk = Desk(tmp_path)
    desk.keeper.start()
    desk.keeper.watcher.found(found)
    desk.keeper.stop(0.0)
    assert [line["event"] for line in logs] == []
    assert desk.metric("files") == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_has_died_is_told(
    tmp_path: Path, found: Found, logs: Logs, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it died of: each decision from then on counts as not kept, and a restart is named."""

    def dies(*_: object) -> None:
        raise RuntimeError

    desk = Desk(tmp_path)
    monkeypatch.setattr(desk.store, "write", dies)
    desk.keeper.start()
    desk.keeper.watcher.found(found)
    eventually(lambda: not desk.keeper._thread.is_alive())
    desk.keeper.watcher.found(found)
    assert desk.metric("failures") == 1
    assert "a restart helps" in str(logs[-1]["problem"])
    desk.keeper.stop(10)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_not_ours(tmp_path: Path, found: Found, logs: Logs) -> None:
    """It is told with the next step."""
    tmp_path.chmod(0o500)
    desk = Desk(tmp_path / "evidence")
    desk.keeper.start()
    desk.keeper.watcher.found(found)
    desk.keeper.stop(10)
    tmp_path.chmod(0o700)
    assert "evidence.directory" in str(logs[0]["problem"])


def test_what_cannot_be_cleaned_up_is_told(tmp_path: Path, found: Found, logs: Logs) -> None:
    """A file in the place of the directory: one line at the start, one for what is not kept; and it goes on."""
    (tmp_path / "evidence").touch()
    desk = Desk(tmp_path / "evidence")
    desk.keeper.start()
    desk.keeper.watcher.found(found)
    desk.keeper.stop(10)
    assert [line["event"] for line in logs] == ["evidence_not_cleaned_up", "evidence_not_kept"]


def test_stopping_what_was_never_started(tmp_path: Path) -> None:
    """A service that fails while it is built ends all the same."""
    Desk(tmp_path).keeper.stop(10)


def test_where_it_goes(tmp_path: Path) -> None:
    """Where the configuration says, else beside the outbox; for so long, and so much."""
    outbox = SignalsConfig(outbox=tmp_path / "run" / "outbox.sqlite")
    assert evidence_directory(Config(signals=outbox)) == tmp_path / "run" / "streamguard-evidence"
    assert evidence_directory(Config()) == Path("streamguard-evidence")
    there = Config(signals=outbox, evidence=EvidenceConfig(directory=tmp_path / "ev", keep_days=0))
    assert evidence_store(there).directory == tmp_path / "ev"
    path = EvidenceStore(tmp_path / "ev", keep_s=1e9, most_bytes=1000).write("sig_" + "0" * 32, b"{}")
    os.utime(path, (1, 1))
    assert evidence_store(there).clean_up() == 1
