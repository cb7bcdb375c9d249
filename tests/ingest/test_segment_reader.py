"""streamguard.ingest.segment_reader, against a real server on loopback."""

import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from streamguard.errors import SourceError, SourceExcessive, SourceNotInParts, SourceUnavailable, SourceUnwatchable
from streamguard.ingest.fetch import ByteRange
from streamguard.ingest.looks import Looks
from streamguard.ingest.news import Damaged, Pulled, Way
from streamguard.ingest.playlist import MediaSegment, Part
from tests.faults.bombs import grows
from tests.hls_pages import Ranged, keyframe_spans, one_fragment
from tests.http_server import Answer, Web
from tests.ingest.eyes import OPTIONS, QUIET, Eye, segments, whole
from tests.scenes import Clips

INIT = Part("init.mp4")


@pytest.fixture
def ts(web: Web, clips: Clips) -> list[Ranged]:
    """Ten segments of one keyframe each, /0.ts and so on."""
    pages = [Ranged(segment.path.read_bytes()) for segment in clips.segments]
    web.pages |= {f"/{number}.ts": page for number, page in enumerate(pages)}
    return pages


def test_one_keyframe_each(web: Web, ts: list[Ranged]) -> None:
    """Heads show what full reading shows, picture by picture, for a fraction of the bytes."""
    expected = whole(web, *segments(10))
    full_bytes = sum(page.sent_bytes for page in ts)
    eye = Eye(web)
    assert eye.seen(*segments(10)) == expected
    assert len(expected) == 10
    assert eye.ways == [Way.HEAD] * 10
    assert sum(page.sent_bytes for page in ts) - full_bytes < 0.4 * full_bytes


def test_what_is_told(web: Web, ts: list[Ranged]) -> None:
    """Each segment is told with its way, and all bytes that came are counted."""
    eye = Eye(web)
    eye.seen(*segments(3))
    assert sum(word.fetched_bytes for word in eye.news if isinstance(word, Pulled)) == sum(p.sent_bytes for p in ts)


def test_learns_how_much(web: Web, ts: list[Ranged]) -> None:
    """What keyframes took is asked for next, the least first: few bytes too much, and two or three requests."""
    Eye(web).seen(*segments(10))
    ends = [keyframe_spans(page.body, form="mpegts")[0][1] for page in ts]
    assert sum(len(page.asked) for page in ts) <= 30
    assert sum(page.sent_bytes for page in ts[1:]) <= 1.2 * sum(ends[1:])


def test_several_keyframes(web: Web, clips: Clips) -> None:
    """No keyframe of long MPEG-TS segments is left out, unless the operator says how far looks may lie apart."""
    bodies = [page.path.read_bytes() for page in clips.segments]
    web.pages |= {f"/{n}.ts": Ranged(b"".join(bodies[3 * n : 3 * n + 3])) for n in range(3)}
    long = segments(3, duration_s=6.0)
    eye = Eye(web)
    assert eye.seen(*long) == whole(web, *long)
    assert (len(whole(web, *long)), eye.ways) == (9, [Way.FULL] * 3)
    eye = Eye(web, looks=Looks(6.0))
    assert eye.seen(*long) == whole(web, *long)[::3]
    assert eye.ways == [Way.HEAD] * 3


def test_long_segments_of_one_keyframe(web: Web, ts: list[Ranged]) -> None:
    """A first segment that is read whole and has one keyframe makes the next ones be read by their heads."""
    eye = Eye(web)
    assert len(eye.seen(*segments(5, duration_s=6.0))) == 5
    assert eye.ways == [Way.FULL, *[Way.HEAD] * 4]
    assert ts[0].sent_bytes == len(ts[0].body)


def test_mp4(web: Web, clips: Clips) -> None:
    """Of long MP4 segments all keyframes are read, without what is between them; the map is fetched once."""
    init, body = one_fragment(clips.known, seconds=6.0)
    web.pages["/init.mp4"] = first = Ranged(init)
    web.pages["/0.m4s"] = page = Ranged(body)
    one = replace(segments(1, name="{}.m4s", duration_s=6.0)[0], init=INIT)
    eye = Eye(web)
    assert eye.seen(one, one) == whole(web, one) * 2
    assert eye.ways == [Way.HEAD] * 2
    assert page.sent_bytes - len(body) < len(body)
    assert len(first.asked) == 2


@pytest.mark.parametrize("duration_s", [2.0, 6.0])
def test_keyframe_in_the_map(web: Web, clips: Clips, duration_s: float) -> None:
    """Where the EXT-X-MAP holds a keyframe, every segment is asked for, and shows what full reading does."""
    init, fragment = one_fragment(clips.known, seconds=1.0)
    web.pages["/init.mp4"] = Ranged(init + fragment)
    pages = [Ranged(one_fragment(clips.known, seconds=2.0 * n)[1]) for n in (1, 2, 3, 4)]
    web.pages |= {f"/{n}.m4s": page for n, page in enumerate(pages)}
    ones = [replace(one, init=INIT) for one in segments(4, name="{}.m4s", duration_s=duration_s)]
    expected = whole(web, *ones)
    before = [len(page.asked) for page in pages]
    assert Eye(web).seen(*ones) == expected
    assert all(len(page.asked) > count for page, count in zip(pages, before, strict=True))


def test_a_keyframe_without_end(web: Web, clips: Clips) -> None:
    """A segment that claims a keyframe of 128 MiB makes no later one pass for cut short."""
    init, body = one_fragment(clips.known, seconds=6.0)
    web.pages["/init.mp4"] = Ranged(init)
    size_at = body.index(b"trun") + 16
    web.pages["/0.m4s"] = Ranged(body[:size_at] + (1 << 27).to_bytes(4) + body[size_at + 4 :])
    web.pages["/1.m4s"] = Ranged(body)
    hostile, honest = (replace(one, init=INIT) for one in segments(2, name="{}.m4s"))
    eye = Eye(web)
    assert eye.seen(hostile, honest)[-3:] == whole(web, honest)
    assert Damaged("segment cut short") not in eye.news


def test_a_limit_below_the_first_guess(web: Web, ts: list[Ranged]) -> None:
    """A segment that is shorter than the limit is whole, also where the limit is less than what is asked for first."""
    ts[0].body = ts[0].body[: keyframe_spans(ts[0].body, form="mpegts")[0][1] + 188]
    eye = Eye(web, options=replace(OPTIONS, max_segment_bytes=len(ts[0].body) + 1))
    assert len(eye.seen(*segments(1))) == 1
    assert not [word for word in eye.news if isinstance(word, Damaged)]


def test_within_a_resource(web: Web, ts: list[Ranged]) -> None:
    """Of segments that are parts of one file parts of those parts are asked for, and never more."""
    bodies = [page.body for page in ts[:3]]
    web.pages["/all.ts"] = page = Ranged(b"".join(bodies))
    starts = [sum(map(len, bodies[:n])) for n in range(3)]
    ones = [
        MediaSegment(n, 2.0, Part("all.ts", ByteRange(start, len(body))))
        for n, (start, body) in enumerate(zip(starts, bodies, strict=True))
    ]
    eye = Eye(web)
    assert eye.seen(*ones) == whole(web, *ones)
    assert eye.ways == [Way.HEAD] * 3
    within = [(start, start + len(body)) for start, body in zip(starts, bodies, strict=True)]
    assert all(any(start <= first and end <= stop for start, stop in within) for first, end in page.asked)


def no_ranges(page: Ranged) -> Callable[[Answer], None]:
    def answer_all(answer: Answer) -> None:
        del answer.headers["Range"]
        page(answer)

    return answer_all


def refusing(page: Ranged) -> Callable[[Answer], None]:
    return lambda answer: answer.send(status=501) if "Range" in answer.headers else page(answer)


def another_part(page: Ranged) -> Callable[[Answer], None]:
    """A server that always sends the same part, whatever is asked for."""

    def answer_same(answer: Answer) -> None:
        if "Range" in answer.headers:
            headers = {"Content-Range": f"bytes 100-199/{len(page.body)}"}
            answer.send(page.body[100:200], status=206, headers=headers)
        else:
            page(answer)

    return answer_same


def no_length(page: Ranged) -> Callable[[Answer], None]:
    def answer_star(answer: Answer) -> None:
        if "Range" in answer.headers:
            answer.send(page.body[:5000], status=206, headers={"Content-Range": "bytes 0-4999/*"})
        else:
            page(answer)

    return answer_star


def no_words(page: Ranged) -> Callable[[Answer], None]:
    """A server that sends the part, and does not say which it is."""

    def answer_mute(answer: Answer) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", answer.headers.get("Range", ""))
        if asked:
            answer.send(page.body[int(asked[1]) : int(asked[2]) + 1], status=206)
        else:
            page(answer)

    return answer_mute


@pytest.mark.parametrize("server", [refusing, another_part, no_length, no_words])
def test_no_parts(web: Web, ts: list[Ranged], server: Callable[[Ranged], Callable[[Answer], None]]) -> None:
    """Where parts are not to be had segments are read whole, and every picture is seen."""
    expected = whole(web, *segments(10))
    web.pages |= {f"/{number}.ts": server(page) for number, page in enumerate(ts)}
    before_bytes = sum(page.sent_bytes for page in ts)
    eye = Eye(web)
    assert eye.seen(*segments(10)) == expected
    assert eye.ways == [Way.FULL] * 10
    assert sum(page.sent_bytes for page in ts) - before_bytes == sum(len(page.body) for page in ts)


def test_parts_that_are_not_to_be_had_are_asked_for_twice(web: Web, ts: list[Ranged]) -> None:
    """Then segments are read whole for a while, without asking first."""
    asked: list[str] = []

    def counted(page: Ranged) -> Callable[[Answer], None]:
        def answer_counted(answer: Answer) -> None:
            asked.append(answer.headers.get("Range", "all"))
            refusing(page)(answer)

        return answer_counted

    web.pages |= {f"/{number}.ts": counted(page) for number, page in enumerate(ts)}
    Eye(web).seen(*segments(10))
    assert [words == "all" for words in asked] == [False, True] * 2 + [True] * 8


def test_no_ranges(web: Web, ts: list[Ranged]) -> None:
    """A server that sends all of a segment is hung up on behind its keyframe, and every picture is seen."""
    expected = whole(web, *segments(10))
    web.pages |= {f"/{number}.ts": no_ranges(page) for number, page in enumerate(ts)}
    eye = Eye(web)
    assert eye.seen(*segments(10)) == expected
    assert eye.ways == [Way.HEAD] * 10
    read_bytes = sum(word.fetched_bytes for word in eye.news if isinstance(word, Pulled))
    assert read_bytes < 0.4 * sum(len(page.body) for page in ts)


def test_no_ranges_and_all_of_it(web: Web, clips: Clips) -> None:
    """What is to be read to its end is asked for anew, for a server that knows no parts is held back by then: it sends
    so much as is on its way to us at most, and was cut short from far away.
    """
    nothing = (b"\x47\x1f\xff\x10" + bytes(184)) * 3000
    asked = []

    def page(answer: Answer) -> None:
        asked.append("Range" in answer.headers)
        answer.send(nothing + clips.segments[0].path.read_bytes())

    web.pages |= {f"/{number}.ts": page for number in range(3)}
    eye = Eye(web)
    assert len(eye.seen(*segments(3))) == 3
    assert eye.ways == [Way.FULL] * 3
    assert asked == [True, True, False, False]


def test_no_keyframe_in_the_head(web: Web, clips: Clips) -> None:
    """A segment that begins in the middle of a group of pictures is read whole, and shows what is later in it."""
    bodies = [clips.segments[n].path.read_bytes() for n in (4, 5, 6)]
    ends = [keyframe_spans(body, form="mpegts")[0][1] for body in bodies]
    rests = [body[end:] for body, end in zip(bodies, ends, strict=True)]
    web.pages["/0.ts"] = page = Ranged(bodies[0][: 3 * 188] + rests[0] + rests[1] + bodies[2])
    eye = Eye(web)
    assert eye.seen(*segments(1)) == whole(web, *segments(1))
    assert eye.ways == [Way.FULL]
    assert page.sent_bytes == 2 * len(page.body)


def test_discontinuity(web: Web, ts: list[Ranged]) -> None:
    """After a discontinuity one segment is read whole."""
    ones = segments(4)
    ones[2] = replace(ones[2], starts_anew=True)
    eye = Eye(web)
    assert eye.seen(*ones) == whole(web, *ones)
    assert eye.ways == [Way.HEAD, Way.HEAD, Way.FULL, Way.HEAD]
    assert ts[2].sent_bytes == 2 * len(ts[2].body)


def test_a_segment_that_is_late(web: Web, ts: list[Ranged]) -> None:
    """One that takes over twice as long to come as it may is read whole: it may last longer than it says."""
    eye = Eye(web, late_s=2.9)
    assert len(eye.seen(*segments(3))) == 3
    assert eye.ways == [Way.HEAD] * 3
    eye = Eye(web, late_s=3.1)
    assert len(eye.seen(*segments(3))) == 3
    assert eye.ways == [Way.HEAD, Way.FULL, Way.FULL]
    assert ts[1].sent_bytes > len(ts[1].body)


def test_changed_between_two_parts(web: Web, clips: Clips) -> None:
    """A segment that is another one by the second request is read anew, whole."""
    pages = [Ranged(clips.segments[n].path.read_bytes()) for n in (4, 5)]
    for page in pages:
        page.body = page.body[:564] + bytes([0x47, 0x1F, 0xFF, 0x10, *bytes(184)]) * 400 + page.body[564:]

    def first_one_then_the_other(answer: Answer) -> None:
        pages[1 if pages[0].asked else 0](answer)

    web.pages["/0.ts"] = first_one_then_the_other
    eye = Eye(web)
    assert len(eye.seen(*segments(1))) == 1
    assert eye.ways == [Way.FULL]
    assert pages[1].asked[-1] == (0, len(pages[1].body))


def test_encrypted(web: Web, ts: list[Ranged]) -> None:
    """Encrypted segments are blind, and neither head nor whole of one is asked for."""
    with pytest.raises(SourceUnwatchable, match="encrypted segments"):
        Eye(web).seen(replace(segments(1)[0], encryption="AES-128"))
    assert not any(page.asked for page in ts)


@pytest.mark.parametrize("elsewhere", ["http://169.254.169.254/x.ts", "http://localhost:1/x.ts", "file:///etc/passwd"])
def test_where_the_guard_forbids(web: Web, elsewhere: str) -> None:
    """Nothing of a segment that may not be fetched is asked for, not its head either, nor after a redirect."""
    with pytest.raises(SourceError, match="leads to"):
        Eye(web).seen(MediaSegment(0, 2.0, Part(elsewhere)))
    web.pages["/0.ts"] = lambda answer: answer.redirect(elsewhere)
    with pytest.raises(SourceError, match="leads to"):
        Eye(web).seen(*segments(1))
    assert web.asked == ["/0.ts"]


def test_one_that_is_missing(web: Web, ts: list[Ranged]) -> None:
    """A segment that is gone costs that segment; three in a row are an error."""
    del web.pages["/1.ts"]
    eye = Eye(web)
    assert len(eye.seen(*segments(3))) == 2
    assert Damaged("segment") in eye.news
    for number in (3, 4, 5):
        del web.pages[f"/{number}.ts"]
    with pytest.raises(SourceUnavailable, match="HTTP 404"):
        Eye(web).seen(*segments(10))
    assert ts[6].asked == []


@pytest.mark.parametrize("status", [404, 503])
def test_one_that_is_missing_says_nothing_of_the_others(web: Web, ts: list[Ranged], status: int) -> None:
    """Those after it are read by their heads, as ever."""
    eye = Eye(web)
    assert ts
    web.pages["/1.ts"] = lambda answer: answer.send(status=status)
    assert len(eye.seen(*segments(4))) == 3
    assert eye.ways == [Way.HEAD] * 3


def test_a_head_that_hangs(web: Web) -> None:
    """One read time-out is all that a segment gets, however it is asked for."""
    web.pages["/0.ts"] = Answer.hang
    eye = Eye(web, options=replace(OPTIONS, read_timeout_s=0.5), clock_s=time.monotonic)
    assert eye.seen(*segments(1)) == []
    assert web.asked == ["/0.ts"]


def test_keyframes_alone(web: Web, ts: list[Ranged]) -> None:
    """A listed keyframe is fetched with the tables before it in one request, and is what full reading shows."""
    ones = []
    for number, page in enumerate(ts[:3]):
        ((first, end), *_) = keyframe_spans(page.body, form="mpegts")
        uri = f"{number}.ts"
        part, init = ByteRange(first, end - first), Part(uri, ByteRange(0, first))
        ones.append(MediaSegment(number, 2.0, Part(uri, part), init))
    expected = whole(web, *segments(3))
    before = [len(page.asked) for page in ts]
    eye = Eye(web, looks=None)
    assert eye.seen(*ones) == expected
    assert eye.ways == [Way.I_FRAMES] * 3
    assert [len(page.asked) - n for page, n in zip(ts, before, strict=True)] == [1, 1, 1, *[0] * 7]


def test_tables_that_are_cut_short(web: Web, ts: list[Ranged]) -> None:
    """Tables of which a part came are not kept, but asked for again by the next keyframe."""
    ts[0].body += ts[1].body
    ((first, end), (second, its_end)) = keyframe_spans(ts[0].body, form="mpegts")
    tables = Part("0.ts", ByteRange(0, first))
    ones = [
        MediaSegment(number, 2.0, Part("0.ts", ByteRange(start, stop - start)), tables)
        for number, (start, stop) in enumerate([(first, end), (second, its_end)])
    ]
    whole_page, cuts = ts[0], [True]

    def cut_once(answer: Answer) -> None:
        if cuts and cuts.pop():
            headers = {"Content-Range": f"bytes 0-{end - 1}/{len(whole_page.body)}"}
            answer.send(whole_page.body[:188], status=206, headers=headers)
        else:
            whole_page(answer)

    web.pages["/0.ts"] = cut_once
    assert len(Eye(web, looks=None).seen(*ones)) == 1
    assert whole_page.asked == [(0, first), (second, its_end)]


def test_keyframes_alone_without_ranges(web: Web, ts: list[Ranged]) -> None:
    """Where a keyframe alone is not to be had, whoever reads it is told at once, to go on in another way."""
    web.pages["/0.ts"] = no_ranges(ts[0])
    one = MediaSegment(0, 2.0, Part("0.ts", ByteRange(564, 5000)), Part("0.ts", ByteRange(0, 564)))
    with pytest.raises(SourceNotInParts):
        Eye(web, looks=None).seen(one)
    assert web.asked == ["/0.ts"]


def test_what_a_quiet_stream_passes_over_is_there_all_the_same(web: Web, ts: list[Ranged]) -> None:
    """Heads whose keyframe is not due are not fetched, and no misses; and whole segments of two, one of them not due,
    are not taken for segments of one.
    """
    eye = Eye(web)
    eye.viewer.pace = eye.pace
    assert len(eye.seen(*segments(10))) == 4
    assert eye.ways == [Way.HEAD] * 4
    assert eye.viewer.keyframes == 10
    web.pages |= {f"/two-{n}.ts": Ranged(ts[2 * n].body + ts[2 * n + 1].body) for n in range(4)}
    eye = Eye(web, late_s=-4.0)  # all at once
    eye.viewer.pace = lambda: replace(QUIET, further=2)  # too many for segments to be skimmed
    assert len(eye.seen(*segments(4, name="two-{}.ts", duration_s=4.0))) == 4
    assert eye.ways == [Way.FULL] * 4


def test_what_asks_for_too_much_is_no_segment_that_fails(web: Web) -> None:
    """Each of them would be passed over, and the next one looked at, for ever."""
    web.pages |= {f"/{number}.ts": Ranged(grows()) for number in range(3)}
    eye = Eye(web, options=replace(OPTIONS, max_pixels=320 * 180), looks=Looks(0.0))
    with pytest.raises(SourceExcessive):
        eye.seen(*segments(3, duration_s=4.0))
    assert eye.looked == 6


@pytest.mark.parametrize(("lengths_s", "second", "is_asked"), [((4.0, 2.0), 2, True), ((2.0, 4.0), 1, False)])
def test_the_length_before_it_is_how_long_a_keyframe_comes_after_the_last(
    *, web: Web, ts: list[Ranged], lengths_s: tuple[float, float], second: int, is_asked: bool
) -> None:
    """Of segments that come at once none is passed over, or asked for, for how long it lasts itself."""
    eye = Eye(web, looks=Looks(6.0))
    eye.viewer.pace = eye.pace
    with closing(eye.fetcher):
        for number, (name, length_s) in enumerate(zip((0, second), lengths_s, strict=True)):
            list(eye.reader.frames(MediaSegment(number, length_s, Part(f"{name}.ts"))))
    assert bool(ts[second].asked) is is_asked
