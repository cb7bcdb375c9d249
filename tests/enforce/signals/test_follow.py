"""streamguard.enforce.signals.follow: reading the stream from a place on, whatever Redis goes through."""

import contextlib
import socket
import threading
import time

import pytest

from streamguard.enforce.redis import limits as redis_limits
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.signals.follow import Entry, Follower, follow
from streamguard.errors import SignalsRejected, SignalsUnreachable, UsageError
from tests.redis_servers import PASSWORD, RedisServer
from tests.waiting import eventually

STREAM = "{streamguard}:signals"


def follower_of(server: RedisServer, since: str, *, url: str | None = None) -> Follower:
    return Follower(parse_redis_url(url or server.url), prefix="{streamguard}:", since=since)


def add(server: RedisServer, event: str, *, entry_id: str = "*") -> str:
    added = server.run("XADD", STREAM, entry_id, "event", event)
    assert isinstance(added, bytes)
    return added.decode()


def read_if_there(follower: Follower) -> list[bytes]:
    with contextlib.suppress(SignalsUnreachable):
        return events(follower.read(at_most_s=0.01))
    return []


def events(entries: tuple[Entry, ...]) -> list[bytes]:
    return [entry.fields[b"event"] for entry in entries]


def test_it_reads_all_there_is_or_what_came_after_an_entry(redis_server: RedisServer) -> None:
    """From 0 everything, from an id what follows, both more than one read's worth."""
    ids = [add(redis_server, str(number)) for number in range(40)]
    for since, first in (("0", 0), (ids[9], 10)):
        follower = follower_of(redis_server, since)
        read: list[bytes] = []
        while got := follower.read(at_most_s=0.01):
            read += events(got)
        assert read == [str(number).encode() for number in range(first, 40)]
        follower.close()


def test_from_now_on_nothing_is_lost_between_two_reads(redis_server: RedisServer) -> None:
    """`$` is the moment of the first read; what comes while nobody reads is read next."""
    add(redis_server, "old")
    follower = follower_of(redis_server, "$")
    assert follower.read(at_most_s=0.01) == ()
    add(redis_server, "new")
    assert events(follower.read()) == [b"new"]
    follower.close()


def test_from_now_on_works_before_there_is_a_stream(redis_server: RedisServer) -> None:
    """The first signal ever is read."""
    follower = follower_of(redis_server, "$")
    assert follower.read(at_most_s=0.01) == ()
    add(redis_server, "first")
    assert events(follower.read()) == [b"first"]
    follower.close()


def test_a_restarted_redis_is_read_from_its_start_also_when_its_clock_went_back(redis_server: RedisServer) -> None:
    """Numbers below where we were mean a new stream, of which nothing was read yet."""
    follower = follower_of(redis_server, "$")
    far = str(int(time.time() * 1000) + 10_000_000)
    follower.read(at_most_s=0.01)
    add(redis_server, "before", entry_id=f"{far}-0")
    assert events(follower.read()) == [b"before"]
    redis_server.restart()
    add(redis_server, "after")
    assert eventually(lambda: read_if_there(follower)) == [b"after"]
    follower.close()


def test_what_is_too_long_together_is_read_one_by_one(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left out."""
    monkeypatch.setattr(redis_limits, "MOST_REPLY_BYTES", 100_000)
    texts = [f"{number:060000d}" for number in range(5)]
    for text in texts:
        add(redis_server, text)
    follower = follower_of(redis_server, "0")
    assert events(tuple(_read(follower, 5))) == [text.encode() for text in texts]
    follower.close()


@pytest.mark.parametrize("last", [False, True])
def test_an_entry_that_nobody_could_read_is_stepped_over(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, *, last: bool
) -> None:
    """It is told with its id, and what stands before and behind it is read."""
    monkeypatch.setattr(redis_limits, "MOST_REPLY_BYTES", 100_000)
    add(redis_server, "before")
    too_long = add(redis_server, "x" * 200_000)
    if not last:
        add(redis_server, "behind")
    follower = follower_of(redis_server, "0")
    read = _read(follower, 2 if last else 3)
    assert (read[0].fields, read[1].id, read[1].fields) == ({b"event": b"before"}, too_long, {})
    assert "stepped over" in read[1].problem
    assert follower.read(at_most_s=0.01) == ()
    add(redis_server, "later")
    assert events(follower.read()) == [b"later"]
    follower.close()


def test_from_now_on_begins_behind_what_nobody_could_read(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest entry's id is asked for, and the entry comes with it."""
    monkeypatch.setattr(redis_limits, "MOST_REPLY_BYTES", 100_000)
    add(redis_server, "x" * 200_000)
    follower = follower_of(redis_server, "$")
    assert follower.read(at_most_s=0.01) == ()
    add(redis_server, "new")
    assert events(tuple(_read(follower, 1))) == [b"new"]
    follower.close()


def _read(follower: Follower, count: int) -> list[Entry]:
    read: list[Entry] = []

    def enough() -> bool:
        read.extend(follower.read(at_most_s=0.01))
        return len(read) >= count

    eventually(enough, what=f"{count} entries")
    return read


@pytest.mark.parametrize(
    "entry",
    [
        b"*2\r\n$3\r\n1-0\r\n*2\r\n$5\r\nevent\r\n:5\r\n",
        b"*2\r\n$3\r\n1-0\r\n*2\r\n$5\r\nevent\r\n$-1\r\n",
        b"*2\r\n$3\r\n1-0\r\n*2\r\n$5\r\nevent\r\n-ERR x\r\n",
        b"*2\r\n$3\r\n1-0\r\n*2\r\n$5\r\nevent\r\n*1\r\n$1\r\nx\r\n",
        b"*2\r\n$3\r\n1-0\r\n*2\r\n:5\r\n$1\r\nx\r\n",
        b"*2\r\n:7\r\n*2\r\n$5\r\nevent\r\n$2\r\n{}\r\n",
        b"*2\r\n$4\r\n\x1b[3m\r\n*2\r\n$5\r\nevent\r\n$2\r\n{}\r\n",
    ],
    ids=["number", "nil", "error", "list", "name", "id", "odd id"],
)
def test_an_entry_that_no_redis_would_give_is_told(entry: bytes) -> None:
    """Fields are bytes, and ids are numbers: whatever else it is, it is no entry."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65_536)
                client.sendall(b"*0\r\n")
                client.recv(65_536)
                client.sendall(b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n" + entry)
                client.recv(65_536)  # until it hangs up

        thread = threading.Thread(target=answer)
        thread.start()
        target = parse_redis_url(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(SignalsUnreachable, match="what answers there is no Redis"):
            Follower(target, prefix="", since="0").read()
        thread.join()


def test_following_outlasts_redis_and_tells(redis_server: RedisServer) -> None:
    """Down and up again: one call for each try, one when it is back, and every entry in between them."""
    add(redis_server, "one")
    told: list[bool] = []

    def on_trouble(error: SignalsUnreachable | None) -> None:
        told.append(error is not None)
        if told == [True, True]:
            redis_server.start()
            add(redis_server, "two")

    follower = follower_of(redis_server, "0")
    entries = follow(follower, ends_at_s=time.monotonic() + 30, on_trouble=on_trouble)
    assert next(entries).fields == {b"event": b"one"}
    redis_server.kill()
    assert next(entries).fields == {b"event": b"two"}
    assert told == [True, True, False]
    follower.close()


def test_following_ends_in_time(redis_server: RedisServer) -> None:
    """With nothing to read it ends at the moment asked for, not a blocking read later."""
    began_s = time.monotonic()
    follower = follower_of(redis_server, "$")
    assert list(follow(follower, ends_at_s=began_s + 0.1, on_trouble=lambda _error: None)) == []
    assert time.monotonic() - began_s < 1.9  # a read blocks for 2 s
    follower.close()


def test_a_wrong_password_ends_it(redis_with_password: RedisServer) -> None:
    """Waiting would not help."""
    follower = follower_of(redis_with_password, "$", url=redis_with_password.url.replace("//", "//:wrong@"))
    with pytest.raises(SignalsRejected, match="wrong password") as caught:
        list(follow(follower, ends_at_s=None, on_trouble=lambda _error: None))
    assert ":wrong@" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_sentinel_and_cluster_can_be_followed(
    redis_sentinel: RedisServer, redis_server: RedisServer, redis_cluster: RedisServer
) -> None:
    """The same reads over both kinds of client."""
    for server, url in (
        (redis_server, redis_sentinel.url),
        (redis_cluster, redis_cluster.url.replace("redis:", "redis+cluster:")),
    ):
        add(server, "one")
        follower = follower_of(server, "0", url=url)
        assert events(follower.read()) == [b"one"]
        assert follower.read(at_most_s=0.01) == ()
        follower.close()


def test_a_consumer_needs_two_commands(redis_server: RedisServer) -> None:
    """The ACL line of docs/signals.md is enough."""
    redis_server.run(
        "ACL SETUSER", "enforcer", "on", f">{PASSWORD}", "%R~{streamguard}:signals", "+xread", "+xrevrange"
    )
    add(redis_server, "one")
    follower = follower_of(redis_server, "0", url=redis_server.url.replace("//", f"//enforcer:{PASSWORD}@"))
    assert events(follower.read()) == [b"one"]
    follower.close()


@pytest.mark.parametrize("since", ["", "now", "1-2-3", "-1", "1" * 30])
def test_a_place_that_is_none_is_a_usage_error(since: str) -> None:
    """Said before anything is connected."""
    with pytest.raises(UsageError, match=r"give \$, 0, or an id"):
        Follower(parse_redis_url("redis://"), prefix="p:", since=since)
