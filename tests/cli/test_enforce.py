"""`streamguard enforce` as an operator sees it: with a real nginx-rtmp, a real publisher and a real Redis."""

import http.client
import json
import signal as signals
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from streamguard.cli.enforce import enforce
from streamguard.errors import UsageError
from streamguard.servers.known import media_server
from streamguard.servers.server import Publisher
from streamguard.servers.spec import read_spec
from tests.cli.calling import ended, invoke, started
from tests.enforce.made_orders import Kill, a_kill
from tests.kill_signals import KEY
from tests.local_servers import RtmpServer, free_ports
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

STREAM, ACKS = "{streamguard}:signals", "{streamguard}:acks"
NOWHERE = "nginx-rtmp=http://127.0.0.1:9"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "hmac.key"
    path.write_bytes(KEY)
    return path


def start(redis: RedisServer, key_file: Path, *options: object, server: str = NOWHERE) -> "subprocess.Popen[str]":
    return started(
        *("enforce", "--redis", redis.url, "--key-file", key_file, "--server", server, "--json", "--http-port", "0"),
        *options,
    )


def send(redis: RedisServer, kill: Kill) -> None:
    redis.run("XADD", STREAM, "*", *(part for pair in kill.fields().items() for part in pair))


def page(port: int, path: str) -> tuple[int, str]:
    """Status 0 while nobody serves."""
    with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    return 0, ""


def acks(redis: RedisServer) -> list[dict[str, Any]]:
    return [json.loads(fields[b"event"])["data"] for fields in redis.entries(ACKS)]


def listed(server: str, stream: str) -> Publisher:
    """The publisher of this stream, once it is there."""
    media = media_server(read_spec(server))
    found = eventually(lambda: [one for one in media.publishers() if one.stream == stream], what=stream)
    return found[0]


def test_a_real_publisher_is_cut_and_the_next_one_of_its_name_is_not(
    redis_server: RedisServer, *, rtmp_server: RtmpServer, clips: Clips, key_file: Path
) -> None:
    """The signal for session 1 comes again after the publisher is back as session 2: nothing is cut by it."""
    server = f"nginx-rtmp=http://127.0.0.1:{rtmp_server.http_port}/control"
    process = start(redis_server, key_file, server=server)
    with (
        rtmp_server.publish("innocent", clips.known) as innocent,
        rtmp_server.publish("enforced", clips.known) as publisher,
    ):
        first = listed(server, "live/enforced")
        listed(server, "live/innocent")
        kill = a_kill(first.session, stream="live/enforced", now_unix_s=time.time())
        send(redis_server, kill)
        eventually(lambda: not publisher.running, what="the publisher is cut")
        assert eventually(lambda: acks(redis_server))[0]["outcome"] == "executed"
        with rtmp_server.publish("enforced", clips.known) as again:
            second = listed(server, "live/enforced")
            assert second.session != first.session
            send(redis_server, kill)
            send(redis_server, a_kill(first.session, stream="live/enforced", now_unix_s=time.time(), pts_us=1))
            eventually(lambda: len(acks(redis_server)) == 2)
            assert acks(redis_server)[1]["outcome"] == "already_gone"
            assert again.running
            assert innocent.running
            assert listed(server, "live/enforced").session == second.session
        process.send_signal(signals.SIGTERM)
        done = ended(process)
    assert done.status == 0, done.err
    assert [json.loads(line)["data"] for line in done.out.splitlines()] == acks(redis_server)
    assert "enforced" in done.err


def test_kill_9_loses_no_signal(
    redis_server: RedisServer, *, rtmp_server: RtmpServer, clips: Clips, key_file: Path
) -> None:
    """It had the signal, and no media server to cut at; the one that is started in its place cuts at once."""
    server = f"nginx-rtmp=http://127.0.0.1:{rtmp_server.http_port}/control"
    (port,) = free_ports(1)
    with rtmp_server.publish("left", clips.known) as publisher:
        session = listed(server, "live/left").session
        dead = start(redis_server, key_file, "--http-port", port)
        send(redis_server, a_kill(session, stream="live/left", now_unix_s=time.time()))
        eventually(lambda: '"under_way": 1' in page(port, "/readyz")[1], what="the signal is under way")
        dead.kill()
        assert ended(dead).status == -signals.SIGKILL
        process = start(redis_server, key_file, server=server)
        eventually(lambda: not publisher.running, what="the publisher is cut")
        assert [ack["outcome"] for ack in eventually(lambda: acks(redis_server))] == ["executed"]
        process.send_signal(signals.SIGTERM)
        assert ended(process).status == 0


def test_it_tells_how_it_stands(redis_server: RedisServer, key_file: Path) -> None:
    """Alive and ready with a server that does not answer, which its page and its metrics show; a signal waits."""
    (port,) = free_ports(1)
    process = start(redis_server, key_file, "--http-port", port)
    send(redis_server, a_kill(now_unix_s=time.time()))
    eventually(lambda: '"under_way": 1' in page(port, "/readyz")[1], what="the signal is under way")
    status, ready = page(port, "/readyz")
    assert status == 200
    server = json.loads(ready)["servers"]["nginx-rtmp"]
    assert (server["status"], server["waiting"]) == ("unreachable", 1)
    assert page(port, "/livez")[0] == 200
    assert page(port, "/api/streams")[0] == 404
    metrics = page(port, "/metrics")[1]
    for line in (
        'streamguard_media_server_up{server="nginx-rtmp"} 0.0',
        "streamguard_redis_up 1.0",
        "streamguard_enforcing 1.0",
        'streamguard_enforced_total{outcome="forged"} 0.0',
    ):
        assert line in metrics.splitlines()
    redis_server.kill()
    eventually(lambda: "streamguard_redis_up 0.0" in page(port, "/metrics")[1], what="Redis is away")
    process.send_signal(signals.SIGINT)
    assert ended(process).status == 0


def test_it_ends_by_itself_when_told_to(redis_server: RedisServer, key_file: Path) -> None:
    """As by SIGTERM: what is not settled is left to the next enforcer."""
    send(redis_server, a_kill(now_unix_s=time.time()))
    done = ended(start(redis_server, key_file, "--stop-after", "1"))
    assert done.status == 0, done.err
    assert "left=1" in done.err
    assert acks(redis_server) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--server", NOWHERE, "--redis", "redis://localhost"), "no key to check signatures with"),
        (("--accept-unsigned", "--redis", "redis://localhost"), "no media server is named"),
        (("--accept-unsigned", "--server", NOWHERE), "no Redis named"),
        (("--accept-unsigned", "--server", "nginx-rtmp", "--redis", "redis://localhost"), "read media server"),
        (("--accept-unsigned", "--server", NOWHERE, "--server", NOWHERE, "--redis", "redis://h"), "two are called so"),
        (("--accept-unsigned", "--server", NOWHERE, "--redis", "redis://h", "--webhook", "http://h"), "no key to sign"),
        (("--accept-unsigned", "--server", NOWHERE, "--redis", "redis://h", "--webhook", "h"), "URL of webhook"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_cut(options: tuple[str, ...], problem: str) -> None:
    """A key above all."""
    with pytest.raises(UsageError, match=problem):
        raise invoke(enforce, *options, "--http-port", "0").exception or AssertionError("it ran")


def test_a_key_and_accept_unsigned_contradict_each_other(key_file: Path) -> None:
    """Which of both was meant is not guessed."""
    result = invoke(enforce, "--accept-unsigned", "--key-file", key_file, "--server", NOWHERE)
    assert isinstance(result.exception, UsageError)


def test_its_file_may_change_while_it_runs(redis_server: RedisServer, key_file: Path, tmp_path: Path) -> None:
    """By SIGHUP; the command line wins over the file, as at the start."""
    config, (port,) = tmp_path / "streamguard.toml", free_ports(1)
    config.write_text("[enforce]\nhttp_port = 1\n")
    process = start(redis_server, key_file, "--http-port", port, "--config", config)
    try:
        eventually(lambda: page(port, "/readyz")[0], what="the enforcer")
        config.write_text("[enforce]\nhttp_port = 2\n[enforce.breaker]\nkills = 3\n")
        process.send_signal(signals.SIGHUP)
        applied = 'streamguard_config_reloads_total{outcome="applied"} 1.0'
        eventually(lambda: applied in page(port, "/metrics")[1], what="the change")
        process.send_signal(signals.SIGTERM)
    finally:
        done = ended(process)
    assert done.status == 0, done.err
    assert "enforce.breaker.kills" in done.err
    assert "config_needs_restart" not in done.err
