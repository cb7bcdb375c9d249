"""streamguard.worker.enforcing: an enforcer's logs, and its health where something is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr

from streamguard.config import Config, EnforceConfig, HttpConfig, RedisConfig, SignalsConfig, load_config
from streamguard.config.effects import Process
from streamguard.enforce.cutting.listing import ServerState, ServerStatus
from streamguard.errors import SignalsRejected, UsageError
from streamguard.worker.complaints import Complaint
from streamguard.worker.enforcing import EnforceService, log_server, media_servers
from streamguard.worker.reloading import ConfigSource, Reloading, mark_of
from tests.enforce.made_orders import a_kill
from tests.kill_signals import KEY
from tests.local_servers import free_ports
from tests.redis_servers import PASSWORD, RedisServer
from tests.waiting import eventually
from tests.worker.conftest import Logs


def a_config(redis_url: str, *, server: str = "nginx-rtmp=http://127.0.0.1:9", port: int = 0) -> Config:
    return Config(
        redis=RedisConfig(url=SecretStr(redis_url)),
        signals=SignalsConfig(hmac_key=SecretStr(KEY.decode())),
        enforce=EnforceConfig(servers=(SecretStr(server),), http_port=port, drain_timeout_s=2.0),
        http=HttpConfig(port=0),
    )


def named(logs: Logs, event: str) -> Logs:
    return [line for line in logs if line["event"] == event]


@contextmanager
def running(config: Config, *, reloading: Reloading | None = None) -> Iterator[EnforceService]:
    service = EnforceService(config, tell=lambda _event: None, reloading=reloading)
    thread = Thread(target=service.run)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join(10.0)
    assert not thread.is_alive()


def test_a_trouble_that_goes_on_is_told_once_a_minute(logs: Logs) -> None:
    """At once, then with how often it was, and when it is over."""
    now_s = 0.0
    complaint = Complaint("redis_reading", clock=lambda: now_s)
    for second in range(130):
        now_s = float(second)
        complaint.tell("connection refused")
    assert complaint.problem == "connection refused"
    complaint.tell("")
    complaint.tell("")
    assert [(line.get("times"), line.get("over", False)) for line in named(logs, "redis_reading")] == [
        (1, False),
        (61, False),
        (121, False),
        (130, True),
    ]


def test_what_comes_in_heaps_is_one_line(redis_server: RedisServer, logs: Logs) -> None:
    """The first enforcer ever finds the expired kills of a week; each is acknowledged and counted all the same."""
    for number in range(50):
        fields = a_kill(f"nginx-{number}").fields()
        redis_server.run("XADD", "{streamguard}:signals", "*", *(part for pair in fields.items() for part in pair))
    with running(a_config(redis_server.url)):
        eventually(lambda: len(redis_server.entries("{streamguard}:acks")) == 50)
    assert [line["times"] for line in named(logs, "signal_expired")] == [1]
    assert named(logs, "enforced") == []


def test_each_change_of_a_server_is_a_line(logs: Logs) -> None:
    """With its problem, and without one when it is well again."""
    log_server("nginx-rtmp", ServerState(ServerStatus.UNREACHABLE, "refused"))
    log_server("nginx-rtmp", ServerState())
    assert [line.get("problem") for line in named(logs, "media_server")] == ["refused", None]


def test_servers_need_names_of_their_own() -> None:
    """Signals and metrics tell them apart by those."""
    with pytest.raises(UsageError, match="two are called so; give each a name: KIND@NAME=URL"):
        media_servers(["nginx-rtmp=http://a", "nginx-rtmp=http://b"])
    servers = media_servers(["nginx-rtmp=http://a", "nginx-rtmp@edge-2=http://b"])
    assert [server.name for server in servers] == ["nginx-rtmp", "edge-2"]


def health(service: EnforceService) -> dict[str, Any]:
    found = service._health()
    return {"alive": found.alive, "ready": found.ready, **found.detail}


def test_what_redis_says_no_to_is_a_reason_not_to_be_ready(redis_with_password: RedisServer) -> None:
    """A password, a permission: somebody must act. It goes on trying, and the page says why."""
    wrong = redis_with_password.url.replace("//", "//:wrong@")
    with running(a_config(wrong)) as service:
        eventually(lambda: health(service)["reasons"])
        assert "wrong password" in health(service)["reasons"][0]
        assert PASSWORD not in str(health(service))
        assert health(service)["alive"]


def test_one_that_takes_no_acknowledgements_is_a_reason_too(redis_server: RedisServer) -> None:
    """Though it lets us read: streams are cut, and no worker hears of it. Until it takes one."""
    with running(a_config(redis_server.url)) as service:
        service._observer.acknowledging(SignalsRejected("acknowledge signal to", "redis", "NOPERM"))
        service._observer.reading(None)
        assert "NOPERM" in health(service)["reasons"][0]
        service._observer.acknowledging(None)
        assert health(service)["ready"]


def test_a_key_that_fits_no_signal_is_a_reason(redis_server: RedisServer) -> None:
    """Somebody must look: it is not the worker's, or signals are forged."""
    fields = a_kill().fields(key=b"the key of somebody else")
    redis_server.run("XADD", "{streamguard}:signals", "*", *(part for pair in fields.items() for part in pair))
    with running(a_config(redis_server.url)) as service:
        eventually(lambda: health(service)["reasons"])
        assert "do not fit the key, and none ever did: is it the worker's?" in health(service)["reasons"][0]


def test_a_redis_that_is_away_is_no_reason(logs: Logs) -> None:
    """Restarting would not help; a line says it once."""
    with running(a_config(f"redis://127.0.0.1:{free_ports(1)[0]}")) as service:
        eventually(lambda: health(service)["redis_problem"])
        assert (health(service)["ready"], health(service)["alive"]) == (True, True)
    assert len([line for line in named(logs, "redis_reading") if not line.get("over")]) == 1


def test_it_answers_the_roll_and_watches_the_breaker(redis_server: RedisServer) -> None:
    """While it enforces, and before the first kill: how the breaker stands is in its metrics from the start."""
    with running(a_config(redis_server.url)) as service:
        eventually(lambda: redis_server.run("HLEN", "{streamguard}:members"), what="that it is there")
        value, scope = service._metrics.registry.get_sample_value, {"scope": "all"}
        eventually(lambda: value("streamguard_breaker_open", scope) == 0, what="that the breaker is watched")


def test_a_server_that_needs_a_hand_is_a_reason(redis_server: RedisServer) -> None:
    """What answers there is no media server: Redis's own port, here."""
    server = redis_server.url.replace("redis://", "nginx-rtmp=http://")
    with running(a_config(redis_server.url, server=server)) as service:
        eventually(lambda: health(service)["servers"]["nginx-rtmp"]["problem"])
        assert health(service)["servers"]["nginx-rtmp"]["status"] != "ok"


def test_a_port_in_use_is_told(redis_server: RedisServer) -> None:
    """Before anything is cut, with the option and the key that are an enforcer's."""
    (port,) = free_ports(1)
    with running(a_config(redis_server.url, port=port)) as service:
        assert service.http_url == f"http://127.0.0.1:{port}"
        with pytest.raises(UsageError, match=r"choose another one with --http-port or \[enforce\] http_port"):
            EnforceService(a_config(redis_server.url, port=port), tell=lambda _event: None)


def test_another_configuration_counts_while_it_runs(redis_server: RedisServer, tmp_path: Path, logs: Logs) -> None:
    """The breaker and the labels at once, and the rest after a restart; what is wrong is told, and changes nothing."""
    path, (port,) = tmp_path / "streamguard.toml", free_ports(1)
    path.write_text("# all as it comes\n")
    overrides = {
        "redis.url": redis_server.url, "signals.hmac_key": KEY.decode(), "enforce.http_port": port,
        "enforce.servers": ["nginx-rtmp=http://127.0.0.1:9"], "enforce.drain_timeout_s": 2.0,
    }  # fmt: skip
    source = ConfigSource(path, lambda: load_config(path, environ={}, overrides=overrides))
    made = source.read()
    reloading = Reloading(source, Process.ENFORCE, config=made, mark=mark_of(path))
    with running(made, reloading=reloading) as service:
        path.write_text('[enforce]\nname = "b"\n[enforce.breaker]\nkills = 3\n[worker]\nname = "not-ours"\n')
        reloading.ask()
        eventually(lambda: reloading.config.enforce.breaker.kills == 3, what="the new limit")
        assert [permits.terms.limits.kills for permits in service._kill_terms._permits] == [3]
        assert service._health().detail["config"] == {**reloading.detail(), "needs_restart": ["enforce.name"]}
        path.write_text("[enforce]\nkills = 3\n")
        reloading.ask()
        eventually(lambda: reloading.state.problem, what="that it is refused")
        (reason,) = [one for one in service._health().detail["reasons"] if "configuration" in one]  # type: ignore[attr-defined]  # a list
        assert "enforce.kills: unknown key" in reason
        assert service._metrics.registry.get_sample_value("streamguard_config_refused") == 1
    assert not reloading.thread.is_running
    assert [line["option"] for line in named(logs, "config_changed")] == ["enforce.breaker.kills"]
