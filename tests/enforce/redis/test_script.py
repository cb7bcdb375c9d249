"""streamguard.enforce.redis.script: scripts that lie beside their module, in one round trip once Redis knows them."""

import hashlib

import pytest
from redis.exceptions import ResponseError

from streamguard.enforce.redis.connect import connect
from streamguard.enforce.redis.script import Script, load_script, run_script
from streamguard.enforce.signals import redis_streams
from tests.redis_servers import RedisServer

TEXT = "return {KEYS[1], ARGV[1]}"
ECHO = Script(TEXT, hashlib.sha1(TEXT.encode(), usedforsecurity=False).hexdigest())


def calls(server: RedisServer, command: str) -> int:
    with server.admin() as client:
        stats = client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_a_script_lies_beside_its_module() -> None:
    """It is found wherever the package is installed, and known to Redis by its digest."""
    script = load_script(redis_streams.__name__, "publish_signal.lua")
    assert "XADD" in script.text
    assert script.sha == hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()
    with pytest.raises(FileNotFoundError):
        load_script(__name__.replace("tests.", "streamguard."), "nowhere.lua")


def test_its_text_is_sent_once_and_again_after_a_restart(redis_server: RedisServer) -> None:
    """Whoever sends it, Redis knows it from then on; one that has forgotten it is taught again."""
    for _ in range(2):
        client = connect(redis_server.url, timeout_s=2.0)
        for number in range(3):
            assert run_script(client, ECHO, keys=("key",), arguments=(number,)) == [b"key", b"%d" % number]
        assert calls(redis_server, "eval") == 1
        client.close()
        redis_server.restart()


def test_a_script_that_fails_is_not_run_again(redis_server: RedisServer) -> None:
    """Only what Redis does not know is sent as text."""
    text = "redis.call('INCR', KEYS[1]); return redis.call('LPOP', KEYS[1])"
    script = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    client = connect(redis_server.url, timeout_s=2.0)
    for _ in range(2):
        with pytest.raises(ResponseError):
            run_script(client, script, keys=("counter",), arguments=())
    assert client.execute_command("GET", "counter") == b"2"
    client.close()
