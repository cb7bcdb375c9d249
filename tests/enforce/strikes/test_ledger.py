"""The book of strikes in Redis: where Redis fails, lies, or is shared."""

import json
import threading

import pytest

from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.enforce.strikes.strike import StrikeTerms
from streamguard.errors import SignalsRejected, SignalsUnreachable, UsageError
from tests.faults.proxy import Fault, Proxy
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer
from tests.strikes import KEY, a_strike

PREFIX = "{streamguard}:"


def ledger(url: str, *, timeout_s: float = 2.0, terms: StrikeTerms | None = None) -> StrikeLedger:
    return StrikeLedger(url, prefix=PREFIX, timeout_s=timeout_s, terms=terms)


def port(server: RedisServer) -> int:
    return int(server.url.rpartition(":")[2])


@pytest.mark.parametrize("lost", range(5))
def test_a_strike_is_there_once_whichever_reply_was_lost(redis_server: RedisServer, lost: int) -> None:
    """The caller hears an error, tries again, and finds it as it was."""
    with Proxy(port(redis_server), replies=[Fault.PASS] * lost + [Fault.CUT]) as proxy:
        book = ledger(f"redis://127.0.0.1:{proxy.port}")
        for _ in range(2):
            try:
                book.add(a_strike())
            except SignalsUnreachable:
                continue
        (struck,) = book.active()
        assert (struck.key, struck.standing.count) == (KEY, 1)
        assert len(book.audit(most=10)) == 1


def test_many_enforcers_strike_at_once_and_none_is_lost(redis_server: RedisServer) -> None:
    """Each of ten strikes by five writers against one key counts once."""
    troubles: list[SignalsUnreachable] = []

    def strike() -> None:
        book = ledger(redis_server.url)
        for number in range(10):
            try:
                book.add(a_strike(number, keys=(KEY, "address:203.0.113.9")))
            except SignalsUnreachable as error:
                troubles.append(error)

    threads = [threading.Thread(target=strike) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book = ledger(redis_server.url)
    assert troubles == []
    assert [each.standing.count for each in book.active()] == [10, 10]
    assert len(book.audit(most=100)) == 20


def test_a_redis_that_is_down_is_a_documented_error_and_it_works_again(redis_server: RedisServer) -> None:
    """Down: try again. Back, with nothing in it: the strike is written."""
    book = ledger(redis_server.url)
    book.add(a_strike(1))
    redis_server.kill()
    with pytest.raises(SignalsUnreachable):
        book.add(a_strike(2))
    redis_server.start()
    book.add(a_strike(2))
    assert [each.standing.count for each in book.active()] == [1]


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"strikes": 7}',
        '{"strikes": [7]}',
        "\xff",
        "[" * 100_000,
        '{"strikes":[{"signal":"x"}]}',
    ],
)
def test_what_cannot_be_read_is_written_anew(redis_server: RedisServer, raw: str) -> None:
    """Somebody's nonsense in the place of a strike neither refuses anybody nor keeps a strike away."""
    redis_server.run("SET", f"{PREFIX}strikes:{KEY}", raw.encode("latin-1"))
    redis_server.run("ZADD", f"{PREFIX}strikes:active", 1 << 50, KEY)
    book = ledger(redis_server.url)
    assert book.active() == ()
    book.add(a_strike())
    assert [each.standing.count for each in book.active()] == [1]


def test_nonsense_in_the_audit_is_passed_over(redis_server: RedisServer) -> None:
    """What is no entry of ours is not shown, and hides none."""
    book = ledger(redis_server.url)
    book.add(a_strike(1))
    for event in ("", "7", "{}", json.dumps({"action": "add", "key": 7})):
        redis_server.run("XADD", f"{PREFIX}strikes:audit", "*", "event", event)
    redis_server.run("XADD", f"{PREFIX}strikes:audit", "*", "other", "thing")
    book.add(a_strike(2))
    assert [entry.standing.count for entry in book.audit(most=10)] == [1, 2]


def test_a_key_of_another_type_is_an_error_and_nothing_is_half_done(redis_server: RedisServer) -> None:
    """Mended, the same signal strikes: no half-written strike passes for one that is there."""
    redis_server.run("SET", f"{PREFIX}strikes:active", "no zset")
    book = ledger(redis_server.url)
    with pytest.raises(SignalsRejected):
        book.add(a_strike())
    redis_server.run("DEL", f"{PREFIX}strikes:active")
    book.add(a_strike())
    assert [each.key for each in book.active()] == [KEY]


def test_the_permissions_in_the_manual_are_enough(redis_server: RedisServer) -> None:
    """An enforcer adds strikes with its line, and may not list; an operator may list and lift."""
    for line in (*acl_lines("enforcer", about="strikes"), *acl_lines("operator", about="strikes")):
        redis_server.run(*line)
    address = redis_server.url.removeprefix("redis://")
    enforcer, operator = (ledger(f"redis://{user}:{PASSWORD}@{address}") for user in ("enforcer", "operator"))
    enforcer.add(a_strike())
    with pytest.raises(SignalsRejected):
        enforcer.active()
    assert len(operator.active()) == 1
    assert operator.lift_signal(a_strike().signal_id, who="anna", reason="a mistake") == 1
    assert operator.active() == ()


def test_strikes_are_in_a_cluster_too(redis_cluster: RedisServer) -> None:
    """With a prefix in braces; without, it is refused before anything is asked."""
    url = redis_cluster.url.replace("redis://", "redis+cluster://")
    book = ledger(url)
    book.add(a_strike(keys=(KEY, "account:anna")))
    assert len(book.active()) == 2
    with pytest.raises(UsageError, match="braces"):
        StrikeLedger(url, prefix="plain:", timeout_s=1.0)


def test_strikes_and_audit_are_forgotten_in_time(redis_server: RedisServer) -> None:
    """A key lives for as long as it refuses and is remembered after that, and the audit is trimmed by age."""
    book = ledger(redis_server.url, terms=StrikeTerms(refuse_for_s=(600.0,), remember_s=86_400.0))
    book.add(a_strike())
    left_ms = redis_server.run("PTTL", f"{PREFIX}strikes:{KEY}")
    assert isinstance(left_ms, int)
    assert 86_990_000 < left_ms <= 87_000_000
