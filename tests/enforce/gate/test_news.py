"""Hints for discovery: sent when Redis is there, dropped and counted when it is not, never waited for."""

import json
import time
from collections.abc import Iterator

import pytest

from streamguard.enforce.gate.news import MOST_WAITING, GateNews, PublisherHint
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.servers.hooks import HookKind
from streamguard.types import SessionId, StreamId
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer, free_port
from tests.waiting import eventually

PREFIX = "{streamguard}:"
HINT = PublisherHint(StreamId("live/cam"), HookKind.PUBLISH, server="edge-2", session=SessionId("1-17"))


class News:
    """Started, with a count of what was lost."""

    def __init__(self, url: str) -> None:
        self.lost = 0
        self.news = GateNews(parse_redis_url(url), prefix=PREFIX, timeout_s=0.5, on_lost=self._lose)
        self.news.start()

    def _lose(self) -> None:
        self.lost += 1


@pytest.fixture
def news(redis_server: RedisServer) -> Iterator[News]:
    """Of a Redis that is there."""
    found = News(redis_server.url)
    yield found
    found.news.stop()


def heard(server: RedisServer, news: News, *, at_least: int) -> list[dict[str, str]]:
    """What a subscriber hears of so many hints."""
    with server.admin() as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(f"{PREFIX}publishers")
        pubsub.get_message(timeout=5)
        for _ in range(at_least):
            news.news.tell(HINT)
        messages: list[dict[str, str]] = []

        def enough() -> bool:
            message = pubsub.get_message(timeout=0.1)
            if message is not None:
                messages.append(json.loads(message["data"]))
            return len(messages) >= at_least

        eventually(enough, what="the hints")
    return messages


def test_a_hint_names_stream_hook_server_and_session(redis_server: RedisServer, news: News) -> None:
    """As JSON on the channel of publishers."""
    assert (
        heard(redis_server, news, at_least=2)
        == [{"stream": "live/cam", "hook": "publish", "server": "edge-2", "session": "1-17"}] * 2
    )
    assert news.lost == 0


def test_the_permissions_in_the_manual_are_enough(redis_server: RedisServer) -> None:
    """A gate may publish hints with its line."""
    for line in acl_lines("gate", about="publishers"):
        redis_server.run(*line)
    news = News(redis_server.url.replace("redis://", f"redis://gate:{PASSWORD}@"))
    assert len(heard(redis_server, news, at_least=1)) == 1
    news.news.stop()


def test_what_is_not_known_is_left_out() -> None:
    """Rather than being empty."""
    assert PublisherHint(StreamId("live/cam"), HookKind.PUBLISH).as_json() == '{"stream":"live/cam","hook":"publish"}'


def test_without_redis_hints_are_dropped_and_nobody_waits() -> None:
    """However many, telling takes no time, and each one is counted."""
    news = News(f"redis://127.0.0.1:{free_port()}")
    began_s = time.monotonic()
    for _ in range(MOST_WAITING * 3):
        news.news.tell(HINT)
    assert time.monotonic() - began_s < 0.5
    eventually(lambda: news.lost == MOST_WAITING * 3, what="all lost")
    news.news.stop()


def test_hints_are_sent_again_once_redis_is_back(redis_server: RedisServer, news: News) -> None:
    """Those that came meanwhile are old, and dropped."""
    redis_server.kill()
    news.news.tell(HINT)
    eventually(lambda: news.lost == 1, what="the loss")
    redis_server.start()
    with redis_server.admin() as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(f"{PREFIX}publishers")

        def heard_one() -> bool:
            news.news.tell(HINT)
            return pubsub.get_message(timeout=0.1) is not None

        eventually(heard_one, what="a hint")
