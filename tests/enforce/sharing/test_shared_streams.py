"""streamguard.enforce.sharing.shared_streams: the list of streams, on a real Redis that anybody may have written to."""

from collections.abc import Iterator

import pytest

from streamguard.enforce.sharing.shared_streams import (
    LONGEST_URL,
    SharedList,
    SharedStream,
    SharedStreams,
    checked_name,
)
from streamguard.errors import SignalsUnreachable, UsageError
from streamguard.types import StreamId
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer, free_port

CAM = SharedStream(StreamId("cam-7"), "rtmp://user:secret@h/live/cam")


@pytest.fixture
def shared(redis_server: RedisServer) -> Iterator[SharedStreams]:
    shared = SharedStreams(redis_server.url, prefix="{t}:", timeout_s=2.0)
    yield shared
    shared.close()


def test_streams_are_put_changed_and_removed(shared: SharedStreams) -> None:
    """By name; whether there was one is told."""
    assert shared.read() == SharedList()
    assert shared.put(CAM)
    other = SharedStream(CAM.stream, "rtmp://h/other")
    assert not shared.put(other)
    assert shared.read() == SharedList((other,))
    assert shared.remove(CAM.stream)
    assert not shared.remove(CAM.stream)
    assert shared.read() == SharedList()


def test_what_is_none_is_counted(shared: SharedStreams, redis_server: RedisServer) -> None:
    """Names and URLs that are none, however long, do not keep the others from being read."""
    shared.put(CAM)
    for name, url in ((b"\xff", b"rtmp://h/a"), (b"a b", b"rtmp://h/a"), (b"long", b"r" * 3000), (b"u", b"\xff")):
        redis_server.run("HSET", "{t}:streams", name, url)
    assert shared.read() == SharedList((CAM,), refused=4)


def test_a_url_is_not_shown_and_not_without_end() -> None:
    """It may hold a password."""
    assert "secret" not in repr(CAM)
    with pytest.raises(UsageError, match="longer than 2000"):
        SharedStreams(f"redis://127.0.0.1:{free_port()}", prefix="{t}:", timeout_s=0.2).put(
            SharedStream(CAM.stream, "x" * (LONGEST_URL + 1))
        )


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\n", "a=b", "ü", "a" * 201])
def test_names_that_are_none(name: str) -> None:
    """The operator is told."""
    with pytest.raises(UsageError):
        checked_name(name)


def test_a_redis_that_is_away() -> None:
    """An error that says so, in time."""
    with pytest.raises(SignalsUnreachable, match="read shared streams in"):
        SharedStreams(f"redis://127.0.0.1:{free_port()}", prefix="{t}:", timeout_s=0.2).read()


def test_the_permissions_in_the_manual_suffice(redis_server: RedisServer) -> None:
    """A worker reads, an operator edits."""
    for user in ("worker", "operator"):
        for line in acl_lines(user, about="{streamguard}:streams"):
            redis_server.run(*line)
    for user in ("operator", "worker"):
        url = redis_server.url.replace("://", f"://{user}:{PASSWORD}@")
        shared = SharedStreams(url, prefix="{streamguard}:", timeout_s=2.0)
        if user == "operator":
            assert shared.put(CAM)
            assert shared.put(SharedStream(StreamId("b"), "rtmp://h/b"))
            assert shared.remove(StreamId("b"))
        assert shared.read() == SharedList((CAM,))
        shared.close()
