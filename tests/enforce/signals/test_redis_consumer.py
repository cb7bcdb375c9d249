"""streamguard.enforce.signals.redis_consumer: each signal to one of a group, until it is settled."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.signals.follow import Entry, Follower
from streamguard.enforce.signals.redis_consumer import AckWriter, GroupReader, group_of
from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.enforce.strikes.strike import Strike
from streamguard.errors import SignalsRejected, SignalsUnreachable
from streamguard.types import SessionId, StreamId
from tests.kill_signals import NOW_UNIX_S
from tests.redis_servers import RedisServer, StartRedis
from tests.waiting import eventually

PREFIX = "{streamguard}:"
STREAM = f"{PREFIX}signals"
GROUP = "enforce:nginx-rtmp"
ACKS = f"{PREFIX}acks"

# The lines that docs/signals.md gives.
ACL = (
    "~{streamguard}:signals ~{streamguard}:acks ~{streamguard}:done:* +time +eval +exists"
    " +xgroup|create +xreadgroup +xautoclaim +xclaim +xack (~{streamguard}:acks +xadd) (~{streamguard}:done:* +set)"
)
STRIKES_ACL = (
    "(~{streamguard}:strikes:* +time +mget +lrange +eval +evalsha +get +set +zadd +zrem +zremrangebyscore +xadd)"
)
WORKER_ACL = "(%R~{streamguard}:acks +xread +xrevrange)"


def reader_of(server: RedisServer, consumer: str = "a", *, url: str | None = None) -> GroupReader:
    return GroupReader(parse_redis_url(url or server.url), prefix=PREFIX, group=GROUP, consumer=consumer)


def writer_of(server: RedisServer, *, url: str | None = None) -> AckWriter:
    return AckWriter(parse_redis_url(url or server.url), prefix=PREFIX, group=GROUP, timeout_s=2.0, keep_s=3600)


@pytest.fixture
def reader(redis_server: RedisServer) -> Iterator[GroupReader]:
    with contextlib.closing(reader_of(redis_server)) as reader:
        yield reader


def add(server: RedisServer, event: str) -> str:
    added = server.run("XADD", STREAM, "*", "event", event)
    assert isinstance(added, bytes)
    return added.decode()


def all_of(reader: GroupReader) -> list[Entry]:
    """Until nothing comes, three times: an empty answer may be the end of what was there before, or a new start."""
    found: list[Entry] = []
    empty = 0
    while empty < 3:
        entries = reader.read(at_most_s=0.01)
        found += entries
        empty = 0 if entries else empty + 1
    return found


def texts(entries: list[Entry]) -> list[str]:
    return [entry.fields[b"event"].decode() for entry in entries]


def test_the_group_is_made_at_the_start_of_the_stream(redis_server: RedisServer, reader: GroupReader) -> None:
    """What was there before the first enforcer is read, in order, more than one read's worth of it; before there is a
    stream, too.
    """
    assert all_of(reader) == []
    for number in range(150):
        add(redis_server, str(number))
    assert texts(all_of(reader)) == [str(number) for number in range(150)]
    assert all_of(reader) == []


def test_what_was_not_settled_comes_again_to_the_same_name(redis_server: RedisServer, reader: GroupReader) -> None:
    """After a restart, and when asked for; what was done with does not."""
    first, second = add(redis_server, "first"), add(redis_server, "second")
    assert len(all_of(reader)) == 2
    reader.done_with([first])
    reader.read_again()
    assert [entry.id for entry in all_of(reader)] == [second]
    with contextlib.closing(reader_of(redis_server)) as anew:
        assert [entry.id for entry in all_of(anew)] == [second]


def test_two_share_the_signals(redis_server: RedisServer, reader: GroupReader) -> None:
    """What one was given the other is not, unless it was left alone for so long; being kept it is not left alone."""
    with contextlib.closing(reader_of(redis_server, "b")) as other:
        assert all_of(other) == []
        entry_id = add(redis_server, "one")
        assert len(all_of(reader)) == 1
        other.claim(idle_s=60.0)
        assert all_of(other) == []
        redis_server.run("XCLAIM", STREAM, GROUP, "a", 0, entry_id, "IDLE", 50_000)
        reader.keep([entry_id])
        other.claim(idle_s=40.0)
        assert all_of(other) == []
        redis_server.run("XCLAIM", STREAM, GROUP, "a", 0, entry_id, "IDLE", 50_000)
        other.claim(idle_s=40.0)
        assert texts(all_of(other)) == ["one"]


def test_what_is_left_is_taken_by_whoever_claims_first(redis_server: RedisServer, reader: GroupReader) -> None:
    """At once, and not by whoever says that he leaves it."""
    left, other_entry = add(redis_server, "left"), add(redis_server, "other")
    assert len(all_of(reader)) == 2
    reader.leave([left], idle_s=60.0)
    redis_server.run("XCLAIM", STREAM, GROUP, "a", 0, other_entry, "IDLE", 70_000)
    reader.claim(idle_s=60.0, leave=[left])
    assert texts(all_of(reader)) == ["other"]
    with contextlib.closing(reader_of(redis_server, "b")) as other:
        other.claim(idle_s=60.0)
        assert texts(all_of(other)) == ["left"]


def test_a_redis_without_its_data_gets_the_group_again(redis_server: RedisServer, reader: GroupReader) -> None:
    """At 0: what came before the enforcer was back is read."""
    add(redis_server, "before")
    assert len(all_of(reader)) == 1
    redis_server.restart()
    add(redis_server, "after")
    found: list[Entry] = []

    def read() -> list[Entry]:
        with contextlib.suppress(SignalsUnreachable):
            found.extend(reader.read(at_most_s=0.01))
        return found

    assert texts(eventually(read)) == ["after"]
    redis_server.run("FLUSHALL")
    add(redis_server, "flushed")
    assert texts(all_of(reader)) == ["flushed"]


def test_an_entry_too_long_to_be_read_costs_only_itself(
    redis_server: RedisServer, reader: GroupReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes without its fields, to be taken off the list; what stands around it comes whole."""
    monkeypatch.setattr("streamguard.enforce.redis.limits.MOST_REPLY_BYTES", 100_000)
    for number in range(10):
        add(redis_server, str(number))
    poison = add(redis_server, "x" * 200_000)
    add(redis_server, "last")
    found = {entry.id: entry for entry in all_of(reader)}
    assert found[poison].problem.startswith("longer than")
    assert len(found) == 12
    reader.done_with(list(found))
    reader.read_again()
    assert all_of(reader) == []


def test_an_entry_that_was_trimmed_comes_empty(redis_server: RedisServer, reader: GroupReader) -> None:
    """So that it can be taken off the list."""
    entry_id = add(redis_server, "old")
    all_of(reader)
    redis_server.run("XDEL", STREAM, entry_id)
    reader.read_again()
    assert all_of(reader) == [Entry(entry_id, {})]


def test_a_signal_is_settled_once(redis_server: RedisServer, reader: GroupReader) -> None:
    """The acknowledgement is there once, the mark says so, and the entry is off the list both times."""
    first, again = add(redis_server, "one"), add(redis_server, "one")
    all_of(reader)
    assert not reader.is_done("sig_1")
    with contextlib.closing(writer_of(redis_server)) as writer:
        assert writer.settle(first, signal_id="sig_1", event="{}", signature="s")
        assert not writer.settle(again, signal_id="sig_1", event="{}", signature="s")
    assert reader.is_done("sig_1")
    assert redis_server.entries(ACKS) == [{b"event": b"{}", b"sig": b"s"}]
    reader.read_again()
    assert all_of(reader) == []


def test_a_redis_without_its_data_takes_acknowledgements(redis_server: RedisServer) -> None:
    """There is no group and no entry any more; the worker learns of it all the same."""
    with contextlib.closing(writer_of(redis_server)) as writer:
        assert writer.settle("1-0", signal_id="sig_1", event="{}", signature="")
    assert len(redis_server.entries(ACKS)) == 1


def test_a_failed_acknowledgement_leaves_the_signal_unsettled(redis_server: RedisServer, reader: GroupReader) -> None:
    """Redis refuses the entry, so nothing is marked: the next try writes it."""
    entry_id = add(redis_server, "one")
    all_of(reader)
    redis_server.run("SET", ACKS, "no stream")
    with contextlib.closing(writer_of(redis_server)) as writer:
        with pytest.raises(SignalsRejected, match="WRONGTYPE"):
            writer.settle(entry_id, signal_id="sig_1", event="{}", signature="")
        redis_server.run("DEL", ACKS)
        eventually(lambda: not reader.is_done("sig_1"), what="the mark goes")
        assert writer.settle(entry_id, signal_id="sig_1", event="{}", signature="")


def test_the_permissions_in_the_manual_suffice(start_redis: StartRedis) -> None:
    """And no more than those: it can neither add, change nor delete signals."""
    manual = " ".join((Path(__file__).parents[3] / "docs" / "signals.md").read_text().split())
    assert f"ACL SETUSER enforcer on >PASSWORD {ACL}" in manual
    assert f"ACL SETUSER enforcer {STRIKES_ACL}" in manual
    server = start_redis()
    server.run("ACL SETUSER", "enforcer", "on", ">secret", *_acl_words(), STRIKES_ACL)
    url = server.url.replace("//", "//enforcer:secret@")
    entry_id = add(server, "one")
    with ExitStack() as parts:
        reader = parts.enter_context(contextlib.closing(reader_of(server, url=url)))
        writer = parts.enter_context(contextlib.closing(writer_of(server, url=url)))
        ledger = parts.enter_context(contextlib.closing(StrikeLedger(url, prefix=PREFIX, timeout_s=2.0)))
        assert texts(all_of(reader)) == ["one"]
        reader.keep([entry_id])
        reader.claim(idle_s=60.0)
        assert not reader.is_done("sig_1")
        keys = ("stream:live/cam",)
        ledger.add(Strike("sig_1", keys, StreamId("live/cam"), SessionId("1-1"), "clip-1", "known", NOW_UNIX_S))
        assert writer.settle(entry_id, signal_id="sig_1", event="{}", signature="")
        forbidden = (("XADD", STREAM, "*", "event", "forged"), ("DEL", STREAM), ("SET", STREAM, "x"), ("DEL", ACKS))
        for command in forbidden:
            with pytest.raises(SignalsRejected):
                reader._call(*command)


def test_a_worker_needs_two_commands_more_to_hear_of_answers(redis_server: RedisServer) -> None:
    """As docs/signals.md says; it can read no signals by that."""
    manual = " ".join((Path(__file__).parents[3] / "docs" / "signals.md").read_text().split())
    assert f"ACL SETUSER worker {WORKER_ACL}" in manual
    redis_server.run("ACL SETUSER", "worker", "on", ">secret", WORKER_ACL)
    target = parse_redis_url(redis_server.url.replace("//", "//worker:secret@"))
    redis_server.run("XADD", ACKS, "*", "event", "{}")
    with contextlib.closing(Follower(target, prefix=PREFIX, since="0", stream="acks")) as follower:
        assert len(follower.read(at_most_s=0.1)) == 1
    with contextlib.closing(Follower(target, prefix=PREFIX, since="0")) as follower, pytest.raises(SignalsRejected):
        follower.read(at_most_s=0.1)


def _acl_words() -> list[str]:
    """Selectors in parentheses are one word."""
    words: list[str] = []
    for part in ACL.split(" "):
        if words and words[-1].startswith("(") and not words[-1].endswith(")"):
            words[-1] += f" {part}"
        else:
            words.append(part)
    return words


def test_a_cluster_serves_as_well(redis_cluster: RedisServer) -> None:
    """All keys lie in one slot."""
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    entry_id = add(redis_cluster, "one")
    with contextlib.closing(reader_of(redis_cluster, url=url)) as reader:
        assert texts(all_of(reader)) == ["one"]
        reader.claim(idle_s=60.0)
        reader.keep([entry_id])
        with contextlib.closing(writer_of(redis_cluster, url=url)) as writer:
            assert writer.settle(entry_id, signal_id="sig_1", event="{}", signature="")
        assert reader.is_done("sig_1")


def test_the_group_is_named_after_the_servers() -> None:
    """In whatever order they were given."""
    assert group_of(["srs", "nginx-rtmp"]) == group_of(["nginx-rtmp", "srs"]) == "enforce:nginx-rtmp,srs"
