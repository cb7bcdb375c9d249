"""streamguard.enforce.sharing.rights: what a real Redis's users may do, asked without doing any of it."""

from collections.abc import Sequence
from contextlib import closing

import pytest
from pydantic import SecretStr

from streamguard.config import Config, EnforceConfig, RedisConfig
from streamguard.config.tree import LeasesConfig
from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.sharing.rights import Need, needs_of_a_worker, needs_of_an_enforcer, refused
from streamguard.errors import SignalsRejected, SignalsUnreachable
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer

CONFIG = Config(
    redis=RedisConfig(url=SecretStr("redis://127.0.0.1")),
    enforce=EnforceConfig(servers=(SecretStr("nginx-rtmp=http://127.0.0.1:8080"),)),
    leases=LeasesConfig(enabled=True),
)
NEEDS = {"worker": needs_of_a_worker(CONFIG), "enforcer": needs_of_an_enforcer(CONFIG)}


def asked(server: RedisServer, user: str, needs: Sequence[Need]) -> list[str]:
    """The commands that it may not run."""
    target = parse_redis_url(server.url.replace("redis://", f"redis://{user}:{PASSWORD}@"))
    with closing(RedisCaller(target, timeout_s=2.0)) as runner:
        found = refused(needs, runner)
    assert found is not None
    return [str(need) for need in found]


@pytest.mark.parametrize("user", ["worker", "enforcer"])
def test_the_manual_gives_all_that_is_needed(redis_server: RedisServer, user: str) -> None:
    """All its lines for that user together; and asking leaves nothing behind."""
    for command in acl_lines(user, about=""):
        redis_server.run(*command)
    assert asked(redis_server, user, NEEDS[user]) == []
    assert redis_server.run("DBSIZE") == 0


@pytest.mark.parametrize("user", ["worker", "enforcer"])
def test_one_who_may_only_ask(redis_server: RedisServer, user: str) -> None:
    """Each need is refused: none of the commands is one that anybody may run."""
    redis_server.run("ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}", "~*", "+eval", "+evalsha")
    allowed_by_eval = {"EVAL", "EVALSHA"}
    wanted = [str(need) for need in NEEDS[user] if need.command[0] not in allowed_by_eval]
    assert asked(redis_server, user, NEEDS[user]) == wanted


def test_another_prefix_is_found(redis_server: RedisServer) -> None:
    """The commonest mistake: the ACL has the keys of the default, the configuration has others."""
    for command in acl_lines("worker", about=""):
        redis_server.run(*command)
    other = CONFIG.model_copy(update={"redis": RedisConfig(url=SecretStr("redis://127.0.0.1"), prefix="{live}:")})
    found = asked(redis_server, "worker", needs_of_a_worker(other))
    assert found[:3] == ["EVALSHA {live}:signals", "XADD {live}:signals", "SET {live}:sent:doctor"]


def test_who_may_not_even_ask(redis_server: RedisServer) -> None:
    """Is told that, by Redis's own words."""
    redis_server.run("ACL", "SETUSER", "worker", "reset", "on", f">{PASSWORD}", "+ping")
    with pytest.raises(SignalsRejected, match="NOPERM"):
        asked(redis_server, "worker", NEEDS["worker"])


def test_a_redis_that_is_not_there(redis_server: RedisServer) -> None:
    """Says nothing of anybody's rights."""
    redis_server.kill()
    with pytest.raises(SignalsUnreachable):
        asked(redis_server, "worker", NEEDS["worker"])
