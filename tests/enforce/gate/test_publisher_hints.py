"""streamguard.enforce.gate.publisher_hints, with real Redis servers: what is heard there, and what it cannot do."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from streamguard.enforce.gate.publisher_hints import PublisherHints, is_hint
from streamguard.enforce.redis.url import parse_redis_url
from tests.redis_servers import PASSWORD, RedisServer
from tests.waiting import eventually

CHANNEL = "{streamguard}:publishers"
HINT = json.dumps({"stream": "live/cam", "hook": "on_publish"})


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"live/cam",
        b"{}",
        b"[]",
        b'{"stream": 7, "hook": "on_publish"}',
        b'{"stream": "", "hook": "on_publish"}',
        b'{"stream": "live/cam"}',
        b'{"stream": "\xff", "hook": "x"}',
        b"[" * 16_000,
        json.dumps({"stream": "live/cam", "hook": "on_publish", "more": "x" * 16_384}).encode(),
        json.dumps({"stream": "x" * 1001, "hook": "on_publish"}).encode(),
        b"9" * 16_000,
    ],
)
def test_what_is_no_hint(message: bytes) -> None:
    """Anything but a small object with a stream and a hook, and none of it raises."""
    assert not is_hint(message)
    assert is_hint(HINT.encode())


@contextmanager
def listening(server: RedisServer, *, url: str = "") -> Iterator[tuple[PublisherHints, list[int]]]:
    """Hints, and how many had been heard each time that it was told."""
    told: list[int] = []
    target = parse_redis_url(url or server.url)
    hints = PublisherHints(target, prefix="{streamguard}:", on_hint=lambda: told.append(hints.heard))
    hints.start()
    try:
        yield hints, told
    finally:
        hints.stop(5.0)


def until_it_listens(server: RedisServer) -> None:
    eventually(lambda: CHANNEL.encode() in server.run("PUBSUB", "CHANNELS"), what="the subscription")  # type: ignore[operator]  # a list


def test_hints_are_heard_and_rubbish_is_counted(redis_server: RedisServer) -> None:
    """Rubbish among them stops nothing."""
    with listening(redis_server) as (hints, told):
        until_it_listens(redis_server)
        for message in ("rubbish", "x" * 3_000_000, HINT):
            redis_server.run("PUBLISH", CHANNEL, message)
        eventually(lambda: told, what="the hint")
        assert (hints.heard, hints.not_understood, hints.problem) == (1, 2, "")


def test_a_flood_is_taken_in_portions(redis_server: RedisServer) -> None:
    """Of thousands of hints that come at once few are told on, and all are read in the end."""
    with listening(redis_server) as (hints, told):
        until_it_listens(redis_server)
        with redis_server.admin() as client, client.pipeline(transaction=False) as pipeline:
            for _ in range(300):
                pipeline.publish(CHANNEL, HINT)
            pipeline.execute()
        eventually(lambda: hints.heard == 300, what="all hints")
        assert len(told) <= 30


def test_it_listens_again_when_redis_is_back(redis_server: RedisServer) -> None:
    """One warning when it goes away, one line when it is back."""
    with structlog.testing.capture_logs() as lines, listening(redis_server) as (hints, told):
        until_it_listens(redis_server)
        eventually(lambda: hints.is_listening, what="the first round")
        redis_server.restart()
        until_it_listens(redis_server)
        redis_server.run("PUBLISH", CHANNEL, HINT)
        eventually(lambda: told, what="the hint")
    assert [line["log_level"] for line in lines] == ["warning", "info"]


def test_who_may_not_listen_says_so(redis_server: RedisServer) -> None:
    """An ACL without the channel is told as such, once, and nothing else comes of it."""
    redis_server.run("ACL", "SETUSER", "deaf", "on", f">{PASSWORD}", "+@all", "~*", "resetchannels")
    url = redis_server.url.replace("redis://", f"redis://deaf:{PASSWORD}@")
    with structlog.testing.capture_logs() as lines, listening(redis_server, url=url) as (hints, _):
        eventually(lambda: hints.problem, what="the problem")
    assert [line["event"] for line in lines] == ["publisher_hints"]


def test_the_permissions_of_the_manual_are_enough(redis_server: RedisServer) -> None:
    """What docs/signals.md adds to a worker's ACL."""
    manual = (Path(__file__).parents[3] / "docs" / "signals.md").read_text()
    (added,) = re.findall(r"add `(&\{streamguard\}:publishers [^`]*)`", manual)
    redis_server.run("ACL", "SETUSER", "worker", "on", f">{PASSWORD}", "resetchannels", *added.split())
    url = redis_server.url.replace("redis://", f"redis://worker:{PASSWORD}@")
    with listening(redis_server, url=url) as (hints, told):
        until_it_listens(redis_server)
        redis_server.run("PUBLISH", CHANNEL, HINT)
        eventually(lambda: told, what="the hint")
        assert hints.problem == ""
