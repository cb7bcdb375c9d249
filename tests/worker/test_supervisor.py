"""streamguard.worker.supervisor: one loop for all streams, with decoders that play scripts."""

import math
import os
import signal
from dataclasses import replace
from itertools import pairwise

import pytest

from streamguard.errors import (
    SourceStalled,
    SourceUnavailable,
    SourceUnwatchable,
    UsageError,
)
from streamguard.ingest.sources import Alive, Blind, Damaged, Opened
from streamguard.types import Verdict
from streamguard.worker.children import Rubbish
from streamguard.worker.messages import Ended, Exceeded, Failed
from streamguard.worker.streams import Restart, StreamState, StreamStatus
from streamguard.worker.watcher import Watcher
from tests.worker.conftest import Logs
from tests.worker.fake_decoders import (
    KNOWN,
    LAST_FRAMES_S,
    METRONOME,
    OPTIONS,
    STEP_S,
    UNKNOWN,
    Line,
    Script,
    Stage,
    failing,
    keyframe,
)


def test_a_stream_that_shows_known_footage_is_found() -> None:
    """Two keyframes that agree are a kill, addressed with the session and the library's version."""
    stage = Stage({"cam": [[(0.0, Opened("h264", 320, 180)), *KNOWN]]})
    status = stage.run(10)["cam"]
    (found,) = stage.found
    assert (found.spec.stream, found.library_version, found.decision.verdict) == ("cam", "v1", Verdict.KILL)
    assert found.session_id == status.session_id
    assert (status.verdict, status.decisions, status.keyframes) == (Verdict.KILL, 1, 3)
    assert (status.codec, status.width_px, status.height_px) == ("h264", 320, 180)


def test_pauses_double_up_to_the_cap() -> None:
    """1 s, 2 s, 4 s ... 30 s, each shortened by up to a half at random, so that streams don't come back together."""
    stage = Stage({"cam": [failing(SourceUnavailable("open", "cam", "refused"))]})
    stage.run(200)
    starts_s = stage.start_times("cam")
    pauses_s = [after - before - 0.1 for before, after in pairwise(starts_s)]
    assert len(pauses_s) > 8
    for number, pause_s in enumerate(pauses_s):
        full_s = min(30.0, 2.0**number)
        assert full_s / 2 - 0.01 <= pause_s <= full_s + 3 * STEP_S, (number, pause_s)


def test_a_keyframe_ends_the_backing_off() -> None:
    """A stream that was seen is tried again soon."""
    refused = failing(SourceUnavailable("open", "cam", "refused"))
    seen: list[Line] = [(0.0, keyframe(0.0)), (0.1, Ended())]
    stage = Stage({"cam": [refused, refused, refused, refused, seen, [(99, None)]]})
    stage.run(40)
    *_, seen_s, again_s = stage.start_times("cam")
    assert again_s - seen_s <= 1.0 + 0.1 + 3 * STEP_S


def test_a_recording_that_is_shown_again_and_again_is_asked_for_less_and_less() -> None:
    """It ends at once each time, and shows the same: as for what cannot be opened the pauses double."""
    recording: list[Line] = [(0.0, keyframe(0.0)), (0.0, keyframe(2.0)), (0.1, Ended())]
    stage = Stage({"cam": [recording]})
    stage.run(200)
    pauses_s = [after - before - 0.1 for before, after in pairwise(stage.start_times("cam"))]
    assert len(pauses_s) > 8
    for number, pause_s in enumerate(pauses_s):
        full_s = min(30.0, 2.0**number)
        assert full_s / 2 - 0.01 <= pause_s <= full_s + 3 * STEP_S, (number, pause_s)


@pytest.mark.parametrize("other", [[(0.0, keyframe(0.0, known_s=1))], [(0.0, keyframe(0.0)), (0.05, keyframe(0.04))]])
def test_something_else_than_before_is_news(other: list[Line]) -> None:
    """Another picture or another time ends the backing off."""
    one: list[Line] = [(0.0, keyframe(0.0)), (0.1, Ended())]
    stage = Stage({"cam": [one, one, one, one, [*other, (0.1, Ended())], [(99, None)]]})
    stage.run(30)
    *_, seen_s, again_s = stage.start_times("cam")
    assert again_s - seen_s <= 1.0 + 0.1 + 3 * STEP_S


def test_each_connection_is_a_new_session_that_begins_afresh() -> None:
    """Evidence does not carry over: a keyframe before and one after a reconnect agree on nothing."""
    one: list[Line] = [(0.0, keyframe(0.0, known_s=0)), (0.1, Ended())]
    other: list[Line] = [(0.0, keyframe(2.0, known_s=2)), (50, None)]
    stage = Stage({"cam": [one, other]})
    status = stage.run(10)["cam"]
    assert stage.found == []
    assert (status.keyframes, status.sessions) == (2, 2)
    first, second = (session for name, session in stage.keyframes if name == "cam")
    assert second - first == 2, "the metronome's is between them"
    assert status.session_id is not None
    assert status.session_id.endswith("-3")


@pytest.mark.parametrize(
    ("script", "why", "reason"),
    [
        ([(0.0, None)], Restart.CRASH, "its decoder was ended by signal 11"),
        ([(0.0, Rubbish("too long"))], Restart.RUBBISH, "its decoder sent rubbish: too long"),
        ([(0.0, keyframe(0.0, poison=True))], Restart.FAULT, "the worker failed on this stream: see the log"),
        (OSError("no more processes"), Restart.CRASH, "no decoder could be started: no more processes"),
        (
            [(0.0, keyframe(4.0)), (0.1, keyframe(4.0))],
            Restart.RUBBISH,
            "its decoder sent rubbish: a keyframe that is not after the last",
        ),
    ],
)
def test_a_decoder_that_fails_is_counted_by_reason_and_others_go_on(script: Script, why: Restart, reason: str) -> None:
    """It is blind meanwhile, never clear; it is started again; the other stream misses nothing."""
    stage = Stage({"bad": [script], "good": [UNKNOWN]})
    statuses = stage.run(20)
    # A stream of which something is seen is tried again soon, each time.
    most = 6 if why is not Restart.RUBBISH or "after" not in reason else 40
    assert set(stage.restarted) == {why}
    assert ("blind", reason) in stage.states_of("bad")
    assert 3 <= statuses["bad"].restarts == len(stage.restarted) <= most
    good = statuses["good"]
    assert (good.restarts, good.sessions, good.state) == (0, 1, StreamState.WATCHING)
    assert good.keyframes == 11


@pytest.mark.promise(4, "a stream that ends decoder after decoder")
@pytest.mark.parametrize(
    ("script", "code", "why"),
    [
        ([(0.0, keyframe(0.0)), (0.1, None)], -11, Restart.CRASH),
        ([(0.0, keyframe(0.0)), (0.1, None)], None, Restart.CRASH),
        ([(0.0, keyframe(0.0)), (0.1, None)], -signal.SIGXCPU, Restart.LIMIT),
        ([(0.0, keyframe(0.0)), (0.1, Exceeded("a frame needs more than 1536 MiB"))], 0, Restart.LIMIT),
    ],
)
def test_a_stream_that_ends_decoder_after_decoder_rests(script: Script, code: int | None, why: Restart) -> None:
    """Longer each time, up to five minutes, although something is seen of it in between; and it says so. So does one
    whose decoders hang up and live on.
    """
    rests: list[None] = []
    watchers = (Watcher(quarantined=lambda: rests.append(None)),)
    stage = Stage({"bad": [script]}, exit_code=code, watchers=watchers)
    statuses = stage.run(1500)
    starts_s = stage.start_times("bad")
    pauses_s = [after - before for before, after in pairwise(starts_s)]
    assert max(pauses_s[:2]) < 3
    for number, pause_s in enumerate(pauses_s[2:]):
        full_s = min(300.0, 10.0 * 2.0**number)
        assert full_s / 2 - 0.01 <= pause_s <= full_s + 0.1 + 3 * STEP_S, (number, pause_s)
    assert set(stage.restarted) == {why}
    assert len(rests) == len(stage.restarted) - 2
    last = statuses["bad"]
    assert (last.state, last.verdict) == (StreamState.BLIND, None)
    assert f"it has ended {last.restarts} decoders in a row: in quarantine for" in last.reason


def test_a_stream_that_merely_reconnects_has_no_rest() -> None:
    """A publisher who leaves and comes back, refusals, and stalls: as before."""
    seen: list[Line] = [(0.0, keyframe(0.0)), (0.1, Ended())]
    stalled: list[Line] = [(0.0, keyframe(0.0)), (0.1, Failed(SourceStalled("read", "cam", "nothing came")))]
    stage = Stage({"leaves": [seen, [(0.0, keyframe(1.0)), (0.1, Ended())]], "stalls": [stalled]})
    statuses = stage.run(60)
    assert statuses["stalls"].sessions > 30
    assert all("quarantine" not in reason for name in stage.scripts for _, reason in stage.states_of(name))


def test_a_decoder_that_cannot_be_waited_for_is_ended() -> None:
    """It counts as one that could not be started, and the other streams go on."""
    stage = Stage({"bad": [UNKNOWN], "good": [UNKNOWN]}, cannot_be_waited_for="bad")
    statuses = stage.run(20)
    assert set(stage.restarted) == {Restart.CRASH}
    assert stage.states_of("bad")[0] == ("blind", "no decoder could be started: [Errno 1] Operation not permitted")
    assert statuses["bad"].keyframes == 0
    assert all(decoder.ended for decoder in stage.decoders["bad"])
    assert (statuses["good"].restarts, statuses["good"].keyframes) == (0, 11)


@pytest.mark.parametrize(("code", "how"), [(1, "ended with status 1"), (None, "hung up")])
def test_how_a_decoder_went_is_said(code: int | None, how: str) -> None:
    """An exception, and a channel that was closed by a child that lives."""
    stage = Stage({"cam": [[(1.0, None)]]}, exit_code=code)
    stage.run(2)
    assert stage.states_of("cam")[0] == ("blind", f"its decoder {how}")


def test_a_silent_decoder_hangs() -> None:
    """Nobody has seen the stream for a while, so it is blind; after the time-out its decoder is started again."""
    stage = Stage({"cam": [[(0.0, keyframe(0.0))], [(99, None)]]})
    stage.run(60)
    assert stage.restarted == [Restart.HANG]
    assert stage.start_times("cam")[1] == pytest.approx(45.0 + 0.75, abs=0.4)
    assert stage.states_of("cam")[1:3] == [
        ("blind", "no picture for 30 s"),
        ("blind", "its decoder said nothing for 45 s"),
    ]


def test_a_pause_of_the_worker_itself_is_nobodys_hang() -> None:
    """Stopped for five minutes and gone on: decoders are judged by what they do from then on."""
    seen = [(float(at_s), keyframe(float(at_s))) for at_s in (1, 310)]
    silent: list[Line] = [(1.0, keyframe(1.0)), (999, None)]
    stage = Stage({"good": [seen], "silent": [silent]})
    stopped: list[float] = []

    def stop_once(_: tuple[StreamStatus, ...]) -> None:
        if stage.clock() > 1004 and not stopped:
            stopped.append(stage.clock())
            stage.clock.now_s += 300

    stage.watchers = (Watcher(tick=stop_once),)
    statuses = stage.run(380)
    assert (statuses["good"].sessions, statuses["good"].restarts) == (2, 1)
    assert stage.restarted == [Restart.HANG, Restart.HANG]
    silent_s, good_s = (stage.start_times(name)[1] for name in ("silent", "good"))
    assert 300 + 45 - 5 < silent_s < 300 + 45 + 10
    assert 310 + 45 < good_s < 310 + 45 + 10


def test_a_decoder_that_only_says_that_it_lives_hangs() -> None:
    """It must show something, or say that it is blind; what it says of itself does not keep a stream watching."""
    alive: list[Line] = [(0.0, keyframe(0.0)), *((float(s), Alive(30)) for s in range(1, 200))]
    stage = Stage({"cam": [alive, [(99, None)]]})
    stage.run(150)
    assert stage.restarted == [Restart.HANG]
    assert stage.states_of("cam")[1][0] == "blind"
    assert stage.start_times("cam")[1] == pytest.approx(105.0 + 0.75, abs=0.4)


def test_a_failure_is_one_line_however_often_it_comes(logs: Logs) -> None:
    """A decoder tells why it is blind, and then fails with it, at every retry: one warning until something changes."""
    dark: list[Line] = [
        (0.1, Blind("no keyframe for 30 s")),
        (0.2, Failed(SourceUnwatchable("watch", "cam", "only audio"))),
    ]
    dark.insert(1, (0.2, Blind("only audio")))
    later: list[Line] = [(0.1, Failed(SourceUnwatchable("watch", "cam", "no keyframe for 60 s")))]
    seen: list[Line] = [(0.1, keyframe(0.0)), (0.2, Blind("only audio"))]
    stage = Stage({"cam": [dark, dark, later, seen]})
    status = stage.run(30)["cam"]
    lines = [line for line in logs if line["event"] == "stream_state" and line["stream"] == "cam"]
    assert [(line["state"], line.get("reason"), line["log_level"]) for line in lines] == [
        ("blind", "no keyframe for 30 s", "warning"),
        ("blind", "only audio", "warning"),
        ("watching", None, "info"),
        ("blind", "only audio", "warning"),
    ]
    assert status.reason == "only audio"
    assert ("blind", "watch cam: no keyframe for 60 s") in stage.states_of("cam")


@pytest.mark.parametrize("arrived_s", [-1e308, 0.0, 1e308])
def test_a_decoder_cannot_spoil_shared_figures(arrived_s: float) -> None:
    """Whatever it says of when a keyframe came, its lag is no longer than its session, and not negative."""
    script: list[Line] = [
        (1.0, keyframe(0.0, known_s=0, arrived_s=arrived_s)),
        (3.0, keyframe(2.0, known_s=2, arrived_s=arrived_s)),
    ]
    stage = Stage({"cam": [script]})
    status = stage.run(5)["cam"]
    assert status.lag_s is not None
    assert 0.0 <= status.lag_s <= 3.0 + STEP_S
    assert 1000.0 <= stage.found[0].arrived_s <= 1003.0 + 2 * STEP_S
    assert math.isfinite(status.seconds)


@pytest.mark.promise(4, "a decoder that floods its worker")
def test_a_flood_leaves_the_others_their_turn() -> None:
    """Of one stream's messages only a few are heard before the next stream's turn."""
    flood: list[Line] = [(0.0, keyframe(n / 1000)) for n in range(500)]
    stage = Stage({"flood": [flood]})
    stage.run(10)
    names = "".join("|" if name == METRONOME else "x" for name, _ in stage.keyframes)
    assert max(len(run) for run in names.split("|")) == 8
    assert names.count("x") == 500


def test_stop_ends_it_and_what_was_sent_already_counts() -> None:
    """No decoder is started any more, the keyframes that wait are decided on, and every decoder is ended."""
    burst: list[Line] = [(1.0, keyframe(n / 10)) for n in range(40)]
    stage = Stage({"cam": [burst]})

    def first_keyframe(stream: object, _matched: object) -> None:
        if getattr(stream, "spec").stream == "cam":  # noqa: B009 - any watcher may do
            supervisor.stop()

    stage.watchers = (Watcher(keyframe=first_keyframe),)
    supervisor = stage.supervisor()
    statuses = supervisor.run()
    assert statuses[0].keyframes == 40
    assert all(decoder.ended for decoder in stage.all_decoders())
    assert len(stage.starts) == 2


def test_a_flood_does_not_keep_it_from_stopping() -> None:
    """The last frames have half a second."""
    flood: list[Line] = [(0.0, keyframe(n / 1000)) for n in range(20_000)]
    stage = Stage({"cam": [flood]})
    stage.run(1)
    assert stage.clock() <= 1001.6 + 2 * STEP_S


def test_stop_before_run_starts_nothing() -> None:
    """A signal may come at any time."""
    stage = Stage({"cam": [UNKNOWN]})
    supervisor = stage.supervisor()
    supervisor.stop()
    supervisor.run()
    assert stage.starts == []


def test_it_stops_after_so_many_seconds() -> None:
    """And not before."""
    stage = Stage({"cam": [UNKNOWN]})
    stage.run(5)
    assert stage.clock() == pytest.approx(1005.0 + LAST_FRAMES_S, abs=3 * STEP_S)


@pytest.mark.promise(4, "a decoder that does not die")
def test_a_decoder_that_does_not_die_holds_nobody_up(logs: Logs) -> None:
    """It was killed; the kernel takes its time, we don't."""
    stage = Stage({"cam": [[(0.0, None)]]}, immortal=True)
    stage.run(0.5)
    assert all(decoder.ended for decoder in stage.all_decoders())
    assert logs[-1]["event"] == "decoders_left"
    for decoder in stage.all_decoders():
        os.close(decoder.fileno())


def test_no_more_decoders_than_allowed_at_once() -> None:
    """The others wait for their turn, and come to it in order."""
    script: list[Line] = [(0.0, keyframe(0.0)), (0.0, keyframe(2.0)), (0.0, Ended())]
    options = replace(OPTIONS, most_at_once=3)
    stage = Stage({f"file-{n}": [script] for n in range(20)}, once=True, options=options)
    statuses = stage.run(60)
    assert stage.most_running == 3
    assert [name for _, name, _ in stage.starts] == list(statuses)
    assert all(status.state is StreamState.ENDED for status in statuses.values())


def test_all_streams_are_started_without_a_pause() -> None:
    """A few in each turn, so that those which run already are heard, and no waiting between the turns."""
    stage = Stage({f"cam-{n}": [UNKNOWN] for n in range(30)})
    stage.run(1)
    assert len(stage.starts) == 31
    assert max(at_s for at_s, _, _ in stage.starts) == 1000.0


@pytest.mark.parametrize(
    ("script", "state", "reason"),
    [
        ([(0.0, keyframe(0.0)), (0.0, Ended())], StreamState.ENDED, ""),
        (
            [(0.0, Ended())],
            StreamState.BLIND,
            "not all of it could be watched: it holds no keyframe that can be decoded",
        ),
        (
            [(0.0, keyframe(0.0)), (0.0, Blind("no keyframe for 30 s")), (0.0, keyframe(40.0)), (0.0, Ended())],
            StreamState.BLIND,
            "not all of it could be watched: no keyframe for 30 s",
        ),
        ([(0.0, Failed(UsageError("open", "x.mp4", "no such file")))], StreamState.BLIND, "open x.mp4: no such file"),
        ([(0.0, keyframe(0.0)), (0.0, None)], StreamState.BLIND, "its decoder was ended by signal 11"),
        ([(0.0, keyframe(0.0)), (0.0, Rubbish("no"))], StreamState.BLIND, "its decoder sent rubbish: no"),
        (OSError("no"), StreamState.BLIND, "no decoder could be started: no"),
    ],
)
def test_a_file_is_watched_once(script: Script, state: StreamState, reason: str) -> None:
    """To its end, or it failed: what was not seen whole is never clear. Then `run` returns by itself."""
    stage = Stage({"file": [script]}, once=True)
    (status,) = stage.supervisor().run()
    assert (status.state, status.reason, status.sessions) == (state, reason, 1)
    assert status.failed is (state is StreamState.BLIND)
    assert stage.finished == ["file"]


def test_a_file_with_too_little_to_decide_on_is_undecided() -> None:
    """Its one keyframe looks like known footage: all of it was watched, and it has no verdict; a person should look."""
    stage = Stage({"file": [[(0.0, keyframe(0.0, known_s=1)), (0.0, Ended())]]}, once=True)
    (status,) = stage.supervisor().run()
    assert (status.state, status.failed, status.undecided, status.verdict) == (StreamState.ENDED, True, True, None)
    assert status.reason == (
        "undecided: it looks like clip, but a decision takes 2 keyframes and it holds 1; a person should look at it"
    )


def test_the_same_stream_twice_a_second_is_told_once() -> None:
    """Statuses are published every second, for others to read."""
    stage = Stage({"cam": [UNKNOWN]})
    supervisor = stage.supervisor()
    supervisor.run(stop_after_s=10)
    assert len(stage.ticks) == pytest.approx(11, abs=2)
    assert {status.stream for status in supervisor.statuses} == {"cam", METRONOME}
    assert supervisor.beat_at_s == pytest.approx(stage.clock() - LAST_FRAMES_S, abs=3 * STEP_S)


def test_a_status_is_plain_json() -> None:
    """For /api/streams and the summary: a state, figures, and no URL with credentials."""
    stage = Stage({"cam": [[(0.0, Opened("hevc", 640, 360)), (0.5, Damaged("packet", 3)), *KNOWN]]})
    tree = stage.run(10)["cam"].as_json()
    session_id = tree.pop("session_id")
    assert isinstance(session_id, str)
    assert tree.pop("lag_s") == pytest.approx(4.1, abs=0.1)
    assert tree.pop("since_last_keyframe_s") == pytest.approx(5.9 + LAST_FRAMES_S, abs=0.2)
    assert tree == {
        "stream": "cam", "server": None, "url": "rtmp://h/cam", "state": "watching", "reason": "", "sessions": 1,
        "codec": "hevc", "width_px": 640, "height_px": 360, "keyframes": 3, "damaged": 3, "seconds": 4.0, "restarts": 0,
        "verdict": "kill", "decisions": 1, "failed": False, "attention": "every", "passed_over": 0,
    }  # fmt: skip


def test_the_loop_says_how_busy_it_is() -> None:
    """The share of its time in which it does not wait for its decoders: on this stage only work takes any."""
    shares = []
    stage = Stage({"cam": [UNKNOWN]}, watchers=(Watcher(tick=lambda _: shares.append(supervisor.busy_share)),))
    supervisor = stage.supervisor()
    supervisor.run(stop_after_s=5.0)
    first, *usual, _last = shares
    assert first < 0.1, "nothing is known yet"
    assert usual == [pytest.approx(1.0, abs=0.1)] * 4


def test_a_watcher_that_raises_costs_that_stream_a_restart_only() -> None:
    """It must not, but the others are watched all the same."""

    def raise_(stream: object, _matched: object) -> None:
        if getattr(stream, "spec").stream == "cam":  # noqa: B009 - any watcher may do
            raise KeyError("mistake")

    stage = Stage({"cam": [UNKNOWN], "other": [UNKNOWN]}, watchers=(Watcher(keyframe=raise_),))
    statuses = stage.run(10)
    assert set(stage.restarted) == {Restart.FAULT}
    assert statuses["other"].restarts == 0
