"""streamguard.cli.breaker_words: what the breaker refuses, and the command that lifts it."""

import pytest
from pydantic import SecretStr

from streamguard.cli.breaker_words import among, refused_in_words, refused_json, refused_of
from streamguard.config import Config, RedisConfig
from streamguard.core.breaker import BreakerLimits
from streamguard.enforce.orders.permits import Standing
from tests.enforce.made_orders import an_order
from tests.enforce.permit_books import permits_of
from tests.local_servers import free_ports
from tests.redis_servers import RedisServer


def config_of(url: str) -> Config:
    return Config(redis=RedisConfig(url=SecretStr(url)))


def test_a_name_is_quoted_or_left_out() -> None:
    """Whoever can write to Redis can name a reference anything: a pasted line runs nothing else."""
    _, quoted = refused_in_words(Standing(None, (("a; rm x", 1000),)), {})
    assert quoted.endswith(": streamguard breaker lift --reference 'a; rm x' --reason TEXT")
    _, hostile = refused_in_words(Standing(None, (("a\x1b[2J\n", 1000),)), {})
    assert "--reference NAME --reason TEXT" in hostile


def test_only_items_of_the_incident_are_told() -> None:
    """And whether all kills are refused; what is not known is null."""
    standing = among({"a"}, Standing(7, (("a", 1), ("b", 1))))
    assert refused_json(standing) == {"refused_items": ["a"], "breaker_open": True}
    assert refused_json(among({"a"}, None)) == {"refused_items": None, "breaker_open": None}


def test_redis_is_asked_where_it_is_named(redis_server: RedisServer) -> None:
    """Nobody is, where the configuration names none."""
    assert refused_of({"clip-1"}, Config(), {}) is None
    book = permits_of(redis_server, limits=BreakerLimits(streams=1))
    for number in range(2):
        book.ask(an_order(f"{number}", stream=f"live/{number}"))
    assert refused_json(refused_of({"clip-1"}, config_of(redis_server.url), {}))["refused_items"] == ["clip-1"]
    assert refused_json(refused_of({"clip-2"}, config_of(redis_server.url), {}))["refused_items"] == []


def test_a_redis_that_is_away_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """The incident is told all the same; its next step is for the same Redis."""
    config = config_of(f"redis://127.0.0.1:{free_ports(1)[0]}")
    assert refused_of({"a"}, config, {"--config": "sg.toml"}) is None
    told = capsys.readouterr().err
    assert told.startswith("warning: whether the breaker refuses items is not known: read breaker")
    assert told.endswith("`streamguard doctor --config sg.toml` looks\n")
