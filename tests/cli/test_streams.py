"""`streamguard streams`, on a real Redis."""

import json
from collections.abc import Iterator

import pytest
from click.testing import Result

from streamguard.cli.streams import streams
from streamguard.core.leases import Member, WorkerId
from streamguard.enforce.sharing.lease_book import LeaseBook, Wishes
from streamguard.errors import UsageError
from streamguard.types import StreamId
from tests.cli.calling import invoke
from tests.redis_servers import RedisServer

WORKER = WorkerId("w.1")


@pytest.fixture
def book(redis_server: RedisServer) -> Iterator[LeaseBook]:
    book = LeaseBook(redis_server.url, prefix="{streamguard}:", timeout_s=2.0)
    yield book
    book.close()


def call(server: RedisServer, *words: str, text: str | None = None) -> Result:
    result = invoke(streams, *words, "--redis", server.url, text=text)
    if result.exception is not None:
        raise result.exception
    return result


def test_who_watches_what(redis_server: RedisServer, book: LeaseBook) -> None:
    """Those of the list and others; what nobody watches is told, and is the exit status; no password is shown."""
    for name in ("a", "b"):
        call(redis_server, "add", f"{name}=rtmp://user:secret@h/live/{name}?token=secret")
    held = [StreamId("a"), StreamId("edge\0live/\x1b[2Jcam")]
    book.step(WORKER, Member(0, 20), Wishes({}, claim=held))
    result = call(redis_server, "list")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:2] == ["a  w.1  rtmp://h/live/a", "b  UNWATCHED  rtmp://h/live/b"]
    assert "\x1b" not in result.stdout
    assert "w.1: 2 of 20 streams" in result.stderr
    assert "3 streams, 1 watched by nobody" in result.stderr
    rows = [json.loads(line) for line in call(redis_server, "list", "--json").stdout.splitlines()]
    assert [(row["worker"], row["epoch"], row["watched"]) for row in rows] == [
        ("w.1", 1, True), (None, None, False), ("w.1", 2, True),
    ]  # fmt: skip
    assert "secret" not in result.output + str(rows)
    book.step(WORKER, Member(0, 20), Wishes({}, claim=[StreamId("b")]))
    assert call(redis_server, "list").exit_code == 0


def test_what_a_worker_misses_is_told(redis_server: RedisServer, book: LeaseBook) -> None:
    """Also where it is not on the list: a publisher that it found, and that nobody has room for."""
    book.step(WORKER, Member(0, 1, unwatched=4), Wishes({}))
    result = call(redis_server, "list")
    assert (result.exit_code, "4 watched by nobody" in result.stderr) == (1, True)


def test_streams_come_and_go(redis_server: RedisServer) -> None:
    """Added, changed and removed; one that is not there is an error."""
    assert call(redis_server, "add", "cam=rtmp://u:secret@h/a").stdout == "added: cam  rtmp://h/a\n"
    assert call(redis_server, "add", "cam=rtmp://h/b").stdout == "changed: cam  rtmp://h/b\n"
    assert call(redis_server, "remove", "cam").stdout == "removed: cam\n"
    with pytest.raises(UsageError, match="it is not on the list"):
        call(redis_server, "remove", "cam")


def test_a_url_with_a_password_is_read_from_standard_input(redis_server: RedisServer) -> None:
    """It is in Redis as it is, and nowhere else."""
    assert call(redis_server, "add", "cam=-", text="rtmp://u:secret@h/a\n").stdout == "added: cam  rtmp://h/a\n"
    assert redis_server.run("HGET", "{streamguard}:streams", "cam") == b"rtmp://u:secret@h/a"


@pytest.mark.parametrize("stream", ["cam", "cam=", "=rtmp://h/a", "a b=rtmp://h/a", "cam=/etc/passwd", "cam=http://h/"])
def test_what_cannot_be_shared(redis_server: RedisServer, stream: str) -> None:
    """A file is on one machine, and a name has letters; nothing is written."""
    with pytest.raises(UsageError):
        call(redis_server, "add", stream)
    assert redis_server.run("EXISTS", "{streamguard}:streams") == 0
