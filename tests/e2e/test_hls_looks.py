"""A live HLS stream read by its heads is decided on as one that is read whole: as soon, and on the same evidence."""

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from streamguard.demo.live import Broadcast, LiveServer
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup, Worker
from tests.scenes import Clips
from tests.waiting import eventually

_DEADLINE_S = 40.0


def _kills(worker: Worker) -> list[dict[str, Any]]:
    return [event for event in worker.printed() if event["data"]["verdict"] == "kill"]


def _looks(worker: Worker) -> dict[str, float]:
    return {
        way: worker.metric(f'streamguard_hls_looks_total{{way="{way}"}}') for way in ("iframe", "head", "full")
    }  # fmt: skip


def _shown(event: dict[str, Any]) -> list[tuple[float, str]]:
    """Where in the footage each look of the evidence is, and how it is seen."""
    return [(look["reference_at_s"], look["view"]) for look in event["data"]["evidence"]]


def test_heads_are_as_good(start_worker: StartWorker, clips: Clips, library: Path) -> None:
    """Both kill on the same looks of the stream, so at the same one of its keyframes; heads take half the bytes."""
    began_s: list[float] = []

    def clock() -> float:
        """The stream begins when both wait for it."""
        return time.monotonic() - began_s[0] if began_s else -1.0

    with ExitStack() as stack:
        live = stack.enter_context(LiveServer(Broadcast(clips.segments, started_s=0.0), clock=clock))
        heads, whole = (
            start_worker(Setup({"cam": live.url}, library, sections={"ingest": {"hls_look_every_s": every_s}}))
            for every_s in (2.5, 0.0)
        )
        began_s.append(time.monotonic())
        for worker in (heads, whole):
            eventually(partial(_kills, worker), timeout_s=_DEADLINE_S, what="a kill")
        by_heads, by_whole = _kills(heads)[0], _kills(whole)[0]
        assert by_heads["data"]["reference"] == by_whole["data"]["reference"] == "known"
        assert _shown(by_heads) == _shown(by_whole)
        # A machine that pauses makes segments late, and such a one is read whole.
        heads.until_metric('streamguard_hls_looks_total{way="head"}', 5)
        looks, looks_whole = _looks(heads), _looks(whole)
        assert looks["full"] < looks["head"]
        assert looks["iframe"] == 0
        assert looks_whole["full"] >= 4
        assert looks_whole["head"] == 0
        a_look, a_whole_look = (
            worker.metric("streamguard_hls_fetched_bytes_total") / sum(_looks(worker).values())
            for worker in (heads, whole)
        )
        assert 0 < a_look < 0.5 * a_whole_look
