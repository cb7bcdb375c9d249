"""streamguard.worker.attention: decoders are told what their streams are worth, in time, and under load."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from streamguard.core.attention import AttentionRule
from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.glances import QUIET_SHARE
from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Pace
from streamguard.ingest.sources import Alive, Glanced
from streamguard.types import Fingerprints, MediaTime, Observation, StreamId
from streamguard.worker.attention import AttentionKeeper, coverage, longest_since_look_s
from streamguard.worker.matcher import Matched
from streamguard.worker.messages import Ended
from streamguard.worker.streams import Stream, StreamSpec, StreamState, StreamStatus
from streamguard.worker.watcher import Watcher
from tests.worker import works
from tests.worker.fake_decoders import METRONOME, FakeClock, FakeDecoder, Line, Script, Stage, keyframe

YOUNG_S = 60.0
NOTHING = Matched(DecisionState(), Observation(MediaTime(1, 0), ()), (), (), "v1", 0.0)


@dataclass(slots=True)
class Theatre:
    """A stage with a keeper of attention, and a load that the test sets."""

    scripts: dict[str, Sequence[Script]]
    rule: AttentionRule = field(default_factory=AttentionRule)
    always: tuple[str, ...] = ()
    busy_from_s: float = math.inf
    busy_until_s: float = math.inf
    incident_from_s: float = math.inf
    incident_until_s: float = math.inf
    stage: Stage = field(init=False)

    def __post_init__(self) -> None:
        self.stage = Stage(self.scripts)
        keeper = AttentionKeeper(
            self.rule,
            always=(*self.always, METRONOME),
            kill=lambda: BUILT_IN_RULE,
            busy_share=lambda: 1.0 if self.busy_from_s <= self.stage.clock() - 1000.0 < self.busy_until_s else 0.1,
            in_incident=lambda: self.incident_from_s <= self.stage.clock() - 1000.0 < self.incident_until_s,
            clock=self.stage.clock,
        )
        self.stage.watchers = (keeper.watcher,)

    def told(self, name: str, *, session: int = 0) -> list[tuple[int, str]]:
        """When its decoder was told what, to the second after its start."""
        decoder = self.stage.decoders[name][session]
        return [(round(at_s), pace.attention.value) for at_s, pace in decoder.told]


def in_time(at_s: float) -> Fingerprints:
    """A keyframe that shows something unknown, and was decided on at once."""
    return keyframe(at_s, arrived_s=1e9)


def quiet_lines(seconds: int, *, evidence_at_s: Sequence[int] = (), every_s: int = 2) -> list[Line]:
    """A keyframe now and then that shows something unknown, and known footage at some moments."""
    return [
        (float(at_s), keyframe(float(at_s), known_s=at_s if at_s in evidence_at_s else None, arrived_s=1e9))
        for at_s in range(0, seconds, every_s)
    ]


def test_a_stream_is_quiet_after_its_first_minute() -> None:
    """And not before: a new connection is looked at closely."""
    theatre = Theatre({"cam": [quiet_lines(100)]})
    status = theatre.stage.run(90)["cam"]
    ((told_s, attention),) = theatre.told("cam")
    assert attention == "quiet"
    assert YOUNG_S <= told_s <= YOUNG_S + 1
    assert status.attention is Attention.QUIET
    pace = theatre.stage.decoders["cam"][0].told[0][1]
    assert pace == Pace(Attention.QUIET, most_s=8.0, kill_s=9.5, further=1, apart_s=1.6)


def test_evidence_makes_a_stream_suspect_at_once() -> None:
    """The decoder is told in the same turn of the loop, without waiting for the tick; and is quiet a minute later."""
    theatre = Theatre({"cam": [quiet_lines(200, evidence_at_s=[100])]})
    theatre.stage.run(180)
    told = theatre.stage.decoders["cam"][0].told
    assert [pace.attention for _, pace in told] == [Attention.QUIET, Attention.EVERY, Attention.QUIET]
    assert told[1][0] == pytest.approx(100.0, abs=0.1)
    assert told[2][0] == pytest.approx(160.0, abs=1.5)


def test_what_looks_like_something_is_looked_at_closely_for_a_moment() -> None:
    """A keyframe that is alike, though that is no evidence, has the next 10 s looked at: poor copies begin so."""
    with _quiet_stream() as (clock, decoder, keeper, stream):
        keeper.watcher.keyframe(stream, replace(NOTHING, alike=True))
        assert [pace.attention for _, pace in decoder.told] == [Attention.QUIET, Attention.EVERY]
        clock.now_s += 9.0
        keeper.watcher.tick(())
        clock.now_s += 2.0
        keeper.watcher.tick(())
        assert [pace.attention for _, pace in decoder.told[2:]] == [Attention.QUIET]


@contextmanager
def _quiet_stream(*, once: bool = False) -> Iterator[tuple[FakeClock, FakeDecoder, AttentionKeeper, Stream]]:
    """One that has shown nothing for its first minute."""
    clock = FakeClock()
    decoder = FakeDecoder(works.job(), (), clock)
    stream = Stream(StreamSpec(StreamId("film"), "film.mp4", "film.mp4", once), decoder=decoder)
    keeper = AttentionKeeper(
        AttentionRule(), always=(), kill=lambda: BUILT_IN_RULE, busy_share=lambda: 0.0, clock=clock
    )
    keeper.watcher.keyframe(stream, NOTHING)
    clock.now_s += YOUNG_S
    keeper.watcher.tick(())
    try:
        yield clock, decoder, keeper, stream
    finally:
        decoder.end()
        assert decoder.gone(within_s=0.0)


def test_evidence_lasts_for_a_minute_from_the_last() -> None:
    """Each piece of it begins the minute anew."""
    theatre = Theatre({"cam": [quiet_lines(200, evidence_at_s=[70, 100])]})
    theatre.stage.run(190)
    told = [(at_s, attention) for at_s, attention in theatre.told("cam") if at_s > 71]
    assert told in ([(160, "quiet")], [(161, "quiet")])


def test_reported_streams_and_files_are_always_looked_at_closely() -> None:
    """An operator names streams, with patterns; nobody waits for a file."""
    theatre = Theatre({"live/news-1": [quiet_lines(100)], "live/cam": [quiet_lines(100)]}, always=("live/news*",))
    theatre.stage.run(90)
    assert theatre.told("live/news-1") == []
    assert len(theatre.told("live/cam")) == 1
    assert _told_after_a_minute(once=True) == []
    assert [pace.attention for _, pace in _told_after_a_minute(once=False)] == [Attention.QUIET]


def _told_after_a_minute(*, once: bool) -> list[tuple[float, Pace]]:
    with _quiet_stream(once=once) as (_, decoder, _, _):
        return decoder.told


def test_a_stream_that_may_hide_something_may_spend_more_on_it() -> None:
    """From its decoder's word on, until that takes it back; its keyframes are looked at as before."""
    lines = quiet_lines(150)
    lines += [(80.0, Glanced(1, 0, 0.02, hiding=True)), (110.0, Glanced(1, 0, 0.02, hiding=False))]
    theatre = Theatre({"cam": [sorted(lines, key=lambda line: line[0])]})
    theatre.stage.run(130)
    told = [(round(at_s), pace) for at_s, pace in theatre.stage.decoders["cam"][0].told]
    assert [pace.attention for _, pace in told] == [Attention.QUIET] * 3
    assert [pace.between_share for _, pace in told] == [QUIET_SHARE, 0.01, QUIET_SHARE]
    assert [at_s for at_s, _ in told[1:]] == pytest.approx([81, 111], abs=1)


def test_a_new_connection_begins_anew() -> None:
    """Its decoder knows nothing of what the last one was told, and looks at every keyframe for a minute."""
    theatre = Theatre({"cam": [[*quiet_lines(80), (80.0, Ended())], quiet_lines(200)]})
    theatre.stage.run(120)
    assert [name for _, name in theatre.told("cam", session=0)] == ["quiet"]
    assert theatre.told("cam", session=1) == []


def test_a_deaf_decoder_is_told_again() -> None:
    """At the next tick, and as long as it takes; meanwhile it counts as what it was told last."""
    theatre = Theatre({"cam": [quiet_lines(200)]})
    counted = []

    def deaf_for_a_while(statuses: tuple[StreamStatus, ...]) -> None:
        theatre.stage.decoders["cam"][0].deaf = theatre.stage.clock() < 1080.0
        counted.append((theatre.stage.clock(), statuses[0].attention))

    theatre.stage.watchers = (Watcher(tick=deaf_for_a_while), *theatre.stage.watchers)
    theatre.stage.run(100)
    assert theatre.told("cam") in ([(80, "quiet")], [(81, "quiet")])
    assert {attention for at_s, attention in counted if at_s < 1079.0} == {Attention.EVERY}
    assert {attention for at_s, attention in counted if at_s > 1082.0} == {Attention.QUIET}


def test_passed_over_keyframes_are_counted_by_what_was_told() -> None:
    """What a decoder did not look at while it was quiet is counted as that, also when it is told a moment late."""
    lines: list[Line] = [*quiet_lines(64), *((s + 0.5, Alive(30, 1)) for s in range(64, 70)), (71.0, in_time(71.0))]
    theatre = Theatre({"cam": [[*lines, *((float(s), in_time(float(s))) for s in range(73, 200, 6))]]})
    status = theatre.stage.run(90)["cam"]
    assert status.passed_over == {Attention.QUIET: 6}
    assert (status.as_json()["passed_over"], status.as_json()["attention"]) == (6, "quiet")
    late: list[Line] = [*quiet_lines(72, evidence_at_s=[70]), (70.5, Alive(30, 2))]
    status = Theatre({"cam": [late]}).stage.run(72)["cam"]
    assert status.attention is Attention.EVERY
    assert status.passed_over == {Attention.QUIET: 2}


def test_overload_sheds_the_quietest_and_says_so() -> None:
    """While the loop is busy, more and more streams are looked at seldom, the longest quiet first; then less again."""
    names = ["a", "b", "c", "d"]
    scripts: dict[str, Sequence[Script]] = {
        name: [quiet_lines(300, evidence_at_s=[20 + 4 * number]) if number else quiet_lines(300)]
        for number, name in enumerate(["a", "b", "c"])
    }
    theatre = Theatre({**scripts, "d": [quiet_lines(300, evidence_at_s=range(0, 256, 20))]})
    theatre.busy_from_s, theatre.busy_until_s = 100.0, 120.0
    with capture_logs() as logs:
        theatre.stage.run(200)
    shed_at_s = {name: [at for at, what in theatre.told(name) if what == "shed"] for name in names}
    assert shed_at_s["a"] == [pytest.approx(100, abs=2)]
    assert len(shed_at_s["b"]) == len(shed_at_s["c"]) == 1
    assert shed_at_s["d"] == [], "suspect"
    assert all(theatre.told(name)[-1][1] == "quiet" for name in ["a", "b", "c"])
    shares = [line["shed_share"] for line in logs if line["event"] == "attention"]
    assert shares == [0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]
    paces = [pace for _, pace in theatre.stage.decoders["a"][0].told if pace.attention is Attention.SHED]
    assert {pace.most_s for pace in paces} == {30.0}


def test_a_single_slow_stream_is_no_overload() -> None:
    """The lag in the middle counts, not that of a stream with huge pictures, or whose decoder lies about its clock."""
    slow: list[Line] = [(float(at_s), keyframe(float(at_s), arrived_s=0.0)) for at_s in range(0, 300, 2)]
    with capture_logs() as logs:
        Theatre({"cam": [quiet_lines(300)], "slow": [slow]}).stage.run(100)
    assert not [line for line in logs if line["event"] == "attention"]


@pytest.mark.parametrize(("slow", "shed"), [({"a"}, []), ({"a", "b"}, [0.25])])
def test_overload_is_that_most_streams_lag(slow: set[str], shed: list[float]) -> None:
    """One publisher that sends twenty keyframes a second, each of which takes long, has no others shed for it."""
    clock = FakeClock()
    keeper = AttentionKeeper(
        AttentionRule(), always=(), kill=lambda: BUILT_IN_RULE, busy_share=lambda: 0.0, clock=clock
    )
    streams = [
        Stream(StreamSpec(StreamId(name), "u", "u", once=False), lag_s=2.0 if name in slow else 0.01)
        for name in ("a", "b", "c")
    ]
    with capture_logs() as logs:
        for tenth in range(60):
            clock.now_s += 0.1
            for stream in streams if tenth % 20 == 0 else streams[:1] * 2:
                keeper.watcher.keyframe(stream, NOTHING)
        keeper.watcher.tick(())
    assert [line["shed_share"] for line in logs if line["event"] == "attention"] == shed


def test_attention_can_be_turned_off() -> None:
    """With a time to kill of 0 no decoder is ever told anything, whatever the load."""
    theatre = Theatre({"cam": [quiet_lines(300)]}, rule=AttentionRule(time_to_kill_s=0.0), busy_from_s=50.0)
    theatre.stage.run(200)
    assert theatre.told("cam") == []


def test_an_incident_calls_for_every_keyframe_until_it_is_closed() -> None:
    """Within a second of its opening, and within a second of its end what was quiet is quiet again."""
    theatre = Theatre({"cam": [quiet_lines(200)]}, incident_from_s=100.0, incident_until_s=130.0)
    theatre.stage.run(180)
    (_, quiet), (opened_s, every), (closed_s, again) = theatre.told("cam")
    assert (quiet, every, again) == ("quiet", "every", "quiet")
    assert 100 <= opened_s <= 101
    assert 130 <= closed_s <= 131


def test_a_stream_that_is_shed_is_not_called_blind() -> None:
    """A pause that the worker itself has asked for is no fault of the stream, also when it has just asked for less; a
    longer one is.
    """
    keyframes: list[Line] = [*quiet_lines(30), (80.0, in_time(80.0)), (130.0, in_time(130.0))]
    lines = sorted([*keyframes, *((at_s + 0.5, Alive(30, 1)) for at_s in range(140))], key=lambda line: line[0])
    theatre = Theatre({"cam": [lines]}, rule=AttentionRule(young_s=10.0), busy_from_s=11.0, busy_until_s=20.0)
    theatre.stage.run(140)
    *_, (shed_s, shed), (quiet_s, quiet) = theatre.told("cam")
    assert (shed, quiet) == ("shed", "quiet")
    assert 12 <= shed_s < 28
    assert 28 < quiet_s < 58, "so that it is the old pause that has to be forgiven"
    blind_s = [at_s - 1000.0 for at_s, name, state, _ in theatre.stage.states
               if name == "cam" and state is StreamState.BLIND]  # fmt: skip
    assert blind_s == [pytest.approx(80.0 + 30.0 + 8.0, abs=1.0)]


def _status(state: StreamState, since_s: float | None) -> StreamStatus:
    spec = StreamSpec(StreamId("cam"), "rtmp://h/cam", "rtmp://h/cam", once=False)
    stream = Stream(spec, state=state, keyframe_at_s=None if since_s is None else 1000.0 - since_s)
    return stream.status(now_s=1000.0)


def test_coverage_counts_what_is_connected() -> None:
    """A blind stream is not covered, however well it was before; one that is off is no part of it."""
    statuses = [
        _status(StreamState.WATCHING, 6.0),
        _status(StreamState.WATCHING, 25.0),
        _status(StreamState.BLIND, 4.0),
        _status(StreamState.STALLED, None),
        _status(StreamState.CONNECTING, None),
        _status(StreamState.ENDED, 500.0),
    ]
    assert coverage(statuses, within_s=10.0) == 0.25
    assert coverage(statuses, within_s=30.0) == 0.5
    assert math.isnan(coverage(statuses[4:], within_s=10.0))
    assert longest_since_look_s(statuses) == 25.0
    assert longest_since_look_s([]) == 0.0
    assert EVERY_KEYFRAME.attention is statuses[0].attention


def test_another_rule_counts_from_the_next_tick_on() -> None:
    """For sessions that run, too: one that is named now is looked at closely, and where no keyframe may be passed over
    all are; and back.
    """
    with _quiet_stream() as (clock, decoder, keeper, _stream):

        def after(rule: AttentionRule, *always: str) -> Attention:
            keeper.change(rule, always=always)
            clock.now_s += 1.0
            keeper.watcher.tick(())
            return decoder.told[-1][1].attention

        assert after(AttentionRule(), "fi*") is Attention.EVERY
        assert after(AttentionRule()) is Attention.QUIET
        assert after(AttentionRule(time_to_kill_s=0.0)) is Attention.EVERY
        assert after(AttentionRule(time_to_kill_s=20.0)) is Attention.QUIET
        assert decoder.told[-1][1].kill_s == 19.5
        assert after(AttentionRule(young_s=3600.0)) is Attention.EVERY
