"""A real `streamguard watch` whose configuration changes while it runs: by its file, by SIGHUP, and by a wrong one."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.e2e.processes import decoders
from tests.e2e.workers import Setup, Worker
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually

COUNTS_WITHIN_S = 3.0
"""What docs/reloading.md promises of a file that has changed."""
BUSY_MACHINE_S = 3.0
PATIENT: dict[str, dict[str, object]] = {"ingest": {"read_timeout_s": 20.0}}
"""A publisher that waits for its turn on a busy machine is no publisher that has left."""


def keyframes(worker: Worker, name: str) -> int:
    return int(worker.stream(name)["keyframes"])


def save(worker: Worker, text: str) -> None:
    """As an editor does."""
    beside = worker.config.with_suffix(".new")
    beside.write_text(text)
    beside.replace(worker.config)


def verdicts(worker: Worker) -> list[tuple[str, str]]:
    """Of the signals so far, with the session that each names."""
    return [(event["data"]["verdict"], event["data"]["session_id"]) for event in worker.printed() if "data" in event]


def test_streams_and_policy_change_while_it_watches(
    rtmp_server: RtmpServer, clips: Clips, *, library: Path, start_worker: StartWorker
) -> None:
    """A stream is added and the policy changed by the file, a broken file in between changes nothing and says why, the
    policy is changed once more by SIGHUP, for the session that runs, and a stream is taken out. Another stream beside
    them is watched all the time by one decoder, which ends by no SIGHUP either.
    """
    innocent = {"innocent": rtmp_server.rtmp_url("reload-innocent")}
    both = {**innocent, "shown": rtmp_server.rtmp_url("reload-shown")}
    policy: dict[str, dict[str, object]] = {"policy": {"verdict": "review"}, "worker": {"name": "renamed"}}
    reviewing = Setup(both, library, sections={**PATIENT, **policy})
    with ExitStack() as stack:
        stack.enter_context(rtmp_server.publish("reload-innocent", clips.unrelated))
        stack.enter_context(rtmp_server.publish("reload-shown", clips.disguised))
        worker = start_worker(Setup(innocent, library, sections=PATIENT))
        before = worker.until("innocent", state="watching")

        save(worker, worker.toml(reviewing))
        within_s = COUNTS_WITHIN_S + BUSY_MACHINE_S
        eventually(lambda: worker.log("config_reloaded"), timeout_s=within_s, what="that the file was read")
        shown = worker.until("shown", verdict="review")
        assert [verdict for verdict, _ in verdicts(worker)] == ["review"]
        changed = {line["option"]: line for line in worker.log("config_changed")}
        assert (changed["streams"]["added"], changed["policy.verdict"]["new"]) == ("shown", "review")
        assert [line["options"] for line in worker.log("config_needs_restart")] == ["worker.name"]

        save(worker, worker.toml(replace(reviewing, streams={})) + "[policy\n")
        (refused,) = eventually(lambda: worker.log("config_refused"), timeout_s=within_s, what="that it is refused")
        assert f"read config {worker.config}: not valid TOML" in refused["problem"]
        assert "(at line " in refused["problem"]
        status, ready = worker.readiness()
        assert (status, ready["config"]["problem"]) == (200, refused["problem"])
        assert any("configuration's file does not count" in reason for reason in ready["reasons"])
        assert worker.metric("streamguard_config_refused") == 1.0
        at = keyframes(worker, "innocent"), keyframes(worker, "shown")
        eventually(lambda: keyframes(worker, "innocent") > at[0] and keyframes(worker, "shown") > at[1], what="more")

        save(worker, worker.toml(replace(reviewing, sections=PATIENT)))
        worker.hang_up()
        killed = worker.until("shown", verdict="kill")
        assert killed["session_id"] == shown["session_id"]
        assert verdicts(worker) == [(verdict, shown["session_id"]) for verdict in ("review", "kill")]
        assert worker.metric("streamguard_config_refused") == 0.0
        assert worker.metric("streamguard_config_awaiting_restart") == 0.0

        save(worker, worker.toml(Setup(innocent, library, sections=PATIENT)))
        eventually(lambda: not worker.stream("shown"), timeout_s=within_s + 1.0, what="that it is let go")
        (line,) = [one for one in worker.log("stream_state") if one["stream"] == "shown" and one["state"] == "ended"]
        assert line["reason"] == "it is not in the configuration any more"
        eventually(lambda: len(decoders(worker.pid)) == 1, what="that its decoder is gone")
        after = worker.stream("innocent")
        assert (after["session_id"], after["sessions"], after["restarts"]) == (before["session_id"], 1, 0)
    assert worker.drain() == 0
