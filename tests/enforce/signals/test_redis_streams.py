"""streamguard.enforce.signals.redis_streams: each signal once in the stream, and every trouble by its name."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.enforce.redis.connect import connect
from streamguard.enforce.signals.redis_streams import MAX_EVENT_BYTES, RedisStreams
from streamguard.errors import SignalRefused, SignalsRejected, SignalsUnreachable, UsageError
from streamguard.signing import verify
from tests.faults.proxy import Fault, Proxy
from tests.kill_signals import KEY, a_signal
from tests.redis_servers import PASSWORD, RedisServer, StartRedis
from tests.waiting import eventually

PREFIX = "{streamguard}:"
STREAM = f"{PREFIX}signals"

# The line that publish_signal.lua and docs/signals.md give.
ACL = (
    "~{streamguard}:signals ~{streamguard}:sent:* +eval +evalsha +script|load +time"
    " (~{streamguard}:signals +xadd) (~{streamguard}:sent:* +set)"
)


@contextmanager
def streams_to(
    url: str, *, key: bytes | None = KEY, prefix: str = PREFIX, keep_s: float = 3600
) -> Iterator[RedisStreams]:
    streams = RedisStreams(url, prefix=prefix, timeout_s=0.5, keep_s=keep_s, key=key)
    try:
        yield streams
    finally:
        streams.close()


def acl_words() -> list[str]:
    """The rule as SETUSER takes it: a selector in parentheses is one word."""
    head, *selectors = ACL.split(" (")
    return head.split(" ") + [f"({selector}" for selector in selectors]


def port_of(server: RedisServer) -> int:
    return int(server.url.rpartition(":")[2])


def with_login(url: str, login: str) -> str:
    return url.replace("://", f"://{login}@")


def test_an_entry_has_the_event_and_its_signature(redis_server: RedisServer) -> None:
    """Two fields and no more; the signature is over id, the event's own second, and the event to the letter."""
    signal = a_signal()
    with streams_to(redis_server.url) as streams:
        streams.deliver(signal)
    (fields,) = redis_server.entries()
    assert set(fields) == {b"event", b"sig"}
    event = json.loads(fields[b"event"])
    assert verify(
        KEY,
        id=event["id"],
        timestamp_s=1_700_000_000,
        payload=fields[b"event"].decode(),
        signature=fields[b"sig"].decode(),
    )


def test_without_a_key_the_signature_is_empty(redis_server: RedisServer) -> None:
    """The field is there, so that consumers need not ask."""
    with streams_to(redis_server.url, key=None) as streams:
        streams.deliver(a_signal())
    assert redis_server.entries()[0][b"sig"] == b""


@pytest.mark.parametrize("lost", [1, 3])
def test_a_lost_reply_does_not_send_twice(redis_server: RedisServer, lost: int) -> None:
    """Redis did as it was asked and the answer was lost: sending again finds it done."""
    # The script must be known before, or the lost reply would be NOSCRIPT's and nothing would have been done.
    with streams_to(redis_server.url) as direct:
        direct.check()
    with (
        Proxy(port_of(redis_server), replies=[Fault.CUT] * lost) as proxy,
        streams_to(f"redis://127.0.0.1:{proxy.port}") as streams,
    ):
        for _ in range(lost):
            with pytest.raises(SignalsUnreachable):
                streams.deliver(a_signal())
            assert len(redis_server.entries()) == 1
        streams.deliver(a_signal())
    assert proxy.done[Fault.CUT] == lost
    assert len(redis_server.entries()) == 1


def test_redis_itself_never_hears_of_a_retry(redis_server: RedisServer) -> None:
    """One call is one command: after a lost reply the client does not ask again by itself."""
    with (
        Proxy(port_of(redis_server), replies=[Fault.CUT]) as proxy,
        streams_to(f"redis://127.0.0.1:{proxy.port}") as streams,
        pytest.raises(SignalsUnreachable),
    ):
        streams.check()
    assert "'calls': 1" in str(redis_server.run("INFO", "commandstats")["cmdstat_script|load"])  # type: ignore[index]


def test_a_redis_that_was_restarted_learns_the_script_again(redis_server: RedisServer) -> None:
    """It is empty and has forgotten the script; delivering just works."""
    with streams_to(redis_server.url) as streams:
        streams.deliver(a_signal(0))
        redis_server.restart()
        with suppress(SignalsUnreachable):  # the old connection may show only now that it is gone
            streams.deliver(a_signal(1))
        streams.deliver(a_signal(1))
        redis_server.run("SCRIPT FLUSH")
        streams.deliver(a_signal(2))
    ids = [json.loads(fields[b"event"])["id"] for fields in redis_server.entries()]
    assert ids == [a_signal(1).id, a_signal(2).id]


def test_old_entries_go_by_age_and_young_ones_never(redis_server: RedisServer) -> None:
    """Trimmed by time, whole blocks of a stream at a time: what is younger than keep_s stays, however much there is."""
    with redis_server.admin() as admin:
        for milliseconds in range(1, 301):
            admin.execute_command("XADD", STREAM, f"{milliseconds}-0", "event", "of 1970")
    with streams_to(redis_server.url, keep_s=3600) as streams:
        for number in range(300):
            streams.deliver(a_signal(number))
    entries = redis_server.entries()
    assert sum(fields[b"event"] != b"of 1970" for fields in entries) == 300
    assert sum(fields[b"event"] == b"of 1970" for fields in entries) < 100


def test_every_key_has_the_prefix_and_the_marks_expire(redis_server: RedisServer) -> None:
    """Nothing is left behind that nobody would ever remove."""
    with streams_to(redis_server.url, prefix="other:", keep_s=120) as streams:
        streams.deliver(a_signal())
    mark = f"other:sent:{a_signal().id}".encode()
    assert set(redis_server.admin().keys("*")) == {b"other:signals", mark}
    assert 0 < redis_server.admin().ttl(mark) <= 120


def test_the_documented_acl_is_the_tested_one() -> None:
    """In the script's header and in docs/signals.md, where it is broken into two lines."""
    root = Path(__file__).parents[3]
    for path in ("streamguard/enforce/signals/publish_signal.lua", "docs/signals.md"):
        text = " ".join((root / path).read_text().replace("--", "").split())
        assert f"ACL SETUSER worker on >PASSWORD {ACL}" in text


def test_a_worker_needs_no_more_than_the_acl_that_is_documented(redis_server: RedisServer) -> None:
    """With that line it can publish, and neither read the stream nor spoil it nor touch anything else."""
    redis_server.run("ACL SETUSER", "worker", "on", f">{PASSWORD}", *acl_words())
    url = with_login(redis_server.url, f"worker:{PASSWORD}")
    with streams_to(url) as streams:
        streams.check()
        streams.deliver(a_signal(0))
        redis_server.run("SCRIPT FLUSH")
        streams.deliver(a_signal(1))
        streams.deliver(a_signal(1))
    assert len(redis_server.entries()) == 2
    client = connect(url, timeout_s=1)
    for forbidden in (
        ("XRANGE", STREAM, "-", "+"),
        ("EVAL", "return redis.call('XRANGE', KEYS[1], '-', '+')", 1, STREAM),
        ("EVAL", "return redis.call('SET', KEYS[1], '')", 1, STREAM),
        ("EVAL", "return redis.call('XADD', KEYS[1], '*', 'a', 'b')", 1, f"{PREFIX}sent:x"),
        ("DEL", STREAM),
        ("EVAL", "return redis.call('XADD', KEYS[1], '*', 'a', 'b')", 1, f"{PREFIX}acks"),
        ("CONFIG GET", "*"),
    ):
        with pytest.raises(Exception, match=r"(?i)no permission|can't access|can't run"):
            client.execute_command(*forbidden)
    client.close()


@pytest.mark.parametrize("login", ["", ":wrong", "nobody:wrong"])
def test_a_wrong_password_is_a_clear_error_without_it(redis_with_password: RedisServer, login: str) -> None:
    """Host and reason are told, the password is not; with the right one it works."""
    url = with_login(redis_with_password.url, login) if login else redis_with_password.url
    with (
        streams_to(url) as streams,
        pytest.raises(SignalsRejected, match=r"redis said no: (wrong|it wants a) password") as caught,
    ):
        streams.check()
    assert f"127.0.0.1:{port_of(redis_with_password)}" in str(caught.value)
    assert "wrong@" not in str(caught.value)
    assert "nobody" not in str(caught.value)
    with streams_to(with_login(redis_with_password.url, f":{PASSWORD}")) as streams:
        streams.check()


def test_a_password_that_nobody_asked_for_is_told(redis_server: RedisServer) -> None:
    """Redis has none, the URL has one: said in these words."""
    url = with_login(redis_server.url, f":{PASSWORD}")
    with streams_to(url) as streams, pytest.raises(SignalsRejected, match="it has no password, and the URL gives one"):
        streams.check()


def test_a_check_promises_no_more_than_it_sees(redis_server: RedisServer) -> None:
    """With another prefix than the user may write to, all is well until the first signal, which says so."""
    redis_server.run("ACL SETUSER", "worker", "on", f">{PASSWORD}", *acl_words())
    url = with_login(redis_server.url, f"worker:{PASSWORD}")
    with closing(RedisStreams(url, prefix="{elsewhere}:", timeout_s=2, keep_s=60)) as streams:
        streams.check()
        with pytest.raises(SignalsRejected, match="NOPERM"):
            streams.deliver(a_signal())


def test_a_missing_permission_is_told_and_leaves_no_mark(redis_server: RedisServer) -> None:
    """Allowed to mark but not to add: the signal does not count as sent, and arrives once XADD is allowed."""
    words = [word for word in acl_words() if "+xadd" not in word]
    redis_server.run("ACL SETUSER", "worker", "on", f">{PASSWORD}", *words)
    with streams_to(with_login(redis_server.url, f"worker:{PASSWORD}")) as streams:
        with pytest.raises(SignalsRejected, match=r"redis said no: .*docs/signals\.md"):
            streams.deliver(a_signal())
        redis_server.run("ACL SETUSER", "worker", *acl_words()[-2:])
        eventually(lambda: redis_server.run("DBSIZE") == 0, what="the mark's end")
        streams.deliver(a_signal())
    assert len(redis_server.entries()) == 1


def test_a_key_of_the_wrong_type_is_told_and_nothing_counts_as_sent(redis_server: RedisServer) -> None:
    """Somebody's string in the stream's place: rejected, until it is gone."""
    redis_server.run("SET", STREAM, "a string")
    with streams_to(redis_server.url) as streams:
        with pytest.raises(SignalsRejected, match=r"redis said no: .*WRONGTYPE"):
            streams.deliver(a_signal())
        redis_server.run("DEL", STREAM)
        eventually(lambda: redis_server.run("DBSIZE") == 0, what="the mark's end")
        streams.deliver(a_signal())
    assert len(redis_server.entries()) == 1


def test_a_full_redis_is_tried_again(start_redis: StartRedis) -> None:
    """OOM is nothing the worker can mend, and may pass: unreachable, with the reason."""
    server = start_redis("--maxmemory", "100kb", "--maxmemory-policy", "noeviction")
    with streams_to(server.url) as streams:
        with pytest.raises(SignalsUnreachable, match=r"redis is full \(maxmemory\); make room in it"):
            streams.deliver(a_signal())
        server.run("CONFIG SET", "maxmemory", "100mb")
        streams.deliver(a_signal())
    assert len(server.entries()) == 1


def test_a_redis_that_cannot_save_is_tried_again(start_redis: StartRedis) -> None:
    """MISCONF: the disk of Redis is in trouble, so the signal waits."""
    server = start_redis("--save", "3600 1000000")
    (server.directory / "dump.rdb").mkdir()
    (server.directory / "dump.rdb" / "in the way").touch()
    server.run("BGSAVE")
    eventually(
        lambda: "'rdb_last_bgsave_status': 'err'" in str(server.run("INFO", "persistence")), what="a failed save"
    )
    said = r"redis says not now: .*MISCONF.*; is its disk full\?"
    with streams_to(server.url) as streams, pytest.raises(SignalsUnreachable, match=said):
        streams.deliver(a_signal())


def test_a_replica_is_tried_again(redis_server: RedisServer, start_redis: StartRedis) -> None:
    """In a failover the master becomes a replica for a while."""
    replica = start_redis("--replicaof", f"127.0.0.1 {port_of(redis_server)}")
    eventually(lambda: "'master_link_status': 'up'" in str(replica.run("INFO", "replication")), what="the replica")
    with streams_to(replica.url) as streams, pytest.raises(SignalsUnreachable, match="read-only replica now"):
        streams.deliver(a_signal())


def test_a_cluster_takes_them_and_wants_braces_in_the_prefix(redis_cluster: RedisServer) -> None:
    """Both keys lie in one slot by the braces; a prefix without them is a usage error."""
    url = redis_cluster.url.replace("redis:", "redis+cluster:")
    with streams_to(url) as streams:
        streams.check()
        streams.deliver(a_signal())
        streams.deliver(a_signal())
    assert len(redis_cluster.entries()) == 1
    with pytest.raises(UsageError, match="in braces"):
        RedisStreams(url, prefix="streamguard:", timeout_s=1, keep_s=60)


def test_a_cluster_worker_needs_two_commands_more(redis_cluster: RedisServer) -> None:
    """The documented additions are enough, and without them the error names the reason."""
    redis_cluster.run("ACL SETUSER", "worker", "on", f">{PASSWORD}", *acl_words())
    url = with_login(redis_cluster.url.replace("redis:", "redis+cluster:"), f"worker:{PASSWORD}")
    with streams_to(url) as streams:
        with pytest.raises(SignalsRejected, match="CLUSTER SLOTS is not allowed"):
            streams.check()
        redis_cluster.run("ACL SETUSER", "worker", "+cluster|slots", "+command")
        streams.check()
        streams.deliver(a_signal())
    assert len(redis_cluster.entries()) == 1


def test_a_node_of_a_cluster_under_a_plain_url_is_told(redis_cluster: RedisServer) -> None:
    """A node that has not the slot answers MOVED: the next step is the other URL."""
    redis_cluster.run("CLUSTER DELSLOTSRANGE", 0, 16383)
    with streams_to(redis_cluster.url) as streams, pytest.raises(SignalsUnreachable, match="CLUSTERDOWN"):
        streams.deliver(a_signal())


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """The URL of what gives this answer to one command."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65_536)
                client.sendall(reply)
                client.recv(65_536)  # until it hangs up

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_something_else_on_that_port_is_told() -> None:
    """A server that speaks another protocol is no Redis."""
    with (
        answering(b"HTTP/1.0 400 Bad Request\r\n\r\n") as url,
        streams_to(url) as streams,
        pytest.raises(SignalsRejected, match="what answers there is no Redis"),
    ):
        streams.check()


@pytest.mark.parametrize("reply", [b"$-1\r\n", b"+OK\r\n", b"*0\r\n", b":2\r\n", b"$1\r\n1\r\n", b"*-1\r\n"])
def test_only_what_the_script_answers_counts_as_delivered(reply: bytes) -> None:
    """Anything else is no Redis, or one that did not run it: the outbox keeps the signal."""
    with (
        answering(reply) as url,
        streams_to(url) as streams,
        pytest.raises(SignalsUnreachable, match="what answers there is no Redis"),
    ):
        streams.deliver(a_signal())


@pytest.mark.parametrize("reply", [b":0\r\n", b":1\r\n"])
def test_there_now_and_there_before_are_both_delivered(reply: bytes) -> None:
    """The script's two answers."""
    with answering(reply) as url, streams_to(url) as streams:
        streams.deliver(a_signal())


def test_an_event_that_no_consumer_would_read_is_refused_alone() -> None:
    """Too large: the row is the trouble, not the transport, and Redis is not even asked."""
    signal = a_signal()
    large = replace(signal, event="x" * (MAX_EVENT_BYTES + 1))
    with streams_to("redis://nowhere.invalid") as streams, pytest.raises(SignalRefused, match="262145 bytes"):
        streams.deliver(large)


def test_an_untrusted_certificate_is_told(redis_tls: RedisServer) -> None:
    """With the authority named it works, without it the error says how to name it."""
    with streams_to(redis_tls.url) as streams:
        streams.deliver(a_signal())
    assert len(redis_tls.entries()) == 1
    bare = redis_tls.url.partition("?")[0]
    with streams_to(bare) as streams, pytest.raises(SignalsRejected, match=r"not trusted: .*ssl_ca_certs=FILE"):
        streams.check()
    with (
        streams_to(f"{bare}?ssl_ca_certs=/nowhere.pem") as streams,
        pytest.raises(SignalsRejected, match="file named by"),
    ):
        streams.check()
