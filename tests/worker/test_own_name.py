"""streamguard.worker.own_name: no two workers have one name unless they are given it."""

import socket
from pathlib import Path

import pytest

from streamguard.config import Config
from streamguard.config.tree import SignalsConfig, WorkerConfig
from streamguard.core.roll_call import Role
from streamguard.worker.own_name import worker_name
from streamguard.worker.roll_call import this_process


def with_outbox(path: Path | str, *, name: str | None = None) -> Config:
    return Config(signals=SignalsConfig(outbox=Path(path)), worker=WorkerConfig(name=name))


def test_the_name_that_is_given_counts() -> None:
    """Whatever the machine is called."""
    assert worker_name(with_outbox("/a/outbox.sqlite", name="worker-1")) == "worker-1"


def test_two_workers_of_one_machine_have_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their outboxes, which they cannot share; each has the same name when it starts again, from elsewhere too."""
    one, other = (worker_name(with_outbox(tmp_path / place / "outbox.sqlite")) for place in "ab")
    assert one != other
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert worker_name(with_outbox("outbox.sqlite")) == one
    assert this_process(with_outbox("outbox.sqlite"), Role.WORKER).name.startswith(one)


def test_machines_that_are_set_up_alike_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what they are called; and whatever that is, it is a name that can be shown."""
    names = set()
    for host in ("ingest-7", "ingest-8", "a b\u202e"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        names.add(worker_name(with_outbox("/var/lib/streamguard/outbox.sqlite")))
    assert len(names) == 3
    assert all(WorkerConfig(name=name) for name in names)
    assert any(name.startswith("a-b--") for name in names)
