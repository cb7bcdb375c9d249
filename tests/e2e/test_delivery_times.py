"""How long it takes from a keyframe to its signal in Redis, and after an outage until all of them are there."""

import json
import re
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup, Worker
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer, StartRedis
from tests.scenes import Clips
from tests.waiting import eventually

STREAMS = 10
TO_THE_OUTBOX_S = 1.0
"""And a bound of the histogram's."""

TO_REDIS_S = 0.5
"""Here of each signal; the p99 of many: tests/enforce/outbox/test_after_outage.py."""

RETRY_CAP_S = 1.0
SETTLED_S = 1.0
"""After the last wait between two tries: for a connection, and these signals."""

_BUCKET = re.compile(r'^streamguard_keyframe_to_signal_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


@pytest.mark.promise(3, "10 streams decided on at one moment, two busy cores", times=STREAMS)
@pytest.mark.promise(3, "Redis, kill -9, while 10 streams are decided on", times=STREAMS)
def test_signals_are_prompt_and_after_an_outage_all_there_once_in_order(
    rtmp_server: RtmpServer, start_redis: StartRedis, *, clips: Clips, library: Path, start_worker: StartWorker
) -> None:
    """10 streams show known footage at one moment: each signal is in Redis within 1.5 s of its keyframe. Once more
    while Redis is down: all are there within `signals.retry_cap_s` and a second of its return.
    """
    redis = start_redis("--appendonly", "yes", "--appendfsync", "always")
    names = {f"crowd-{number}": rtmp_server.rtmp_url("crowd") for number in range(STREAMS)}
    sections = {"signals": {"retry_cap_s": RETRY_CAP_S}}
    worker = start_worker(Setup(names, library, redis.url, sections=sections))
    with rtmp_server.publish("crowd", clips.recoded):
        eventually(lambda: killed(redis) == names.keys(), timeout_s=60.0, what="a kill for each")
    assert kept_within(worker, TO_THE_OUTBOX_S), _BUCKET.findall(worker.get("/metrics")[1])
    assert max(to_redis_s(redis)) < TO_REDIS_S

    redis.kill()
    with rtmp_server.publish("crowd", clips.recoded):
        worker.until_metric("streamguard_outbox_depth", STREAMS, timeout_s=60.0)
        redis.start()
        back_at_s = time.monotonic()
        eventually(lambda: worker.metric("streamguard_outbox_depth") == 0, timeout_s=60.0, what="all delivered")
        assert time.monotonic() - back_at_s < RETRY_CAP_S + SETTLED_S
    assert worker.drain() == 0
    sent = [entry[b"event"].decode() for entry in redis.entries()]
    assert len(sent) >= 2 * STREAMS
    assert sent == [event for _, _, event in worker.outbox_rows()]


def killed(redis: RedisServer) -> set[str]:
    events = [json.loads(entry[b"event"]) for entry in redis.entries()]
    return {event["subject"] for event in events if event["data"]["verdict"] == "kill"}


def kept_within(worker: Worker, bound_s: float) -> bool:
    """Whether every signal was durable within so long of its keyframe's arrival, by the worker's histogram."""
    buckets = {bound: float(count) for bound, count in _BUCKET.findall(worker.get("/metrics")[1])}
    return buckets[str(bound_s)] == buckets["+Inf"] >= STREAMS


def to_redis_s(redis: RedisServer) -> list[float]:
    """Of each signal, from its decision to its entry, which is named after Redis's clock: this machine's."""
    with redis.admin() as client:
        entries = [(int(id_.split(b"-")[0]) / 1000, fields) for id_, fields in client.xrange("{streamguard}:signals")]
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(entries))
    return [at_s - datetime.fromisoformat(json.loads(fields[b"event"])["time"]).timestamp() for at_s, fields in entries]
