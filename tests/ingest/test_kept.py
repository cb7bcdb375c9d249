"""streamguard.ingest.kept: encoded keyframes are kept within bounds, and decoded when somebody asks."""

import contextlib
from collections.abc import Iterator
from typing import cast

import av
import numpy as np
import pytest
from av.packet import Packet, PacketSideData
from av.video.stream import VideoStream

from streamguard.ingest import kept as kept_module
from streamguard.ingest.kept import MOST_KEPT, Aside, KeptKeyframes
from streamguard.ingest.keyframes import PARSE_ONLY, KeyframeDecoder, pick_video
from streamguard.types import Frame, Luma, MediaTime
from tests.scenes import Clips

MAX_PIXELS = 1 << 20
MIB = 1 << 20


class Reel:
    """The keyframes of a clip, and what their pictures are."""

    def __init__(self, clips: Clips) -> None:
        self.container = av.open(str(clips.known), options=PARSE_ONLY)
        video = pick_video(self.container)
        assert video is not None
        self.video: VideoStream = video
        self.packets = [packet for packet in self.container.demux(video) if packet.is_keyframe and packet.size]
        decoder = KeyframeDecoder(video, max_pixels=MAX_PIXELS)
        self.pictures: list[Luma] = [luma for packet in self.packets for _, luma, _ in decoder.pictures(packet)]

    def shown_to(self, kept: KeptKeyframes, *, every_s: float = 2.0, count: int = 6) -> None:
        """Over and over, from 100 s of arrivals and 0 of the stream on."""
        kept.opened(self.video, max_pixels=MAX_PIXELS)
        for number in range(count):
            at = MediaTime(7, round(number * every_s * 1e6))
            kept.keep(self.packets[number % len(self.packets)], at=at, arrived_s=100.0 + number * every_s)


@pytest.fixture
def reel(clips: Clips) -> Iterator[Reel]:
    made = Reel(clips)
    yield made
    made.container.close()


def _all(kept: KeptKeyframes) -> list[Frame]:
    frames = []
    while kept:
        frame = kept.taken()
        assert frame is not None
        frames.append(frame)
    return frames


def test_what_was_kept_is_what_looking_would_have_shown(reel: Reel) -> None:
    """Picture by picture, with the times of when it came, the newest first; also when its container has gone."""
    kept = KeptKeyframes(MIB, for_s=120.0)
    reel.shown_to(kept)
    assert kept.size_bytes == sum(packet.size for packet in reel.packets)
    reel.container.close()
    frames = _all(kept)
    assert [(frame.at.session, frame.at.pts_us, frame.arrived_s) for frame in frames] == [
        (7, number * 2_000_000, 100.0 + 2 * number) for number in reversed(range(6))
    ]
    for frame, picture in zip(reversed(frames), reel.pictures, strict=True):
        assert np.array_equal(frame.luma, picture)
    assert (kept.size_bytes, len(kept), kept.taken()) == (0, 0, None)


def test_the_oldest_go_first(reel: Reel) -> None:
    """Where they are more bytes than may be kept; and none is kept where one alone is."""
    sizes = [packet.size for packet in reel.packets]
    kept = KeptKeyframes(sum(sizes[3:]), for_s=120.0)
    reel.shown_to(kept)
    assert [frame.at.pts_us for frame in _all(kept)] == [10_000_000, 8_000_000, 6_000_000]
    for most_bytes in (0, min(sizes) - 1):
        none = KeptKeyframes(most_bytes, for_s=120.0)
        reel.shown_to(none)
        assert (len(none), none.size_bytes) == (0, 0)


def test_what_came_too_long_ago_goes(reel: Reel) -> None:
    """By arrivals, with the next that comes or when somebody asks."""
    kept = KeptKeyframes(MIB, for_s=5.0)
    reel.shown_to(kept)
    assert len(kept) == 3
    kept.forget_older(112.0)
    assert len(kept) == 2
    kept.forget_older(500.0)
    assert (len(kept), kept.size_bytes) == (0, 0)


def test_of_frequent_ones_one_a_second_is_kept(reel: Reel) -> None:
    """By the stream's own time; a clock that went back leaves none out. And there is a most of them, however small."""
    kept = KeptKeyframes(64 * MIB, for_s=1e6)
    reel.shown_to(kept, every_s=0.25, count=41)
    assert len(kept) == 11
    kept.keep(reel.packets[0], at=MediaTime(7, 5), arrived_s=111.0)
    assert len(kept) == 12
    reel.shown_to(kept, count=MOST_KEPT + 50)
    assert len(kept) == MOST_KEPT


def test_headers_count_as_what_they_came_with(reel: Reel) -> None:
    """Each keyframe may bring another; and one that is far too long is not kept, nor what it came with."""
    kept = KeptKeyframes(200_000, for_s=1e6)
    kept.opened(reel.video, max_pixels=MAX_PIXELS)
    for number, size in enumerate([16 << 10] * 30 + [(16 << 10) + 1]):
        packet = cast("Packet[VideoStream]", Packet(b"a" * 1000))
        header = PacketSideData(1, size)  # type: ignore[call-arg]  # as FLV's reader makes it
        memoryview(header)[:] = bytes([number]) * size
        packet.set_sidedata(header)
        kept.keep(packet, at=MediaTime(7, number * 2_000_000), arrived_s=100.0 + number)
    assert len(kept) == 200_000 // ((16 << 10) + 1000)
    assert kept.size_bytes == len(kept) * ((16 << 10) + 1000)


def test_one_that_was_looked_at_after_all_is_not_kept(reel: Reel) -> None:
    """That is the newest, where it is that one."""
    kept = KeptKeyframes(MIB, for_s=120.0)
    reel.shown_to(kept, count=3)
    kept.looked_at(MediaTime(7, 6_000_000))
    assert len(kept) == 3
    kept.looked_at(MediaTime(7, 4_000_000))
    assert [frame.at.pts_us for frame in _all(kept)] == [2_000_000, 0]


def test_a_damaged_one_costs_itself_alone(reel: Reel) -> None:
    """It has no picture; those before and after it have theirs."""
    kept = KeptKeyframes(MIB, for_s=120.0)
    reel.shown_to(kept, count=2)
    bad = cast("Packet[VideoStream]", Packet(b"\x00\x00\x00\x04\x65\xff\xff\xff" * 20))
    bad.is_keyframe = True
    kept.keep(bad, at=MediaTime(7, 4_000_000), arrived_s=104.0)
    kept.keep(reel.packets[2], at=MediaTime(7, 6_000_000), arrived_s=106.0)
    seen = [kept.taken() for _ in range(4)]
    assert [frame and frame.at.pts_us for frame in seen] == [6_000_000, None, 2_000_000, 0]


def test_each_is_decoded_as_it_was_opened(reel: Reel, clips: Clips) -> None:
    """As HLS segments are, each anew: another size in between is no fault."""
    kept = KeptKeyframes(MIB, for_s=120.0)
    reel.shown_to(kept, count=1)
    with contextlib.closing(av.open(str(clips.recoded), options=PARSE_ONLY)) as other:
        video = pick_video(other)
        assert video is not None
        kept.opened(video, max_pixels=MAX_PIXELS)
        kept.keep(next(iter(other.demux(video))), at=MediaTime(7, 2_000_000), arrived_s=102.0)
    kept.opened(reel.video, max_pixels=MAX_PIXELS)
    kept.keep(reel.packets[0], at=MediaTime(7, 4_000_000), arrived_s=104.0)
    assert [frame.luma.shape for frame in _all(kept)] == [(180, 320), (136, 240), (180, 320)]


def test_a_picture_that_is_too_large_is_none(reel: Reel) -> None:
    """The bound of what is looked at holds for it, too."""
    kept = KeptKeyframes(MIB, for_s=120.0)
    kept.opened(reel.video, max_pixels=320 * 180 - 1)
    kept.keep(reel.packets[0], at=MediaTime(7, 0), arrived_s=100.0)
    assert kept.taken() is None


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept_s += seconds


@pytest.mark.parametrize(("pieces", "slept_s"), [(0, 2.0), (3, 1.7), (100, 0.0)])
def test_what_is_to_be_done_is_done_instead_of_sleeping(
    pieces: int, slept_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is over in time, but for one piece of it, however much there is."""
    clock, left = Clock(), [pieces]
    monkeypatch.setattr(kept_module, "time", clock)

    def work() -> bool:
        if not left[0]:
            return False
        left[0] -= 1
        clock.now_s += 0.1
        return True

    Aside(work=work).rest(2.0)
    assert clock.slept_s == pytest.approx(slept_s)
    assert 2.0 <= clock.now_s <= 2.11


def test_a_rest_is_over_when_it_may_be_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet stream's reader is told that it is quiet no more: it has rested for long enough."""
    clock, longest_s = Clock(), [0.8]
    monkeypatch.setattr(kept_module, "time", clock)

    def woken(seconds: float) -> bool:
        assert seconds == pytest.approx(0.8)
        clock.now_s += 0.3
        longest_s[0] = 0.2
        return True

    Aside(wait=woken).rest(2.0, longest_s=lambda: longest_s[0])
    assert clock.now_s == 0.3


def test_a_rest_in_which_nobody_speaks_asks_once() -> None:
    """Each question is a system call, and there are two or three rests a keyframe."""
    asked: list[str] = []

    def work() -> bool:
        asked.append("work")
        return False

    def longest_s() -> float:
        asked.append("longest")
        return 0.8

    Aside(work=work, wait=lambda _: False).rest(2.0, longest_s=longest_s)
    assert asked == ["longest", "work"]


def test_who_asks_in_a_long_rest_does_not_wait_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second at most."""
    clock = Clock()
    done_s: list[float] = []
    monkeypatch.setattr(kept_module, "time", clock)

    def work() -> bool:
        if clock.now_s < 3.2 or done_s:
            return False
        done_s.append(clock.now_s)
        return True

    Aside(work=work).rest(10.0)
    assert 3.2 <= done_s[0] <= 3.7
