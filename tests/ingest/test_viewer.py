import contextlib
import io
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from streamguard.core.sampling import Attention, Pace
from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.errors import SourceExcessive, SourceUnavailable, SourceUnwatchable
from streamguard.ingest.kept import Aside, KeptKeyframes
from streamguard.ingest.keyframes import PARSE_ONLY
from streamguard.ingest.news import Alive, Blind, Damaged, News, Opened
from streamguard.ingest.options import SourceOptions, every_keyframe
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame
from tests.faults.bombs import grows
from tests.scenes import Clips
from tests.tracks import two_tracks

_FLV_HEAD_BYTES = 13
OPTIONS = SourceOptions(blind_after_s=30.0, unforeseen_pauses=math.inf)


class Screening:
    """A viewer in front of the known clip, with a clock that the test sets."""

    def __init__(self, path: Path, *, live: bool) -> None:
        self.news: list[News] = []
        self.wall_s = 0.0
        self.viewer = Viewer("cam", OPTIONS, session=7, tell=self.news.append, live=live, clock_s=lambda: self.wall_s)
        self.container = av.open(str(path), options=PARSE_ONLY)
        video = self.viewer.open(self.container, position_s=100.0)
        packets = list(self.container.demux(video))
        self.key = next(packet for packet in packets if packet.is_keyframe)
        self.other = next(packet for packet in packets if packet.size and not packet.is_keyframe)
        self.news.clear()
        self.frames: list[Frame] = []

    def show(self, packet: "Packet[VideoStream]", *, at_s: float) -> int:
        """How many frames it gave."""
        return len(list(self.viewer.frames(packet, arrived_s=at_s, position_s=at_s)))

    def stamped(self, packet: "Packet[VideoStream]", *, at_s: float, arrived_s: float | None = None) -> int:
        """The same, with stamps of its own."""
        time_base = packet.time_base or self.key.time_base
        assert time_base is not None
        packet.time_base = time_base
        packet.pts = packet.dts = round(at_s / time_base)
        arrived_s = at_s if arrived_s is None else arrived_s
        frames = list(self.viewer.frames(_copy(packet), arrived_s=arrived_s, position_s=arrived_s))
        self.frames += frames
        return len(frames)

    def close(self) -> None:
        self.container.close()


@pytest.fixture
def live(clips: Clips) -> Iterator[Screening]:
    screening = Screening(clips.known, live=True)
    yield screening
    screening.close()


@pytest.fixture
def recorded(clips: Clips) -> Iterator[Screening]:
    screening = Screening(clips.known, live=False)
    yield screening
    screening.close()


def _copy(packet: "Packet[VideoStream]", data: bytes | None = None) -> "Packet[VideoStream]":
    """Another one, as each is that is read."""
    copy: Packet[VideoStream] = Packet(bytes(packet) if data is None else data)  # type: ignore[assignment]
    copy.pts, copy.dts, copy.time_base, copy.is_keyframe = packet.pts, packet.dts, packet.time_base, packet.is_keyframe
    return copy


def bad_keyframe() -> "Packet[VideoStream]":
    packet: Packet[VideoStream] = Packet(b"\x00\x00\x00\x04\x65\xff\xff\xff" * 20)  # type: ignore[assignment]
    packet.is_keyframe = True
    return packet


def test_alive_every_few_seconds(live: Screening) -> None:
    """While packets come and no keyframe does, that is told every 2.5 s, with their number: less often than keyframes
    come as a rule.
    """
    for number in range(150):
        assert live.show(live.other, at_s=100 + number / 20) == 0
    assert live.news == [Alive(51), Alive(50)]


def test_keyframe(live: Screening) -> None:
    """A keyframe gives its frame, with the session and the time that its packet was in."""
    (frame,) = live.viewer.frames(live.key, arrived_s=123.5, position_s=123.5)
    assert (frame.at.session, frame.at.pts_us, frame.arrived_s, frame.luma.shape) == (7, 0, 123.5, (180, 320))


def test_blind_once(live: Screening) -> None:
    """After half a minute without a keyframe the stream is blind; that is told once, and ends with the next frame."""
    for at_s in range(100, 140):
        live.show(live.other, at_s=at_s)
    assert [word for word in live.news if isinstance(word, Blind)] == [Blind("no keyframe for 30 s")]
    assert live.show(live.key, at_s=140) == 1
    live.news.clear()
    for at_s in range(141, 175):
        live.show(live.other, at_s=at_s)
    assert Blind("no keyframe for 30 s") in live.news


def test_gives_up(live: Screening) -> None:
    """After a minute it has to be opened anew: a codec that changed is not seen otherwise."""
    live.show(live.other, at_s=100)
    with pytest.raises(SourceUnwatchable, match="watch cam: no keyframe for 60 s"):
        live.show(live.other, at_s=160)


def test_undecodable_keyframes(live: Screening) -> None:
    """Keyframes that cannot be decoded are told as such, and five in a row end the connection."""
    for at_s in (100, 102, 104, 106):
        live.show(bad_keyframe(), at_s=at_s)
    assert Damaged("keyframe", 3) in live.news
    with pytest.raises(SourceUnwatchable, match="5 keyframes in a row cannot be decoded"):
        live.show(bad_keyframe(), at_s=108)


def test_bad_keyframes_for_a_moment_end_nothing(live: Screening) -> None:
    """Five of them between any two good ones would end each connection, and all evidence with it, after one look."""
    for at_s in range(100, 160, 2):
        assert live.stamped(live.key, at_s=at_s) == 1
        for number in range(1, 7):
            assert live.stamped(bad_keyframe(), at_s=at_s + number / 4) == 0
    assert live.viewer.pictures == 30
    for number in range(7, 32):
        assert live.stamped(bad_keyframe(), at_s=158 + number / 4) == 0
    with pytest.raises(SourceUnwatchable, match="keyframes in a row cannot be decoded"):
        live.stamped(bad_keyframe(), at_s=166)


@pytest.mark.parametrize(("live", "seen"), [(True, 6), (False, 8)])
def test_pictures_that_are_too_large_now_and_then(*, live: bool, seen: int) -> None:
    """One that can be seen among them does not make a live stream one that is watched: it is at a limit. A file goes on
    to its end.
    """
    viewer = Viewer("cam", replace(OPTIONS, max_pixels=320 * 180), session=1, tell=lambda _: None, live=live)
    looked = 0
    with contextlib.suppress(SourceExcessive):
        for number in range(4):
            with av.open(io.BytesIO(grows()), "r", format="mpegts", options=PARSE_ONLY) as container:
                video = viewer.open(container, position_s=100.0)
                for at, packet in enumerate(container.demux(video)):
                    at_s = 100.0 + 4 * number + at
                    looked += len(list(viewer.frames(packet, arrived_s=at_s, position_s=at_s)))
    assert looked == seen


def test_damaged_keyframes_among_others_are_looked_at(live: Screening) -> None:
    """Players show what there is of one, so that damage at its end hides no footage; but it is no whole picture, and
    where nothing else was seen it is nothing.
    """
    data = bytearray(bytes(live.key))
    data[-len(data) // 50 :] = bytes(byte ^ 0x5A for byte in data[-len(data) // 50 :])
    hurt = _copy(live.key, bytes(data))
    assert live.stamped(hurt, at_s=98.0) == 0
    assert live.stamped(live.key, at_s=100.0) == 1
    whole = live.frames[-1].luma.astype(int)
    for at_s in (102.0, 104.0, 106.0, 108.0):
        assert live.stamped(hurt, at_s=at_s) == 1
        assert np.mean(np.abs(live.frames[-1].luma.astype(int) - whole) > 8) < 0.2
    assert live.viewer.pictures == 1
    with pytest.raises(SourceUnwatchable, match="5 keyframes in a row cannot be decoded"):
        live.stamped(hurt, at_s=110.0)


def test_blind_says_which(live: Screening) -> None:
    """Blind because of keyframes that cannot be decoded is another reason than blind without any."""
    live.show(bad_keyframe(), at_s=100)
    live.show(live.other, at_s=131)
    assert Blind("no keyframe could be decoded for 30 s") in live.news


def _quiet() -> Pace:
    return Pace(Attention.QUIET, most_s=8.0, kill_s=9.5, further=1, apart_s=1.6)


def test_a_quiet_stream_is_looked_at_now_and_then(live: Screening) -> None:
    """Of keyframes every 2 s one in three is decoded; the others are counted and told, and the stream is not blind."""
    live.viewer.pace = _quiet
    looked = []
    for at_s in range(100, 200):
        live.key.pts = live.key.dts = round(at_s / live.key.time_base)
        if live.show(live.other if at_s % 2 else live.key, at_s=at_s):
            looked.append(at_s)
    assert {later - earlier for earlier, later in pairwise(looked[1:])} == {6}
    assert sum(word.passed_over for word in live.news if isinstance(word, Alive)) == 50 - len(looked)
    assert not any(isinstance(word, Blind) for word in live.news)


def test_the_pace_is_asked_for_before_each_keyframe(live: Screening) -> None:
    """What became suspect is looked at with the next keyframe."""
    live.viewer.pace = _quiet
    shown = [live.show(live.key, at_s=at_s) for at_s in range(100, 110)]
    assert not all(shown)
    live.viewer.pace = every_keyframe
    assert all(live.show(live.key, at_s=at_s) for at_s in range(110, 115))


def test_a_quiet_stream_that_breaks_is_still_found_out(live: Screening) -> None:
    """Once a keyframe that was due cannot be decoded, each is tried, and after five the connection ends."""
    live.viewer.pace = _quiet
    for at_s in range(100, 110, 2):
        live.show(live.key, at_s=at_s)
    for at_s in range(110, 126, 2):
        if Damaged("keyframe") in live.news:
            break
        live.show(bad_keyframe(), at_s=at_s)
        live.show(live.other, at_s=at_s + 1)
    assert Damaged("keyframe") in live.news
    for at_s in (126, 128, 130):
        live.show(bad_keyframe(), at_s=at_s)
    with pytest.raises(SourceUnwatchable, match="5 keyframes in a row cannot be decoded"):
        live.show(bad_keyframe(), at_s=132)


def test_a_quiet_stream_without_keyframes_is_blind_and_then_looked_at(live: Screening) -> None:
    """After 30 s it is blind as any other, and the keyframe that comes at last is looked at."""
    live.viewer.pace = _quiet
    for at_s in range(100, 110, 2):
        live.show(live.key, at_s=at_s)
    for at_s in range(110, 150):
        live.show(live.other, at_s=at_s)
    assert [word for word in live.news if isinstance(word, Blind)] == [Blind("no keyframe for 30 s")]
    assert live.show(live.key, at_s=150) == 1


def test_what_was_seen_already_is_not_looked_at_again(live: Screening) -> None:
    """Where a reader goes back a keyframe comes twice, and is one: but only at once, whatever its stamps say later."""
    assert live.show(live.key, at_s=100.0) == 1
    live.viewer.goes_back()
    assert [live.show(live.key, at_s=at_s) for at_s in (110.0, 110.0, 111.0, 112.0)] == [0, 0, 1, 1]
    assert live.viewer.keyframes == 5
    live.viewer.goes_back()
    assert live.show(bad_keyframe(), at_s=120.0) == 0
    assert live.show(live.key, at_s=120.0) == 1, "something new came before it"


def test_all_of_a_recording_is_looked_at(recorded: Screening) -> None:
    """Whatever the pace: nobody waits for it."""
    recorded.viewer.pace = _quiet
    assert all(recorded.show(recorded.key, at_s=at_s) for at_s in range(100, 120, 2))


def test_recording(recorded: Screening) -> None:
    """A file is read as fast as it can be, and what could not be seen of it is told."""
    for at_s in range(100, 200):
        recorded.show(recorded.other, at_s=at_s)
    assert recorded.news == [Blind("no keyframe for 30 s")]


def test_slow_recording(recorded: Screening) -> None:
    """A file that takes long to read is alive every few seconds of the reader's time, not of its own."""
    for number in range(150):
        recorded.wall_s = number / 20
        recorded.show(recorded.other, at_s=100 + number / 1000)
    assert recorded.news == [Alive(51), Alive(50)]


def test_another_track(live: Screening, tmp_path: Path) -> None:
    """That a live stream has a video track which nobody watches is told once."""
    for _ in range(3):
        with av.open(str(two_tracks(tmp_path / "two.ts"))) as container:
            live.viewer.open(container, position_s=100)
    assert [word for word in live.news if isinstance(word, Damaged)] == [Damaged("video track not watched", 1)]


def test_too_many_looks(live: Screening) -> None:
    """Time stamps that make every picture worth a look end the connection before they cost more than is honest."""
    assert sum(live.stamped(live.key, at_s=float(number), arrived_s=100.0) for number in range(600)) == 600
    with pytest.raises(SourceExcessive, match="over 600 keyframes at once, or 10 a second"):
        live.stamped(live.key, at_s=600.0, arrived_s=100.0)


@pytest.mark.parametrize(("looks_a_s", "lasts_s"), [(8, 120), (25, 41)])
def test_too_many_looks_in_the_long_run(live: Screening, looks_a_s: int, lasts_s: int) -> None:
    """Nor may they cost a little too much for ever."""
    looks = 0
    with contextlib.suppress(SourceExcessive):
        for number in range(120 * looks_a_s):
            looks += live.stamped(live.key, at_s=float(number), arrived_s=100.0 + number / looks_a_s)
    assert round(looks / looks_a_s) == pytest.approx(lasts_s, abs=1)


def test_end_without_a_picture(live: Screening, recorded: Screening) -> None:
    """A source that ended before anything was seen is never a plain end."""
    with pytest.raises(SourceUnavailable, match="ended before the first picture"):
        live.viewer.ended()
    with pytest.raises(SourceUnwatchable, match="no keyframe in it can be decoded"):
        recorded.viewer.ended()
    recorded.show(recorded.key, at_s=100)
    recorded.viewer.ended()


def test_opened_again(live: Screening, clips: Clips) -> None:
    """What is opened anew, as each HLS segment is, is told only when it is another."""
    for path, told in ((clips.known, []), (clips.recoded, [Opened("h264", 240, 136)])):
        with av.open(str(path)) as container:
            live.viewer.open(container, position_s=100)
        assert [word for word in live.news if isinstance(word, Opened)] in ([], told)
    assert Opened("h264", 240, 136) in live.news


def test_no_size_yet(clips: Clips, tmp_path: Path) -> None:
    """A stream whose publisher left before the first packet is not told as opened: its size is not known."""
    whole = tmp_path / "whole.flv"
    with av.open(str(clips.known)) as source, av.open(str(whole), "w") as target:
        out = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = out
                target.mux(packet)
    flv = whole.read_bytes()
    end = 13
    for _ in ("metadata", "decoder configuration"):
        end += 11 + int.from_bytes(flv[end + 1 : end + 4]) + 4
    (tmp_path / "head.flv").write_bytes(flv[:end])
    news: list[News] = []
    viewer = Viewer("cam", OPTIONS, session=7, tell=news.append, live=True)
    with av.open(str(tmp_path / "head.flv"), options=PARSE_ONLY) as container:
        viewer.open(container, position_s=100.0)
    assert news == []


@pytest.mark.parametrize("behind_s", [0.04, 0.19])
def test_a_keyframe_close_behind_another_is_looked_at_where_it_is_shown_for_longer(
    live: Screening, behind_s: float
) -> None:
    """Something harmless for an instant before each keyframe of footage hides none of it."""
    for at_s in (100.0, 102.0, 104.0):
        assert live.stamped(live.key, at_s=at_s) == 1
        assert live.stamped(live.key, at_s=at_s + behind_s) == 0
        assert live.stamped(live.other, at_s=at_s + 0.2) == 0
        assert live.stamped(live.other, at_s=at_s + behind_s + 0.2) == 1
        assert live.stamped(live.other, at_s=at_s + 1.0) == 0


def test_a_stream_of_keyframes_is_looked_at_no_more_often(live: Screening) -> None:
    """Where each is soon followed by another, those in between are left out; but for the last."""
    assert sum(live.stamped(live.key, at_s=100 + number / 16) for number in range(100)) == 25
    assert len(list(live.viewer.last_frames())) == 1, "it may be shown for long"
    assert not list(live.viewer.last_frames())


def test_a_burst_is_told_by_its_stamps(live: Screening) -> None:
    """Two keyframes that come at once with the next, and are seconds apart: the second is looked at before that."""
    assert live.stamped(live.key, at_s=100.0, arrived_s=100.0) == 1
    assert live.stamped(live.key, at_s=100.04, arrived_s=100.01) == 0
    assert live.stamped(live.key, at_s=102.0, arrived_s=100.02) == 2


def test_what_was_passed_over_is_looked_at_where_nothing_follows_in_time(live: Screening) -> None:
    """Keyframes that suddenly stay away leave the last one on the screen: it is looked at as soon as one would have
    been that comes as they did, and no lag is told of it.
    """
    live.viewer.pace = _quiet
    looked = [at_s for at_s in range(100, 152) if live.stamped(live.other if at_s % 2 else live.key, at_s=at_s)]
    assert looked[-2:] == [142, 148]
    live.stamped(live.key, at_s=152)
    assert [at_s for at_s in range(153, 180) if live.stamped(live.other, at_s=at_s)] == [156]
    frame = live.frames[-1]
    assert frame.at.pts_us / 1e6 == pytest.approx(52.0)
    assert frame.arrived_s == 156


def test_a_look_that_nobody_foresaw_is_at_what_is_shown(live: Screening, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only at keyframes as they come: one that comes an instant behind a harmless one is as likely as its time on
    the screen is long.
    """
    monkeypatch.setattr(random, "expovariate", lambda _: 0.4)
    viewer = Viewer("cam", replace(OPTIONS, unforeseen_pauses=1.0), session=1, tell=live.news.append, live=True)
    viewer.open(live.container, position_s=100.0)
    viewer.pace = _quiet
    live.viewer = viewer
    assert live.stamped(live.key, at_s=100.0) == 1
    assert live.stamped(live.key, at_s=102.0) == 0
    assert [at_s for at_s in (102.5, 103.0, 103.5) if live.stamped(live.other, at_s=at_s)] == [103.0]


def test_what_was_passed_over_is_kept(live: Screening) -> None:
    """With the times that it would have had; what was looked at after all is not."""
    live.viewer.pace = _quiet
    kept = KeptKeyframes(1 << 20, for_s=120.0)
    live.viewer.aside = Aside(kept)
    live.viewer.open(live.container, position_s=100.0)
    looked = [at_s for at_s in range(100, 152) if live.stamped(live.other if at_s % 2 else live.key, at_s=at_s)]
    live.stamped(live.key, at_s=152)
    passed = [at_s for at_s in range(100, 153, 2) if at_s not in looked]
    assert len(kept) == len(passed)
    assert live.stamped(live.other, at_s=157) == 1, "the one of 152, for none has followed"
    frames = [kept.taken() for _ in passed[1:]]
    assert [frame and frame.at.pts_us / 1e6 for frame in frames] == [at_s - 100 for at_s in reversed(passed[:-1])]
    assert len(kept) == 0


def _turned(folder: Path) -> Path:
    """An FLV stream that turns into a smaller one after 6 s, as where a publisher comes back to the same name."""
    films = {height_px: film(Scene(1), seconds=6, fps=5, size_px=(320, height_px)) for height_px in (180, 160)}
    files = [write_video(folder / f"{height_px}.flv", one, Encoding(fps=5)) for height_px, one in films.items()]
    (folder / "turned.flv").write_bytes(files[0].read_bytes() + files[1].read_bytes()[_FLV_HEAD_BYTES:])
    return folder / "turned.flv"


@pytest.mark.parametrize("beside", ["what is passed over", "no keyframe"])
def test_what_is_told_of_a_codec_beside_what_is_not_looked_at_is_heard(tmp_path: Path, beside: str) -> None:
    """Players hear it; without it each later keyframe is lost, or garbage, and what is kept of them as well."""
    with contextlib.closing(Screening(_turned(tmp_path), live=True)) as screening:
        kept = KeptKeyframes(1 << 20, for_s=120.0)
        screening.viewer.aside = Aside(kept)
        container = screening.container = av.open(str(tmp_path / "turned.flv"), options=PARSE_ONLY)
        video = screening.viewer.open(container, position_s=100.0)
        packets = [packet for packet in container.demux(video) if packet.size]
        keys = [packet for packet in packets if packet.is_keyframe]
        assert [packet for packet in packets[1:] if packet.has_sidedata("new_extradata")] == [keys[3]]
        screening.viewer.pace = _quiet
        shown = [keys[0], keys[1], keys[3]]
        if beside == "no keyframe":
            other = next(packet for packet in packets if not packet.is_keyframe)
            other.set_sidedata(keys[3].get_sidedata("new_extradata"))
            shown[2] = other
        for number, packet in enumerate([*shown, keys[4], keys[5]]):
            at_s = 100.0 + 2 * number
            packet.pts = packet.dts = round(at_s / packet.time_base)
            screening.frames += screening.viewer.frames(packet, arrived_s=at_s, position_s=at_s)
        looked = {frame.at.pts_us / 1e6: frame.luma.shape[0] for frame in screening.frames}
        found = [kept.taken() for _ in range(len(kept))]
        passed = {frame.at.pts_us / 1e6: frame.luma.shape[0] for frame in found if frame is not None}
        assert len(passed) == len(found)
        assert (looked[0.0], passed[2.0], looked[6.0]) == (180, 180, 160)
        assert {height_px for at_s, height_px in (looked | passed).items() if at_s >= 4} == {160}
