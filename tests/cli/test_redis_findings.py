"""streamguard.cli.redis_findings: what a real Redis lets its users do, whose clock is wrong, and who agrees."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from streamguard.cli.findings import Outcome
from streamguard.cli.redis_findings import redis_findings
from streamguard.config import Config, EnforceConfig, LibraryConfig, RedisConfig, SignalsConfig
from streamguard.core.roll_call import Present, Role
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.sharing.roll import Roll
from streamguard.signing import fingerprint
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer

KEY = "one key for everybody here"
SERVER = SecretStr("nginx-rtmp=http://10.0.0.7:8080")


def a_config(
    server: RedisServer, *, user: str = "", enforces: bool = False, watches: bool = True, key: str = KEY
) -> Config:
    url = server.url.replace("redis://", f"redis://{user}:{PASSWORD}@") if user else server.url
    return Config(
        redis=RedisConfig(url=SecretStr(url), timeout_s=2.0),
        library=LibraryConfig(path=Path("library") if watches else None),
        signals=SignalsConfig(hmac_key=SecretStr(key)),
        enforce=EnforceConfig(servers=(SERVER,) if enforces else ()),
    )


def found(config: Config, *, clock: Callable[[], float] = time.time) -> dict[str, tuple[Outcome, str]]:
    return {one.what: (one.outcome, one.detail) for one in redis_findings(config, clock=clock)}


@pytest.fixture
def roll(redis_server: RedisServer) -> Iterator[Roll]:
    with closing(Roll(parse_redis_url(redis_server.url), prefix="{streamguard}:", timeout_s=2.0)) as opened:
        yield opened


def test_all_is_well(redis_server: RedisServer) -> None:
    """For a worker with the rights of the manual; an enforcer's user need not be one that publishes."""
    for user in ("worker", "enforcer"):
        for command in acl_lines(user, about=""):
            redis_server.run(*command)
    for user, enforces in (("worker", False), ("enforcer", True)):
        config = a_config(redis_server, user=user, enforces=enforces, watches=not enforces)
        outcomes = {what: outcome for what, (outcome, _) in found(config).items()}
        assert outcomes == dict.fromkeys(("redis", "redis permissions", "clock", "fleet"), Outcome.OK)
    assert redis_server.run("DBSIZE") == 0


def test_who_may_only_tell_who_is_there(redis_server: RedisServer) -> None:
    """A right that only doctor and the roll call need is a note: all else works."""
    for command in acl_lines("worker", about=""):
        if ":members" not in " ".join(command):
            redis_server.run(*command)
    outcome, detail = found(a_config(redis_server, user="worker"))["redis permissions"]
    assert outcome is Outcome.NOTE
    assert "HSET {streamguard}:members, HGETALL {streamguard}:members" in detail
    fleet = found(a_config(redis_server, user="worker"))["fleet"]
    assert fleet[0] is Outcome.NOTE
    assert "NOPERM" in fleet[1]


def test_this_configuration_is_compared_with_those_who_are_there(redis_server: RedisServer, roll: Roll) -> None:
    """Before it is started: another key, or another server under the same name."""
    now_ms = roll.now_ms()
    elsewhere = {"nginx-rtmp": "http://10.0.0.8:8080"}
    roll.say(Present(Role.ENFORCER, "enforcer-1@edge", fingerprint(KEY.encode()), elsewhere), now_ms=now_ms)
    assert found(a_config(redis_server))["fleet"][1].startswith("0 workers and 1 enforcer are there; keys, names of ")
    outcome, detail = found(a_config(redis_server, key="another key of 16 bytes"))["fleet key"]
    assert outcome is Outcome.PROBLEM
    assert "worker of this configuration signs with key" in detail
    assert "enforcer enforcer-1@edge checks with key" in detail
    outcome, detail = found(a_config(redis_server, enforces=True))["fleet server"]
    assert outcome is Outcome.PROBLEM
    assert (
        "enforcer enforcer-1@edge cuts at http://10.0.0.8:8080, enforcer of this configuration at http://10." in detail
    )


@pytest.mark.parametrize("wrong_s", [-3.0, 3.0])
def test_a_clock_that_is_wrong(redis_server: RedisServer, wrong_s: float) -> None:
    """By how much, in which direction, and what to do."""
    outcome, detail = found(a_config(redis_server), clock=lambda: time.time() + wrong_s)["clock"]
    assert outcome is Outcome.PROBLEM
    assert f"this machine is 3.0 s {'ahead of' if wrong_s > 0 else 'behind'} Redis's" in detail
    assert detail.endswith("synchronise both by NTP")


def test_without_an_answer_there_is_nothing_else_to_tell(redis_server: RedisServer) -> None:
    """One finding, not one for each question."""
    config = a_config(redis_server)
    redis_server.kill()
    assert list(found(config)) == ["redis"]
