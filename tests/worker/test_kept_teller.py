"""streamguard.worker.kept_teller, and a whole decoder on a real stream: what was passed over is told when asked for."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import av
import cv2
import pytest

from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.sampling import Attention, Pace
from streamguard.demo.encode import Encoding
from streamguard.demo.scenes import Scene
from streamguard.ingest.kept import KeptKeyframes
from streamguard.ingest.keyframes import PARSE_ONLY, pick_video
from streamguard.ingest.news import Alive, Opened
from streamguard.ingest.options import SourceOptions
from streamguard.types import Fingerprints, Frame, MediaTime
from streamguard.worker.children import Decoder
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.kept_teller import KeptTeller
from streamguard.worker.messages import Ended, Kept, KeptTold, Message
from tests.local_servers import Publisher, RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually
from tests.worker.test_children import heard, running
from tests.worker.works import job

COUNT = 4


class Asked:
    """A worker that asks when told."""

    kept_asked_for = False
    asks_next = False

    def listen(self) -> None:
        self.kept_asked_for, self.asks_next = self.kept_asked_for or self.asks_next, False


class Telling:
    """A teller with some kept keyframes, the first of them from `arrived_s` on, and what it has told."""

    def __init__(self, clip: Path, *, arrived_s: float, kept: KeptKeyframes | None = None) -> None:
        self.kept = KeptKeyframes(1 << 20, for_s=math.inf) if kept is None else kept
        self.asked, self.told = Asked(), []
        self.teller = KeptTeller(self.kept, asked=self.asked, tell=self._tell)
        self.on_told: Callable[[], None] = lambda: None
        with av.open(str(clip), options=PARSE_ONLY) as container:
            video = pick_video(container)
            assert video is not None
            self.kept.opened(video, max_pixels=1 << 20)
            packets = [packet for packet in container.demux(video) if packet.is_keyframe and packet.size]
        for number, packet in enumerate(packets[:COUNT]):
            self.kept.keep(packet, at=MediaTime(1, number * 2_000_000), arrived_s=arrived_s + 2 * number)

    told: list[Message]

    def _tell(self, message: Message) -> None:
        self.told.append(message)
        self.on_told()

    def times_us(self) -> list[int | None]:
        """None: that there is no more."""
        return [message.keyframe.at.pts_us if isinstance(message, Kept) else None for message in self.told]


@pytest.fixture
def telling(clips: Clips) -> Telling:
    return Telling(clips.known, arrived_s=0.0)


def test_nothing_is_told_unasked(telling: Telling) -> None:
    """And nothing decoded."""
    assert not any(telling.teller.work() for _ in range(5))
    assert (telling.told, len(telling.kept)) == ([], COUNT)


def test_one_keyframe_at_a_time_the_newest_first(telling: Telling) -> None:
    """Each is a piece of work; then it is said that there is no more, once for each time that it is asked."""
    telling.asked.asks_next = True
    pieces = [telling.teller.work() for _ in range(COUNT + 3)]
    assert pieces == [True] * COUNT + [False] * 3
    assert telling.times_us() == [6_000_000, 4_000_000, 2_000_000, 0, None]
    telling.asked.asks_next = True
    assert not telling.teller.work()
    assert telling.times_us()[COUNT:] == [None, None]


def test_it_is_told_as_a_look_is(telling: Telling, clips: Clips) -> None:
    """With the fingerprints that looking at it would have made."""
    telling.asked.asks_next = True
    telling.teller.work()
    again = Telling(clips.known, arrived_s=0.0).kept.taken()
    assert isinstance(again, Frame)
    (one,) = telling.told
    assert isinstance(one, Kept)
    assert one.keyframe == fingerprints(again, local=STREAM)
    assert len(one.keyframe.features) > 50


def test_what_is_too_old_is_not_told(clips: Clips) -> None:
    """Nobody remembers it any more."""
    telling = Telling(clips.known, arrived_s=-1e9, kept=KeptKeyframes(1 << 20, for_s=120.0))
    telling.asked.asks_next = True
    assert not telling.teller.work()
    assert telling.told == [KeptTold()]


def test_where_memory_runs_out_the_stream_goes_on(telling: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is given up for it."""

    def taken() -> Frame:
        error = cv2.error("out of memory")
        error.code = cv2.Error.StsNoMem
        raise error

    monkeypatch.setattr(telling.kept, "taken", taken)
    telling.asked.asks_next = True
    assert telling.teller.work()
    assert not telling.teller.work()
    assert telling.told == [KeptTold()]


def test_last_words_are_all_that_is_kept(telling: Telling) -> None:
    """Unasked: the stream is over, and what it has shown may be asked for next."""
    telling.teller.last_words(within_s=60.0)
    assert telling.times_us() == [6_000_000, 4_000_000, 2_000_000, 0]


def test_last_words_have_a_bound(telling: Telling) -> None:
    """Whatever is kept and not told by then is lost: the next connection waits for this one's end."""
    telling.teller.last_words(within_s=0.0)
    assert telling.told == []


FAST = Encoding(fps=10, gop_s=1.0, bit_rate_bps=400_000)
QUIET = Pace(Attention.QUIET, most_s=60.0)


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


@pytest.fixture
def quiet(rtmp_server: RtmpServer, clips: Clips) -> Iterator[tuple[Decoder, Publisher]]:
    """A real decoder of a real stream with a keyframe a second, of which it looks at the first alone."""
    file = clips.film("kept.flv", Scene(61), seconds=4.0, encoding=FAST)
    options = SourceOptions(keep_bytes=1 << 20, keep_s=60.0, unforeseen_pauses=math.inf)
    told = replace(job(rtmp_server.rtmp_url("kept")), options=options)
    with rtmp_server.publish("kept", file) as publisher, ExitStack() as stack:
        decoder = eventually(lambda: _opened(told, stack), what="the stream")
        assert decoder is not None
        yield decoder, publisher


def _opened(told: DecoderJob, stack: ExitStack) -> Decoder | None:
    """None: the publisher is not there yet."""
    decoder = stack.enter_context(running(told))
    assert decoder.steer(QUIET)
    (first,) = heard(decoder, most=1)
    return decoder if isinstance(first, Opened) else None


def _until(decoder: Decoder, enough: Callable[[list[Message]], bool]) -> list[Message]:
    """All that it says until that is enough."""
    said: list[Message] = []
    while not enough(said):
        (message,) = heard(decoder, most=1)
        assert isinstance(message, Message)
        said.append(message)
    return said


def _passed_over(said: list[Message]) -> int:
    return sum(message.passed_over for message in said if isinstance(message, Alive))


def _kept_times_s(said: list[Message]) -> list[float]:
    return [round(message.keyframe.at.pts_us / 1e6) for message in said if isinstance(message, Kept)]


def test_a_decoder_tells_what_it_passed_over(quiet: tuple[Decoder, Publisher]) -> None:
    """Asked while it goes on watching: with the times of when it came, and each once."""
    decoder, _ = quiet
    before = _until(decoder, lambda said: _passed_over(said) >= 3)
    (look,) = (message for message in before if isinstance(message, Fingerprints))
    assert not _kept_times_s(before)
    assert decoder.ask_for_kept()
    told = _until(decoder, lambda said: KeptTold() in said)
    times_s = sorted(_kept_times_s(told))  # one that comes meanwhile is told next, as the newest
    assert times_s == list(range(1, len(times_s) + 1))
    assert len(times_s) >= 3
    keyframes = [message.keyframe for message in told if isinstance(message, Kept)]
    arrivals_s = [keyframe.arrived_s for keyframe in sorted(keyframes, key=lambda keyframe: keyframe.at.pts_us)]
    assert arrivals_s == sorted(arrivals_s)
    assert look.arrived_s < arrivals_s[0] < arrivals_s[-1] - 1.0
    assert all(len(keyframe.prints[0].codes) == 8 for keyframe in keyframes)
    assert decoder.ask_for_kept()
    assert not set(_kept_times_s(_until(decoder, lambda said: KeptTold() in said))) & set(times_s)


def test_a_stream_that_ends_leaves_what_was_passed_over(quiet: tuple[Decoder, Publisher]) -> None:
    """Nobody has asked, and its decoder goes with it: so it is told first."""
    decoder, publisher = quiet
    _until(decoder, lambda said: _passed_over(said) >= 3)
    publisher.kill()
    times_s = _kept_times_s(_until(decoder, lambda said: Ended() in said))
    assert times_s == list(range(len(times_s), 0, -1))
    assert len(times_s) >= 3
