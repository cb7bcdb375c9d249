"""streamguard.worker.kept_asker: decoders are asked for what they kept, at once or one after another, within bounds."""

import threading
import time
from dataclasses import replace

import pytest

from streamguard.types import StreamId
from streamguard.worker.kept_asker import WITHIN_S, KeptAsker
from streamguard.worker.messages import Kept, KeptTold
from streamguard.worker.shown import ShownLately
from tests.waiting import eventually
from tests.worker.fake_decoders import FakeClock, FakeDecoder, Line, Stage, keyframe
from tests.worker.works import job

LINES: list[Line] = [(0.1 + 6 * n, keyframe(6.0 * n)) for n in range(9)]


class Show:
    """A supervisor whose streams are asked; `opens_s`: when an incident is opened. Its clock goes by itself."""

    def __init__(self, *names: str, opens_s: float = 1e9, lines: list[Line] = LINES) -> None:
        self.stage = Stage({name: [lines] for name in names})
        clock = self.stage.clock
        self.asker = KeptAsker(
            lambda change: change(), in_incident=lambda: clock() - 1000.0 >= opens_s, within_s=WITHIN_S, clock=clock
        )
        self.stage.watchers = (self.asker.watcher,)

    def asked_s(self, name: str) -> list[float]:
        return [at_s for decoder in self.stage.decoders[name] for at_s in decoder.asked_for_kept_s]


def test_without_an_incident_nobody_is_asked() -> None:
    """Unless somebody wants to know."""
    show = Show("a", "b")
    show.stage.run(30.0)
    assert (show.asked_s("a"), show.asked_s("b")) == ([], [])


def test_when_an_incident_is_opened_each_is_asked_once() -> None:
    """One after another, each when the one before it has told all."""
    show = Show("a", "b", "c", opens_s=10.0)
    show.stage.run(40.0)
    times_s = [show.asked_s(name) for name in "abc"]
    assert [len(one) for one in times_s] == [1, 1, 1]
    asked_s = sorted(at_s for (at_s,) in times_s)
    assert len(set(asked_s)) == 3
    assert asked_s[0] >= 9.9
    assert asked_s[-1] <= 12.0


def test_one_that_does_not_answer_holds_the_others_up_for_seconds() -> None:
    """And one that cannot be told is left out."""
    show = Show("a", "b", "c", opens_s=10.0)

    def spoil(decoder: FakeDecoder) -> None:
        decoder.answer = () if decoder.job.name == "a" else decoder.answer
        decoder.deaf = decoder.job.name == "b"

    show.stage.on_start = spoil
    show.stage.run(40.0)
    (first_s,), (last_s,) = show.asked_s("a"), show.asked_s("c")
    assert show.asked_s("b") == []
    assert WITHIN_S <= last_s - first_s <= WITHIN_S + 1.5


def _says_nothing(decoder: FakeDecoder) -> None:
    decoder.answer = ()


def test_an_incident_that_is_closed_asks_no_more() -> None:
    """Those that were still to be asked are not; with the next incident all are."""
    show = Show("a", "b", "c")
    clock = show.stage.clock
    show.asker._in_incident = lambda: 10.0 <= clock() - 1000.0 <= 11.5 or clock() - 1000.0 >= 20.0
    show.stage.on_start = _says_nothing
    show.stage.run(19.0)
    assert sum(len(show.asked_s(name)) for name in "abc") == 1


def test_what_is_told_is_remembered_and_is_no_evidence() -> None:
    """In its place by its own time; what the stream is decided by has not changed."""
    clip: list[Line] = [(0.1 + 6 * n, keyframe(6.0 * n)) for n in range(5)]
    show = Show("a", opens_s=13.0, lines=clip)
    lately = ShownLately(120.0, most_bytes=1 << 20, clock=show.stage.clock)
    show.stage.watchers = (lately.watcher, show.asker.watcher)
    kept = tuple(Kept(keyframe(at_s, known_s=round(at_s), arrived_s=1000.0 + at_s)) for at_s in (10.0, 8.0, 4.0, 2.0))

    def keeps(decoder: FakeDecoder) -> None:
        decoder.answer = (*kept, KeptTold())

    show.stage.on_start = keeps
    statuses = show.stage.run(20.0)
    found, _ = lately.of(None, "a", last_s=100.0)
    assert [one.pts_us / 1e6 for one in found] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 18.0]
    assert (statuses["a"].keyframes, statuses["a"].decisions, show.stage.found) == (4, 0, [])


class Asking:
    """One stream whose decoder says when it has told all, and somebody who asks for it in a thread of its own."""

    def __init__(self, *, within_s: float = 20.0) -> None:
        self.clock = FakeClock()
        self.decoder = FakeDecoder(job(), (), self.clock)
        self.asker = KeptAsker(lambda change: change(), in_incident=lambda: False, within_s=within_s, clock=self.clock)
        stage = Stage({"cam": [LINES]})
        (self.stream,) = (one for one in stage.supervisor()._roster.streams if one.spec.stream == "cam")
        self.stream.decoder = self.decoder
        self.watcher = self.asker.watcher
        self.watcher.seen(self.stream, keyframe(0.0))

    def asks(self) -> threading.Thread:
        thread = threading.Thread(target=self.asker.ask, args=(None, "cam"), daemon=True)
        thread.start()
        return thread


def _has_asked(asking: Asking) -> bool:
    return bool(asking.decoder.asked_for_kept_s)


@pytest.mark.parametrize("end", ["told", "restarted", "left"])
def test_who_asks_waits_for_the_answer(end: str) -> None:
    """Or until there is nobody to answer any more. Two who ask at once are one question."""
    asking = Asking()
    threads = [asking.asks(), asking.asks()]
    eventually(lambda: _has_asked(asking), what="the question")
    eventually(lambda: asking.asker._room._value == 2, what="both wait")
    assert all(thread.is_alive() for thread in threads)
    if end == "told":
        asking.watcher.kept(asking.stream, Kept(keyframe(0.0)))
        assert all(thread.is_alive() for thread in threads)
        asking.watcher.kept(asking.stream, KeptTold())
    elif end == "restarted":
        asking.stream.decoder = None
        asking.watcher.tick(())
    else:
        asking.watcher.left(asking.stream)
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()
    assert len(asking.decoder.asked_for_kept_s) == 1


def test_a_decoder_that_hangs_costs_a_bounded_time() -> None:
    """Each time that somebody asks; and it is not told again and again."""
    asking = Asking(within_s=0.05)
    for _ in range(3):
        began_s = time.monotonic()
        asking.asker.ask(None, "cam")
        assert 0.04 <= time.monotonic() - began_s < 5.0
    assert len(asking.decoder.asked_for_kept_s) == 1


def test_who_is_not_there_is_not_waited_for() -> None:
    """A stream that is over, one of another name, and a decoder that cannot be told."""
    asking = Asking()
    asking.decoder.deaf = True
    asking.asker.ask(None, "cam")
    asking.decoder.deaf = False
    asking.asker.ask("edge-1", "cam")
    asking.asker.ask(None, "other")
    asking.stream.decoder = None
    asking.asker.ask(None, "cam")
    assert asking.decoder.asked_for_kept_s == []


def test_a_few_may_wait_at_once() -> None:
    """The others are answered at once, without what is kept: the worker's pages are for others, too."""
    asking = Asking()
    threads = [asking.asks() for _ in range(4)]
    eventually(lambda: asking.asker._room._value == 0, what="four wait")
    began_s = time.monotonic()
    asking.asker.ask(None, "cam")
    assert time.monotonic() - began_s < 5.0
    eventually(lambda: _has_asked(asking), what="the question")
    asking.watcher.kept(asking.stream, KeptTold())
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()


def test_another_session_of_the_name_is_another_stream() -> None:
    """That one of it has left is no news of the next."""
    asking = Asking()
    spec = replace(asking.stream.spec, stream=StreamId("cam"))
    later = replace(asking.stream, spec=spec, decoder=FakeDecoder(job(), (), asking.clock))
    asking.watcher.seen(later, keyframe(0.0))
    asking.watcher.left(asking.stream)
    thread = asking.asks()
    assert isinstance(later.decoder, FakeDecoder)
    decoder = later.decoder
    eventually(lambda: bool(decoder.asked_for_kept_s), what="the question")
    asking.watcher.kept(later, KeptTold())
    thread.join(10.0)
    assert not thread.is_alive()
