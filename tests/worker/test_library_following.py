"""streamguard.worker.library_following: new versions of a library, and what does not load."""

from pathlib import Path

import pytest

from streamguard.library.live_set import CURRENT
from streamguard.library.store import Library
from streamguard.library.watch import SnapshotHolder
from streamguard.worker.library_following import LibraryFollower
from streamguard.worker.library_trial import LibraryTrial
from streamguard.worker.metrics import Metrics
from streamguard.worker.own_thread import OwnThread
from tests.library.made import library_of
from tests.waiting import eventually
from tests.worker.conftest import Logs


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A library of the items a and b."""
    library_of(tmp_path / "known", "ab")
    return tmp_path / "known"


def follower(holder: SnapshotHolder, metrics: Metrics) -> LibraryFollower:
    return LibraryFollower(holder, LibraryTrial(), metrics=metrics, every_s=lambda: 0.01)


def version(metrics: Metrics, of: str) -> float | None:
    return metrics.registry.get_sample_value("streamguard_library_info", {"version": of})


def events(logs: Logs) -> list[str]:
    return [line["event"] for line in logs if line["event"].startswith("library_")]


def test_a_new_version_serves_and_is_told(known: Path, logs: Logs) -> None:
    """Once; the metric knows the version that serves alone."""
    holder, metrics = SnapshotHolder(known), Metrics()
    follows, before = follower(holder, metrics), holder.snapshot.version
    follows.look()
    assert events(logs) == []
    with Library.open(known) as library:
        library.disable("a")
    follows.look()
    follows.look()
    assert holder.snapshot.items == 1
    assert events(logs) == ["library_loaded"]
    assert (version(metrics, holder.snapshot.version), version(metrics, before)) == (1.0, None)


def test_a_version_that_does_not_load_leaves_the_last_serving(known: Path, logs: Logs) -> None:
    """It is told and counted once, but for what comes while it ends."""
    holder, metrics = SnapshotHolder(known), Metrics()
    follows = follower(holder, metrics)
    (known / CURRENT).write_bytes(b"rubbish")
    follows.look()
    follows.look()
    assert (holder.snapshot.items, events(logs)) == (2, ["library_not_loaded"])
    follows.thread.ask_to_stop()
    (known / CURRENT).write_bytes(b"other rubbish")
    follows.look()
    assert events(logs) == ["library_not_loaded"]


def test_it_looks_by_itself_until_it_is_stopped(known: Path) -> None:
    """In its thread; one that ended though nobody asked for it is lost."""
    holder, metrics = SnapshotHolder(known), Metrics()
    follows = follower(holder, metrics)
    assert (follows.thread.is_running, follows.thread.is_lost) == (False, False)
    follows.thread.start()
    with Library.open(known) as library:
        library.disable("a")
    eventually(lambda: holder.snapshot.items == 1, what="the new version")
    assert version(metrics, holder.snapshot.version) == 1.0
    follows.thread.stop(10.0)
    assert (follows.thread.is_running, follows.thread.is_lost) == (False, False)
    follows.thread = OwnThread(lambda: None, name="library")
    follows.thread.start()
    eventually(lambda: follows.thread.is_lost, what="its end")
