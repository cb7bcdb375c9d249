"""streamguard.enforce.sharing.roll: who is there, in a real Redis, where anybody may have written anything."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from streamguard.core.roll_call import Present, Role
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.sharing.roll import FORGOTTEN_AFTER_S, HEARD_WITHIN_S, Roll
from streamguard.errors import SignalsRejected, SignalsUnreachable
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer

KEY = "{streamguard}:members"
ME = Present(Role.ENFORCER, "enforcer-1@b", "111111111111", {"nginx-rtmp": "http://127.0.0.1:8080 on b"}, -0.25)
OTHER = Present(Role.WORKER, "worker-1@a")
NOW_MS = 1_700_000_000_000


def a_roll(url: str) -> Roll:
    return Roll(parse_redis_url(url), prefix="{streamguard}:", timeout_s=2.0)


@pytest.fixture
def roll(redis_server: RedisServer) -> Iterator[Roll]:
    with closing(a_roll(redis_server.url)) as opened:
        yield opened


def test_who_has_said_so_is_there_until_a_minute_later(roll: Roll) -> None:
    """As often as it says so, once; one that leaves is gone at once."""
    roll.say(ME, now_ms=NOW_MS)
    roll.say(ME, now_ms=NOW_MS)
    roll.say(OTHER, now_ms=NOW_MS + 1000)
    assert sorted(one.name for one in roll.present(now_ms=NOW_MS)) == ["enforcer-1@b", "worker-1@a"]
    assert ME in roll.present(now_ms=NOW_MS)
    late_ms = NOW_MS + round(HEARD_WITHIN_S * 1000) + 500
    assert roll.present(now_ms=late_ms) == (OTHER,)
    roll.leave(OTHER)
    assert roll.present(now_ms=NOW_MS) == (ME,)


def test_after_a_day_it_is_forgotten(roll: Roll, redis_server: RedisServer) -> None:
    """And so is what is no entry, when somebody who may looks."""
    roll.say(ME, now_ms=NOW_MS)
    redis_server.run("HSET", KEY, "rubbish", "rubbish")
    later_ms = NOW_MS + round(FORGOTTEN_AFTER_S * 1000) + 1
    assert roll.present(now_ms=later_ms) == ()
    assert redis_server.run("HLEN", KEY) == 2
    assert roll.present(now_ms=later_ms, forget=True) == ()
    assert redis_server.run("HLEN", KEY) == 0


GOOD: dict[str, object] = {"at_ms": NOW_MS, "key": "k", "servers": {}, "skew_s": 0}
WRONG: tuple[dict[str, object], ...] = (
    {"at_ms": "soon"}, {"at_ms": 1 << 60}, {"key": 1}, {"key": "k" * 1000}, {"servers": []}, {"skew_s": "1"},
    {"skew_s": 10**400},
)  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("worker:x", b"\xff\xfe"),
        ("worker:x", b"[" * 10_000),
        ("worker:x", b"null"),
        ("worker:x", b" " * 20_000),
        ("stranger:x", json.dumps(GOOD).encode()),
        ("worker:", json.dumps(GOOD).encode()),
        ("worker:" + "x" * 1000, json.dumps(GOOD).encode()),
        *(("worker:x", json.dumps(GOOD | change).encode()) for change in WRONG),
        ("worker:x", json.dumps(GOOD).replace('"skew_s": 0', '"skew_s": NaN').encode()),
        ("worker:x", json.dumps(GOOD).replace('"skew_s": 0', '"skew_s": 1e999').encode()),
    ],
)
def test_what_is_no_entry_is_nobody(*, roll: Roll, redis_server: RedisServer, field: str, value: bytes) -> None:
    """Whatever it is; those who are there are seen all the same."""
    redis_server.run("HSET", KEY, field, value)
    roll.say(OTHER, now_ms=NOW_MS)
    assert roll.present(now_ms=NOW_MS) == (OTHER,)


def test_names_cannot_drive_a_terminal(roll: Roll, redis_server: RedisServer) -> None:
    """They are shown to people."""
    said = GOOD | {"servers": {"a\x1b[2J": "b\n", "c": 1}}
    redis_server.run("HSET", KEY, "enforcer:\x1b[31mred", json.dumps(said))
    (found,) = roll.present(now_ms=NOW_MS)
    assert (found.name, dict(found.servers)) == ("?[31mred", {"a?[2J": "b?"})


def test_a_key_of_another_kind_is_an_error(roll: Roll, redis_server: RedisServer) -> None:
    """Not a fleet of nobody."""
    redis_server.run("SET", KEY, "x")
    with pytest.raises(SignalsRejected, match="WRONGTYPE"):
        roll.present(now_ms=NOW_MS)


def test_a_redis_that_is_gone(roll: Roll, redis_server: RedisServer) -> None:
    """And is back."""
    redis_server.kill()
    with pytest.raises(SignalsUnreachable):
        roll.say(ME, now_ms=NOW_MS)
    redis_server.start()
    roll.say(ME, now_ms=NOW_MS)
    assert roll.present(now_ms=NOW_MS) == (ME,)


@pytest.mark.parametrize("user", ["worker", "enforcer"])
def test_with_the_permissions_of_the_manual(redis_server: RedisServer, user: str) -> None:
    """Those that its line gives, and no others."""
    for command in acl_lines(user, about=":members"):
        redis_server.run(*command)
    url = redis_server.url.replace("redis://", f"redis://{user}:{PASSWORD}@")
    with closing(a_roll(url)) as roll:
        now_ms = roll.now_ms()
        roll.say(ME, now_ms=now_ms)
        assert roll.present(now_ms=now_ms, forget=True) == (replace(ME),)
        roll.leave(ME)
