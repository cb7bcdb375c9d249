import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st

from streamguard.demo.encode import Encoding
from streamguard.demo.scenes import Scene
from streamguard.ingest.keyframes import (
    PARSE_ONLY,
    KeyframeDecoder,
    Position,
    Spacing,
    Stamps,
    Unseen,
    pick_video,
    video_tracks,
    why_blind,
)
from streamguard.ingest.news import Refusal
from tests.faults.bombs import grows
from tests.scenes import Clips
from tests.tracks import two_tracks

MAX_PIXELS = 1_000_000


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    with av.open(str(path), options=PARSE_ONLY) as container:
        yield container


@pytest.fixture(scope="module", params=["libx264", "libx265", "mpeg2video", "mpeg4"])
def clip(request: pytest.FixtureRequest, clips: Clips) -> Path:
    """6 s of footage with keyframes two seconds apart, in a codec that shows pictures in another order."""
    codec = str(request.param)
    return clips.film(f"keyframes_{codec}.ts", Scene(7), seconds=6.0, encoding=Encoding(codec=codec, bframes=2))


def test_each_keyframe_at_once(clip: Path) -> None:
    """Each keyframe's picture is out before the next packet is read, whatever order the codec shows pictures in."""
    with opened(clip) as container:
        video = pick_video(container)
        assert video is not None
        decoder = KeyframeDecoder(video, max_pixels=MAX_PIXELS)
        stamps = []
        for packet in container.demux(video):
            if packet.is_keyframe and packet.size:
                assert packet.pts is not None
                assert packet.time_base is not None
                ((stamp_s, luma, _),) = decoder.pictures(packet)
                assert luma.shape == (180, 320)
                assert stamp_s == pytest.approx(float(packet.pts * packet.time_base))
                stamps.append(stamp_s or 0.0)
    assert [stamp - stamps[0] for stamp in stamps[:3]] == pytest.approx([0.0, 2.0, 4.0], abs=0.1)


def test_one_thread(clips: Clips) -> None:
    """A decoder starts no threads: a worker has one for each stream."""
    with opened(clips.known) as container:
        video = pick_video(container)
        assert video is not None
        before = _threads()
        decoder = KeyframeDecoder(video, max_pixels=MAX_PIXELS)
        for packet in container.demux(video):
            if packet.is_keyframe and packet.size:
                list(decoder.pictures(packet))
        assert _threads() <= before


def _threads() -> set[str]:
    return {path.name for path in Path("/proc/self/task").iterdir()}


def test_bad_packets_are_counted(clips: Clips) -> None:
    """A packet that cannot be decoded gives nothing; a run of them is hopeless, and one good one ends the run."""
    with opened(clips.known) as container:
        video = pick_video(container)
        assert video is not None
        decoder = KeyframeDecoder(video, max_pixels=MAX_PIXELS)
        good = next(packet for packet in container.demux(video) if packet.is_keyframe)
        bad: Packet[VideoStream] = Packet(b"\x00\x00\x00\x04\x65\xff\xff\xff" * 20)  # type: ignore[assignment]  # of no stream yet
        bad.is_keyframe = True
        for _ in range(4):
            assert list(decoder.pictures(bad)) == []
        assert (decoder.failures, decoder.hopeless) == (4, False)
        assert len(list(decoder.pictures(good))) == 1
        for _ in range(5):
            assert list(decoder.pictures(bad)) == []
        assert decoder.hopeless


def test_larger_than_allowed(clips: Clips) -> None:
    """A picture of more pixels than allowed makes the stream blind, and would not be decoded either."""
    with opened(clips.known) as container:
        video = pick_video(container)
        assert video is not None
        unseen = why_blind(container, video, max_pixels=320 * 180 - 1)
        assert unseen == Unseen("its picture of 320x180 is larger than ingest.max_pixels allows", Refusal.PICTURE)
        assert why_blind(container, video, max_pixels=320 * 180) is None
        decoder = KeyframeDecoder(video, max_pixels=320 * 180 - 1)
        packet = next(packet for packet in container.demux(video) if packet.is_keyframe)
        assert not decoder.too_large
        assert list(decoder.pictures(packet)) == []
        assert not decoder.too_large  # the decoder was not even opened: its size is none


def test_a_picture_that_grows_is_told_by_its_size() -> None:
    """One that is larger than allowed in a stream that began smaller; the next one is looked at all the same."""
    with av.open(io.BytesIO(grows()), "r", format="mpegts", options=PARSE_ONLY) as container:
        video = pick_video(container)
        assert video is not None
        decoder = KeyframeDecoder(video, max_pixels=320 * 180)
        seen = [(len(list(decoder.pictures(one))), decoder.too_large) for one in container.demux(video) if one.size]
    assert seen == [(1, ""), (1, ""), (0, "8192x4320"), (0, "8192x4320")]


def test_a_codec_that_is_not_allowed(clips: Clips) -> None:
    """Makes the stream blind, with the codec's name and that of the option."""
    with opened(clips.known) as container:
        video = pick_video(container)
        unseen = why_blind(container, video, max_pixels=320 * 180, codecs=("vp9", "av1"))
        assert unseen == Unseen("its codec h264 is none of ingest.codecs", Refusal.CODEC)
        assert why_blind(container, video, max_pixels=320 * 180, codecs=("vp9", "h264")) is None


@pytest.mark.parametrize(("default", "watched"), [(None, 0), (1, 1)])
def test_the_track_that_players_show(tmp_path: Path, default: int | None, watched: int) -> None:
    """Of several video tracks the default one is watched, else the first, however large another one is."""
    path = two_tracks(tmp_path / "two.mkv", default=default)
    with opened(path) as container:
        video = pick_video(container)
        assert video is not None
        assert (video.index, len(video_tracks(container))) == (watched, 2)


def test_only_audio() -> None:
    """A file with sound alone has no video to pick, and says so."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 44100
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for _ in range(20):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(io.BytesIO(buffer.getvalue()), "r") as found:
        video = pick_video(found)
        assert video is None
        assert why_blind(found, video, max_pixels=1) == Unseen("only audio")


class TestPosition:
    def test_reordered(self) -> None:
        """Presentation times out of order are no step back."""
        position = Position()
        shown = (0.0, 0.12, 0.04, 0.08, 0.24)
        assert [position.at_s(Stamps(0.04 * number, pts_s)) for number, pts_s in enumerate(shown)] == pytest.approx(
            [0.0, 0.12, 0.12, 0.12, 0.24]
        )

    def test_either_clock(self) -> None:
        """A clock that is squeezed does not hold back the other."""
        assert [Position().at_s(one) for one in (Stamps(None, None),)] == [0.0]
        for names in (("dts_s", "pts_s"), ("pts_s", "dts_s")):
            position = Position()
            seen = [position.at_s(Stamps(**dict(zip(names, (n / 90_000, 2.0 * n), strict=True)))) for n in range(4)]
            assert seen == pytest.approx([0.0, 2.0, 4.0, 6.0])

    def test_joined(self) -> None:
        """Parts that count from 0 again go on."""
        position = Position()
        seen = [position.at_s(Stamps(one, one)) for one in (0.0, 20.0, 40.0, 0.0, 20.0)]
        assert seen == pytest.approx([0.0, 20.0, 40.0, 40.0, 60.0])


class TestSpacing:
    def test_all_intra(self) -> None:
        """Of a stream whose every picture is a keyframe a few a second are looked at."""
        spacing = Spacing(0.2)
        assert sum(spacing.due(number / 50) for number in range(100)) == 10

    def test_bursts(self) -> None:
        """Keyframes that come all at once, seconds apart by the stream's own time, are all looked at."""
        spacing = Spacing(0.2)
        assert all(spacing.due(100 + number / 1000, stamps=Stamps(2.0 * number, None)) for number in range(5))

    def test_squeezed_decoding_times(self) -> None:
        """Keyframes that are decoded at once but shown seconds apart are all looked at, and the other way round."""
        for squeezed in (Stamps(None, 1.0), Stamps(1.0, None)):
            spacing = Spacing(0.2)
            stamps = (Stamps(squeezed.dts_s or 2.0 * number, squeezed.pts_s or 2.0 * number) for number in range(5))
            assert all(spacing.due(100.0, stamps=one) for one in stamps)

    def test_clock_goes_back(self) -> None:
        """A clock that goes back makes the next one due."""
        spacing = Spacing(0.2)
        assert [spacing.due(at_s) for at_s in (10.0, 10.1, 3.0, 3.1, 3.3)] == [True, False, True, False, True]

    @given(st.lists(st.floats(0, 100), max_size=50).map(sorted))
    def test_never_denser(self, times: list[float]) -> None:
        """On a clock that goes forward, two looks are never closer than the spacing, and the first is always taken."""
        spacing = Spacing(0.5)
        due = [at_s for at_s in times if spacing.due(at_s)]
        assert all(later - earlier >= 0.5 for earlier, later in pairwise(due))
        assert not times or due[0] == times[0]
