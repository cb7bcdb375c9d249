"""streamguard.worker.roster, and what the supervisor does with it: streams that come and leave while it runs."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from streamguard.core.attention import AttentionRule
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.sampling import Attention
from streamguard.enforce.signals.events import signal_id
from streamguard.ingest.options import RtmpNames
from streamguard.ingest.sources import Alive, Damaged
from streamguard.types import MediaTime, SessionId, StreamId
from streamguard.worker.attention import AttentionKeeper
from streamguard.worker.messages import Ended
from streamguard.worker.metrics import Metrics
from streamguard.worker.roster import MOST_REMEMBERED, Roster
from streamguard.worker.streams import MOST_LINES, Origin, Stream, StreamSpec, StreamState
from streamguard.worker.watcher import Watcher
from tests.worker.fake_decoders import KNOWN, METRONOME, UNKNOWN, Line, Stage, keyframe

Specs = frozenset[StreamSpec]


def spec(name: str = "live/cam", session: str = "7", *, server: str = "edge", unwatchable: str = "") -> StreamSpec:
    """One publisher's session."""
    url = f"rtmp://{server}/{name}"
    origin = Origin(server, SessionId(session), RtmpNames(*name.split("/")), unwatchable)
    return StreamSpec(StreamId(name), url, url, once=False, origin=origin)


class Discovery:
    """Says at each time what was listed last by then; the script is (seconds, who is there)."""

    def __init__(self, *script: tuple[float, Specs]) -> None:
        self.script = script
        self.stage: Stage | None = None

    def __call__(self) -> Specs:
        assert self.stage is not None
        now_s = self.stage.clock() - 1000.0
        return [who for at_s, who in self.script if at_s <= now_s][-1]


def on_stage(scripts: dict[str, list[list[Line]]], *script: tuple[float, Specs]) -> tuple[Stage, list[Stream]]:
    """A stage, and who has left it so far."""
    left: list[Stream] = []
    discovery = Discovery((0.0, frozenset()), *script)
    stage = Stage(dict(scripts), discovered=discovery, watchers=(Watcher(left=left.append),))
    discovery.stage = stage
    return stage, left


def test_coming_again_ends_no_quarantine() -> None:
    """Whoever publishes next under the name waits for its end, blind and with the reason."""
    crash: list[list[Line]] = [[(0.0, keyframe(0.0)), (0.1, None)]]
    again = [(0.0, frozenset({spec(session="1")})), (7.0, frozenset({spec(session="2")}))]
    stage, _ = on_stage({"live/cam": crash}, *again)
    stage.run(7.3)
    assert len(stage.start_times("live/cam")) == 3
    state, reason = stage.states_of("live/cam")[-1]
    assert state == "blind"
    assert reason.startswith("it has ended 3 decoders in a row: in quarantine for")


def test_a_stream_is_watched_from_when_it_comes_until_it_leaves() -> None:
    """At once, and by the name and the session that its server gives it; its decoder ends with it."""
    stage, left = on_stage({"live/cam": [UNKNOWN]}, (3.0, frozenset({spec()})), (10.0, frozenset()))
    assert stage.run(20) == {}
    (started_s,) = stage.start_times("live/cam")
    assert 3.0 <= started_s < 3.2
    assert [stream.session for stream in left] == ["7"]
    assert stage.states_of("live/cam")[-1] == ("ended", "the publisher left")
    (decoder,) = stage.decoders["live/cam"]
    assert decoder.ended
    assert decoder.job.options.rtmp == RtmpNames("live", "cam")


@pytest.mark.promise(4, "publishers who come and leave all the time")
def test_a_stream_that_lost_its_connection_is_not_passed_by_those_who_have_just_come() -> None:
    """More new names come in each turn than get a decoder in one."""
    steps = 100
    names = [[f"live/{step}-{number}" for number in range(8)] for step in range(steps)]
    scripts: dict[str, list[list[Line]]] = {name: [UNKNOWN] for step in names for name in step}
    scripts["live/cam"] = [[(0.0, keyframe(0.0)), (1.0, Ended())], UNKNOWN]
    flood = [(0.05 * step, frozenset(map(spec, ["live/cam", *names[step]]))) for step in range(steps)]
    stage, _ = on_stage(scripts, *flood)
    stage.run(4.5)
    assert len(stage.start_times("live/cam")) == 2
    assert len(stage.starts) > 100, "and the others have had their turns"


def test_without_discovery_a_roster_is_over_when_all_have_finished() -> None:
    """With it never, also where nobody is there."""
    running, finished = Roster([spec()]), Roster([spec()])
    finished.streams[0].finished = True
    assert [Roster(()).is_over, running.is_over, finished.is_over] == [True, False, True]
    assert not Roster((), discovered=frozenset).is_over


@pytest.mark.promise(7, "a publisher who comes again after half of the evidence")
def test_another_session_is_another_stream_and_evidence_does_not_cross() -> None:
    """A keyframe of the old session and one of the new agree on nothing; what is found names the session it is in."""
    one: list[Line] = [(0.0, keyframe(0.0, known_s=0)), (50, None)]
    other: list[Line] = [(0.0, keyframe(2.0, known_s=2)), (3.0, keyframe(4.0, known_s=4)), (50, None)]
    sessions = (1.0, frozenset({spec(session="1")})), (2.0, frozenset({spec(session="2")}))
    stage, left = on_stage({"live/cam": [one, other]}, *sessions)
    status = stage.run(4)["live/cam"]
    assert stage.found == [], "one keyframe of each so far"
    assert (status.session_id, status.server, status.sessions, status.keyframes) == ("2", "edge", 2, 1)
    assert [stream.session for stream in left] == ["1"]

    stage, _ = on_stage({"live/cam": [one, other]}, *sessions)
    stage.run(10)
    (found,) = stage.found
    assert (found.session_id, found.spec.origin and found.spec.origin.server) == ("2", "edge")


def test_two_connections_to_one_session_are_decided_on_apart() -> None:
    """We reconnect, the publisher does not: the session's name stays, its evidence begins anew, and the decisions have
    media times that no other connection has, also of another run: the ids of their signals differ.
    """
    one: list[Line] = [*KNOWN, (5.0, Ended())]
    decided: list[MediaTime] = []
    ids = set()
    for _ in range(2):
        stage, left = on_stage({"live/cam": [one, one, UNKNOWN]}, (0.0, frozenset({spec()})))
        status = stage.run(20)["live/cam"]
        assert (status.session_id, status.sessions, left) == ("7", 3, [])
        assert [found.session_id for found in stage.found] == ["7", "7"]
        decided += [found.decision.at for found in stage.found]
        ids |= {signal_id(found.decision, session=found.session_id) for found in stage.found}
        assert len({at.pts_us for at in decided}) == 1
    assert (len(set(decided)), len(ids)) == (4, 4)


def test_a_reconnect_waits_for_a_listing() -> None:
    """Whoever is there a moment after a publisher left may be another one: the server is asked first."""
    stage, _ = on_stage({"live/cam": [[(0.0, keyframe(0.0)), (1.0, Ended())]]}, (0.0, frozenset({spec()})))
    stage.options = replace(stage.options, reconnect_first_s=0.01)
    stage.run(10)
    starts_s = stage.start_times("live/cam")
    assert all(after - before >= 2.0 for before, after in pairwise(starts_s))
    assert len(starts_s) > 3


def test_whoever_publishes_anew_all_the_time_is_counted_and_costs_little() -> None:
    """His sessions add up, his decoders and his lines in the log are few, and the newest session is the one watched."""
    times = 200
    sessions = [(0.25 * number, frozenset({spec(session=str(number))})) for number in range(times)]
    stage, left = on_stage({"live/cam": [[(0.0, keyframe(0.0)), (99, None)]]}, *sessions)
    with capture_logs() as lines:
        status = stage.run(0.25 * times + 2)["live/cam"]
    assert (status.session_id, len(left)) == (str(times - 1), times - 1)
    assert status.sessions >= times
    assert len(stage.start_times("live/cam")) <= 0.25 * times + 3
    assert all(after - before >= 1.0 for before, after in pairwise(stage.start_times("live/cam")))
    assert len([line for line in lines if line.get("stream") == "live/cam"]) <= MOST_LINES


def test_only_so_many_names_are_remembered() -> None:
    """The oldest are forgotten."""
    now = [frozenset({spec(f"live/{number}")}) for number in range(MOST_REMEMBERED + 10)]
    said = iter([*now, frozenset({spec("live/0", "8"), spec("live/4000", "8")})])
    roster = Roster([], discovered=lambda: next(said))
    for _ in now:
        roster.changes()
    assert len(roster._remembered) == MOST_REMEMBERED
    _, come = roster.changes()
    assert {stream.spec.stream: stream.earlier_sessions for stream in come} == {"live/0": 0, "live/4000": 1}


def test_one_that_leaves_for_another_reason_says_so() -> None:
    """Another worker watches it, say: nobody is to think that its publisher left."""
    stage, _ = on_stage({"live/cam": [UNKNOWN]}, (1.0, frozenset({spec()})), (4.0, frozenset()))
    supervisor = stage.supervisor()
    supervisor._roster.why_left = lambda gone: f"another worker watches {gone.stream}"
    supervisor.run(stop_after_s=6)
    assert stage.states_of("live/cam")[-1] == ("ended", "another worker watches live/cam")


def test_one_that_cannot_be_pulled_is_blind_from_the_start() -> None:
    """It is shown with the reason, no decoder is started, and it leaves as others do."""
    dark = spec("live/dark", unwatchable="its name cannot be told")
    stage, left = on_stage({}, (1.0, frozenset({dark})), (8.0, frozenset()))
    status = stage.run(5)["live/dark"]
    assert (status.state, status.reason, status.verdict) == (StreamState.BLIND, "its name cannot be told", None)
    assert stage.decoders.keys() == {METRONOME}
    stage, left = on_stage({}, (1.0, frozenset({dark})), (8.0, frozenset()))
    assert stage.run(10) == {}
    assert len(left) == 1


def test_streams_of_one_name_on_two_servers_do_not_disturb_each_other() -> None:
    """One leaves, and the other is watched on, as closely as before."""
    both = frozenset({spec(server="a"), spec(server="b")})
    never_late: list[Line] = [(0.1 + 2 * n, keyframe(2.0 * n, arrived_s=1e9)) for n in range(30)]
    stage, _ = on_stage({"live/cam": [never_late]}, (0.0, both), (10.0, frozenset({spec(server="b")})))
    keeper = AttentionKeeper(
        AttentionRule(young_s=4.0), always=(), kill=lambda: BUILT_IN_RULE, busy_share=lambda: 0.0, clock=stage.clock
    )
    stage.watchers = (*stage.watchers, keeper.watcher)
    stage.run(15)
    first, second = stage.decoders["live/cam"]
    assert (first.ended, second.ended, len(stage.start_times("live/cam"))) == (True, True, 2)
    assert [pace.attention for _, pace in second.told] == [Attention.QUIET]
    assert keeper._watched.keys() == {METRONOME, spec(server="b").key}


def test_nothing_is_kept_of_many_that_came_and_left() -> None:
    """Counters go on counting, and never back; all else is as if they had not been there, but for a few numbers."""
    many = 400
    names = [f"live/{number}" for number in range(many)]
    script: list[Line] = [(0.0, keyframe(0.0)), (0.1, Damaged("packet", 2)), (0.2, Alive(1, 3)), (99, None)]
    waves = [
        (1.0 + number, frozenset(spec(name) for name in names[40 * number : 40 * number + 40])) for number in range(10)
    ]
    stage, left = on_stage({name: [script] for name in names}, *waves, (12.0, frozenset()))
    metrics = Metrics()
    keeper = AttentionKeeper(
        AttentionRule(), always=(), kill=lambda: BUILT_IN_RULE, busy_share=lambda: 0.0, clock=stage.clock
    )
    stage.watchers = (*stage.watchers, keeper.watcher, metrics.watcher)
    supervisor = stage.supervisor()
    (status,) = supervisor.run(stop_after_s=15)
    assert len(left) == many
    assert status.stream == METRONOME
    assert [stream.spec.stream for stream in supervisor._roster.streams] == [METRONOME]
    assert keeper._watched.keys() == {METRONOME}
    text = generate_latest(metrics.registry).decode()
    assert f"streamguard_damaged_items_total {2.0 * many}" in text
    assert f'streamguard_looks_skipped_total{{reason="quiet"}} {3.0 * many}' in text
    assert "live/" not in text


def test_named_streams_may_leave_and_come_where_a_source_says_who_there_is() -> None:
    """One that it does not name no more ends with its reason, one that is new is watched, the third does not notice."""
    named = [StreamSpec(StreamId(name), f"rtmp://h/{name}", f"rtmp://h/{name}", once=False) for name in "abc"]
    now = frozenset(named[:2])
    roster = Roster(named[:2], discovered=lambda: now, why_left=lambda _spec: "taken out", may_come=lambda: False)
    kept = roster.streams[1]
    assert roster.changes() == ([], [])
    now = frozenset(named[1:])
    left, come = roster.changes()
    assert ([stream.spec for stream in left], [stream.spec for stream in come]) == ([named[0]], [named[2]])
    assert roster.streams[0] is kept
    for stream in roster.streams:
        stream.finished = True
    assert roster.is_over


def test_a_name_with_another_url_begins_anew() -> None:
    """What was held against the old one (a quarantine, say) does not count; the same URL once more is known again."""
    one = StreamSpec(StreamId("cam"), "rtmp://h/old", "rtmp://h/old", once=False)
    now = frozenset({one})
    roster = Roster([one], discovered=lambda: now, may_come=lambda: False)
    (stream,) = roster.streams
    stream.sessions, stream.quarantine.until_s = 3, 500.0
    for spec, until_s in ((one, 500.0), (replace(one, url="rtmp://h/new"), -math.inf)):
        now = frozenset()
        roster.changes()
        now = frozenset({spec})
        _, (again,) = roster.changes()
        assert again.quarantine.until_s == until_s
