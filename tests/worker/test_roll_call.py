"""streamguard.worker.roll_call: a process says that it is there, in a real Redis, and hears what does not fit."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from streamguard.config import Config, EnforceConfig, RedisConfig, SignalsConfig, WorkerConfig
from streamguard.core.roll_call import Present, Role
from streamguard.worker.roll_call import RollCall, disagreements_gauge, this_process, where_it_cuts, with_skew
from tests.redis_servers import RedisServer
from tests.worker.conftest import Logs

KEY = "one key for everybody here"
OTHER_KEY = "another key of 16 bytes"


def a_config(server: RedisServer, *, key: str = KEY, name: str = "one", api: str = "http://10.0.0.7:8080") -> Config:
    return Config(
        redis=RedisConfig(url=SecretStr(server.url), timeout_s=2.0),
        signals=SignalsConfig(hmac_key=SecretStr(key)),
        worker=WorkerConfig(name=name),
        enforce=EnforceConfig(name=name, servers=(SecretStr(f"nginx-rtmp={api}"),)),
    )


class Called:
    """One process's roll call, with its metrics."""

    def __init__(self, config: Config, role: Role, *, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self.call = RollCall(config, role, gauge=disagreements_gauge(self.registry), clock=clock)

    def found(self) -> dict[str, float]:
        """By what they are about, after a round."""
        self.call.round()
        samples = next(iter(self.registry.collect())).samples
        return {sample.labels["about"]: sample.value for sample in samples if sample.value}


def test_those_who_agree_hear_nothing(redis_server: RedisServer, logs: Logs) -> None:
    """Neither in a metric nor in a line."""
    worker = Called(a_config(redis_server), Role.WORKER)
    enforcer = Called(a_config(redis_server), Role.ENFORCER)
    assert [one.found() for one in (worker, enforcer, worker)] == [{}, {}, {}]
    assert worker.call.worth_a_look() == enforcer.call.worth_a_look() == []
    assert [line for line in logs if line["event"] in {"roll_call", "disagreement"}] == []


def test_another_key_is_heard_by_both_and_is_over_when_mended(redis_server: RedisServer, logs: Logs) -> None:
    """Before the first kill, and without either's key in Redis."""
    worker = Called(a_config(redis_server), Role.WORKER)
    enforcer = Called(a_config(redis_server, key=OTHER_KEY), Role.ENFORCER)
    worker.found()
    assert enforcer.found() == worker.found() == {"key": 1}
    (reason,) = worker.call.worth_a_look()
    assert "cuts nothing; give both the same signals.hmac_key_file" in reason
    stored = str(redis_server.run("HGETALL", "{streamguard}:members"))
    assert KEY not in stored
    assert OTHER_KEY not in stored
    Called(a_config(redis_server), Role.ENFORCER).found()
    assert worker.found() == {}
    assert [line.get("over", False) for line in logs if line["event"] == "disagreement"] == [False, False, True]


def test_two_servers_of_one_name(redis_server: RedisServer) -> None:
    """Each enforcer says where it cuts, without credentials."""
    first = Called(a_config(redis_server, name="a", api="http://u:secret@10.0.0.7:8080/control"), Role.ENFORCER)
    second = Called(a_config(redis_server, name="b", api="http://10.0.0.8:8080/stat"), Role.ENFORCER)
    first.found()
    assert second.found() == first.found() == {"server": 1}
    assert "secret" not in str(redis_server.run("HGETALL", "{streamguard}:members"))


def test_a_wrong_clock_is_heard(redis_server: RedisServer) -> None:
    """By everybody: an hour ahead."""
    late = Called(a_config(redis_server), Role.WORKER, clock=lambda: time.time() + 3600)
    assert late.found() == {"clock": 1}
    assert Called(a_config(redis_server), Role.ENFORCER).found() == {"clock": 1}
    assert "3600.0 s ahead of that of Redis" in late.call.worth_a_look()[0]


def test_a_redis_that_is_away_is_a_line_and_no_more(redis_server: RedisServer, logs: Logs) -> None:
    """What was heard last stands until it is back."""
    worker = Called(a_config(redis_server), Role.WORKER)
    worker.found()
    redis_server.kill()
    assert worker.found() == worker.found() == {}
    assert [line["times"] for line in logs if line["event"] == "roll_call"] == [1]
    redis_server.start()
    worker.found()
    assert [line.get("over", False) for line in logs if line["event"] == "roll_call"] == [False, True]


def test_the_thread_says_it_and_takes_it_back(redis_server: RedisServer) -> None:
    """Whoever has ended disagrees with nobody; without a Redis there is nothing to do."""
    worker = Called(a_config(redis_server), Role.WORKER)
    worker.call.thread.start()
    worker.call.thread.stop(5.0)
    assert redis_server.run("HLEN", "{streamguard}:members") == 0
    alone = RollCall(Config(), Role.WORKER, gauge=disagreements_gauge(CollectorRegistry()))
    alone.thread.start()
    alone.round()
    alone.thread.stop(1.0)
    assert alone.worth_a_look() == []


def test_a_slow_answer_is_not_held_against_the_clock() -> None:
    """Redis said noon within a second that may have been all way there: then the clock may be right."""
    me = Present(Role.WORKER, "worker")
    assert with_skew(me, redis_ms=1000, before_s=1.0, after_s=2.0).skew_s == 0
    assert with_skew(me, redis_ms=1000, before_s=3.0, after_s=4.0).skew_s == 2.0
    assert with_skew(me, redis_ms=9000, before_s=3.0, after_s=4.0).skew_s == -5.0


def test_a_loopback_address_is_this_machines() -> None:
    """The same on another machine is another server; a path says nothing of which it is."""
    servers = tuple(SecretStr(f"nginx-rtmp@{name}=http://{host}/stat") for name, host in (
        ("a", "127.0.0.1:8080"), ("b", "localhost"), ("c", "[::1]:81"), ("d", "edge.example"), ("e", "10.0.0.7:8080"),
    ))  # fmt: skip
    where = where_it_cuts(Config(enforce=EnforceConfig(servers=servers)))
    here = this_process(Config(), Role.WORKER).name.partition("@")[2]
    assert where == {
        "a": f"http://127.0.0.1:8080 on {here}", "b": f"http://localhost:80 on {here}", "c": f"http://::1:81 on {here}",
        "d": "http://edge.example:80", "e": "http://10.0.0.7:8080",
    }  # fmt: skip
