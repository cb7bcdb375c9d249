"""streamguard.worker.safety: the breaker, held kills and webhooks, in an enforcer's service on a real Redis."""

import json
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr

from streamguard.config import (
    BreakerConfig,
    Config,
    EnforceConfig,
    HoldConfig,
    HttpConfig,
    RedisConfig,
    SignalsConfig,
    WebhookConfig,
)
from streamguard.enforce.orders.undo import open_undo
from streamguard.signing import verify
from streamguard.types import Verdict
from streamguard.worker.enforcing import EnforceService
from streamguard.worker.safety import SafetyWatch
from streamguard.worker.safety_metrics import SafetyMetrics
from tests.enforce.made_orders import Kill, a_kill
from tests.enforce.permit_books import PREFIX, control_of
from tests.http_server import Answer, Web
from tests.kill_signals import KEY
from tests.local_servers import free_ports
from tests.redis_servers import RedisServer
from tests.waiting import eventually
from tests.worker.conftest import Logs
from tests.worker.test_enforcing import named, running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gauge that waits is a test that waits."""
    monkeypatch.setattr("streamguard.worker.safety.LOOK_EVERY_S", 0.1)


def a_config(redis: RedisServer, *webhooks: WebhookConfig, **enforce: Any) -> Config:  # noqa: ANN401 - as the section
    return Config(
        redis=RedisConfig(url=SecretStr(redis.url)),
        signals=SignalsConfig(hmac_key=SecretStr(KEY.decode())),
        enforce=EnforceConfig(
            servers=(SecretStr("nginx-rtmp=http://127.0.0.1:9"),), http_port=0, drain_timeout_s=2.0,
            webhooks=webhooks, **enforce,
        ),
        http=HttpConfig(port=0),
    )  # fmt: skip


def to(web: Web, **options: Any) -> WebhookConfig:  # noqa: ANN401 - as the section
    return WebhookConfig(url=SecretStr(web.url("/hook")), **options)


def hearing(web: Web) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []

    def hear(answer: Answer) -> None:
        event = json.loads(answer.body)
        assert event["id"] == answer.headers["webhook-id"]
        assert verify(
            KEY, id=event["id"], timestamp_s=int(answer.headers["webhook-timestamp"]), payload=answer.body.decode(),
            signature=answer.headers["webhook-signature"],
        )  # fmt: skip
        heard.append(event)
        answer.send(status=204)

    web.pages["/hook"] = hear
    return heard


def send(redis: RedisServer, *kills: Kill) -> None:
    with redis.admin() as client:
        for kill in kills:
            client.xadd(f"{PREFIX}signals", kill.fields())


def kill_now(number: int, *, verdict: Verdict = Verdict.KILL) -> Kill:
    return a_kill(f"nginx-{number}", stream=f"live/{number}", now_unix_s=time.time(), verdict=verdict, pts_us=number)


def types(heard: list[dict[str, Any]]) -> list[str]:
    return sorted(event["type"].split(".")[2] for event in heard)


def acks(redis: RedisServer) -> dict[str, str]:
    events = [json.loads(fields[b"event"])["data"] for fields in redis.entries(f"{PREFIX}acks")]
    return {event["signal_id"]: f"{event['outcome']}: {event['why']}" for event in events}


def scraped(service: EnforceService) -> dict[str, float]:
    lines = generate_latest(service._metrics.registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_one_kill_too_many_becomes_a_review(redis_server: RedisServer, web: Web, logs: Logs) -> None:
    """It is not executed but acknowledged as refused, and the platform is told of a review; a line, a metric, a
    quarantine say so, until an operator lifts it.
    """
    heard = hearing(web)
    config = a_config(redis_server, to(web), breaker=BreakerConfig(streams=2))
    with running(config) as service:
        send(redis_server, *map(kill_now, range(3)))
        refused = kill_now(2).id
        assert "clip-1 is in quarantine" in eventually(lambda: acks(redis_server).get(refused, ""))
        eventually(lambda: types(heard) == ["kill"] * 2 + ["review"], what="the platform is told")
        (review,) = [event for event in heard if event["type"] == "org.streamguard.review.v1"]
        assert (review["data"]["signal_id"], review["subject"]) == (refused, "live/2")
        (line,) = named(logs, "breaker_open")
        assert (line["scope"], line["reference"], line["log_level"]) == ("reference", "clip-1", "critical")
        open_now = 'streamguard_breaker_open{scope="reference"}'
        eventually(lambda: scraped(service)[open_now] == 1.0, what="the metric")
        assert scraped(service)['streamguard_breaker_trips_total{scope="reference"}'] == 1.0
        assert scraped(service)['streamguard_enforced_total{outcome="breaker"}'] == 1.0
        told = 'streamguard_webhook_signals_total{outcome="told",webhook="127.0.0.1"}'
        eventually(lambda: scraped(service)[told] == 3.0, what="the metric")
        control_of(redis_server).lift("clip-1", who="anna", reason="why", trust_for_s=60)
        eventually(lambda: scraped(service)[open_now] == 0.0, what="the metric")
        assert service._enforcement.under_way == 2, "the others wait for their server, which is down"


def test_a_held_kill_is_told_and_an_undo_of_it_too(redis_server: RedisServer, web: Web, logs: Logs) -> None:
    """By webhook, once; the metric counts it while it waits, also after a new start; undone, it is refused."""
    heard = hearing(web)
    config = a_config(redis_server, to(web, name="platform"), hold=HoldConfig(labels=("terror",), then="kill"))
    kill = kill_now(0)
    with running(config):
        send(redis_server, kill)
        eventually(lambda: types(heard) == ["held"])
    with running(config) as service:  # a new start: it is held as before, and nobody is told again
        eventually(lambda: scraped(service)["streamguard_kills_held"] == 1.0)
        open_undo(config, name="anna").undo(kill.id, who="anna", reason="not it")
        assert eventually(lambda: acks(redis_server)) == {kill.id: "refused: undone by anna: not it"}
        eventually(lambda: types(heard) == ["held", "undo"])
        assert scraped(service)['streamguard_enforced_total{outcome="not_understood"}'] == 0.0
    assert [line["id"] for line in named(logs, "kill_held")] == [kill.id]


def test_a_webhook_that_does_not_answer_delays_no_kill(redis_server: RedisServer, web: Web, logs: Logs) -> None:
    """Nor does it keep the enforcer from ending in time; a line says it."""
    web.pages["/hook"] = Answer.hang
    config = a_config(redis_server, to(web), breaker=BreakerConfig(kills=1, streams=0))
    with running(config):
        send(redis_server, *(kill_now(number) for number in range(20)))
        began_s = time.monotonic()
        eventually(lambda: len(acks(redis_server)) == 19, what="all but one are refused")
        assert time.monotonic() - began_s < 2.5
        eventually(lambda: named(logs, "webhook"), what="a line")
    assert "no answer in time" in named(logs, "webhook")[0]["problem"]


def test_gauges_are_unknown_while_redis_is_away(redis_server: RedisServer) -> None:
    """Not the last ones for ever."""
    registry = CollectorRegistry()
    config = a_config(redis_server)
    away = config.model_copy(update={"redis": RedisConfig(url=SecretStr(f"redis://127.0.0.1:{free_ports(1)[0]}"))})
    for each, value in ((config, "0.0"), (away, "NaN")):
        registry = CollectorRegistry()
        watch = SafetyWatch(each, metrics=SafetyMetrics(registry))
        watch.look()
        watch.thread.stop(1.0)
        assert f"streamguard_kills_held {value}\n" in generate_latest(registry).decode()
