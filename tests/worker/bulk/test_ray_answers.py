"""streamguard.worker.bulk.ray_cluster with another process in the place of Ray's: answers that are none."""

import os
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from streamguard.config import ENV_PREFIX
from streamguard.errors import UsageError
from streamguard.library.store import Library
from streamguard.worker.bulk import ray_cluster
from streamguard.worker.bulk.ray_messages import Connected, Stopped, Work
from streamguard.worker.bulk.shard_shelf import ShardShelf, known_content
from streamguard.worker.bulk.shard_task import Answer
from streamguard.worker.outcomes import Added, Job, Outcome, Read
from tests.library.made import new_item, reference

ADDRESS = "127.0.0.1:6379"


def _job(id_: str) -> Job:
    return Job(Path(f"/films/{id_}.mp4"), "test")


def _answer(*ids: str) -> Answer:
    """Of a machine that has fingerprinted these files."""
    shards: list[bytes] = []
    shelf = ShardShelf(known_content(()), keep=lambda _, data: shards.append(data))
    items = shelf.add_all([(new_item(id_), reference(ord(id_))) for id_ in ids])
    return Answer(tuple(shards), tuple(Added(_job(id_), item) for id_, item in zip(ids, items, strict=True)))


def _damaged(connection: Connection, _: Work) -> None:
    _after_a_good_one(connection, replace(_answer("b"), shards=(b"no shard",)))


def _of_another_format(connection: Connection, _: Work) -> None:
    (shard,) = _answer("b").shards
    newer = shard.replace(b"streamguard-shard 1 ", b"streamguard-shard 2 ", 1)
    _after_a_good_one(connection, replace(_answer("b"), shards=(newer,)))


def _without_its_shard(connection: Connection, _: Work) -> None:
    _after_a_good_one(connection, replace(_answer("b"), shards=()))


def _of_another_version(connection: Connection, _: Work) -> None:
    _after_a_good_one(connection, replace(_answer("b"), version="9.9.9"))


def _of_an_unknown_kind(connection: Connection, _: Work) -> None:
    _after_a_good_one(connection)
    connection.send_bytes(b"cstreamguard.worker.bulk.ray_messages\nOfTheFuture\n.")


def _no_pickle(connection: Connection, _: Work) -> None:
    _after_a_good_one(connection)
    connection.send_bytes(b"\xff\xff")


def _after_a_good_one(connection: Connection, *messages: object) -> None:
    for message in (Connected(), _answer("a"), *messages):
        connection.send(message)


def _tells_its_environment(connection: Connection, _: Work) -> None:
    connection.send(Stopped(f"{[name for name in os.environ if name.startswith(ENV_PREFIX)]}"))


def _no_news(_: Job, __: Read) -> None:
    pass


def _add(library: Library) -> list[Outcome]:
    jobs = [_job(id_) for id_ in "ab"]
    return list(ray_cluster.index(library, jobs, address=ADDRESS, news=_no_news))


@pytest.mark.parametrize(
    ("process", "problem"),
    [
        (_damaged, "a shard is no good: it does not begin as a shard does"),
        (_of_another_format, "a shard is no good: format 2, this StreamGuard reads 1"),
        (_without_its_shard, "no shard has what was made of /films/b.mp4"),
        (_of_another_version, "a machine has StreamGuard 9.9.9, this one has "),
        (_of_an_unknown_kind, "an answer is not understood (AttributeError)"),
        (_no_pickle, "an answer is not understood (UnpicklingError)"),
    ],
)
def test_what_came_before_a_bad_answer_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, process: Callable[..., None], problem: str
) -> None:
    """A bad answer ends it with the next step, and what waited for its batch is durable, though not the bad one."""
    monkeypatch.setattr(ray_cluster, "_run", process)
    with Library.open(tmp_path, create=True) as library:
        with pytest.raises(UsageError, match="run it again to go on") as raised:
            _add(library)
        assert problem in str(raised.value)
        assert [item.id for item in library.items()] == ["a"]
        assert library.verify() == ()


def test_no_secret_reaches_the_process_that_speaks_with_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own settings hold passwords and keys, and it unpickles what other machines answer."""
    monkeypatch.setenv("SG__SIGNALS__HMAC_KEY", "secret")
    monkeypatch.setattr(ray_cluster, "_run", _tells_its_environment)
    with Library.open(tmp_path, create=True) as library, pytest.raises(UsageError, match=r"connect to Ray .*: \[\];"):
        _add(library)
