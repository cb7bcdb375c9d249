from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.demo.encode import Encoding
from streamguard.demo.scenes import Scene
from streamguard.errors import SourceNotInParts
from streamguard.ingest.fetch import Fetched
from streamguard.ingest.heads import Asked, Head, Layout, layout, read_head
from streamguard.ingest.news import ignore
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.segments import segment_frames
from streamguard.ingest.viewer import Viewer
from tests.hls_pages import keyframe_spans, one_fragment
from tests.scenes import Clips

MIB = 1 << 20


@dataclass
class Store:
    """A segment that can be had in parts. `change`: what to make of each answer, after so many."""

    body: bytes
    ranged: bool = True
    """Else what is asked for comes one after the other, from the start on."""
    tells_length: bool = True
    change: Callable[[Fetched, int], Fetched] = lambda fetched, _: fetched
    asked: list[tuple[int, int]] = field(default_factory=list)

    def get(self, first: int, length: int) -> Fetched:
        self.asked.append((first, length))
        body = self.body[first : first + length]
        is_over = not self.ranged and first + length >= len(self.body)
        fetched = Fetched(
            "u", body, ranged=self.ranged, total_bytes=len(self.body) if self.tells_length else None,
            validator={"If-None-Match": "1"}, whole=self.ranged or is_over,
        )  # fmt: skip
        return self.change(fetched, len(self.asked))

    @property
    def cost_bytes(self) -> int:
        return sum(min(length, len(self.body) - first) for first, length in self.asked)


def asked(
    init: bytes = b"", *, guess_bytes: int = 4096, most_bytes: int = 64 * MIB, all_keyframes: bool = False
) -> Asked:
    return Asked("cam", init, (guess_bytes,), most_bytes, all_keyframes)


def lumas(data: bytes, *, in_part: bool) -> list[bytes]:
    viewer = Viewer("cam", SourceOptions(), session=1, tell=ignore, live=True)
    frames = segment_frames(data, viewer, arrived_s=50.0, position_s=50.0, in_part=in_part)
    return [frame.luma.tobytes() for frame in frames]


def long_ts(clips: Clips, count: int = 3) -> bytes:
    """A segment of several groups of pictures."""
    return b"".join(segment.path.read_bytes() for segment in clips.segments[4 : 4 + count])


def test_ts_head(clips: Clips) -> None:
    """Of MPEG-TS as much is read as its first keyframe takes, and that is the very picture that all of it shows."""
    store = Store(long_ts(clips))
    head = read_head(store.get, asked())
    ((_, end), *_) = keyframe_spans(store.body, form="mpegts")
    assert end <= store.cost_bytes <= end * 4 // 3 + 2 * 4096
    assert (head.whole, head.cut, head.first_end) == (False, False, end + 188)
    assert lumas(head.body, in_part=True) == lumas(store.body, in_part=False)[:1]


def test_ts_keyframe_that_is_not_whole(clips: Clips) -> None:
    """Wherever the head ends within the keyframe, nothing of it is taken for a picture."""
    body = long_ts(clips)
    ((_, end), *_) = keyframe_spans(body, form="mpegts")
    for cut in (1, 188, 400, end // 2, end - 188, end):
        assert layout(body[:cut], init_bytes=0, total_bytes=len(body)) is None
        if cut > 3 * 188:
            assert lumas(body[:cut], in_part=True) == []


def test_mp4_keyframes(clips: Clips) -> None:
    """Of MP4 all keyframes are read and next to nothing else, and they are the very pictures that all of it shows."""
    init, body = one_fragment(clips.known, seconds=6.0)
    store = Store(body)
    head = read_head(store.get, asked(init, guess_bytes=2048, all_keyframes=True))
    keyframes_bytes = sum(end - first for first, end in keyframe_spans(init + body, form="mov"))
    assert store.cost_bytes < keyframes_bytes + 12_000 < len(body) // 2
    assert not head.whole
    pictures = lumas(init + head.body, in_part=True)
    assert len(pictures) == 3
    assert pictures == lumas(init + body, in_part=False)


def test_mp4_of_several_fragments(clips: Clips) -> None:
    """Where the head does not name all keyframes, and all are wanted, all of it is read; else the first ones are."""
    init, body = one_fragment(clips.known, seconds=2.0)
    twice = body + one_fragment(clips.known, seconds=4.0)[1]
    assert read_head(Store(twice).get, asked(init, all_keyframes=True)).whole
    head = read_head(Store(twice).get, asked(init))
    assert not head.whole
    assert len(lumas(init + head.body, in_part=True)) == 1


@pytest.mark.parametrize("all_keyframes", [False, True])
def test_keyframe_in_the_map(clips: Clips, *, all_keyframes: bool) -> None:
    """A keyframe in the EXT-X-MAP is not taken for the segment's: what full reading shows of the segment is seen."""
    init, body = one_fragment(clips.known, seconds=6.0)
    full_map = init + one_fragment(clips.known, seconds=1.0)[1]
    head = read_head(Store(body).get, asked(full_map, all_keyframes=all_keyframes))
    assert head.first_end >= 0
    assert lumas(full_map + head.body, in_part=not head.whole) == lumas(full_map + body, in_part=False)


def test_keyframe_in_the_map_of_ts(clips: Clips) -> None:
    """Of MPEG-TS, too, the first keyframe is that of the segment, and the head goes as far as that."""
    full_map, body = clips.segments[0].path.read_bytes(), long_ts(clips)
    ((_, end), *_) = keyframe_spans(body, form="mpegts")
    head = read_head(Store(body).get, asked(full_map))
    assert (head.whole, head.cut, head.first_end) == (False, False, end + 188)
    assert lumas(full_map + head.body, in_part=True) == lumas(full_map + body, in_part=False)[:2]


def test_keyframe_without_end(clips: Clips) -> None:
    """A keyframe that claims to be longer than its segment makes that be read whole, and says nothing of the next."""
    init, body = one_fragment(clips.known, seconds=6.0)
    at = body.index(b"trun") + 16
    store = Store(body[:at] + (1 << 27).to_bytes(4) + body[at + 4 :])
    found = layout(init + store.body, init_bytes=len(init), total_bytes=len(body))
    assert found is not None
    assert found.spans[0][1] > len(body)
    head = read_head(store.get, asked(init, all_keyframes=True))
    assert (head.whole, head.cut, head.body, head.first_end) == (True, False, store.body, 0)


def test_nothing_but_keyframes(clips: Clips) -> None:
    """A segment that is mostly keyframes is read at once, not one by one."""
    intra = clips.film("intra.mp4", Scene(7), seconds=2.0, encoding=Encoding(gop_s=0.04, bframes=0))
    init, body = one_fragment(intra, seconds=2.0)
    store = Store(body)
    assert read_head(store.get, asked(init, all_keyframes=True)).whole
    assert len(store.asked) == 2


def test_no_keyframe_in_the_head() -> None:
    """Without one in its first half, the rest of a segment is read as well, and nothing twice."""
    store = Store((b"\x47\x1f\xff\x10" + bytes(184)) * 4000)
    head = read_head(store.get, asked())
    assert (head.whole, head.body, head.first_end) == (True, store.body, 0)
    assert store.cost_bytes == len(store.body)


@pytest.mark.parametrize("all_keyframes", [False, True])
def test_many_boxes(clips: Clips, *, all_keyframes: bool) -> None:
    """MP4 of hundreds of boxes is read whole at once, not walked through again and again as it grows."""
    init, body = one_fragment(clips.known, seconds=4.0)
    empty = (8).to_bytes(4) + b"free"
    assert not read_head(Store(empty * 100 + body).get, asked(init, all_keyframes=all_keyframes)).whole
    for store in (Store(empty * 500 + body), Store(empty * 100_000)):
        head = read_head(store.get, asked(init, all_keyframes=all_keyframes))
        assert (head.whole, head.body, len(store.asked)) == (True, store.body, 2)


def test_small_segment(clips: Clips) -> None:
    """A segment that ends before the guess is all there with one request, and says how little would have done."""
    store = Store(clips.segments[4].path.read_bytes())
    head = read_head(store.get, asked(guess_bytes=MIB))
    assert (head.whole, head.cut, len(store.asked)) == (True, False, 1)
    assert 0 < head.first_end < len(store.body) // 2


@pytest.mark.parametrize("tells_length", [True, False])
def test_no_ranges(clips: Clips, *, tells_length: bool) -> None:
    """Of a server that knows no parts as much is read on as the first keyframe takes, one byte after the other."""
    store = Store(long_ts(clips), ranged=False, tells_length=tells_length)
    head = read_head(store.get, asked(guess_bytes=2048))
    assert (head.whole, head.cut) == (False, False)
    assert head.first_end <= len(head.body) <= head.first_end + 4096
    assert [first for first, _ in store.asked] == [
        sum(n for _, n in store.asked[:at]) for at in range(len(store.asked))
    ]
    assert lumas(head.body, in_part=True) == lumas(store.body, in_part=False)[:1]


def test_no_ranges_and_no_end() -> None:
    """What is read up to its bound, of a server that says no length, is not taken for all of it."""
    store = Store((b"\x47\x1f\xff\x10" + bytes(184)) * 300, ranged=False, tells_length=False)
    head = read_head(store.get, asked(most_bytes=40_000))
    assert (head.whole, head.cut, len(head.body)) == (True, True, 40_000)


def test_no_ranges_of_a_large_keyframe(clips: Clips) -> None:
    """It is not looked through again for every few kB of it: that took 22 s of processor time for one of 4 MiB."""
    body = long_ts(clips)
    within = keyframe_spans(body, form="mpegts")[0][1] // 376 * 188
    nothing = (b"\x47\x1f\xff\x10" + bytes(184)) * 6000
    store = Store(body[:within] + nothing + body[within:] + 2 * nothing, ranged=False)
    head = read_head(store.get, asked())
    assert not head.whole
    assert len(nothing) < head.first_end <= len(head.body) < 1.1 * head.first_end
    assert len(store.asked) < 100


def test_no_ranges_of_mp4(clips: Clips) -> None:
    """What is between keyframes comes with them, and what is behind the last one that is wanted does not."""
    init, body = one_fragment(clips.known, seconds=6.0)
    (_, end), *_ = keyframe_spans(init + body, form="mov")
    store = Store(body, ranged=False)
    head = read_head(store.get, replace(asked(init), first_only=True))
    assert (head.whole, len(head.body)) == (False, max(4096, end - len(init)))
    store = Store(body, ranged=False)
    head = read_head(store.get, asked(init, all_keyframes=True))
    assert len(head.body) < len(body)
    assert lumas(init + head.body, in_part=True) == lumas(init + body, in_part=False)


@pytest.mark.parametrize("whole", [True, False])
def test_all_at_once(clips: Clips, *, whole: bool) -> None:
    """A server that sends all of it without being asked for that is not asked again."""
    body = long_ts(clips)
    store = Store(body, ranged=False, change=lambda got, _: replace(got, body=body, whole=whole))
    head = read_head(store.get, asked())
    assert (head.whole, head.cut, head.body, len(store.asked)) == (True, not whole, body, 1)


def test_too_long(clips: Clips) -> None:
    """No more than the limit is read, and what is missing is told."""
    init, body = one_fragment(clips.known, seconds=12.0)
    store = Store(body)
    head = read_head(store.get, asked(init, most_bytes=len(body) // 3, all_keyframes=True))
    assert (head.whole, head.cut, len(head.body)) == (True, True, len(body) // 3)


@pytest.mark.parametrize("answer", [1, 2])
def test_cut_short(clips: Clips, answer: int) -> None:
    """What does not come in time is not asked for again."""
    store = Store(long_ts(clips), change=lambda got, n: replace(got, body=got.body[:99]) if n == answer else got)
    head = read_head(store.get, asked(guess_bytes=2048))
    assert head.cut
    assert len(store.asked) == answer


@pytest.mark.parametrize(
    "change",
    [
        lambda got: replace(got, total_bytes=got.total_bytes + 1),
        lambda got: replace(got, validator={"If-None-Match": "2"}),
        lambda got: replace(got, ranged=False),
    ],
)
def test_changed_meanwhile(clips: Clips, change: Callable[[Fetched], Fetched]) -> None:
    """Parts of two versions of a segment are never put together."""
    store = Store(long_ts(clips), change=lambda got, n: change(got) if n > 1 else got)
    with pytest.raises(SourceNotInParts):
        read_head(store.get, asked(guess_bytes=2048))


def test_total_unknown(clips: Clips) -> None:
    """Without its length a segment is not read in parts."""
    store = Store(long_ts(clips), change=lambda got, _: replace(got, total_bytes=None))
    with pytest.raises(SourceNotInParts):
        read_head(store.get, asked())


@given(st.data())
def test_damaged(clips: Clips, data: st.DataObject) -> None:
    """Whatever a segment holds, each byte is asked for at most once, and reading it ends."""
    init, body = one_fragment(clips.known, seconds=4.0) if data.draw(st.booleans()) else (b"", long_ts(clips, 1))
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 20))):
        damaged[data.draw(st.integers(0, min(len(body), 8000) - 1))] = data.draw(st.integers(0, 255))
    store = Store(bytes(damaged))
    head = read_head(store.get, asked(init, all_keyframes=data.draw(st.booleans())))
    assert isinstance(head, Head)
    assert store.cost_bytes <= len(body)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xf1" + bytes(500), b"\x00\x00\x00\x18moof" + bytes(90)])
def test_no_segment(data: bytes) -> None:
    """What is no segment, or too little of one, says nothing."""
    assert layout(data, init_bytes=0, total_bytes=1000) is None


def test_layout(clips: Clips) -> None:
    """The few kB before the pictures of MP4 say where in the segment each keyframe stands, and that these are all."""
    init, body = one_fragment(clips.known, seconds=6.0)
    found = layout(init + body[: body.index(b"mdat") + 64], init_bytes=len(init), total_bytes=len(body))
    spans = keyframe_spans(init + body, form="mov")
    assert found == Layout(tuple((first - len(init), end - len(init)) for first, end in spans), complete=True)
