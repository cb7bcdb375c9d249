"""From a kill to its undo to a review of the same footage, by a real worker on a real Redis."""

import json
import shutil
from pathlib import Path
from typing import Any

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.falls import Said
from streamguard.library.store import Library
from streamguard.library.worth import SourceWorth
from tests.cli.calling import ended, started
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import KEY, Setup, unix_s
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually


def events_of(redis: RedisServer, stream: str) -> list[dict[str, Any]]:
    """The kill-signals on a stream, oldest first."""
    events = [json.loads(fields[b"event"]) for fields in redis.entries()]
    return [event for event in events if event["subject"] == stream and event["id"].startswith("sig_")]


def the_source(library: Path) -> SourceWorth:
    """The only one there is."""
    with Library.open(library, read_only=True) as opened:
        (source,) = opened.source_worth()
    return source


def test_after_one_mistake_the_same_footage_is_reviewed_and_not_killed(
    rtmp_server: RtmpServer,
    redis_server: RedisServer,
    *,
    clips: Clips,
    library: Path,
    tmp_path: Path,
    start_worker: StartWorker,
) -> None:
    """Within a second of the undo in the worker that kills, on a stream that shows it already."""
    own = shutil.copytree(library, tmp_path / "library")
    key_file = tmp_path / "operator.key"
    key_file.write_text(KEY)
    urls = {name: rtmp_server.rtmp_url(name) for name in ("first", "second")}
    sections = {"library": {"take_opinions": True, "reload_every_s": 0.25}}
    worker = start_worker(Setup(urls, own, redis_server.url, sections=sections))
    with rtmp_server.publish("first", clips.recoded):
        kill = eventually(
            lambda: [one for one in events_of(redis_server, "first") if one["data"]["verdict"] == "kill"],
            timeout_s=30.0, what="the kill",
        )[0]  # fmt: skip
    undone = ended(
        started(
            *("signals", "undo", kill["id"], "--redis", redis_server.url, "--key-file", key_file),
            *("--reason", "same studio", "--by", "anna"),
        )
    )
    assert undone.status == 0, undone.err
    loaded = eventually(lambda: worker.log("library_loaded"), timeout_s=5.0, what="the library without that kill")
    with redis_server.admin() as client:
        undone_unix_ms = json.loads(client.get(f"{{streamguard}}:undone:{kill['id']}") or b"")["at_unix_ms"]
    took_s = unix_s(loaded[0]) - undone_unix_ms / 1000
    assert took_s < 1.0
    with rtmp_server.publish("second", clips.recoded):
        review = eventually(lambda: events_of(redis_server, "second"), timeout_s=30.0, what="the review")[0]
    # It would have been a kill.
    assert review["data"]["nats"] >= BUILT_IN_RULE.kill_nats
    assert {one["data"]["verdict"] for one in events_of(redis_server, "second")} == {"review"}
    (line,) = worker.log("reference_fallen")
    assert (line["reference"], line["to"]) == ("known", "review")
    assert line["why"] == f"1 mistake, 0 confirmed: {kill['id']} (anna: same studio)"
    assert worker.metric('streamguard_references_fallen_total{to="review"}') == 1.0
    # What the second stream led to is counted a moment after it was sent.
    eventually(lambda: the_source(own).matches >= 2, what="both matches are counted")
    assert (the_source(own).kills, the_source(own).said, the_source(own).in_review) == (1, Said(0, 1), 1)
    assert worker.drain() == 0
