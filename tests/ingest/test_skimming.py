"""streamguard.ingest.segment_reader: of a quiet stream the first keyframe of each segment, until it shows something."""

from dataclasses import replace

import pytest

from streamguard.ingest.fetch import ByteRange
from streamguard.ingest.news import Way
from streamguard.ingest.playlist import MediaSegment, Part
from tests.hls_pages import Ranged, keyframe_spans, one_fragment
from tests.http_server import Web
from tests.ingest.eyes import Eye, segments, whole
from tests.scenes import Clips


def keyframes_alone(web: Web, clips: Clips, *, count: int) -> list[MediaSegment]:
    """So many, each listed by its range."""
    ones = []
    for number, page in enumerate(clips.segments[:count]):
        body = page.path.read_bytes()
        web.pages[f"/{number}.ts"] = Ranged(body)
        ((first, end), *_) = keyframe_spans(body, form="mpegts")
        uri = f"{number}.ts"
        part = Part(uri, ByteRange(first, end - first))
        ones.append(MediaSegment(number, 2.0, part, Part(uri, ByteRange(0, first))))
    return ones


@pytest.mark.parametrize(("suspect_after", "count"), [(None, 3), (2, 7), (3, 5)])
def test_keyframes_alone(web: Web, clips: Clips, *, suspect_after: int | None, count: int) -> None:
    """Of those of a quiet stream that are listed at once the first is fetched, and the others should it show something;
    those that are not are there all the same.
    """
    eye = Eye(web, looks=None, suspect_after=suspect_after, late_s=-2.0)
    eye.viewer.pace = eye.pace
    ones = keyframes_alone(web, clips, count=7)
    seen = []
    for batch in (ones[:1], ones[1:4], ones[4:]):
        eye.now_s += 6.0
        seen += eye.seen(*eye.reader.came(tuple(batch)))
    assert len(seen) == count
    assert eye.viewer.keyframes == len(ones)


@pytest.fixture
def long(web: Web, clips: Clips) -> list[MediaSegment]:
    """Three segments of three keyframes each."""
    bodies = [page.path.read_bytes() for page in clips.segments]
    web.pages |= {f"/{n}.ts": Ranged(b"".join(bodies[3 * n : 3 * n + 3])) for n in range(3)}
    return segments(3, duration_s=6.0)


def test_a_quiet_stream_is_skimmed(web: Web, long: list[MediaSegment]) -> None:
    """Once a long segment has shown how many keyframes it holds, the first of each that follows is all that is read."""
    eye = Eye(web)
    eye.viewer.pace = eye.pace
    assert eye.seen(*long) == whole(web, *long)[::3]
    assert eye.ways == [Way.FULL, Way.HEAD, Way.HEAD]


def test_of_mp4_too_no_more_than_the_first(web: Web, clips: Clips) -> None:
    """Though its head names all keyframes of a segment, of a quiet stream's the others are not fetched."""
    init, body = one_fragment(clips.known, seconds=6.0)
    known, skimmed = Ranged(body), Ranged(body)
    web.pages |= {"/init.mp4": Ranged(init), "/0.m4s": known, "/1.m4s": skimmed}
    eye = Eye(web)
    eye.viewer.pace = eye.pace
    ones = [replace(one, init=Part("init.mp4")) for one in segments(2, name="{}.m4s", duration_s=6.0)]
    assert len(eye.seen(*ones)) == 2
    assert eye.ways == [Way.HEAD, Way.HEAD]
    assert skimmed.sent_bytes < known.sent_bytes


def test_what_makes_it_suspect_is_followed_at_once(web: Web, long: list[MediaSegment]) -> None:
    """Where a first keyframe shows something, the others of its segment are looked at too, and none of them twice."""
    eye = Eye(web, suspect_after=2)
    eye.viewer.pace = eye.pace
    pictures = whole(web, *long)
    assert eye.seen(*long) == [pictures[0], *pictures[3:]]
    assert eye.ways == [Way.FULL, Way.HEAD, Way.FULL, Way.FULL]
    assert eye.viewer.keyframes == len(pictures)
