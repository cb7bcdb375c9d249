import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import av
import pytest

from streamguard.errors import SourceError, SourceRefused, SourceStalled, SourceUnavailable, SourceUnwatchable
from streamguard.ingest.hls import length_s
from streamguard.ingest.news import Alive, Blind, Damaged, News, Opened, Pulled
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.sources import frames
from streamguard.types import Frame
from tests.http_server import Answer, Web
from tests.local_servers import RtmpServer
from tests.scenes import Clips

QUICK = SourceOptions(blind_after_s=10.0, max_segment_bytes=4_000_000, hls_checked_share=0.0)
SHORT = replace(QUICK, open_timeout_s=2.0, read_timeout_s=2.0)
"""For servers that would never end, or never go on."""

FOR_EVER_S = 20.0


class Channel:
    """A live playlist that the test lets go on, segment by segment, as a server does."""

    def __init__(self, web: Web, clips: Clips, *, path: str = "/live.m3u8") -> None:
        self._names = [segment.path.name for segment in clips.segments]
        self.web = web
        self.url = web.url(path)
        self.shown = 1
        self.ended = False
        self.grew_at: list[float] = []
        web.add_folder(clips.segments[0].path.parent)
        web.pages[path] = self._page

    def grow(self) -> None:
        self.shown += 1
        self.grew_at.append(time.monotonic())

    def _page(self, answer: Answer) -> None:
        lines = [f"#EXTINF:2.000,\n{name}" for name in self._names[: self.shown]]
        answer.send("\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:2", *lines, *self._end()]).encode())

    def _end(self) -> list[str]:
        return ["#EXT-X-ENDLIST"] if self.ended else []


@pytest.fixture
def channel(web: Web, clips: Clips) -> Channel:
    return Channel(web, clips)


def watch(url: str, news: list[News] | None = None, options: SourceOptions = QUICK) -> Iterator[Frame]:
    return frames(url, options, session=3, news=(news if news is not None else []).append)


def vod(web: Web, *lines: str, head: str = "", end: str = "#EXT-X-ENDLIST") -> str:
    """A playlist that has ended, of any lines, on the web server."""
    text = "\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:2", head, *lines, end])
    web.pages["/vod.m3u8"] = text.encode()
    return web.url("/vod.m3u8")


def entries(clips: Clips, *, count: int = 3) -> list[str]:
    return [f"#EXTINF:2.0,\n{segment.path.name}" for segment in clips.segments[:count]]


class TestEnded:
    def test_every_keyframe_in_order(self, web: Web, clips: Clips) -> None:
        """An ended playlist is watched from its first segment to its last, then it ends."""
        web.add_folder(clips.segments[0].path.parent)
        news: list[News] = []
        seen = list(watch(vod(web, *entries(clips, count=10)), news))
        assert [frame.at.pts_us for frame in seen] == [second * 1_000_000 for second in range(0, 20, 2)]
        assert {(frame.at.session, frame.luma.shape) for frame in seen} == {(3, (180, 320))}
        assert [word for word in news if not isinstance(word, Pulled)] == [Opened("h264", 320, 180)]

    def test_lowest_good_rendition(self, web: Web, clips: Clips) -> None:
        """Of a master playlist one rendition is fetched, and nothing of the others."""
        web.add_folder(clips.segments[0].path.parent)
        vod(web, *entries(clips))
        web.pages["/master.m3u8"] = (
            b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1920x1080\nhd.m3u8\n"
            b"#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=640x360\nvod.m3u8\n"
        )
        assert len(list(watch(web.url("/master.m3u8")))) == 3
        assert web.asked == ["/master.m3u8", "/vod.m3u8", "/000000.ts", "/000001.ts", "/000002.ts"]

    def test_byte_ranges(self, web: Web, clips: Clips) -> None:
        """Segments that are parts of one file are cut out of it."""
        bodies = [segment.path.read_bytes() for segment in clips.segments[:3]]
        web.pages["/all.ts"] = b"".join(bodies)
        starts = ("@0", "", "")
        lines = [
            f"#EXTINF:2.0,\n#EXT-X-BYTERANGE:{len(body)}{start}\nall.ts"
            for body, start in zip(bodies, starts, strict=True)
        ]
        assert len(list(watch(vod(web, *lines)))) == 3

    def test_fragmented_mp4(self, web: Web, clips: Clips) -> None:
        """An EXT-X-MAP goes before each segment's bytes, and is fetched once."""
        head, fragments = fragmented(clips)
        web.pages |= {"/init.mp4": head} | {f"/{n}.m4s": fragment for n, fragment in enumerate(fragments)}
        lines = ['#EXT-X-MAP:URI="init.mp4"', *(f"#EXTINF:2.0,\n{n}.m4s" for n in range(len(fragments)))]
        seen = list(watch(vod(web, *lines)))
        assert [frame.at.pts_us for frame in seen] == [0, 2_000_000, 4_000_000, 6_000_000, 8_000_000, 10_000_000]
        assert web.asked.count("/init.mp4") == 1

    @pytest.mark.parametrize("told", ["2.0", "61.0", "0.001", "0"])
    def test_segments_that_each_count_from_0(self, web: Web, clips: Clips, told: str) -> None:
        """The playlist says how long they are, as far as they bear it out: an honest one to the letter."""
        web.pages |= {f"/{number}.ts": from_0(segment.path) for number, segment in enumerate(clips.segments[:4])}
        lines = [f"#EXTINF:{told},\n#EXT-X-DISCONTINUITY\n{number}.ts" for number in range(4)]
        times_s = [frame.at.pts_us / 1e6 for frame in watch(vod(web, *lines))]
        steps_s = [later - earlier for earlier, later in pairwise(times_s)]
        least_s, most_s = (2.0, 2.0) if told == "2.0" else (0.9, 6.0)
        assert len(steps_s) == 3
        assert all(least_s <= step_s <= most_s for step_s in steps_s)

    @pytest.mark.parametrize("how", ["missing", "garbage", "cut in the middle", "empty"])
    def test_one_bad_segment(self, web: Web, clips: Clips, how: str) -> None:
        """One segment that cannot be used is passed over, counted, and the others are seen."""
        web.add_folder(clips.segments[0].path.parent)
        good = clips.segments[1].path.read_bytes()
        bad = {"garbage": b"\x13" * 5000, "cut in the middle": good[:900], "empty": b""}.get(how)
        if bad is None:
            del web.pages["/000001.ts"]
        else:
            web.pages["/000001.ts"] = bad
        news: list[News] = []
        seen = list(watch(vod(web, *entries(clips)), news))
        some_of_it = [2_000_000] if how == "cut in the middle" else []
        assert [frame.at.pts_us for frame in seen] == [0, *some_of_it, 4_000_000]
        assert any(isinstance(word, Damaged) for word in news)

    def test_several_bad_segments(self, web: Web, clips: Clips) -> None:
        """Several in a row are an error that says what is the matter."""
        with pytest.raises(SourceUnavailable, match="HTTP 404"):
            list(watch(vod(web, *entries(clips))))
        assert len(web.asked) == 4


class TestLive:
    def test_from_the_newest_on(self, channel: Channel) -> None:
        """A live playlist is watched from its newest segment, and ends with EXT-X-ENDLIST."""
        channel.shown = 5
        stream = watch(channel.url)
        seen = [next(stream)]
        channel.grow()
        seen.append(next(stream))
        channel.ended = True
        seen += stream
        assert len(seen) == 2
        assert [path for path in channel.web.asked if path.endswith(".ts")] == ["/000004.ts", "/000005.ts"]
        assert seen[1].at.pts_us - seen[0].at.pts_us == 2_000_000

    def test_promptly(self, channel: Channel) -> None:
        """A segment is seen soon after it is named, long before the next one, while the stream keeps its beat."""
        stream = watch(channel.url)
        next(stream)
        late = []
        for _ in range(3):
            timer = threading.Timer(1.0, channel.grow)
            timer.start()
            frame = next(stream)
            late.append(frame.arrived_s - channel.grew_at[-1])
        assert sorted(late)[1] < 0.9

    def test_stale_playlist(self, channel: Channel) -> None:
        """A playlist that names nothing new for three segments' time has stalled, however well it is served."""
        news: list[News] = []
        stream = watch(channel.url, news, SHORT)
        first = next(stream)
        with pytest.raises(SourceStalled, match="no new segment for 6 s"):
            next(stream)
        assert 5.5 < time.monotonic() - first.arrived_s < FOR_EVER_S
        assert any(isinstance(word, Alive) for word in news)

    def test_playlist_gone(self, channel: Channel) -> None:
        """A playlist that is taken away is an error after a few tries."""
        stream = watch(channel.url)
        next(stream)
        del channel.web.pages["/live.m3u8"]
        with pytest.raises(SourceUnavailable, match="HTTP 404"):
            next(stream)

    @pytest.mark.parametrize(
        ("status", "body"),
        [(503, b"oops"), (200, b""), (200, b"#EXTM3U\n#EXT-X-TARGETDURATION:"), (200, b"<html>try again</html>")],
    )
    def test_one_failed_poll(self, channel: Channel, *, status: int, body: bytes) -> None:
        """One failure of the playlist is passed over, whether it cannot be had, is not written yet or is none."""
        news: list[News] = []
        stream = watch(channel.url, news)
        next(stream)
        page = channel.web.pages["/live.m3u8"]
        failed = threading.Event()

        def fail_once(answer: Answer) -> None:
            channel.web.pages["/live.m3u8"] = page
            channel.grow()
            failed.set()
            answer.send(body, status=status, headers={"ETag": '"x"'})

        channel.web.pages["/live.m3u8"] = fail_once
        next(stream)
        assert failed.is_set()
        channel.ended = True
        list(stream)
        assert Damaged("playlist") in news

    def test_no_playlist_any_more(self, channel: Channel) -> None:
        """What stays unusable is an error after a few tries, also where the server calls it unchanged."""
        stream = watch(channel.url)
        next(stream)
        asked = len(channel.web.asked)
        channel.web.pages["/live.m3u8"] = lambda answer: answer.send(
            b"gone", status=304 if "If-None-Match" in answer.headers else 200, headers={"ETag": '"x"'}
        )
        with pytest.raises(SourceUnwatchable, match="not an HLS playlist"):
            next(stream)
        assert len(channel.web.asked) == asked + 3


@pytest.mark.parametrize("method", ["AES-128", "SAMPLE-AES"])
def test_encrypted(web: Web, clips: Clips, method: str) -> None:
    """Encrypted segments make the stream blind, and neither they nor their key are asked for."""
    news: list[News] = []
    url = vod(web, f'#EXT-X-KEY:METHOD={method},URI="http://127.0.0.1:1/key"', *entries(clips))
    with pytest.raises(SourceUnwatchable, match=f"encrypted segments .{method}."):
        list(watch(url, news))
    assert news == [Blind(f"encrypted segments ({method})")]
    assert web.asked == ["/vod.m3u8"]


def test_only_audio(web: Web) -> None:
    """A stream without video is blind, not clear."""
    web.pages["/a.aac"] = b"\xff\xf1\x50\x80" + bytes(2000)
    news: list[News] = []
    with pytest.raises(SourceUnwatchable):
        list(watch(vod(web, *["#EXTINF:2.0,\na.aac"] * 3), news))
    assert isinstance(news[-1], Blind)


class TestHostile:
    @pytest.mark.parametrize(
        "line",
        [
            "http://169.254.169.254/latest/meta-data?x=.ts", "http://localhost:1/x.ts", "file:///etc/passwd", "ftp://h/x.ts",
            "concat:/etc/passwd|x.ts", "http://[::ffff:127.0.0.1]:1/x.ts", "http://2130706433/x.ts",
        ],
    )  # fmt: skip
    @pytest.mark.promise(6, "a playlist whose segments lie inside")
    def test_segments_elsewhere(self, web: Web, line: str) -> None:
        """A segment inside the operator's network, or of another kind, is refused and never asked for."""
        with pytest.raises((SourceRefused, SourceUnavailable), match="leads to"):
            list(watch(vod(web, f"#EXTINF:2.0,\n{line}")))
        assert web.asked == ["/vod.m3u8"]

    @pytest.mark.parametrize(
        "line", ['#EXT-X-MAP:URI="http://169.254.169.254/x"', '#EXT-X-MAP:URI="file:///etc/passwd"']
    )
    @pytest.mark.promise(6, "a playlist whose map lies inside")
    def test_maps_elsewhere(self, web: Web, clips: Clips, line: str) -> None:
        """Nor does an EXT-X-MAP lead anywhere else."""
        with pytest.raises(SourceRefused, match="leads to"):
            list(watch(vod(web, line, *entries(clips))))

    @pytest.mark.promise(6, "a playlist redirected to an address inside")
    def test_redirected_inside(self, web: Web, clips: Clips) -> None:
        """Nor does a redirect of a segment."""
        web.pages["/000000.ts"] = lambda answer: answer.redirect("http://169.254.169.254/")
        with pytest.raises(SourceRefused, match="leads to"):
            list(watch(vod(web, *entries(clips))))

    @pytest.mark.promise(6, "a playlist that names itself")
    def test_names_itself(self, web: Web) -> None:
        """A master playlist that names itself costs two requests."""
        web.pages["/a.m3u8"] = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"
        with pytest.raises(SourceUnwatchable, match="leads to another one"):
            list(watch(web.url("/a.m3u8")))
        assert len(web.asked) == 2

    def test_media_playlist_that_names_itself(self, web: Web) -> None:
        """A playlist is no segment."""
        with pytest.raises(SourceUnwatchable, match="neither MPEG-TS nor MP4"):
            list(watch(vod(web, *["#EXTINF:2.0,\nvod.m3u8"] * 50)))
        assert len(web.asked) == 4

    @pytest.mark.promise(6, "a playlist of 2,000 variants")
    def test_many_variants(self, web: Web) -> None:
        """Two thousand renditions cost one request."""
        web.pages["/a.m3u8"] = b"#EXTM3U\n" + b"#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n" * 2000
        with pytest.raises(SourceUnwatchable, match="2000 renditions"):
            list(watch(web.url("/a.m3u8")))
        assert len(web.asked) == 1

    @pytest.mark.parametrize(
        ("page", "problem"),
        [
            (lambda answer: answer.drip(b"HTTP/1.1 200 OK\r\n\r\n#EXTM3U\n"), "not all there in 2 s"),
            (Answer.hang, "no answer in time"),
            (lambda answer: answer.send(b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-1\n"), "out of range"),
            (lambda answer: answer.send(b"\x00\x01" * 5000), "not an HLS playlist"),
        ],
    )
    def test_playlists(self, web: Web, page: Callable[[Answer], None], problem: str) -> None:
        """A playlist that drips, never comes or makes no sense ends in a clear error, soon."""
        web.pages["/a.m3u8"] = page
        started_s = time.monotonic()
        with pytest.raises(SourceError, match=problem):
            list(watch(web.url("/a.m3u8"), options=SHORT))
        assert time.monotonic() - started_s < FOR_EVER_S

    def test_playlist_without_end(self, web: Web) -> None:
        """As much of it is read as a playlist may have, however fast it comes."""
        web.pages["/a.m3u8"] = lambda answer: answer.flood(b"HTTP/1.1 200 OK\r\n\r\n#EXTM3U\n", b"#" * 65_536)
        with pytest.raises(SourceError, match="longer than 4 MiB"):
            list(watch(web.url("/a.m3u8"), options=replace(QUICK, open_timeout_s=60.0, read_timeout_s=60.0)))

    def test_absurd_target_duration(self, channel: Channel) -> None:
        """A stream that claims segments of an hour is looked at as often as it has any."""
        names = ["000000.ts", "000001.ts"]

        def page(answer: Answer) -> None:
            lines = "".join(f"#EXTINF:3600,\n{name}\n" for name in names[: channel.shown])
            answer.send(f"#EXTM3U\n#EXT-X-TARGETDURATION:99999999\n{lines}".encode())

        channel.web.pages["/live.m3u8"] = page
        stream = watch(channel.url)
        next(stream)
        channel.grow()
        assert next(stream).arrived_s - channel.grew_at[0] < 20

    @pytest.mark.promise(4, "a segment without end")
    def test_endless_segment(self, web: Web, clips: Clips) -> None:
        """Of a segment without end as much is seen as may be long."""
        body = clips.segments[0].path.read_bytes()
        web.pages["/000000.ts"] = lambda answer: answer.flood(b"HTTP/1.1 200 OK\r\n\r\n" + body, b"\x47" + bytes(187))
        news: list[News] = []
        assert len(list(watch(vod(web, *entries(clips, count=1)), news))) == 1
        assert Damaged("segment cut short") in news

    @pytest.mark.promise(4, "a segment that drips")
    def test_dripping_segment(self, web: Web, clips: Clips) -> None:
        """What came of a segment that drips is seen, when its time is over."""
        body = clips.segments[0].path.read_bytes()
        web.pages["/000000.ts"] = lambda answer: answer.drip(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        started_s = time.monotonic()
        assert len(list(watch(vod(web, *entries(clips, count=1)), options=SHORT))) == 1
        assert time.monotonic() - started_s < FOR_EVER_S


class TestRealServer:
    def test_nginx(self, rtmp_server: RtmpServer, clips: Clips) -> None:
        """nginx-rtmp's own HLS is watched, and told as stalled when it leaves a stale playlist behind."""
        with rtmp_server.publish("hls", clips.known) as publisher:
            stream = watch(rtmp_server.wait_for_hls("hls"), options=SHORT)
            seen = [next(stream) for _ in range(3)]
            publisher.kill()
            with pytest.raises(SourceStalled):
                list(stream)
        steps = [later.at.pts_us - earlier.at.pts_us for earlier, later in pairwise(seen)]
        assert steps == pytest.approx([2e6, 2e6], abs=50_000)


def test_no_credentials_anywhere(web: Web) -> None:
    """Neither the user nor the token of a URL is in any error, its causes included."""
    web.pages["/a.m3u8"] = b"#EXTM3U\n#EXTINF:2,\nhttp://u:hunter2@nowhere.invalid/x?hunter2\n#EXT-X-ENDLIST"
    url = web.url("/a.m3u8?token=hunter2").replace("://", "://u:hunter2@")
    for options in (QUICK, SourceOptions(open_timeout_s=0.001)):
        with pytest.raises(SourceError) as caught:
            list(watch(url, options=options))
        told: BaseException | None = caught.value
        while told is not None:
            assert "hunter2" not in f"{told!s} {told!r}"
            told = told.__cause__ or told.__context__


def test_closing_is_quick(channel: Channel) -> None:
    """Closing in the middle waits for nobody."""
    stream = watch(channel.url, options=SourceOptions(read_timeout_s=10.0))
    list(islice(stream, 1))
    started_s = time.monotonic()
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert time.monotonic() - started_s < 5


def from_0(path: Path) -> bytes:
    """A segment whose time stamps begin at 0, as if it were all there is."""
    buffer = io.BytesIO()
    options = {"mpegts_copyts": "1"}
    with av.open(str(path)) as source, av.open(buffer, "w", format="mpegts", options=options) as target:
        video = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        first: int | None = None
        for packet in source.demux(video):
            if packet.dts is not None and packet.pts is not None:
                first = packet.dts if first is None else first
                packet.dts, packet.pts = packet.dts - first, packet.pts - first
                packet.stream = copy
                target.mux(packet)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("told_s", "measured_s", "taken_s"),
    [
        (2.0, 1.96, 2.0),
        (6.0, 5.96, 6.0),
        (4.5, 1.96, 4.5),  # the last picture stands still
        (61.0, 2.0, 6.0),
        (0.0, 2.0, 1.0),
        (10.0, 0.0, 10.0),  # one picture
        (10.0, 0.08, 10.0),  # a slide show
        (2.0, 60.0, 30.0),
    ],
)
def test_length(told_s: float, measured_s: float, taken_s: float) -> None:
    """Neither the playlist nor the time stamps alone can hide how fast footage goes on."""
    assert length_s(told_s, measured_s=measured_s) == pytest.approx(taken_s)


def fragmented(clips: Clips) -> tuple[bytes, list[bytes]]:
    """The known clip as fragmented MP4: what comes before the first fragment, and each fragment."""
    buffer = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(str(clips.known)) as source, av.open(buffer, "w", format="mp4", options=options) as target:
        video = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    data = buffer.getvalue()
    starts = [at - 4 for at in range(len(data)) if data[at : at + 4] == b"moof"]
    ends = [*starts[1:], len(data)]
    return data[: starts[0]], [data[start:end] for start, end in zip(starts, ends, strict=True)]
