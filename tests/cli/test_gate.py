"""`streamguard gate` as a command: what it asks for, how it starts and ends; tests/enforce has what it answers."""

import http.client
import json
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.cli.exits import EXIT_ERROR
from tests.cli.calling import Run, ended, runner, started
from tests.local_servers import free_ports
from tests.redis_servers import PASSWORD, RedisServer
from tests.waiting import eventually

run = pytest.fixture(runner)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_it_is_told_to_stop(redis_server: RedisServer, tmp_path: Path, how: signal.Signals) -> None:
    """By configuration file alone; exit status 0, and nothing but its log on standard error."""
    (port,) = free_ports(1)
    config = tmp_path / "streamguard.toml"
    config.write_text(
        f'[redis]\nurl = "{redis_server.url}"\n[gate]\nlisten = "127.0.0.1:{port}"\nwhen_redis_is_away = "closed"\n'
        'ovenmediaengine_secret = "made-up"\n'
    )
    process = started("gate", "--config", config, env={**os.environ, "SG__LOG__FORMAT": "json"})
    try:
        eventually(lambda: answers(port), timeout_s=30.0, what="the gate")
        process.send_signal(how)
    finally:
        done = ended(process)
    assert (done.status, done.out) == (0, "")
    assert [line.partition('"event": ')[2].partition(",")[0] for line in done.err.splitlines()] == [
        '"gate"',
        '"gate_stopped"',
    ]


def test_it_ends_by_itself_when_told_so(redis_server: RedisServer) -> None:
    """For a trial."""
    options = ("--redis", redis_server.url, "--listen", "127.0.0.1:0", "--when-redis-is-away", "open")
    done = ended(started("gate", *options, "--stop-after", "0.3"))
    assert done.status == 0


def test_what_happens_without_redis_has_no_default(run: Run) -> None:
    """Nobody chooses that for the operator."""
    done = run("gate", "--redis", "redis://127.0.0.1", "--listen", "127.0.0.1:0")
    assert done.status == EXIT_ERROR
    assert "--when-redis-is-away open" in done.err


def test_a_redis_that_says_no_ends_it(redis_with_password: RedisServer, run: Run) -> None:
    """And the error holds no password."""
    url = redis_with_password.url.replace("redis://", f"redis://:{PASSWORD}x@")
    done = run("gate", "--redis", url, "--listen", "127.0.0.1:0", "--when-redis-is-away", "open")
    assert done.status == EXIT_ERROR
    assert "wrong password" in done.err
    assert PASSWORD not in done.err


def test_its_file_may_change_while_it_runs(redis_server: RedisServer, tmp_path: Path) -> None:
    """By SIGHUP: what may change counts, and a file that is wrong is told in /readyz and changes nothing."""
    (port,) = free_ports(1)
    config = tmp_path / "streamguard.toml"
    text = f'[redis]\nurl = "{redis_server.url}"\n[gate]\nlisten = "127.0.0.1:{port}"\nwhen_redis_is_away = '
    config.write_text(f'{text}"closed"\n')
    process = started("gate", "--config", config, env={**os.environ, "SG__LOG__FORMAT": "json"})

    def page(path: str) -> str:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    try:
        eventually(lambda: answers(port), timeout_s=30.0, what="the gate")
        assert '"when_redis_is_away": "closed"' in page("/readyz")
        config.write_text(f'{text}"ajar"\n')
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "gate.when_redis_is_away" in page("/readyz"), what="why it is refused")
        assert "streamguard_config_refused 1.0" in page("/metrics")
        config.write_text(f'{text}"open"\n')
        process.send_signal(signal.SIGHUP)
        eventually(lambda: '"when_redis_is_away": "open"' in page("/readyz"), what="the change")
        assert "streamguard_config_refused 0.0" in page("/metrics")
        process.send_signal(signal.SIGTERM)
    finally:
        done = ended(process)
    assert done.status == 0
    assert [json.loads(line)["event"] for line in done.err.splitlines()] == [
        "gate", "config_refused", "config_changed", "config_reloaded", "gate_stopped",
    ]  # fmt: skip
