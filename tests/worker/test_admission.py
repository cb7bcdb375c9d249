"""streamguard.worker.admission: who gets a decoder next."""

from streamguard.types import StreamId
from streamguard.worker.admission import STARTS_A_TURN, admitted
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.streams import Stream, StreamSpec
from tests.worker.fake_decoders import UNKNOWN, FakeClock, FakeDecoder, Stage
from tests.worker.works import job


class SlowStage(Stage):
    """One on which the forkserver takes a second for each start. `heard`: how many keyframes were, by then."""

    heard: tuple[int, ...] = ()

    def _start(self, job: DecoderJob) -> FakeDecoder:
        self.clock.now_s += 1.0
        self.heard += (len(self.keyframes),)
        return super()._start(job)


def waiting(name: str, *, since_s: float = 0.0, ended: int = 0) -> Stream:
    """One that has ended so many decoders."""
    stream = Stream(StreamSpec(StreamId(name), name, name, once=False), start_at_s=since_s)
    stream.quarantine.decoders, stream.quarantine.last_s = ended, 80.0
    return stream


def names(streams: list[Stream], *, now_s: float = 100.0, most_at_once: int | None = None) -> list[str]:
    return [stream.spec.stream for stream in admitted(streams, now_s=now_s, most_at_once=most_at_once)]


def test_a_few_a_turn_and_those_who_wait_longest_first() -> None:
    """So that those which are watched already are heard in between."""
    streams = [waiting(f"cam-{n}", since_s=90.0 - n) for n in range(9)]
    assert names(streams) == ["cam-8", "cam-7", "cam-6", "cam-5"]
    assert STARTS_A_TURN == 4


def test_only_those_whose_time_has_come() -> None:
    """Not before it, not after its end, and not twice."""
    finished, running = waiting("finished"), waiting("running")
    finished.finished = True
    running.decoder = FakeDecoder(job(), (), FakeClock())
    assert names([finished, running, waiting("later", since_s=101.0), waiting("now", since_s=100.0)]) == ["now"]
    running.decoder.end()
    assert running.decoder.gone(within_s=0.0)


def test_those_that_end_decoders_come_one_by_one_and_after_the_others() -> None:
    """But in their turn: whoever has waited for some seconds more goes first all the same."""
    feared = [waiting(f"bad-{n}", since_s=90.0, ended=1) for n in range(3)]
    assert names([*feared, *(waiting(f"cam-{n}", since_s=91.0) for n in range(2))]) == ["cam-0", "cam-1", "bad-0"]
    assert names([waiting("cam", since_s=99.0), *feared]) == ["bad-0", "cam"]
    assert names(feared) == ["bad-0"]
    assert names(feared, now_s=1000.0) == ["bad-0", "bad-1", "bad-2"]  # long forgiven


def test_no_more_than_may_run() -> None:
    """Those that run count, whoever they are."""
    running = waiting("running")
    running.decoder = FakeDecoder(job(), (), FakeClock())
    assert names([running, *(waiting(f"cam-{n}") for n in range(9))], most_at_once=3) == ["cam-0", "cam-1"]
    assert names([running, waiting("cam")], most_at_once=1) == []
    running.decoder.end()
    assert running.decoder.gone(within_s=0.0)


def test_whoever_is_watched_is_heard_between_slow_starts() -> None:
    """A start that takes long is the only one of its turn."""
    stage = SlowStage({f"cam-{n}": [UNKNOWN] for n in range(6)})
    stage.run(30)
    assert len(stage.heard) == 7
    assert stage.heard[2] >= 1
    assert stage.heard[-1] >= 5


def test_a_decoder_of_one_that_has_ended_others_gets_what_is_left() -> None:
    """Others go before it where processor time is short."""
    stage = Stage({"bad": [[(0.1, None)]], "good": [UNKNOWN]})
    stage.run(20)
    assert [decoder.job.is_last for decoder in stage.decoders["bad"]][:3] == [False, True, True]
    assert not any(decoder.job.is_last for decoder in stage.decoders["good"])
