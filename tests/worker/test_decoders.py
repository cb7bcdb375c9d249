"""streamguard.worker.decoders: who runs, who has something to say, and who is not quite gone."""

from collections.abc import Callable

import pytest

from streamguard.core.decide import recalled
from streamguard.errors import SourceUnavailable
from streamguard.ingest.sources import SourceOptions
from streamguard.types import Observation, StreamId, Verdict
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.decoders import Decoders
from streamguard.worker.streams import Stream, StreamSpec
from tests.kill_signals import a_keyframe
from tests.worker.conftest import Logs
from tests.worker.fake_decoders import FakeClock, FakeDecoder, failing

JOB = DecoderJob("cam", "rtmp://h/cam", 1, SourceOptions(), 512)


class Bench:
    """Decoders on a clock that goes when told to; `made` are those that were started, oldest first."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.made: list[FakeDecoder] = []
        self.refuses: OSError | None = None
        self.decoders = Decoders(self._start, clock=self.clock)

    def _start(self, job: DecoderJob) -> FakeDecoder:
        if self.refuses is not None:
            raise self.refuses
        self.made.append(FakeDecoder(job, failing(SourceUnavailable("open", "cam", "refused")), self.clock))
        return self.made[-1]

    def running(self, name: str) -> Stream:
        stream = a_stream(name)
        self.decoders.start(stream, JOB)
        return stream


def a_stream(name: str) -> Stream:
    return Stream(StreamSpec(StreamId(name), "rtmp://h/cam", "rtmp://h/cam", once=False))


def test_those_are_ready_whose_decoder_has_something_to_say() -> None:
    """Only while it runs; ending it twice is harmless."""
    bench = Bench()
    one, other = bench.running("one"), bench.running("other")
    assert {stream.spec.stream for stream in bench.decoders.ready(0.0)} == {"one", "other"}
    bench.decoders.end(one)
    bench.decoders.end(one)
    assert bench.decoders.ready(0.0) == [other]
    assert (one.decoder, bench.made[0].ended) == (None, True)
    bench.decoders.end(other)
    bench.decoders.close()


def test_one_that_cannot_be_started_leaves_nothing() -> None:
    """Out of processes: the error is the caller's, and the next start goes well."""
    bench = Bench()
    bench.refuses = OSError(11, "Resource temporarily unavailable")
    stream = a_stream("cam")
    with pytest.raises(OSError, match="temporarily"):
        bench.decoders.start(stream, JOB)
    bench.decoders.end(stream)
    bench.refuses = None
    bench.decoders.start(stream, JOB)
    assert bench.decoders.ready(0.0) == [stream]
    bench.decoders.end(stream)
    bench.decoders.close()


def test_one_that_cannot_be_waited_for_is_ended_all_the_same() -> None:
    """It was started, and nobody would hear it."""
    bench = Bench()
    stream = a_stream("cam")

    def start_a_plain_file(job: DecoderJob) -> FakeDecoder:
        decoder = bench._start(job)
        decoder.be_a_plain_file()
        return decoder

    decoders = Decoders(start_a_plain_file, clock=bench.clock)
    with pytest.raises(OSError, match="not permitted"):
        decoders.start(stream, JOB)
    decoders.end(stream)
    assert bench.made[0].ended
    decoders.close()
    bench.decoders.close()


def test_work_is_what_nobody_waited_for() -> None:
    """From one wait's end to the next one's begin, added up until it is asked for."""
    bench = Bench()
    stream = bench.running("cam")
    for _ in range(3):
        bench.decoders.ready(0.0)
        bench.clock.now_s += 0.25
    bench.decoders.ready(0.0)
    assert bench.decoders.worked_s() == pytest.approx(0.75)
    assert bench.decoders.worked_s() == 0.0
    bench.decoders.end(stream)
    bench.decoders.close()


def test_those_that_do_not_go_are_told_of_at_the_end(logs: Logs) -> None:
    """Nobody waits for them in between, and those that are gone by then are none of them."""
    bench = Bench()
    streams = [bench.running(name) for name in ("one", "two", "three")]
    bench.made[0].immortal = bench.made[1].immortal = True
    for stream in streams:
        bench.decoders.end(stream)
    bench.decoders.let_go()
    bench.made[1].immortal = False
    bench.decoders.let_go()
    bench.decoders.close()
    (line,) = logs
    assert (line["event"], line["count"], line["log_level"]) == ("decoders_left", 1, "warning")


def suspect(stream: Stream, *, nats: float, verdict: Verdict | None = None) -> Stream:
    """It has shown so much for a piece of footage, and that was decided on it."""
    at, evidence = a_keyframe(2_000_000, nats=nats)
    decided = {} if verdict is None else {evidence.asset: (verdict, at)}
    stream.decision_state = recalled((Observation(at, (evidence,)),), decided)
    return stream


def heard(bench: Bench, *, meanwhile: Callable[[Stream], None] = lambda _: None) -> list[str]:
    """The names in their order, where listening to each takes a second."""
    names: list[str] = []
    for stream in bench.decoders.suspects_first(0.0):
        names.append(stream.spec.stream)
        meanwhile(stream)
        bench.clock.now_s += 1
    return names


def test_those_who_show_the_most_come_first() -> None:
    """The others as they come; a kill that has fallen counts no more, anything less does."""
    bench = Bench()
    for name in ("a", "b", "c"):
        bench.running(name)
    usual = heard(bench)
    suspect(bench.running("killed"), nats=30.0, verdict=Verdict.KILL)
    suspect(bench.running("little"), nats=3.0)
    suspect(bench.running("much"), nats=20.0)
    suspect(bench.running("reviewed"), nats=10.0, verdict=Verdict.REVIEW)
    order = heard(bench)
    assert order[:3] == ["much", "reviewed", "little"]
    assert [name for name in order[3:] if name != "killed"] == usual
    assert len(order) == 7


def test_a_suspect_with_something_to_say_meanwhile_goes_before_those_who_wait() -> None:
    """Once; whoever is not suspect comes after them, and nobody twice."""
    bench = Bench()
    for name in ("a", "b", "c"):
        bench.running(name)
    come = [("suspect", 9.0), ("late", 0.0)]

    def meanwhile(_: Stream) -> None:
        if come:
            name, nats = come.pop()
            suspect(bench.running(name), nats=nats)

    order = heard(bench, meanwhile=meanwhile)
    assert order[2:] == ["suspect", *(name for name in ("a", "b", "c") if name not in order[:2]), "late"]
