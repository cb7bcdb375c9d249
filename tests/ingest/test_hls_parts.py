"""streamguard.ingest.hls on live streams that are looked at in part: heads, keyframes alone, and back from them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256

import pytest

from streamguard.errors import SourceStalled, SourceUnwatchable
from streamguard.ingest.news import Blind, Damaged, News, Pulled, Way
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.sources import frames
from streamguard.types import Frame
from tests.hls_pages import Live, Ranged, keyframe_spans
from tests.http_server import Answer, Web
from tests.scenes import Clips

QUICK = SourceOptions(blind_after_s=10.0, read_timeout_s=2.0, open_timeout_s=5.0, hls_checked_share=0.0)


class Ladder:
    """A live master playlist with one rendition of segments, and one of their keyframes alone, grown side by side."""

    def __init__(self, web: Web, clips: Clips, *, size: str = "320x240") -> None:
        self.web = web
        self.pages = [Ranged(segment.path.read_bytes()) for segment in clips.segments]
        web.pages |= {f"/{number}.ts": page for number, page in enumerate(self.pages)}
        self.media = Live(web, [f"#EXTINF:2.0,\n{number}.ts" for number in range(10)], path="/media.m3u8")
        self.keyframes = Live(
            web, [self.listed(number) for number in range(10)], path="/keyframes.m3u8", head="#EXT-X-I-FRAMES-ONLY"
        )
        self.url = web.url("/master.m3u8")
        self.offer(f'RESOLUTION={size},URI="keyframes.m3u8"')

    def offer(self, attributes: str) -> None:
        self.web.pages["/master.m3u8"] = (
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1920x1080\nhd.m3u8\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=320x240\nmedia.m3u8\n"
            f"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,{attributes}\n"
        ).encode()

    def listed(self, number: int, *, duration_s: float = 2.0) -> str:
        ((first, end), *_) = keyframe_spans(self.pages[number].body, form="mpegts")
        return f"#EXTINF:{duration_s},\n#EXT-X-BYTERANGE:{end - first}@{first}\n{number}.ts"

    def grow(self) -> None:
        self.media.grow()
        self.keyframes.grow()

    def end(self) -> None:
        self.media.ended = self.keyframes.ended = True


@pytest.fixture
def ladder(web: Web, clips: Clips) -> Ladder:
    return Ladder(web, clips)


def watch(url: str, news: list[News] | None = None, options: SourceOptions = QUICK) -> Iterator[Frame]:
    return frames(url, options, session=3, news=(news if news is not None else []).append)


def ways(news: list[News]) -> list[Way]:
    return [word.way for word in news if isinstance(word, Pulled)]


def looks(ladder: Ladder, *, count: int, news: list[News] | None = None, options: SourceOptions = QUICK) -> list[Frame]:
    """So many looks, the stream going on after each, to its end."""
    stream = watch(ladder.url, news, options)
    seen = []
    for _ in range(count):
        seen.append(next(stream))
        ladder.grow()
    ladder.end()
    return [*seen, *stream]


def pictures(seen: list[Frame]) -> list[str]:
    return [sha256(frame.luma.tobytes()).hexdigest() for frame in seen]


class TestKeyframesAlone:
    def test_used_where_offered(self, ladder: Ladder, web: Web, clips: Clips) -> None:
        """Where keyframes alone are offered only they are fetched, and show what whole segments do, at their times."""
        news: list[News] = []
        seen = looks(ladder, count=3, news=news)
        fetched_bytes = sum(page.sent_bytes for page in ladder.pages)
        assert ways(news) == [Way.I_FRAMES] * 4
        assert web.asked.count("/media.m3u8") == 1
        assert "/hd.m3u8" not in web.asked
        assert fetched_bytes < 0.4 * sum(len(page.body) for page in ladder.pages[:4])
        whole = looks(Ladder(web, clips), count=3, options=replace(QUICK, hls_look_every_s=0.0))
        assert pictures(seen) == pictures(whole)
        assert [frame.at for frame in seen] == [frame.at for frame in whole]

    def test_not_at_0(self, ladder: Ladder) -> None:
        """An operator who wants every segment whole gets that."""
        news: list[News] = []
        looks(ladder, count=2, news=news, options=replace(QUICK, hls_look_every_s=0.0))
        assert ways(news) == [Way.FULL] * 3

    @pytest.mark.parametrize(
        "attributes",
        [
            'RESOLUTION=320x180,URI="keyframes.m3u8"', 'URI="keyframes.m3u8"', "RESOLUTION=320x240",
            'RESOLUTION=320x240,URI="missing.m3u8"', 'RESOLUTION=320x240,URI="media.m3u8"',
            'RESOLUTION=320x240,URI="master.m3u8"', 'RESOLUTION=320x240,URI="0.ts"',
            'RESOLUTION=320x240,URI="http://169.254.169.254/k.m3u8"', 'RESOLUTION=320x240,URI="file:///etc/passwd"',
        ],
    )  # fmt: skip
    def test_offers_of_no_use(self, ladder: Ladder, attributes: str) -> None:
        """One that is too small, missing, no such playlist, or where the guard forbids, costs nothing but itself."""
        ladder.offer(attributes)
        news: list[News] = []
        assert len(looks(ladder, count=1, news=news)) == 2
        assert ways(news) == [Way.HEAD] * 2

    @pytest.mark.parametrize("head", ["#EXT-X-KEY:METHOD=AES-128", "#EXT-X-ENDLIST"])
    def test_lists_of_no_use(self, ladder: Ladder, web: Web, head: str) -> None:
        """One that is encrypted or has ended while the stream goes on is not followed."""
        web.pages["/keyframes.m3u8"] = "\n".join(["#EXTM3U\n#EXT-X-I-FRAMES-ONLY", head, ladder.listed(0)]).encode()
        news: list[News] = []
        assert len(looks(ladder, count=1, news=news)) == 2
        assert ways(news) == [Way.HEAD] * 2

    def test_too_far_apart(self, ladder: Ladder) -> None:
        """Keyframes listed at longer intervals than the operator allows are left for heads, at once or from then on."""
        ladder.keyframes.entries[2] = ladder.listed(2, duration_s=10.0)
        news: list[News] = []
        stream = watch(ladder.url, news)
        for _ in range(3):
            next(stream)
            ladder.grow()
        assert ways(news) == [Way.I_FRAMES, Way.I_FRAMES, Way.HEAD]
        assert Damaged("playlist of keyframes") in news

    def test_without_ranges(self, ladder: Ladder, web: Web) -> None:
        """On a server that knows no ranges the segments' heads are read, from the same one on."""
        for number, page in enumerate(ladder.pages):
            web.pages[f"/{number}.ts"] = _no_ranges(page)
        news: list[News] = []
        assert len(looks(ladder, count=2, news=news)) == 3
        assert ways(news) == [Way.HEAD] * 3

    @pytest.mark.parametrize("how", ["gone", "garbage", "stale"])
    def test_lost_on_the_way(self, ladder: Ladder, web: Web, how: str) -> None:
        """When it goes, or goes stale, while segments go on, these are watched instead, in the same session."""
        news: list[News] = []
        stream = watch(ladder.url, news)
        next(stream)
        if how != "stale":
            web.pages["/keyframes.m3u8"] = b"oops" if how == "garbage" else lambda answer: answer.send(status=404)
        ladder.media.grow()
        frame = next(stream)
        assert ways(news) == [Way.I_FRAMES, Way.HEAD]
        assert frame.at.session == 3
        assert frame.at.pts_us >= 2_000_000

    @pytest.mark.parametrize("duration_s", [2.0, 0.0])
    def test_that_show_nothing(self, ladder: Ladder, web: Web, duration_s: float) -> None:
        """Where what is listed gives no picture, segments are watched instead, before the stream passes for blind."""
        for number in range(1, 10):
            end = sum(keyframe_spans(ladder.pages[number].body, form="mpegts")[0])
            part = f"#EXTINF:{duration_s},\n#EXT-X-BYTERANGE:188@{end // 376 * 188}"
            ladder.keyframes.entries[number] = f"{part}\n{number}.ts"
        page = web.pages["/keyframes.m3u8"]
        assert callable(page)

        def growing(answer: Answer) -> None:
            page(answer)
            ladder.grow()

        web.pages["/keyframes.m3u8"] = growing
        news: list[News] = []
        stream = watch(ladder.url, news)
        frame = next(frame for frame in stream if ways(news)[-1] is Way.HEAD)  # what there is of others comes before
        told = ways(news)
        assert told == [*[Way.I_FRAMES] * (len(told) - 1), Way.HEAD]
        assert 3 <= len(told) <= 5
        assert frame.at.session == 3
        assert Damaged("playlist of keyframes") in news
        assert not [word for word in news if isinstance(word, Blind)]

    def test_nothing_is_looked_at_twice(self, ladder: Ladder, web: Web) -> None:
        """Of the segments that are watched instead the newest one was seen already, and does not count again."""
        news: list[News] = []
        stream = watch(ladder.url, news)
        seen = [next(stream)]
        ladder.grow()
        seen.append(next(stream))
        web.pages["/keyframes.m3u8"] = b"oops"
        page = web.pages["/media.m3u8"]
        assert callable(page)
        before = len(ladder.media.answered)

        def growing(answer: Answer) -> None:
            if len(ladder.media.answered) == before + 2:
                ladder.media.grow()
            page(answer)

        web.pages["/media.m3u8"] = growing
        seen.append(next(stream))
        assert len(set(pictures(seen))) == 3
        assert ways(news) == [Way.I_FRAMES, Way.I_FRAMES, Way.HEAD, Way.HEAD]

    def test_all_stale(self, ladder: Ladder) -> None:
        """A stream that stands still has stalled, also by its segments."""
        stream = watch(ladder.url)
        next(stream)
        with pytest.raises(SourceStalled, match="no new segment for 6 s"):
            next(stream)


class TestHeads:
    def test_live(self, web: Web, clips: Clips, ladder: Ladder) -> None:
        """A live stream's heads show the pictures and times of its whole segments, for a fraction of the bytes."""
        ladder.offer('URI="none"')
        news: list[News] = []
        seen = looks(ladder, count=5, news=news)
        fetched_bytes = sum(page.sent_bytes for page in ladder.pages)
        assert ways(news) == [Way.HEAD] * 6
        assert fetched_bytes < 0.4 * sum(len(page.body) for page in ladder.pages[:6])
        whole = looks(Ladder(web, clips), count=5, options=replace(QUICK, hls_look_every_s=0.0))
        assert pictures(seen) == pictures(whole)
        assert [frame.at for frame in seen] == [frame.at for frame in whole]

    def test_playlists_only_when_changed(self, ladder: Ladder, web: Web) -> None:
        """An unchanged playlist is not sent again."""
        playlist = web.pages["/media.m3u8"]
        assert callable(playlist)

        def grow_after_two(answer: Answer) -> None:
            playlist(answer)
            if ladder.media.answered.count(304) == 2:
                ladder.grow()

        web.pages["/media.m3u8"] = grow_after_two
        stream = watch(ladder.media.url)
        next(stream)
        next(stream)
        assert ladder.media.answered == [200, 304, 304, 200]

    def test_low_latency(self, ladder: Ladder, web: Web) -> None:
        """Of low-latency HLS whole segments are read by their heads; partial ones and hints are not asked for."""
        entry = '#EXT-X-PART:DURATION=0.5,URI="{0}.1.ts",INDEPENDENT=YES\n#EXTINF:2.0,\n{0}.ts'
        hint = '#EXT-X-PART:DURATION=0.5,URI="next.1.ts"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI="next.2.ts"'
        ladder.media.entries = [entry.format(number) + "\n" + hint for number in range(10)]
        ladder.media = Live(
            web, ladder.media.entries, path="/media.m3u8",
            head="#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5",
        )  # fmt: skip
        ladder.offer('URI="none"')
        news: list[News] = []
        assert len(looks(ladder, count=2, news=news)) == 3
        assert ways(news) == [Way.HEAD] * 3
        assert not [path for path in web.asked if path.count(".") > 1]

    def test_discontinuity(self, ladder: Ladder) -> None:
        """Behind a discontinuity a live segment is read whole."""
        ladder.media.entries[1] = "#EXT-X-DISCONTINUITY\n" + ladder.media.entries[1]
        ladder.offer('URI="none"')
        news: list[News] = []
        assert len(looks(ladder, count=2, news=news)) == 3
        assert ways(news) == [Way.HEAD, Way.FULL, Way.HEAD]

    def test_encrypted(self, ladder: Ladder, web: Web) -> None:
        """AES-128 is blind as ever: neither heads nor the keyframes beside them are asked for, nor the key."""
        ladder.media = Live(
            web, ladder.media.entries, path="/media.m3u8",
            head='#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:1/key"',
        )  # fmt: skip
        with pytest.raises(SourceUnwatchable, match=r"encrypted segments .AES-128."):
            next(watch(ladder.url))
        assert not any(page.asked for page in ladder.pages)


def _no_ranges(page: Ranged) -> Callable[[Answer], None]:
    def answer_all(answer: Answer) -> None:
        del answer.headers["Range"]
        page(answer)

    return answer_all
