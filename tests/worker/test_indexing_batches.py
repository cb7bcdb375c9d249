"""streamguard.worker.indexing: how much waits for its batch, whatever is ready at once."""

import hashlib
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from streamguard.worker import reference_child
from streamguard.worker.batch import Batching
from streamguard.worker.bulk.shard_shelf import ShardShelf, known_content
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.indexing import Limits, index
from streamguard.worker.outcomes import Added, Job, Read
from streamguard.worker.reference_child import Progress, Said
from tests.library.made import reference
from tests.waiting import eventually


def _ready_together(connection: Connection, path: str, **_: object) -> None:
    """The first file says that it lives; the other one nothing before it may. All the rest is said at once."""
    if Path(path).stem == "first":
        reference_child._say(connection, Said.PROGRESS, [1.0, 2.0])
    eventually(Path(path).with_name("go").exists)
    reference_child._say(connection, Said.CONTENT, [hashlib.sha256(path.encode()).hexdigest(), 5])
    connection.send_bytes(Said.REFERENCE.value + reference_child.to_bytes(reference(1, looks=2)))
    Path(path).with_suffix(".said").touch()
    eventually(Path(path).with_name("never").exists, timeout_s=60.0)


def test_files_that_are_ready_at_once_are_no_larger_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full batch is written before the next file is taken in, so that no shard outgrows what is ever read."""
    start_forkserver()
    monkeypatch.setattr(reference_child, "run", _ready_together)
    files = [tmp_path / "first.mp4", tmp_path / "other.mp4"]
    shards: dict[str, bytes] = {}

    def news(_: Job, news: Progress | Read) -> None:
        if isinstance(news, Progress):
            (tmp_path / "go").touch()
            eventually(lambda: all(file.with_suffix(".said").exists() for file in files), what="both are ready")

    shelf = ShardShelf(known_content(()), keep=shards.__setitem__)
    jobs = [Job(file, "x") for file in files]
    outcomes = list(index(shelf, jobs, limits=Limits(at_once=2), news=news, batching=Batching(most_items=1)))
    assert [type(outcome) for outcome in outcomes] == [Added, Added]
    assert len(shards) == 2
