"""streamguard.worker.batch: what was read waits, and becomes durable together."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library.live_set import SEGMENTS
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.worker.batch import Batch, Batching, Waiting, made_durable
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome
from tests.library.made import new_item, reference


class _Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _job(id_: str) -> Job:
    return Job(Path(f"/films/{id_}.mp4"), "test")


def _put(batch: Batch, *ids: str, content: str | None = None, size_bytes: int = 1000) -> None:
    for id_ in ids:
        item = new_item(id_, content=content)
        batch.put(Waiting(_job(id_), item, reference(ord(id_[0])), 3), size_bytes=size_bytes)


def test_a_batch_is_one_segment(tmp_path: Path) -> None:
    """All of it is live and durable at once, each file has its outcome in order, and the next batch begins empty."""
    with Library.open(tmp_path, create=True) as library:
        batch = Batch(library, Batching())
        _put(batch, "a", "b", "c")
        assert load_snapshot(tmp_path).items == 0
        outcomes = list(batch.commit())
        assert outcomes == [Added(_job(id_), library.item(id_), 3) for id_ in "abc"]
        assert list(batch.commit()) == []
        assert library.verify() == ()
    assert load_snapshot(tmp_path).items == 3
    assert len(list((tmp_path / SEGMENTS).iterdir())) == 1


def test_it_is_due_when_it_is_full(tmp_path: Path) -> None:
    """At so many files, or at so many bytes; while nothing waits, never."""
    how = Batching(most_items=2, most_bytes=5000)
    with Library.open(tmp_path, create=True) as library:
        batch = Batch(library, how, clock=_Clock())
        assert batch.due_in_s() is None
        _put(batch, "a")
        assert batch.due_in_s() == how.least_wait_s
        _put(batch, "b")
        assert batch.due_in_s() == 0.0
        list(batch.commit())
        assert batch.due_in_s() is None
        _put(batch, "c", size_bytes=5000)
        assert batch.due_in_s() == 0.0


@pytest.mark.parametrize(("run_s", "wait_s"), [(0.0, 2.0), (8.0, 2.0), (100.0, 25.0), (1000.0, 60.0)])
def test_it_waits_for_a_share_of_the_run(tmp_path: Path, run_s: float, wait_s: float) -> None:
    """The first files are live soon, and a long run makes few segments: 2 s at least, 60 s at most, else a quarter."""
    clock = _Clock()
    with Library.open(tmp_path, create=True) as library:
        batch = Batch(library, Batching(), clock=clock)
        clock.now_s += run_s
        _put(batch, "a")
        clock.now_s += 1.0
        _put(batch, "b")
        assert batch.due_in_s() == wait_s - 1.0
        clock.now_s += wait_s
        assert batch.due_in_s() == 0.0


def test_copies_of_what_waits_are_known_then(tmp_path: Path) -> None:
    """A file of the same content as one in the batch is the same item, and is told with it."""
    with Library.open(tmp_path, create=True) as library:
        batch = Batch(library, Batching())
        _put(batch, "a")
        assert new_item("a").sha256 in batch
        batch.put_copy(_job("copy"), new_item("a").sha256)
        assert list(batch.commit()) == [
            Added(_job("a"), library.item("a"), 3),
            Known(_job("copy"), library.item("a")),
        ]


def test_what_another_process_added_meanwhile_is_left_out(tmp_path: Path) -> None:
    """The same content is known then; an id that was taken fails, alone."""
    with Library.open(tmp_path, create=True) as library, Library.open(tmp_path) as other:
        batch = Batch(library, Batching())
        _put(batch, "a", "b", "c")
        other.add(new_item("theirs", content="a"), reference(1))
        other.add(new_item("b", content="theirs"), reference(2))
        known, failed, added = batch.commit()
        assert known == Known(_job("a"), library.item("theirs"))
        assert isinstance(failed, Failed)
        assert "another process took its id" in str(failed.error)
        assert added == Added(_job("c"), library.item("c"), 3)
        assert library.verify() == ()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UsageError("read", "all", "the cluster is gone")])
def test_what_was_read_is_added_before_an_error_goes_on(tmp_path: Path, error: BaseException) -> None:
    """And told, on Ctrl-C and where nothing more will come."""
    with Library.open(tmp_path, create=True) as library:
        batch = Batch(library, Batching())

        def outcomes() -> Iterator[Outcome]:
            _put(batch, "a")
            yield from ()
            raise error

        durable = made_durable(batch, outcomes())
        assert next(durable) == Added(_job("a"), library.item("a"), 3)
        with pytest.raises(type(error)):
            next(durable)
