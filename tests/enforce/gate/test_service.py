"""The gate as a whole, on a real Redis."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

import pytest
from structlog.testing import capture_logs

from streamguard.config import load_config
from streamguard.enforce.gate.gate import WhenAway
from streamguard.enforce.gate.service import GateService, read_listen
from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.errors import SignalsRejected, UsageError
from tests.form_hooks import FormHooks
from tests.redis_servers import RedisServer, StartRedis
from tests.strikes import KEY, a_strike
from tests.waiting import eventually

HOOKS = {"nginx-rtmp": FormHooks()}


def a_gate(url: str, **options: object) -> GateService:
    given = {
        "redis.url": url,
        "gate.listen": "127.0.0.1:0",
        "gate.when_redis_is_away": "open",
        "gate.away_after_s": 2.0,
    }
    given |= {f"gate.{name}": value for name, value in options.items()}
    return GateService(load_config(None, environ={}, overrides=given), hooks=HOOKS)


@contextmanager
def running(gate: GateService) -> Iterator[Callable[..., int]]:
    """Gives a way to ask it, for a status."""
    stop = threading.Event()
    thread = threading.Thread(target=gate.run, args=(stop,), daemon=True)
    thread.start()

    def ask(path: str = "/on_publish", **form: str) -> int:
        connection = http.client.HTTPConnection(urlsplit(gate.url).netloc, timeout=5)
        try:
            connection.request("GET" if path == "/readyz" else "POST", path, body=urlencode(form))
            return connection.getresponse().status
        finally:
            connection.close()

    try:
        yield ask
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def reasons(gate: GateService) -> list[str]:
    connection = http.client.HTTPConnection(urlsplit(gate.url).netloc, timeout=5)
    try:
        connection.request("GET", "/readyz")
        found: list[str] = json.loads(connection.getresponse().read())["reasons"]
        return found
    finally:
        connection.close()


def test_a_struck_publisher_is_refused_until_its_strike_is_lifted(redis_server: RedisServer) -> None:
    """A strike from before the start counts with the first request; a lift counts at once."""
    book = StrikeLedger(redis_server.url, prefix="{streamguard}:", timeout_s=2.0)
    book.add(a_strike())
    with running(a_gate(redis_server.url)) as ask:
        assert ask(stream="live/cam") == 403
        assert ask(stream="live/other") == 200
        book.lift(KEY, who="anna", reason="a mistake")
        eventually(lambda: ask(stream="live/cam") == 200, what="the lift")


@pytest.mark.parametrize(("choice", "status"), [("open", 200), ("closed", 403)])
def test_while_redis_is_away_the_choice_counts_and_strikes_hold(
    redis_server: RedisServer, choice: str, status: int
) -> None:
    """Unknown publishers as chosen, known strikes as ever, no update refused; and all is as before once it is back."""
    book = StrikeLedger(redis_server.url, prefix="{streamguard}:", timeout_s=2.0)
    book.add(a_strike())
    with running(a_gate(redis_server.url, when_redis_is_away=choice)) as ask:
        assert ask(stream="live/other") == 200
        redis_server.kill()
        eventually(lambda: ask("/readyz") == 503, what="Redis counts as away")
        assert ask(stream="live/other") == status
        assert ask(stream="live/cam") == 403
        assert ask("/on_update", kind="update", stream="live/other", session="1-18") == 200
        redis_server.start()
        eventually(lambda: ask("/readyz") == 200, what="Redis is back")
        assert ask(stream="live/other") == 200
        assert ask(stream="live/cam") == 200, "Redis has lost its data, and with it the strike"


@pytest.mark.parametrize(("choice", "fate"), [("open", "let in"), ("closed", "refused")])
def test_what_redis_said_is_told_with_the_next_step(start_redis: StartRedis, choice: str, fate: str) -> None:
    """Where it is, and what its being away means, in the log as in /readyz; never a password."""
    server = start_redis(password="hunter2")
    gate = a_gate(server.url.replace("//", "//:hunter2@"), when_redis_is_away=choice)
    with capture_logs() as logs, running(gate) as ask:
        eventually(lambda: ask("/readyz") == 200, what="Redis was read")
        server.kill()
        eventually(lambda: [line for line in logs if line["event"] == "gate_without_redis"], what="the line")
        assert ask("/readyz") == 503
        body = reasons(gate)
    (line,) = [line for line in logs if line["event"] == "gate_without_redis"]
    problem = (
        f"follow strikes in {server.url}: connection refused; does Redis run, and is redis.url right?; "
        f"publishers without a known strike are {fate}, and while Redis is down nothing is cut"
    )
    assert line["problem"] == problem
    assert body[0].startswith("no word from Redis for ")
    assert body[0].endswith(f" s: {problem}")
    assert "hunter2" not in f"{logs}{body}"


def test_a_gate_starts_without_redis(start_redis: StartRedis) -> None:
    """Closed, it refuses until it has read the strikes."""
    server = start_redis()
    server.kill()
    with running(a_gate(server.url, when_redis_is_away="closed")) as ask:
        assert ask(stream="live/other") == 403
        assert ask("/readyz") == 503
        server.start()
        eventually(lambda: ask(stream="live/other") == 200, what="Redis is there")


def test_a_redis_that_says_no_at_the_start_ends_it(start_redis: StartRedis) -> None:
    """With an error to fix, rather than a gate that never knows a strike."""
    with pytest.raises(SignalsRejected, match="password"):
        a_gate(start_redis(password="secret").url).run(threading.Event())


@pytest.mark.parametrize(
    ("missing", "hint"),
    [("gate.when_redis_is_away", "--when-redis-is-away"), ("redis.url", "--redis"), ("gate.listen", "--listen")],
)
def test_what_must_be_chosen_is_asked_for(missing: str, hint: str) -> None:
    """None of the three has a default."""
    given = {"redis.url": "redis://127.0.0.1", "gate.listen": "127.0.0.1:0", "gate.when_redis_is_away": "open"}
    del given[missing]
    with pytest.raises(UsageError, match=hint):
        GateService(load_config(None, environ={}, overrides=given), hooks=HOOKS)


@pytest.mark.parametrize("text", ["", "8081", ":8081", "a:", "a:b", "a:65536", "::1:8081", "a:-1", "a:٣"])
def test_where_to_listen_is_a_host_and_a_port(text: str) -> None:
    """Anything else is an error that shows how."""
    with pytest.raises(UsageError, match="8081"):
        read_listen(text)
    assert read_listen("127.0.0.1:8081") == ("127.0.0.1", 8081)
    assert read_listen("[::1]:0") == ("::1", 0)


def test_who_is_refused_may_change_while_it_runs(redis_server: RedisServer) -> None:
    """From the next hook on; what cannot be chosen so changes nothing."""
    gate = a_gate(redis_server.url)
    gate.worth_a_look = lambda: ["look here"]
    given = {"redis.url": redis_server.url, "gate.when_redis_is_away": "closed", "gate.refuse_odd_names": False}
    with running(gate) as ask:
        eventually(lambda: ask("/readyz") == 200, what="that Redis was read")
        assert ask(stream="live/a?b") == 403
        gate.change(load_config(None, environ={}, overrides=given))
        assert ask(stream="live/a?b") == 200
        assert "look here" in reasons(gate)
        with pytest.raises(UsageError, match="nobody chose what happens while Redis is away"):
            gate.change(load_config(None, environ={}))
        assert gate._rule.when_away is WhenAway.CLOSED
    assert not gate._cache.away
    gate.change(load_config(None, environ={}, overrides={**given, "gate.away_after_s": 3600.0}))
    assert gate._cache.away_after_s == 3600.0
